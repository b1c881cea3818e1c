"""Instants as text: ISO 8601, UTC, microseconds.

Floor 1. Stands on: nothing.
"""

from __future__ import annotations

from time import gmtime, strftime

# The text of the last second asked for. One tuple, so that a thread reads both halves of one
# state; a call costs a division and a format instead of a datetime.
_second: tuple[int, str] = (-1, "")


def iso(ns: int) -> str:
    """Unix nanoseconds as `2026-11-21T10:32:00.123456+00:00`.

    >>> iso(1_795_000_000_123_456_789)
    '2026-11-18T11:06:40.123456+00:00'
    """
    global _second
    second, micros = divmod(ns // 1000, 1_000_000)
    known, text = _second
    if second != known:
        text = strftime("%Y-%m-%dT%H:%M:%S.", gmtime(second))
        _second = (second, text)
    return f"{text}{micros:06d}+00:00"
