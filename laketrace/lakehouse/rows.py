"""A line of a segment becomes a row of the table: the rules, one line at a time.

Floor 7. Stands on: core.levels, lakehouse.columns, lakehouse.source.

    a record           a JSON object with a time (ISO 8601 with an offset), level and message:
                       its known fields fill the columns, the others `fields`, as they stand
    another object     goes whole into `fields`
    anything else      torn, foreign or text: goes into `raw`

What is no record is dated with the segment's end, so that a query over a span of time sees it.
A known field of the wrong type stays in `fields`; of two fields with one name the first counts.
This module is what `fast_rows`, which does whole blocks at once, must agree with. Memory: a row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from laketrace.core.levels import get_level
from laketrace.lakehouse.columns import NAMES, NUMBERS, TEXTS
from laketrace.lakehouse.source import Block

Row = tuple[Any, ...]
"""Values in the order of `columns.NAMES`; an aware datetime, a date, str, int or None."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:?\d\d)", re.ASCII
)
_SPACE = " \t\r"


class Place(NamedTuple):
    """What all rows of a segment share: its name for ever, and when it ended."""

    segment: str
    end: datetime

    @classmethod
    def of(cls, segment: str, end_ns: int) -> Place:
        """The place for a segment that ended at `end_ns`, in Unix nanoseconds."""
        return cls(segment, _EPOCH + timedelta(microseconds=end_ns // 1000))


def rows_of(block: Block, place: Place) -> Iterator[Row]:
    """The rows of a block, in order."""
    if block.torn:
        yield raw_row(block.data.removesuffix(b"\n"), block.offset, place)
        return
    offset = block.offset
    for line in block.data.removesuffix(b"\n").split(b"\n"):
        yield row_of(line.removesuffix(b"\r"), offset, place)
        offset += len(line) + 1


def row_of(line: bytes, offset: int, place: Place) -> Row:
    """The row of one line, given without its newline."""
    try:
        members = members_of(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return raw_row(line, offset, place)
    columns, rest = _take(members)
    if "timestamp" in columns and "level" in columns and "message" in columns:
        time = columns["timestamp"]
        columns["severity"] = severity_of(columns["level"])
    else:
        time, columns, rest = place.end, {}, members
    columns.update(timestamp=time, date=time.date(), fields=_object(rest))
    columns.update(segment=place.segment, offset=offset)
    return tuple(columns.get(name) for name in NAMES)


def raw_row(line: bytes, offset: int, place: Place) -> Row:
    """The row of a line that is no JSON object."""
    columns = {
        "timestamp": place.end, "date": place.end.date(), "segment": place.segment,
        "offset": offset, "raw": line.decode("utf-8", "backslashreplace"),
    }  # fmt: skip
    return tuple(columns.get(name) for name in NAMES)


def severity_of(level: str) -> int | None:
    """The number of a level, None for one that is not registered here.

    >>> severity_of("WARNING"), severity_of("no such level")
    (30, None)
    """
    try:
        return get_level(level).no
    except ValueError:
        return None


Member = tuple[str, Any, str, str]
"""A name, its value, and both as they stand in the text: the value alone, and the whole."""


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")  # RFC 8259, 6


_scan: Any = json.JSONDecoder(parse_constant=_refuse).scan_once  # type: ignore[attr-defined]


def members_of(text: str) -> list[Member]:
    """The members of a JSON object. Raises `ValueError` for anything else."""
    text = text.strip(_SPACE)
    if text[:1] != "{":
        raise ValueError("no object")
    members: list[Member] = []
    try:
        at = _skip(text, 1)
        more = text[at] != "}"
        while more:
            if text[at] != '"':
                raise ValueError("no name")
            begin = at
            name, at = _scan(text, at)
            at = _skip(text, at)
            if text[at] != ":":
                raise ValueError("no value")
            start = _skip(text, at + 1)
            value, at = _scan(text, start)
            members.append((name, value, text[start:at], text[begin:at]))
            at = _skip(text, at)
            more = text[at] == ","
            if more:
                at = _skip(text, at + 1)
    except (IndexError, StopIteration):
        raise ValueError("the object is not complete") from None
    if text[at:] != "}":
        raise ValueError("more than an object")
    return members


def _skip(text: str, at: int) -> int:
    """Where the next character is that is no space."""
    while text[at] in _SPACE:
        at += 1
    return at


def _take(members: list[Member]) -> tuple[dict[str, Any], list[Member]]:
    """Known fields as columns, and the members that are left."""
    columns: dict[str, Any] = {}
    rest = []
    for member in members:
        name, value, text, _ = member
        taken = None if name in columns else _column(name, value, text)
        if taken is None:
            rest.append(member)
        else:
            columns[name] = taken
    return columns, rest


def _column(name: str, value: Any, text: str) -> Any:
    """The value of a column, None where the field is unknown or of another type."""
    if name in TEXTS:
        return storable(value) if isinstance(value, str) else None
    if name in NUMBERS:
        number = isinstance(value, int) and not isinstance(value, bool)
        return value if number and -NUMBERS[name] <= value < NUMBERS[name] else None
    if name == "timestamp":
        return parse_time(value) if isinstance(value, str) else None
    if name == "exception":
        return text if isinstance(value, dict) else None
    return None


def storable(text: str) -> str:
    """`text` as UTF-8 can carry it: a lone surrogate becomes its six-character text.

    >>> storable(chr(0xDC80)) == "\\\\udc80"
    True
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _object(members: list[Member]) -> str:
    return "{" + ",".join([member[3] for member in members]) + "}"


def parse_time(text: str) -> datetime | None:
    """The instant for ISO 8601 with an offset, to the microsecond; None for anything else.

    >>> parse_time("2026-11-21T10:32:00.5Z")
    datetime.datetime(2026, 11, 21, 10, 32, 0, 500000, tzinfo=datetime.timezone.utc)
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    *parts, fraction, zone = match.groups()
    micros = int((fraction or "0").ljust(6, "0")[:6])
    offset = timedelta()
    if zone != "Z":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    try:
        year, month, day, hour, minute, second = map(int, parts)
        local = datetime(year, month, day, hour, minute, second, micros, timezone.utc)
        return local + offset if zone[0] == "-" else local - offset
    except (ValueError, OverflowError):
        return None
