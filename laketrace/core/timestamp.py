"""Instants as text: ISO 8601, UTC, microseconds.

Floor 1. Stands on: nothing.
"""

from __future__ import annotations

from time import gmtime, strftime

# The second last asked for: its first nanosecond, its end and its text. One tuple, so that a thread
# reads the parts of one state.
_second: tuple[int, int, str] = (0, 0, "")


def iso(ns: int) -> str:
    """Unix nanoseconds as `2026-11-21T10:32:00.123456+00:00`.

    The microseconds are cut out of the decimal digits of `ns`, which costs a third less than
    dividing and formatting them; a number of less than ten digits is formatted.

    >>> iso(1_795_000_000_123_456_789), iso(1_500)
    ('2026-11-18T11:06:40.123456+00:00', '1970-01-01T00:00:00.000001+00:00')
    """
    global _second
    start, end, text = _second
    if not start <= ns < end:
        second = ns // 1_000_000_000
        text = strftime("%Y-%m-%dT%H:%M:%S.", gmtime(second))
        if second <= 0:
            return f"{text}{ns // 1000 % 1_000_000:06d}+00:00"
        start = second * 1_000_000_000
        _second = (start, start + 1_000_000_000, text)
    return f"{text}{repr(ns)[-9:-3]}+00:00"
