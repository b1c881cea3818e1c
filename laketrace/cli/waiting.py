"""What waits in a directory of logs for its upload.

Floor 7. Stands on: files.segment, lakehouse.ledger, lakehouse.stream.

Nothing is sent, locked or changed to find out.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import NamedTuple

from laketrace.files.segment import Segment, active_files, find_segments
from laketrace.lakehouse.ledger import Ledger
from laketrace.lakehouse.stream import find_streams


class Waiting(NamedTuple):
    """A segment that some destination lacks; `stream` and `name` are its own for ever."""

    segment: Segment
    stream: str
    name: str


def waiting_segments(directory: str, destinations: Collection[str]) -> list[Waiting]:
    """The finished segments in a directory that are not at all destinations, in order.

    `destinations` are ids of the ledger; those that the logger of a stem is set up for count too.
    """
    if not find_segments(directory):
        return []
    waiting = []
    for stream in find_streams(directory, settled=lambda segment: True).streams:
        ledger = Ledger(directory, stream.stem)
        needed = ledger.wanted() | frozenset(destinations)
        waiting += [
            Waiting(segment, stream.id, stream.name_of(segment))
            for segment in stream.segments
            if not all(ledger.is_sent(segment.base, place) for place in needed)
        ]
    return waiting


class Sending:
    """What waits in a directory now, and how much of it is confirmed by and by.

    Bytes count once for each destination; a segment that is removed meanwhile keeps its size.
    """

    def __init__(self, directory: str, destinations: Collection[str]) -> None:
        self._directory = directory
        self._parts = [
            (item.segment.stem, item.segment.base, place, item.segment.size)
            for item in waiting_segments(directory, destinations)
            for place in destinations
        ]
        self.total = sum(size for *_, size in self._parts)

    def confirmed(self) -> int:
        """The bytes that have arrived."""
        stems = {stem for stem, *_ in self._parts}
        ledgers = {stem: Ledger(self._directory, stem) for stem in stems}
        return sum(
            size for stem, base, place, size in self._parts if ledgers[stem].is_sent(base, place)
        )


def filled_active_files(directory: str) -> list[str]:
    """The active files in a directory that hold something."""
    return [path for path in active_files(directory) if os.path.getsize(path) > 0]
