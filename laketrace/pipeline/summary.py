"""What a run did, for people: a table as text, a table with a timeline as HTML.

Floor 7. Stands on: core.clean, errors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from laketrace.core.clean import html_text
from laketrace.errors import MissingExtraError

_HEADS = ("stage", "attempt", "status", "seconds", "metrics")
_SIDES = ("left", "right", "left", "right", "left", "left")  # of these, and of the timeline


class Timing(NamedTuple):
    """One attempt at a stage: when it began and how long it took, in seconds of the run."""

    path: str
    attempt: int
    status: str
    began: float
    seconds: float
    metrics: dict[str, Any]


class Summary(NamedTuple):
    """The stages of a run; `print` it, or let a notebook show it.

    >>> print(Summary("daily", "ok", 2.0, (Timing("bronze", 1, "ok", 0.0, 2.0, {"rows": 3}),)))
    run daily: ok, 2.000 s
    stage   attempt  status  seconds  metrics
    bronze  1        ok      2.000    rows=3
    """

    name: str
    status: str
    seconds: float
    timings: tuple[Timing, ...]

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                item.path,
                str(item.attempt),
                item.status,
                f"{item.seconds:.3f}",
                ", ".join(f"{key}={value}" for key, value in item.metrics.items()),
            )
            for item in self.timings
        ]

    def __str__(self) -> str:
        rows = [_HEADS, *self._rows()]
        widths = [max(len(row[index]) for row in rows) for index in range(5)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([f"run {self.name}: {self.status}, {self.seconds:.3f} s", *lines])

    def plot(self) -> Any:
        """The attempts over time as a figure of matplotlib.

        Raises `MissingExtraError` where matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "matplotlib":
                raise
            text = "run.plot() needs the package matplotlib. Run: pip install matplotlib"
            raise MissingExtraError(text, name=error.name) from None
        figure = Figure(figsize=(8, 1 + 0.3 * len(self.timings)), layout="constrained")
        axes = figure.add_subplot()
        labels = [f"{item.path} ({item.attempt})" for item in self.timings]
        axes.barh(
            range(len(labels)),
            [item.seconds for item in self.timings],
            left=[item.began for item in self.timings],
            color=[_color(item) for item in self.timings],
        )
        axes.set_yticks(range(len(labels)), labels)
        axes.invert_yaxis()
        axes.set_xlabel("seconds")
        axes.set_title(f"run {self.name}: {self.status}, {self.seconds:.3f} s")
        return figure

    def _repr_html_(self) -> str:
        whole = max(self.seconds, *(item.began + item.seconds for item in self.timings), 1e-9)
        body = "".join(
            "<tr>"
            + "".join(
                f"<td style='text-align:{side}'>{html_text(cell)}</td>"
                for side, cell in zip(_SIDES, row, strict=False)
            )
            + f"<td style='width:16em'>{_bar(item, whole)}</td></tr>"
            for row, item in zip(self._rows(), self.timings, strict=True)
        )
        head = "".join(
            f"<th style='text-align:{side}'>{name}</th>"
            for side, name in zip(_SIDES, (*_HEADS, "timeline"), strict=True)
        )
        title = html_text(f"run {self.name}: {self.status}, {self.seconds:.3f} s")
        caption = f"<caption style='text-align:left;font-weight:bold'>{title}</caption>"
        return f"<table cellpadding='4'>{caption}<tr>{head}</tr>{body}</table>"


def _bar(item: Timing, whole: float) -> str:
    """Where in the run an attempt lies, as a coloured bar."""
    left, width = 100 * item.began / whole, max(100 * item.seconds / whole, 0.5)
    style = f"margin-left:{left:.1f}%;width:{width:.1f}%;background:{_color(item)};height:0.8em"
    return f"<div style='{style}'></div>"


def _color(item: Timing) -> str:
    return {"ok": "#22aa77", "failed": "#cc3333"}.get(item.status, "#999999")
