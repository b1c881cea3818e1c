"""One open log file: its descriptor, its window, and who is writing to it.

Floor 2. Stands on: core.stats.

`begun - ended - handed` is the number of threads between `count_in` and `count_out`. A file is
closed only when that is zero, so a descriptor is never reused under a writer's feet.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from laketrace.core.stats import Counter

_fcntl: Any
try:
    import fcntl as _fcntl
except ImportError:  # Windows
    _fcntl = None

_TAIL = 1 << 20  # bytes at the end of a file in which a line just written is looked for


class ActiveFile:
    """The state that a writer needs, in slots, so that the fast path reads it with few loads."""

    __slots__ = (
        "began", "begun", "count_in", "count_out", "descriptor", "due", "ended", "hand_over",
        "handed", "path", "room", "since", "until",
    )  # fmt: skip

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.begun = Counter()
        self.ended = Counter()
        self.handed = Counter()
        self.count_in: Callable[[], int] = self.begun.tick
        self.count_out: Callable[[], int] = self.ended.tick
        self.hand_over: Callable[[], int] = self.handed.tick
        # The fast path may write while since <= now < until and the line fits into the room.
        self.since = 0
        self.until = 0
        self.room = 0
        self.began = 0
        self.due: int | None = None

    @property
    def in_flight(self) -> int:
        """How many writers are between counting in and counting out."""
        out = self.ended.value + self.handed.value
        return self.begun.value - out

    def wait_until_empty(self, timeout: float) -> bool:
        """Wait until nobody is writing; False when time (seconds) ran out."""
        deadline = time.monotonic() + timeout
        pause = 0.0
        while self.in_flight > 0:
            if time.monotonic() >= deadline:
                return False
            time.sleep(pause)
            pause = min(pause + 0.0005, 0.02)
        return True

    def size(self) -> int:
        """Bytes in the file now, as written; 0 for a file that is not open."""
        return os.fstat(self.descriptor).st_size if self.descriptor >= 0 else 0

    def state(self) -> str:
        """Whether the path still leads here: `here`, `moved` or `deleted`."""
        mine = os.fstat(self.descriptor)
        try:
            there = os.stat(self.path)
            if (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino):
                return "here"
        except OSError:
            pass
        return "deleted" if mine.st_nlink == 0 else "moved"

    def holds(self, line: bytes) -> bool:
        """Whether `line` is among the last lines of the file."""
        try:
            start = max(0, self.size() - len(line) - _TAIL)
            return line in os.pread(self.descriptor, len(line) + _TAIL, start)
        except OSError:
            return False

    def cut(self, piece: bytes) -> None:
        """Take the torn beginning of a line out again; what others wrote behind it stays.

        Only for when nobody is writing.
        """
        start = max(0, self.size() - len(piece) - _TAIL)
        tail = os.pread(self.descriptor, len(piece) + _TAIL, start)
        at = tail.rfind(piece)
        if at < 0 or (at > 0 and tail[at - 1 : at] != b"\n"):
            return
        rest = tail[at + len(piece) :]
        os.ftruncate(self.descriptor, start + at)
        if rest:
            os.write(self.descriptor, rest)

    def copy_to(self, other: ActiveFile) -> int:
        """Append everything in this file to `other`; the number of bytes."""
        offset = 0
        while chunk := os.pread(self.descriptor, _TAIL, offset):
            offset += len(chunk)
            while chunk:
                chunk = chunk[os.write(other.descriptor, chunk) :]
        return offset

    def close(self) -> None:
        """Give the descriptor back."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            try:
                os.close(descriptor)
            except OSError:  # an error of an earlier, buffered write: the lines are accounted for
                pass


def open_active(path: str, mode: int) -> ActiveFile:
    """Open `path` for appending, creating it with `mode`; no symbolic link is followed.

    The open file bears a shared lock, which dies with its last descriptor: who reads segments can
    tell by it whether one that was just rotated has still a writer.

    Raises `OSError`.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), mode)
    try:
        if os.fstat(descriptor).st_mode & 0o777 & ~mode and hasattr(os, "fchmod"):
            os.fchmod(descriptor, mode)
    except OSError:  # a file of another owner that we may write: then it stays as it is
        pass
    try:
        if _fcntl is not None:
            _fcntl.flock(descriptor, _fcntl.LOCK_SH | _fcntl.LOCK_NB)
    except OSError:  # a file system without locks
        pass
    return ActiveFile(path, descriptor)


def no_file() -> ActiveFile:
    """A file that no fast path can write to: each line takes the slow path."""
    return ActiveFile("", -1)
