"""Lines of a log as records, and which of them are wanted.

Floor 7. Stands on: cli.terminal, core.levels, core.record, files.units.
"""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from laketrace.cli.terminal import UsageError
from laketrace.core.levels import INFO, Level, get_level
from laketrace.core.record import CALLER, STANDARD, Record, Source
from laketrace.files.units import parse_duration

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_TEXTS = ("logger_name", "hostname", "platform", "runtime_type", "run_id")


class Line(NamedTuple):
    """A line of a log: where it lies, its text without newline, and its JSON object if it is one.

    `offset` counts uncompressed bytes.
    """

    file: str
    offset: int
    text: bytes
    fields: dict[str, Any] | None

    @property
    def timestamp(self) -> str:
        """The record's own words for its time; "" where there are none."""
        return str(self.fields.get("timestamp", "")) if self.fields else ""


def parse_line(file: str, offset: int, text: bytes) -> Line:
    """A line of a log, given without its newline.

    >>> parse_line("a.log", 0, b'{"level":"INFO"').fields is None
    True
    """
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):  # also bytes that are no UTF-8
        fields = None
    return Line(file, offset, text, fields if isinstance(fields, dict) else None)


class Selection(NamedTuple):
    """Which records are wanted: from a level up, from a time on, with these values in fields."""

    level: Level | None = None
    since: datetime | None = None
    where: tuple[tuple[str, str], ...] = ()

    @property
    def takes_all(self) -> bool:
        """Whether every line is wanted, also what is no record."""
        return self == Selection()

    def takes(self, line: Line) -> bool:
        """Whether a line is wanted; with any condition, only records can be."""
        if self.takes_all:
            return True
        fields = line.fields
        if fields is None:
            return False
        if self.level is not None and level_of(fields).no < self.level.no:
            return False
        if self.since is not None and not self.reaches(line):
            return False
        return all(has_value(fields, name, text) for name, text in self.where)

    def may_hold(self, time_ns: int) -> bool:
        """Whether a segment that was finished in the second of `time_ns` can hold such records."""
        if self.since is None:
            return True
        return _EPOCH + timedelta(microseconds=time_ns // 1000, seconds=1) > self.since

    def reaches(self, line: Line) -> bool:
        """Whether a line is not older than `since`; one that tells no time is taken for new."""
        moment = parse_moment(line.timestamp)
        return self.since is None or moment is None or moment >= self.since


def make_selection(level: str | None, since: str | None, where: list[str]) -> Selection:
    """The selection that options of the command line ask for. Raises `UsageError`.

    >>> make_selection("warn", None, ["table=orders"]).where
    (('table', 'orders'),)
    """
    conditions = []
    for text in where:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--where {text!r} is no condition. Use field=value, e.g. run_id=r7.")
        conditions.append((name, value))
    try:
        least = None if level is None else get_level(int(level) if level.isdigit() else level)
    except ValueError as error:
        raise UsageError(f"--level: {error}") from None
    return Selection(least, None if since is None else parse_since(since), tuple(conditions))


def parse_since(text: str, now: float | None = None) -> datetime:
    """A point in time: a span before now (`"15 minutes"`, `"2h"`), or an ISO 8601 time.

    A time without an offset is in UTC, like the records'. Raises `UsageError`.

    >>> parse_since("2026-11-21 10:30").isoformat(), parse_since("1 day", now=86400.0).isoformat()
    ('2026-11-21T10:30:00+00:00', '1970-01-01T00:00:00+00:00')
    """
    moment = parse_moment(text)
    if moment is not None:
        return moment
    try:
        span = parse_duration(text)
    except ValueError:
        raise UsageError(
            f"--since {text!r} is no time. Use a span like '15 minutes' or '2h', or a time in UTC "
            "like 2026-11-21T10:30."
        ) from None
    return _EPOCH + timedelta(seconds=time.time() if now is None else now) - span


def parse_moment(text: str) -> datetime | None:
    """An ISO 8601 time, in UTC where it has no offset; None for anything else.

    >>> parse_moment("2026-11-21T10:30:00Z") == parse_moment("2026-11-21T11:30:00+01:00")
    True
    """
    try:
        moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


def has_value(fields: dict[str, Any], name: str, text: str) -> bool:
    """Whether a field, also a nested one (`order.id`), has the value that `text` writes.

    >>> has_value({"order": {"id": 7}, "a.b": True}, "order.id", "7")
    True
    >>> has_value({"order": {"id": 7}, "a.b": True}, "a.b", "true")
    True
    """
    found, value = _lookup(fields, name)
    if not found:
        return False
    if isinstance(value, str):
        return value == text
    try:
        return bool(value == json.loads(text)) and isinstance(value, bool) == (
            text in ("true", "false")
        )
    except ValueError:
        return False


def _lookup(fields: dict[str, Any], name: str) -> tuple[bool, Any]:
    """A field by its name; where no field bears it, its dots lead into objects."""
    if name in fields:
        return True, fields[name]
    at = name.find(".")
    while at > 0:
        inner = fields.get(name[:at])
        if isinstance(inner, dict):
            found, value = _lookup(inner, name[at + 1 :])
            if found:
                return True, value
        at = name.find(".", at + 1)
    return False, None


def level_of(fields: dict[str, Any]) -> Level:
    """The level of a record; one that this program does not know counts as INFO.

    >>> level_of({"level": "ERROR"}).no, level_of({"level": "UNHEARD"}).no
    (40, 20)
    """
    name = str(fields.get("level", "INFO"))
    try:
        return get_level(name)
    except ValueError:
        return Level(name, INFO.no)


def as_record(fields: dict[str, Any]) -> Record | None:
    """The record that a JSON line was written from; None where it is not LakeTrace's own form."""
    moment = parse_moment(str(fields.get("timestamp", "")))
    if moment is None or not isinstance(fields.get("message"), str) or "level" not in fields:
        return None
    source = {name: str(fields.get(name, "")) for name in _TEXTS}
    pid = fields.get("pid")
    known = {*STANDARD, *CALLER, "exception"}
    extra = {name: value for name, value in fields.items() if name not in known}
    ns = (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    record = Record(
        Source(pid=pid if isinstance(pid, int) else 0, **source),
        level_of(fields),
        fields["message"],
        ns,
        extra,
    )
    exception = fields.get("exception")
    record.exception = exception if isinstance(exception, dict) else None
    record.file, record.line = fields.get("file"), fields.get("line")
    record.function = fields.get("function")
    return record
