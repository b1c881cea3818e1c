"""The rows of a stream, put together for a writer that cannot be told what it builds on.

Floor 7. Stands on: files.segment, lakehouse.plan, lakehouse.rows, lakehouse.source,
lakehouse.steps, lakehouse.stream.

delta-rs commits against a snapshot, so its commits may end at any unit. Spark's writer takes a
snapshot of its own and then skips what is at or below the version that it finds there: a commit
that holds one unit (`plan`) is in the table whole or not at all, whoever put it there. A commit of
several units may be there in part; who writes it has to leave out what the table has.

Units of small segments are put together until they are worth a commit, and a commit stays below
the 128 MiB that a server of Spark Connect takes in one message. Memory: a unit and a half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from laketrace.files.segment import Segment
from laketrace.lakehouse.plan import LAST_UNIT, UNIT_BYTES, Position
from laketrace.lakehouse.rows import Place
from laketrace.lakehouse.source import Block, SegmentFile, read_blocks
from laketrace.lakehouse.steps import step
from laketrace.lakehouse.stream import Stream

T = TypeVar("T")


class Part(NamedTuple):
    """A piece of a unit."""

    unit: int
    block: Block


class Commit(Generic[T]):
    """Consecutive units of a stream: their rows, and what there is to know about them.

    `names` are its segments as the column `segment` has them; `ended` are those of which it holds
    the last rows.
    """

    def __init__(self) -> None:
        self.position: Position | None = None
        self.units = 0
        self.size = 0
        self.batches: list[T] = []
        self.names: list[str] = []
        self.ended: list[Segment] = []

    def add(self, position: Position, name: str, block: Block, batches: Iterable[T]) -> None:
        """Take in the rows of a block."""
        if position != self.position:
            self.position = position
            self.units += 1
        self.size += len(block.data)
        if name not in self.names[-1:]:
            self.names.append(name)
        self.batches += batches

    def is_full(self, position: Position) -> bool:
        """Whether it should be committed before anything of `position` comes to it."""
        return self.size >= UNIT_BYTES // 2 and position != self.position


def commits_of(
    stream: Stream, make: Callable[[Place], Callable[[Block], Iterable[T]]]
) -> Iterator[Commit[T]]:
    """The segments of a stream as commits, in order.

    `make` gives for a segment what turns its blocks into batches. A commit without batches only
    says that its segments have ended.
    """
    commit: Commit[T] = Commit()
    for segment in stream.segments:
        name = stream.name_of(segment)
        batches_of = make(Place.of(name, segment.time_ns))
        with SegmentFile(segment) as file:
            for unit, block in divide(read_blocks(file)):
                position = Position(segment.key, unit)
                if commit.is_full(position):
                    yield commit
                    commit = Commit()
                commit.add(position, name, block, batches_of(block))
                step("writing")
        commit.ended.append(segment)
    if commit.ended:
        yield commit


def divide(blocks: Iterable[Block]) -> Iterator[Part]:
    """Blocks with the unit in which their lines begin, cut where one unit ends.

    >>> [part.unit for part in divide([Block(0, b"a" * 9 + b"\\n")])]
    [0]
    """
    unit, inside = 0, False  # inside a line that comes in pieces: they are all of its unit
    for block in blocks:
        rest = block
        while True:
            if not inside:
                unit = min(rest.offset // UNIT_BYTES, LAST_UNIT)
            size = len(rest.data) if rest.torn or inside else _size_in(rest, unit)
            yield Part(unit, rest._replace(data=rest.data[:size]))
            inside = rest.torn and not rest.data.endswith(b"\n")
            if size == len(rest.data):
                break
            rest = Block(rest.offset + size, rest.data[size:])


def _size_in(block: Block, unit: int) -> int:
    """How many bytes of a block belong to lines that begin in a unit."""
    border = (unit + 1) * UNIT_BYTES - block.offset
    if unit == LAST_UNIT or border >= len(block.data):
        return len(block.data)
    newline = block.data.find(b"\n", border - 1)  # the end of the last line that begins before
    return newline + 1 if newline >= 0 else len(block.data)
