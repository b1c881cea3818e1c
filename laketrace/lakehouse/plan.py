"""What one commit holds, and the version that it bears in the table.

Floor 7. Stands on: files.segment.

A segment is divided into units: unit u holds the lines that begin in the uncompressed bytes
[u, u + 1) x 32 MiB. A commit ends with a unit, and its version is the place of that unit in the
stream, made of the segment's stamp and number and of the unit:

    bits 31..62  seconds since 1970 of the segment's stamp
    bits 12..30  the segment's number
    bits  0..11  the unit; 4095 stands for the rest of the segment

Stamp and number only grow within a stream, so versions do. All of this is decided, and durable,
when a rotation gives the segment its name. That is why no crash, no lost file and no second
uploader can come to other boundaries: "skip what is at or below the version" (Delta's rule for
transaction ids) leaves out exactly what the table holds, whoever put it there and in however
large commits. A counter beside the data could not promise that.
"""

from __future__ import annotations

from calendar import timegm
from collections.abc import Sequence
from time import gmtime, strftime, strptime
from typing import NamedTuple

from laketrace.files.segment import Key, Segment

UNIT_BYTES = 32 << 20  # never to be changed: versions in tables out there count in it
LAST_UNIT = (1 << 12) - 1
_LAST_NUMBER = (1 << 19) - 1
_LAST_SECOND = (1 << 32) - 1
_STAMP = "%Y%m%d_%H%M%S"

# How much longer a segment may be than its archive; only for the size of commits.
_RATIO = {"": 1, ".gz": 15, ".zip": 15, ".bz2": 20, ".xz": 25, ".zst": 20}
_UNKNOWN = 1 << 62  # of a segment that has been compressed or removed since it was listed


class Position(NamedTuple):
    """A place in a stream: everything up to the end of this unit of this segment."""

    key: Key
    unit: int


class Slice(NamedTuple):
    """Units of one segment, `first` to `last` inclusive; LAST_UNIT means to the end."""

    segment: Segment
    first: int
    last: int

    @property
    def position(self) -> Position:
        """The place in the stream that is reached with this slice."""
        return Position(self.segment.key, self.last)

    @property
    def range(self) -> tuple[int, int | None]:
        """The bytes in which its lines begin: first, and behind the last (None: no end)."""
        end = None if self.last >= LAST_UNIT else (self.last + 1) * UNIT_BYTES
        return self.first * UNIT_BYTES, end


def version_of(position: Position) -> int:
    """The version of the commit that ends at `position`.

    Raises `ValueError` for a number or a time that a version has no room for.

    >>> version_of(Position(("19700101_000001", 2), 3)) == (1 << 31) + (2 << 12) + 3
    True
    """
    (stamp, number), unit = position
    seconds = timegm(strptime(stamp, _STAMP))
    if not 0 <= seconds <= _LAST_SECOND or not 0 <= number <= _LAST_NUMBER:
        raise ValueError(f"the segment {stamp}.{number} is out of the range that versions count")
    return seconds << 31 | number << 12 | min(unit, LAST_UNIT)


def position_of(version: int) -> Position:
    """The position that a commit with this version reached.

    >>> position_of(version_of(Position(("20261121_103200", 7), 2)))
    Position(key=('20261121_103200', 7), unit=2)
    """
    stamp = strftime(_STAMP, gmtime(version >> 31))
    return Position((stamp, version >> 12 & _LAST_NUMBER), version & LAST_UNIT)


def next_commit(segments: Sequence[Segment], after: Position | None, limit: int) -> list[Slice]:
    """What the next commit holds: the slices behind `after`, about `limit` bytes of lines.

    `segments` are all of one stream, in order. Whole segments are put together up to the
    limit; one that is larger is divided at units. [] when there is nothing behind `after`.

    >>> next_commit([], None, 1)
    []
    """
    slices: list[Slice] = []
    room = limit
    for segment in segments:
        first = 0
        if after is not None and segment.key <= after.key:
            first = after.unit + 1 if segment.key == after.key else LAST_UNIT + 1
        if first > LAST_UNIT:
            continue
        stored = segment.size
        size = stored * _RATIO[segment.suffix] - first * UNIT_BYTES if stored else _UNKNOWN
        if first and size <= 0 and not segment.suffix:
            continue  # its last unit is in the table
        if size > room:
            if not slices:
                last = first + max(1, limit // UNIT_BYTES) - 1
                rest = size <= (last - first + 1) * UNIT_BYTES and not segment.suffix
                slices.append(Slice(segment, first, LAST_UNIT if rest else min(last, LAST_UNIT)))
            break
        slices.append(Slice(segment, first, LAST_UNIT))
        room -= max(0, size)
    return slices
