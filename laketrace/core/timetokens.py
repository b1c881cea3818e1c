"""How a template shows the time: strftime's `%H:%M:%S`, or loguru's `YYYY-MM-DD HH:mm:ss.SSS`.

Floor 1. Stands on: core.record, core.timestamp.

Every form is in UTC, like the records; `Z` and `%z` say so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timezone

from laketrace.core.record import Record
from laketrace.core.timestamp import iso

# The tokens of loguru (https://loguru.readthedocs.io, "The time formatting"), longest first.
_TOKENS: dict[str, Callable[[datetime], str]] = {
    "YYYY": lambda at: f"{at.year:04d}",
    "YY": lambda at: f"{at.year % 100:02d}",
    "Q": lambda at: str((at.month + 2) // 3),
    "MMMM": lambda at: format(at, "%B"),
    "MMM": lambda at: format(at, "%b"),
    "MM": lambda at: f"{at.month:02d}",
    "M": lambda at: str(at.month),
    "DDDD": lambda at: format(at, "%j"),
    "DDD": lambda at: str(at.timetuple().tm_yday),
    "DD": lambda at: f"{at.day:02d}",
    "D": lambda at: str(at.day),
    "dddd": lambda at: format(at, "%A"),
    "ddd": lambda at: format(at, "%a"),
    "d": lambda at: str(at.weekday()),
    "E": lambda at: str(at.isoweekday()),
    "HH": lambda at: f"{at.hour:02d}",
    "H": lambda at: str(at.hour),
    "hh": lambda at: f"{(at.hour - 1) % 12 + 1:02d}",
    "h": lambda at: str((at.hour - 1) % 12 + 1),
    "mm": lambda at: f"{at.minute:02d}",
    "m": lambda at: str(at.minute),
    "ss": lambda at: f"{at.second:02d}",
    "s": lambda at: str(at.second),
    "A": lambda at: "AM" if at.hour < 12 else "PM",
    "ZZ": lambda at: "+0000",
    "zz": lambda at: "UTC",
    "Z": lambda at: "+00:00",
    "X": lambda at: str(int(at.timestamp())),
    "x": lambda at: str(int(at.timestamp()) * 1_000_000 + at.microsecond),
}
_PIECE = re.compile(rf"\[([^\]]*)\]|(S{{1,6}})|({'|'.join(_TOKENS)})")


def default_time(record: Record) -> str:
    """`2026-11-21 10:42:00.123Z`: what `{timestamp}` shows."""
    text = iso(record.timestamp_ns)
    return f"{text[:10]} {text[11:23]}Z"


def time_format(spec: str) -> Callable[[Record], str]:
    """The function that shows a record's time as `spec` says.

    A spec with `%` is one of strftime, any other is made of loguru's tokens, where text in
    brackets stands for itself. Raises `ValueError` for one that strftime refuses.

    >>> from types import SimpleNamespace
    >>> from datetime import datetime, timezone
    >>> record = SimpleNamespace(timestamp=datetime(2026, 11, 21, 9, 5, tzinfo=timezone.utc))
    >>> time_format("%H:%M")(record), time_format("dddd D.M. [at] h:mm A")(record)
    ('09:05', 'Saturday 21.11. at 9:05 AM')
    """
    if not spec:
        return default_time
    if "%" in spec:
        try:
            format(datetime(2026, 11, 21, tzinfo=timezone.utc), spec)
        except ValueError as error:
            raise ValueError(
                f"{spec!r} is not a time format: {error}. Use e.g. %Y-%m-%d %H:%M:%S."
            ) from None
        return lambda record: format(record.timestamp, spec)
    pieces: list[str | Callable[[datetime], str]] = []
    end = 0
    spec = spec.removesuffix("!UTC")
    for match in _PIECE.finditer(spec):
        pieces.append(spec[end : match.start()])
        end = match.end()
        quoted, fraction, token = match.groups()
        if quoted is not None:
            pieces.append(quoted)
        else:
            pieces.append(_fraction(len(fraction)) if fraction else _TOKENS[token])
    pieces.append(spec[end:])

    def render(record: Record) -> str:
        at = record.timestamp
        return "".join([piece if isinstance(piece, str) else piece(at) for piece in pieces])

    return render


def _fraction(digits: int) -> Callable[[datetime], str]:
    return lambda at: f"{at.microsecond:06d}"[:digits]
