"""Spans of time as Spark reads them, for watermarks and triggers.

Floor 7. Stands on: files.units.

The rules are those of Spark's `SparkIntervalUtils.stringToInterval`, which reads the interval of a
trigger and, without the word `interval`, that of `withWatermark`; a watermark with that word is an
interval of SQL (`IntervalUtils.fromIntervalString`). Of those only the form `10:20 HOUR TO MINUTE`
is refused here. Pure functions.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from laketrace.files.units import shown

_LONGEST = 200  # characters
_MONTHS = {"year": 12, "month": 1}
_DAYS = {"week": 7, "day": 1}
_MICROSECONDS = {
    "hour": 3_600_000_000,
    "minute": 60_000_000,
    "second": 1_000_000,
    "millisecond": 1_000,
    "microsecond": 1,
}
_UNITS = "|".join((*_MONTHS, *_DAYS, *_MICROSECONDS))
_NUMBER = r"([+-]?)[ \t\n\r\f\v]*(?:([0-9]+)(?:\.([0-9]{0,9}))?|\.([0-9]{1,9}))"
_PART = re.compile(rf"{_NUMBER}\s+({_UNITS})s?(?=\s|\Z)\s*", re.ASCII)
_SQL = re.compile(r"interval\s+", re.ASCII)
_RANGE = re.compile(r"\bto\b")
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_BLANK = "".join(map(chr, range(33)))
_WAY_OUT = "Use numbers with units, e.g. '10 minutes' or '1 day 12 hours'."


class Interval(NamedTuple):
    """A span of time as Spark keeps it; a month has no length of its own."""

    months: int
    days: int
    microseconds: int

    @property
    def milliseconds(self) -> int:
        """Its length, with the 31 days to a month of Spark's watermarks."""
        days = self.months * 31 + self.days
        return (days * 86_400_000_000 + self.microseconds) // 1000


def parse_watermark(text: object) -> Interval:
    """The interval of `withWatermark`.

    Raises `ValueError` for what Spark refuses: no unit, a unit that it does not know, a fraction
    of anything but seconds, less than 0.

    >>> parse_watermark("1 day 2 hours"), parse_watermark("INTERVAL '90' SECONDS").milliseconds
    (Interval(months=0, days=1, microseconds=7200000000), 90000)
    """
    plain = _plain(text)
    prefix = _SQL.match(plain)
    if prefix is None:
        interval = _parse(plain, text)
    elif _RANGE.search(plain):
        raise ValueError(f"{shown(text)}: say what TO says in units, e.g. '10 hours 20 minutes'.")
    else:
        words = _QUOTED.sub(lambda found: f" {found[1] or found[2] or ''} ", plain[prefix.end() :])
        interval = _parse(words.strip(_BLANK), text)
        if interval.months and (interval.days or interval.microseconds):
            raise ValueError(f"{shown(text)} mixes months with days, which SQL refuses. {_WAY_OUT}")
    if interval.milliseconds < 0:
        raise ValueError(f"a watermark waits 0 or longer, not {shown(text)}. {_WAY_OUT}")
    return interval


def parse_trigger(text: object) -> Interval:
    """The interval of a `processingTime` trigger; Spark refuses months, years and less than 0.

    Raises `ValueError`.

    >>> parse_trigger("interval 10 seconds").milliseconds
    10000
    """
    plain = _plain(text)
    prefix = _SQL.match(plain)
    interval = _parse(plain[prefix.end() :] if prefix else plain, text)
    if interval.months:
        raise ValueError(f"{shown(text)} has months, whose length is not known. {_WAY_OUT}")
    if interval.milliseconds < 0:
        raise ValueError(f"a trigger waits 0 or longer, not {shown(text)}. {_WAY_OUT}")
    return interval


def _plain(text: object) -> str:
    if not isinstance(text, str):
        raise ValueError(f"{shown(text)} is no interval. {_WAY_OUT}")
    if len(text) > _LONGEST:
        raise ValueError(f"an interval of {len(text)} characters is too long. {_WAY_OUT}")
    return text.strip(_BLANK).lower()


def _parse(plain: str, text: object) -> Interval:
    months = days = microseconds = position = 0
    while position < len(plain):
        match = _PART.match(plain, position)
        if match is None:
            raise ValueError(_problem(plain[position:], text))
        sign, whole, decimals, point, unit = match.groups()
        number = int(whole or 0) * (-1 if sign == "-" else 1)
        fraction = decimals if decimals is not None else point
        if fraction is not None and unit != "second":
            raise ValueError(f"{shown(text)} has a fraction of {unit}s: only seconds have one.")
        months += number * _MONTHS.get(unit, 0)
        days += number * _DAYS.get(unit, 0)
        microseconds += number * _MICROSECONDS.get(unit, 0)
        if fraction:
            part = int(fraction.ljust(9, "0")) // 1000
            microseconds += -part if sign == "-" else part
        position = match.end()
    if not plain:
        raise ValueError(f"{shown(text)} is no interval. {_WAY_OUT}")
    if max(abs(months), abs(days)) >= 1 << 31 or abs(microseconds) >= 1 << 63:
        raise ValueError(f"{shown(text)} is longer than Spark can count. {_WAY_OUT}")
    return Interval(months, days, microseconds)


def _problem(rest: str, text: object) -> str:
    units = _UNITS.replace("|", ", ")
    if re.fullmatch(r"[+-]?\s*[0-9.]+", rest, re.ASCII):
        return f"{shown(text)} has a number without a unit. Units: {units}, e.g. '10 minutes'."
    if re.match(r"[+-]?\s*[0-9.]+[a-z]", rest, re.ASCII):
        return f"{shown(text)} has no space between number and unit, e.g. '10 minutes'."
    return f"{shown(text)} is no interval of Spark. Units: {units}. {_WAY_OUT}"
