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


def filled_active_files(directory: str) -> list[str]:
    """The active files in a directory that hold something."""
    return [path for path in active_files(directory) if os.path.getsize(path) > 0]
