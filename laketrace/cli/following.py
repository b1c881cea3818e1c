"""One log, from the end that it has now backwards, and onwards over rotations.

Floor 7. Stands on: cli.scanning, cli.selecting, files.segment, lakehouse.source.

A `LogReader` opens the active file and remembers which segments came before it. It gives the
lines before that point (`backlog`) and those after it (`new_lines`). The open file is read to its
end also when it has been renamed, compressed or deleted meanwhile; what was rotated between two
looks is read from its segment. So every line comes once and in order, as long as retention leaves
a segment where it is until the next look. Memory: a block, or one line.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from typing import BinaryIO

from laketrace.cli.scanning import (
    BLOCK_BYTES,
    end_of_lines,
    lines_backwards,
    lines_forwards,
    segment_lines,
)
from laketrace.cli.selecting import Line, Selection, parse_line
from laketrace.files.segment import Key, Segment, find_segments
from laketrace.lakehouse.source import SegmentFile, is_settled

_NONE: Key = ("", 0)


class LogReader:
    """The log `stem` in `directory`.

    With `from_start` every line is a new one: for a log that appeared while others are followed.
    Without `whole_lines` the backlog ends with whatever the file ends with, also a torn line.
    """

    def __init__(
        self, directory: str, stem: str, *, from_start: bool = False, whole_lines: bool = True
    ) -> None:
        self._directory = directory
        self._stem = stem
        self._path = os.path.join(directory, f"{stem}.log")
        self._after = _NONE  # everything up to this segment has been given out
        self._active: BinaryIO | None = None  # the open file, if it was opened as the active one
        self._segment: Segment | None = None  # or the finished segment that is open
        self._read: Callable[[int], bytes] = _nothing
        self._open = ExitStack()
        self._at = 0  # offset of the line that comes next
        self._rest = b""  # what has been read of it
        self._end = 0
        if not from_start:
            self._begin_at_end(whole_lines)
        self._before = self._after

    def close(self) -> None:
        """Close the open file."""
        self._open.close()
        self._active = self._segment = None
        self._read = _nothing
        self._at, self._rest = 0, b""

    def _begin_at_end(self, whole_lines: bool) -> None:
        while True:
            self._open_active()
            segments = find_segments(self._directory, self._stem)
            if self._active is None or self._leads_here():
                break
            self.close()  # a rotation came in between
        self._after = segments[-1].key if segments else _NONE
        if self._active is not None:
            size = os.fstat(self._active.fileno()).st_size
            self._end = end_of_lines(self._active, size) if whole_lines else size
            self._at = self._active.seek(self._end)

    # -- what was there before ----------------------------------------------------------------

    def backlog(self, wanted: Selection, limit: int | None) -> Iterable[Line]:
        """The last `limit` wanted lines before the point at which reading began (None: all)."""
        if limit is None:
            return self._forwards(wanted)
        found: deque[Line] = deque()
        for line in self._backwards(wanted, limit):
            if len(found) >= limit or not (wanted.takes_all or wanted.reaches(line)):
                break
            if wanted.takes(line):
                found.appendleft(line)
        if self._active is not None:
            self._active.seek(self._end)
        return found

    def _segments(self, wanted: Selection) -> list[Segment]:
        """The finished segments before the point at which reading began that may be wanted."""
        found = find_segments(self._directory, self._stem)
        # Where an archive lies beside its source, the source.
        of_key = {item.key: item for item in reversed(found) if item.key <= self._before}
        return [of_key[key] for key in sorted(of_key) if wanted.may_hold(of_key[key].time_ns)]

    def _forwards(self, wanted: Selection) -> Iterator[Line]:
        for segment in self._segments(wanted):
            yield from filter(wanted.takes, segment_lines(segment))
        if self._active is not None:
            lines = lines_forwards(self._path, self._active, self._end)
            yield from filter(wanted.takes, lines)
            self._active.seek(self._end)

    def _backwards(self, wanted: Selection, limit: int) -> Iterator[Line]:
        if self._active is not None:
            yield from lines_backwards(self._path, self._active, self._end)
        for segment in reversed(self._segments(wanted)):
            yield from reversed(deque(filter(wanted.takes, segment_lines(segment)), limit + 1))

    # -- what comes ---------------------------------------------------------------------------

    def new_lines(self) -> Iterator[Line]:
        """The lines that have come since the last look, over any rotations."""
        while self._is_open() or self._open_next():
            yield from self._read_on()
            if self._leads_here():
                return
            segment = self._segment or self._own_segment()
            if segment is not None and not is_settled(segment):
                return  # its last writer has not left it yet
            yield from self._read_on(to_end=True)
            self.close()
            if segment is not None:
                self._after = segment.key

    def _is_open(self) -> bool:
        return self._active is not None or self._segment is not None

    def _open_next(self) -> bool:
        """Open the first segment behind what was given out, or the active file."""
        segment = self._next_segment()
        if segment is None:
            self._open_active()
            return self._active is not None
        if not is_settled(segment):
            return False  # its last writer has not left it yet
        try:
            self._read = self._open.enter_context(SegmentFile(segment)).read
        except FileNotFoundError:  # retention was faster
            self._after = segment.key
            return self._open_next()
        self._segment = segment
        return True

    def _next_segment(self) -> Segment | None:
        for segment in find_segments(self._directory, self._stem):
            if segment.key > self._after:
                return segment
        return None

    def _open_active(self) -> None:
        try:
            self._active = self._open.enter_context(open(self._path, "rb"))  # noqa: SIM115
        except FileNotFoundError:
            return
        self._read = self._active.read

    def _leads_here(self) -> bool:
        """Whether the path of the active file leads to the open one."""
        if self._active is None:
            return False
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._active.fileno()))
        except FileNotFoundError:
            return False

    def _own_segment(self) -> Segment | None:
        """The segment that the open file has become; None when it was deleted.

        It can only be the first one behind what was given out: the same file, or an archive that
        begins with the same line.
        """
        segment = self._next_segment()
        if segment is None or self._active is None:
            return None
        mine = os.fstat(self._active.fileno())
        with suppress(FileNotFoundError):  # compressed since it was listed
            if os.path.samestat(os.stat(segment.path), mine):
                return segment
        try:
            with SegmentFile(segment) as file:
                head = file.read(BLOCK_BYTES)
        except FileNotFoundError:
            return None
        self._active.seek(0)
        own_head = self._active.read(BLOCK_BYTES)
        self._active.seek(self._at + len(self._rest))
        return segment if own_head.split(b"\n")[0] == head.split(b"\n")[0] else None

    def _read_on(self, to_end: bool = False) -> Iterator[Line]:
        """The whole lines that follow; with `to_end` also a last one without a newline."""
        path = self._segment.path if self._segment is not None else self._path
        if self._active is not None and os.fstat(self._active.fileno()).st_size < self._at:
            self._at, self._rest = self._active.seek(0), b""  # it was emptied in place
        while data := self._read(BLOCK_BYTES):
            *texts, self._rest = (self._rest + data).split(b"\n")
            for text in texts:
                yield parse_line(path, self._at, text)
                self._at += len(text) + 1
        if to_end and self._rest:
            yield parse_line(path, self._at, self._rest)
            self._rest = b""


def _nothing(size: int) -> bytes:
    return b""
