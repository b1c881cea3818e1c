"""Sizes, durations, times of day and weekdays, as people write them.

Floor 2. Stands on: nothing.

A text has one meaning: letter case never matters, `KB` and `KiB` are both 1,024 bytes, a month
is 30 days and a year 365. Whatever else is refused with a `ValueError` that names the way out.
Each parser reads its text once from left to right and at most `_LONGEST` characters of it, so a
hostile text costs nothing; no other exception leaves this module.
Threads and forks: pure functions, nothing is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import time, timedelta
from typing import Any

_LONGEST = 100  # characters; "1 year 11 months 3 weeks 6 days 23 hours 59 minutes" has 51

_BYTES = {
    "b": 1,
    **{
        letter + rest: 1024**power
        for power, letter in enumerate("kmgt", start=1)
        for rest in ("", "b", "ib")
    },
}
_MICROSECONDS = {
    name: seconds * 1_000_000
    for seconds, names in (
        (1, "s sec secs second seconds"),
        (60, "min mins minute minutes"),
        (3600, "h hr hrs hour hours"),
        (86_400, "d day days"),
        (7 * 86_400, "w week weeks"),
        (30 * 86_400, "month months"),
        (365 * 86_400, "y year years"),
    )
    for name in names.split()
}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NAMED_CLOCKS = {"midnight": time(0), "noon": time(12)}

# Each part excludes the characters of the next one, so that matching never has to go back.
_QUANTITY = re.compile(r"([0-9]+)(?:\.([0-9]+))?\s*([^\s0-9,]*)[\s,]*")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")


def parse_size(value: object, example: str = "'500 MB'") -> int:
    """Bytes of a size: a text like `"500 MB"`, or a number of bytes.

    Units are B, KB, MB, GB and TB, also written K, M, G, T or KiB, MiB, GiB, TiB; all are powers
    of 1,024. A fraction of a byte is cut off. `example` is what an error shows as a way out.

    Raises `ValueError` for anything else, and for less than 1 byte.

    >>> parse_size("1.5 gb"), parse_size("10 M"), parse_size(2000)
    (1610612736, 10485760, 2000)
    """
    if isinstance(value, str):
        size = _bytes(value, example)
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(
            f"{shown(value)} is not a size. Use a number of bytes or a text, e.g. {example}."
        )
    elif isinstance(value, float) and not abs(value) < float("inf"):
        raise ValueError(
            f"{value} is not a number of bytes. Use a finite number or e.g. {example}."
        )
    else:
        size = int(value)
    if size < 1:
        raise ValueError(
            f"a size is at least 1 byte, not {shown(value)}. Use more, e.g. {example}."
        )
    return size


def parse_duration(value: object, example: str = "'1 hour'") -> timedelta:
    """The time span of a text like `"7 days"`, `"1h30min"`, `"1 day 2 hours"`, or a `timedelta`.

    Units are second, minute, hour, day, week, month (30 days) and year (365 days), with or
    without plural, and s, sec, min, h, hr, d, w, y. Several quantities are added up. Less than
    a microsecond is cut off. `example` is what an error shows as a way out.

    Raises `ValueError` for anything else, for 0 and less, and for `m`, which has two meanings.

    >>> parse_duration("1 day 2 hours"), parse_duration("0.5 h")
    (datetime.timedelta(days=1, seconds=7200), datetime.timedelta(seconds=1800))
    """
    if isinstance(value, str):
        try:
            duration = timedelta(microseconds=_microseconds(value, example))
        except OverflowError:
            raise ValueError(
                f"a duration is at most 999999999 days, not {shown(value)}. "
                f"Use less, e.g. {example}."
            ) from None
    elif isinstance(value, timedelta):
        duration = value
    else:
        raise ValueError(
            f"{shown(value)} is not a duration. Use a number with a unit, e.g. {example}."
        )
    if duration <= timedelta(0):
        raise ValueError(
            f"a duration is longer than 0, not {shown(value)}. Use more, e.g. {example}."
        )
    return duration


def parse_clock(value: object, example: str = "'06:30'") -> time:
    """The time of day of `"HH:MM"`, `"HH:MM:SS"`, `"midnight"`, `"noon"` or a `datetime.time`.

    Raises `ValueError` for anything else.

    >>> parse_clock("7:30"), parse_clock("noon")
    (datetime.time(7, 30), datetime.time(12, 0))
    """
    if isinstance(value, time):
        return value
    if isinstance(value, str):
        text = _short(value).strip().lower()
        if text in _NAMED_CLOCKS:
            return _NAMED_CLOCKS[text]
        match = _CLOCK.fullmatch(text)
        if match:
            hour, minute, second = (int(part or 0) for part in match.groups())
            if hour <= 23 and minute <= 59 and second <= 59:
                return time(hour, minute, second)
    raise ValueError(
        f"{shown(value)} is not a time of day. Use 00:00 to 23:59, with or without seconds, "
        f"'midnight' or 'noon', e.g. {example}."
    )


def parse_weekday(value: object, example: str = "'monday'") -> int:
    """The number of a weekday, Monday 0 to Sunday 6, from its English name or first 3 letters.

    Raises `ValueError` for anything else, with the nearest name.

    >>> parse_weekday("Monday"), parse_weekday("sun")
    (0, 6)
    """
    if isinstance(value, str):
        text = _short(value).strip().lower()
        for number, name in enumerate(_WEEKDAYS):
            if text in (name, name[:3]):
                return number
        hint = did_you_mean(text, _WEEKDAYS)
    else:
        hint = ""
    raise ValueError(
        f"{shown(value)} is not a weekday. Use monday to sunday or mon to sun, "
        f"e.g. {example}.{hint}"
    )


def quantities(text: str) -> list[tuple[str, str, str]]:
    """The parts of `"1.5 h 2 min"` as (whole, decimals, unit); empty if it is no such text.

    A number without a unit has the unit `""`. Units keep their letter case.

    >>> quantities("1.5 h 2min"), quantities("soon")
    ([('1', '5', 'h'), ('2', '', 'min')], [])
    """
    text = _short(text).strip()
    found, position = [], 0
    while position < len(text):
        match = _QUANTITY.match(text, position)
        if match is None:
            return []
        whole, decimals, unit = match.groups("")
        found.append((whole, decimals, unit))
        position = match.end()
    return found


def means_size(unit: str) -> bool:
    """Whether a unit is one of size, or a slip of one: no unit of time has a `b` in it.

    >>> means_size("MBB"), means_size("g"), means_size("hours")
    (True, True, False)
    """
    return unit.lower() in _BYTES or "b" in unit.lower()


def did_you_mean(word: str, known: tuple[str, ...]) -> str:
    """` Did you mean 'size'?` for the nearest of `known` names, or nothing if none is near.

    >>> did_you_mean("sice", ("size", "time"))
    " Did you mean 'size'?"
    """
    from difflib import get_close_matches

    near = get_close_matches(_short(word), known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def check_keys(value: Mapping[Any, object], setting: str, known: tuple[str, ...], e_g: str) -> None:
    """Raise `ValueError` for a dict with other keys, or with none at all.

    >>> check_keys({"sice": 1}, "rotation", ("size", "time"), "{'size': '500 MB'}")
    Traceback (most recent call last):
    ...
    ValueError: 'sice' is not a key of rotation. Use 'size' or 'time', \
e.g. rotation={'size': '500 MB'}. Did you mean 'size'?
    """
    *others, last = map(repr, known)
    use = f"Use {', '.join(others)} or {last}"
    for key in value:
        if key not in known:
            hint = did_you_mean(key, known) if isinstance(key, str) else ""
            raise ValueError(
                f"{shown(key)} is not a key of {setting}. {use}, e.g. {setting}={e_g}.{hint}"
            )
    if not value:
        raise ValueError(f"a dict for {setting} has at least one key. {use}.")


def shown(value: object) -> str:
    """`value` for an error text: its `repr`, at most 60 characters of it, whatever `value` is.

    >>> shown("500 MBB"), shown("x" * 100)[-5:]
    ("'500 MBB'", 'xx...')
    """
    try:
        text = repr(value)
    except Exception:  # a value may have any repr, and an int of 5,000 digits has none
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 60 else text[:57] + "..."


def _bytes(text: str, example: str) -> int:
    parts = quantities(text)
    if len(parts) != 1:
        raise ValueError(f"{shown(text)} is not a size. Use a number with a unit, e.g. {example}.")
    whole, decimals, unit = parts[0]
    if not unit:
        raise ValueError(
            f"{shown(text)} has no unit of size. Use B, KB, MB, GB or TB, e.g. {example}."
        )
    factor = _BYTES.get(unit.lower())
    if factor is None:
        raise ValueError(
            f"{shown(unit)} is not a unit of size. Use B, KB, MB, GB or TB, e.g. {example}."
        )
    return _times(whole, decimals, factor)


def _microseconds(text: str, example: str) -> int:
    parts = quantities(text)
    if not parts:
        raise ValueError(
            f"{shown(text)} is not a duration. Use a number with a unit, e.g. {example}."
        )
    total = 0
    for whole, decimals, unit in parts:
        factor = _MICROSECONDS.get(unit.lower())
        if factor is None:
            raise ValueError(_unknown_time_unit(text, unit, example))
        total += _times(whole, decimals, factor)
    return total


def _unknown_time_unit(text: str, unit: str, example: str) -> str:
    if not unit:
        problem = f"{shown(text)} has no unit of time"
    elif unit.lower() == "m":
        return f"{unit!r} may be minutes or months. Write 'min' or 'month', e.g. {example}."
    else:
        problem = f"{shown(unit)} is not a unit of time"
    return f"{problem}. Use second, minute, hour, day, week, month or year, e.g. {example}."


def _times(whole: str, decimals: str, factor: int) -> int:
    # In whole numbers, because a float has only 15 digits and would not grow evenly.
    scale: int = 10 ** len(decimals)
    return int(whole + decimals) * factor // scale


def _short(text: str) -> str:
    if len(text) > _LONGEST:
        raise ValueError(f"a text of {len(text)} characters is too long. Use at most {_LONGEST}.")
    return text
