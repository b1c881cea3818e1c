"""When a log file is full, or old enough, to become a segment.

Floor 2. Stands on: files.units.

`parse_rotation` turns every accepted form into one `Rotation`: a size, the instants at which time
rules fire, and callables. Calendar rules follow the wall clock of one time zone. A time that
daylight saving skips fires at the first instant after the gap; one that comes twice fires the
first time only. The zone is asked one way only, from an instant to the clock it shows, so any
`tzinfo` and the machine's own zone give the same answers (PEP 495 needs no part in it).
Threads and forks: everything here is immutable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from functools import partial
from typing import Any, NamedTuple, Protocol

from laketrace.files.units import (
    check_keys,
    did_you_mean,
    means_size,
    parse_clock,
    parse_duration,
    parse_size,
    parse_weekday,
    quantities,
    shown,
)

RotationCall = Callable[[str, Any], bool]

_SECOND = 1_000_000_000  # nanoseconds
_HOUR = 3600  # seconds
_DAY = 86_400  # seconds
_EPOCH = datetime(1970, 1, 1)
_EPOCH_DAY = _EPOCH.toordinal()
_NAMES = (
    *("hourly", "daily", "weekly", "monthly", "yearly", "midnight", "noon"),
    *("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
)
_KEYS = ("size", "time", "interval")
_SIZE, _INTERVAL, _CLOCK = "rotation='500 MB'", "rotation='1 hour'", "rotation='06:30'"
_FORMS = (
    "Use a size like '500 MB', an interval like '1 hour', a time like '00:00' or "
    "'monday 12:00', or one of hourly, daily, weekly, monthly, yearly."
)


class TimeRule(Protocol):
    """A rule that fires at instants that can be told beforehand."""

    def after(self, began_ns: int) -> int:
        """The first instant after `began_ns` at which it fires, both in Unix nanoseconds."""
        ...


class Rotation(NamedTuple):
    """What ends a log file: any of a size, time rules and callables.

    `size` is the smallest size rule in bytes, or None. Each of `callables` takes the formatted
    text that is about to be written and the file, and returns whether to rotate before it.

    >>> rotation = parse_rotation({"size": "500 MB", "interval": "1 hour"})
    >>> rotation.size, rotation.next_due(began_ns=0)
    (524288000, 3600000000000)
    """

    size: int | None
    times: tuple[TimeRule, ...]
    callables: tuple[RotationCall, ...]

    def next_due(self, began_ns: int) -> int | None:
        """The first instant after a file began at which a time rule fires, or None.

        Both are Unix nanoseconds. The result is always later than `began_ns`. None without
        time rules, and where they fire in no year that `datetime` knows.
        """
        found = []
        for rule in self.times:
            try:
                found.append(rule.after(began_ns))
            except (OverflowError, ValueError, OSError):
                continue  # the calendar ends before the year 10,000: the rule never fires
        return min(found, default=None)


def parse_rotation(value: object, tz: tzinfo | None = None) -> Rotation | None:
    """The rotation for a setting: one rule, a dict, or a list of which any rule rotates.

    A rule is a size (`"500 MB"`, a number of bytes), an interval since the file began
    (`"1 hour"`, a `timedelta`), a time (`"00:00"`, `"monday"`, `"monday 12:00"`, `"midnight"`, a
    `datetime.time`), `"hourly"` (each full hour of the clock), `"daily"`, `"weekly"` (Monday
    00:00), `"monthly"`, `"yearly"` or a callable. A dict has any of `size`, `time`, `interval`.
    Times are those of `tz` (None: the machine's zone), to the second; a `datetime.time` that has
    a zone of its own keeps it. None means that nothing rotates.

    Raises `ValueError` for anything else.

    >>> rotation = parse_rotation(["10 MB", "daily"], timezone.utc)
    >>> rotation.size, rotation.next_due(began_ns=5) == 86_400 * 10**9
    (10485760, True)
    """
    if value is None:
        return None
    items = list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
    if not items:
        raise ValueError(f"a list of rotation rules has at least one. {_FORMS}")
    found = _Found([], [], [])
    for item in items:
        if isinstance(item, Mapping):
            _add_dict(found, item, tz)
        else:
            _add(found, item, tz)
    return Rotation(min(found.sizes, default=None), tuple(found.times), tuple(found.callables))


def parse_timezone(value: object) -> tzinfo | None:
    """The time zone for a setting; None stands for the machine's own, whatever it becomes.

    Takes `"local"` or None, `"UTC"`, a name of the IANA time zone database in any letter case
    (https://www.iana.org/time-zones, read by `zoneinfo`), or a `tzinfo`.

    Raises `ValueError` for anything else, with the nearest name.

    >>> parse_timezone("utc"), parse_timezone("local") is None
    (datetime.timezone.utc, True)
    """
    if value is None:
        return None
    if isinstance(value, tzinfo):
        try:
            datetime.fromtimestamp(0, value)
        except Exception as error:
            raise ValueError(
                f"this time zone cannot tell its time ({type(error).__name__}). "
                "Use 'local', 'UTC' or a name like 'Europe/Berlin'."
            ) from error
        return value
    if isinstance(value, str) and len(value) <= 100:
        name = value.strip()
        if name.lower() == "local":
            return None
        if name.lower() == "utc":
            return timezone.utc
        return _iana_zone(name)
    raise ValueError(
        f"{shown(value)} is not a time zone. Use 'local', 'UTC' or a name like 'Europe/Berlin'."
    )


def _iana_zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo, available_timezones

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; not a key; a directory or not readable
        known = {zone.lower(): zone for zone in available_timezones()}
    if name.lower() in known:
        return ZoneInfo(known[name.lower()])
    if not known:
        raise ValueError(
            f"{name!r} cannot be looked up, because this machine has no time zone database. "
            "Run: pip install tzdata, or use 'local' or 'UTC'."
        )
    raise ValueError(
        f"{name!r} is not a time zone. Use 'local', 'UTC' or a name like 'Europe/Berlin'."
        f"{did_you_mean(name, tuple(known.values()))}"
    )


class _Found(NamedTuple):
    """The rules read so far."""

    sizes: list[int]
    times: list[TimeRule]
    callables: list[RotationCall]


def _add_dict(found: _Found, value: Mapping[Any, object], tz: tzinfo | None) -> None:
    check_keys(value, "rotation", _KEYS, "{'size': '500 MB', 'time': '00:00'}")
    if "size" in value:
        found.sizes.append(parse_size(value["size"], _SIZE))
    if "time" in value:
        found.times.append(_time(value["time"], tz))
    if "interval" in value:
        found.times.append(_Interval(parse_duration(value["interval"], _INTERVAL)))


def _add(found: _Found, value: object, tz: tzinfo | None) -> None:
    if isinstance(value, str):
        _add_text(found, value, tz)
    elif isinstance(value, (int, float)):
        found.sizes.append(parse_size(value, _SIZE))
    elif isinstance(value, timedelta):
        found.times.append(_Interval(parse_duration(value, _INTERVAL)))
    elif isinstance(value, time):
        found.times.append(_time(value, tz))
    elif callable(value):
        found.callables.append(value)
    else:
        raise ValueError(f"{shown(value)} is not a rule of rotation. {_FORMS}")


def _add_text(found: _Found, text: str, tz: tzinfo | None) -> None:
    parts = quantities(text)
    if not parts or ":" in text:
        found.times.append(_time(text, tz))
    elif len(parts) > 1 or not parts[0][2]:
        found.times.append(_Interval(parse_duration(text, _INTERVAL)))
    elif means_size(parts[0][2]):
        found.sizes.append(parse_size(text, _SIZE))
    else:
        found.times.append(_Interval(parse_duration(text, _INTERVAL)))


def _time(value: object, tz: tzinfo | None) -> TimeRule:
    if isinstance(value, time):
        return _Calendar(value.tzinfo or tz, _seconds(value), _every_day)
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not a time. Use rotation='00:00' or 'monday 12:00'.")
    text = value.strip().lower()
    if text == "hourly":
        return _Hourly(tz)
    if text in _STEPS:
        return _Calendar(tz, 0, _STEPS[text])
    if text[:1].isdigit() or text in ("midnight", "noon"):
        return _Calendar(tz, _seconds(parse_clock(text, _CLOCK)), _every_day)
    word, *clock = text.split() or [""]
    try:
        weekday = parse_weekday(word)
    except ValueError:
        hint = did_you_mean(word[:20], _NAMES)
        raise ValueError(f"{shown(value)} is not a rule of rotation. {_FORMS}{hint}") from None
    if clock[:1] == ["at"]:  # "monday at 12:00", as in loguru
        del clock[0]
    seconds = _seconds(parse_clock(" ".join(clock) or "midnight", _CLOCK))
    return _Calendar(tz, seconds, partial(_first_weekday, weekday))


def _seconds(clock: time) -> int:
    return clock.hour * 3600 + clock.minute * 60 + clock.second


class _Interval(NamedTuple):
    """A file lasts so long."""

    length: timedelta

    def after(self, began_ns: int) -> int:
        return began_ns + self.length // timedelta(microseconds=1) * 1000


class _Hourly(NamedTuple):
    """Each time that the clock comes to a full hour, also in an hour that comes twice."""

    tz: tzinfo | None

    def after(self, began_ns: int) -> int:
        began = began_ns // _SECOND
        clock = _clock(began, self.tz)
        due = began + _HOUR - clock % _HOUR
        if _clock(due, self.tz) - clock != due - began:
            # The clock is moved before the hour is over: onto a full hour, past one, or neither.
            due = _first_moved(began, due, self.tz)
            moved = _clock(due, self.tz)
            if moved % _HOUR and moved // _HOUR <= clock // _HOUR:
                due += _HOUR - moved % _HOUR
        return due * _SECOND


class _Calendar(NamedTuple):
    """At one time of day (`seconds` after 00:00) on the days that `first` finds.

    `first` takes a day and returns the first day of the rule that is not before it. Days are
    numbered from 1970-01-01.
    """

    tz: tzinfo | None
    seconds: int
    first: Callable[[int], int]

    def after(self, began_ns: int) -> int:
        day = self.first(_clock(began_ns // _SECOND, self.tz) // _DAY)
        while True:
            due = _first_shown(day * _DAY + self.seconds, self.tz) * _SECOND
            if due > began_ns:
                return due
            day = self.first(day + 1)


def _every_day(day: int) -> int:
    return day


def _first_weekday(weekday: int, day: int) -> int:
    return day + (weekday - 3 - day) % 7  # 1970-01-01 was a Thursday: 3


def _first_of_month(day: int) -> int:
    found = date.fromordinal(day + _EPOCH_DAY)
    if found.day > 1:
        years, month = divmod(found.month, 12)
        found = date(found.year + years, month + 1, 1)
    return found.toordinal() - _EPOCH_DAY


def _first_of_year(day: int) -> int:
    found = date.fromordinal(day + _EPOCH_DAY)
    if (found.month, found.day) > (1, 1):
        found = date(found.year + 1, 1, 1)
    return found.toordinal() - _EPOCH_DAY


_STEPS: dict[str, Callable[[int], int]] = {
    "daily": _every_day,
    "weekly": partial(_first_weekday, 0),
    "monthly": _first_of_month,
    "yearly": _first_of_year,
}


def _clock(instant: int, tz: tzinfo | None) -> int:
    """What a clock in `tz` shows at a Unix second, in seconds after its own 1970-01-01 00:00."""
    local = datetime.fromtimestamp(instant, tz).replace(tzinfo=None)
    return (local - _EPOCH) // timedelta(seconds=1)


def _first_shown(clock: int, tz: tzinfo | None) -> int:
    """The Unix second at which a clock in `tz` first shows `clock`, or else first is past it."""
    # No offset is a day long, so these two lie before and after every instant that may show it.
    before, after = clock - _DAY, clock + _DAY
    offsets = {_clock(before, tz) - before, _clock(after, tz) - after}
    candidates = sorted(clock - offset for offset in offsets)
    for instant in candidates:
        if _clock(instant, tz) == clock:
            return instant
    return _first_moved(candidates[0], candidates[-1], tz)


def _first_moved(low: int, high: int, tz: tzinfo | None) -> int:
    """The first Unix second in (`low`, `high`] at which the offset is not that of `low`."""
    offset = _clock(low, tz) - low
    while high - low > 1:
        middle = (low + high) // 2
        if _clock(middle, tz) - middle == offset:
            low = middle
        else:
            high = middle
    return high
