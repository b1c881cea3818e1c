"""What an upload did: as figures, as a record, as a table for people.

Floor 7. Stands on: nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Failure(NamedTuple):
    """Something that was not uploaded, and why; it stays where it is."""

    what: str
    reason: str


class UploadReport(NamedTuple):
    """What one upload did. `ok` tells whether everything there was is where it should be.

    `segments`, `records` (lines) and `bytes` (as they lie on disk) count what this upload
    brought to every destination; `skipped` counts segments that were there already; `waiting`
    those that somebody still writes to, which the next upload takes.

    >>> print(UploadReport(segments=1, records=20, bytes=4096, seconds=0.25, target="/mnt/logs"))
    uploaded 1 segment, 20 records, 4,096 bytes in 0.25 s
      target   /mnt/logs
    """

    segments: int = 0
    records: int = 0
    bytes: int = 0
    seconds: float = 0.0
    skipped: int = 0
    waiting: int = 0
    failed: tuple[Failure, ...] = ()
    target: str | None = None
    table: str | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failed

    @property
    def did_nothing(self) -> bool:
        """Whether there was nothing to upload and nothing failed."""
        return not self.segments and not self.failed

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values; what the record of an upload carries."""
        failed = [failure._asdict() for failure in self.failed]
        return {**self._asdict(), "seconds": round(self.seconds, 3), "failed": failed}

    def __str__(self) -> str:
        head, *rows = _lines(self)
        return "\n".join([head[1], *(f"  {name:<8} {value}" for name, value in rows)])

    def _repr_html_(self) -> str:
        """The report as a table, for notebooks; all texts are escaped."""
        from html import escape

        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th>"
            f"<td style='text-align:left'>{escape(value)}</td></tr>"
            for name, value in _lines(self)
        )
        return f"<table class='laketrace-report'>{rows}</table>"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> UploadReport:
        """The inverse of `to_dict`."""
        failed = tuple(Failure(**failure) for failure in values["failed"])
        return cls(**{**values, "failed": failed})


def _lines(report: UploadReport) -> list[tuple[str, str]]:
    segments = "1 segment" if report.segments == 1 else f"{report.segments:,} segments"
    records = "1 record" if report.records == 1 else f"{report.records:,} records"
    text = f"uploaded {segments}, {records}, {report.bytes:,} bytes in {report.seconds:.2f} s"
    lines = [("result", text)]
    if report.skipped:
        lines.append(("skipped", f"{report.skipped:,} that were there already"))
    if report.waiting:
        lines.append(("waiting", f"{report.waiting:,} that are still being written to"))
    lines += [("failed", f"{failure.what}: {failure.reason}") for failure in report.failed]
    places = [("target", report.target), ("table", report.table)]
    return lines + [(name, place) for name, place in places if place]
