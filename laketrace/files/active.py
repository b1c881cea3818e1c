"""One open log file: its descriptor, its window, and who is writing to it.

Floor 2. Stands on: core.stats.

`begun - ended - handed` is the number of threads between `count_in` and `count_out`. A file is
closed only when that is zero, so a descriptor is never reused under a writer's feet. A write that
the disk took in part leaves the torn beginning of a line; its writer puts it on the list `torn`
before it counts itself out, so whoever finds nobody writing knows of every torn piece and can
`mend` the file.
"""

from __future__ import annotations

import errno
import os
import stat
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
_SIGN = 12  # bytes by which the beginning of a line is known; `{"timestamp"` has as many


class ActiveFile:
    """The state that a writer needs, in slots, so that the fast path reads it with few loads."""

    __slots__ = (
        "began", "begun", "count_in", "count_out", "descriptor", "due", "ended", "hand_over",
        "handed", "path", "room", "since", "torn", "until",
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
        self.torn: list[bytes] = []
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
            there = os.lstat(self.path)
            if (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino):
                return "here"
        except OSError:
            pass
        return "deleted" if mine.st_nlink == 0 else "moved"

    # -- what an interrupt or a full disk leaves ----------------------------------------------

    def written(self, line: bytes) -> int:
        """How many bytes of a line are in the file, where an interrupt hid the answer."""
        try:
            tail = self._tail(len(line))
        except OSError:
            return 0
        if line in tail:
            return len(line)
        piece = tail[tail.rfind(b"\n") + 1 :]
        return len(piece) if line.startswith(piece) else 0

    def mend(self) -> None:
        """Take the torn pieces of lines out again; what others wrote behind them stays.

        Only for when nobody is writing. Raises `OSError`, and then may be called again.
        """
        while self.torn:
            longest = max(map(len, self.torn))
            tail = self._tail(longest)
            found = [(at, piece) for piece in self.torn if (at := _find(piece, tail)) is not None]
            if not found:  # never seen; what follows must not be glued to it all the same
                if not tail.endswith(b"\n"):
                    os.write(self.descriptor, b"\n")
                self.torn.clear()
                return
            at, piece = max(found)  # the last one: behind it there are whole lines or nothing
            self._put_back(tail[at + len(piece) :], self.size() - len(tail) + at)
            self.torn.remove(piece)

    def _tail(self, more: int) -> bytes:
        start = max(0, self.size() - more - _TAIL)
        return os.pread(self.descriptor, more + _TAIL, start)

    def _put_back(self, rest: bytes, at: int) -> None:
        """Let the file end with `rest` at offset `at`, which lies before where it is now.

        It is moved before the file is cut, so that a crash in between loses nothing. With
        O_APPEND, `pwrite` appends whatever the offset (Linux, pwrite(2)), so that is taken off.
        """
        if rest and _fcntl is not None:
            flags = _fcntl.fcntl(self.descriptor, _fcntl.F_GETFL)
            _fcntl.fcntl(self.descriptor, _fcntl.F_SETFL, flags & ~os.O_APPEND)
            try:
                os.pwrite(self.descriptor, rest, at)
            finally:
                _fcntl.fcntl(self.descriptor, _fcntl.F_SETFL, flags)
        os.ftruncate(self.descriptor, at + len(rest))

    def copy_to(self, other: ActiveFile) -> int:
        """Append everything in this file to `other`, where nobody writes; the number of bytes.

        Raises `OSError`, and then has appended nothing.
        """
        offset = 0
        before = other.size()
        try:
            while chunk := os.pread(self.descriptor, _TAIL, offset):
                offset += len(chunk)
                while chunk:
                    chunk = chunk[os.write(other.descriptor, chunk) :]
        except BaseException:
            os.ftruncate(other.descriptor, before)
            raise
        return offset

    def close(self) -> None:
        """Give the descriptor back."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            try:
                os.close(descriptor)
            except OSError:  # an error of an earlier, buffered write: the lines are accounted for
                pass


def _find(piece: bytes, tail: bytes) -> int | None:
    """Where in the tail of a file the torn beginning of a line stands.

    At the very end, as a rule: the disk was full. Otherwise another thread found room again and
    its line stands right behind the piece, so what begins as the piece does follows it.

    >>> _find(b'{"a":1', b'{"a":0}\\n{"a":1'), _find(b'{"a', b'{"a":0}\\n{"a{"a":2}\\n')
    (8, 8)
    >>> _find(b'{"a', b'{"a":0}\\n')
    """
    if tail.endswith(piece):
        return len(tail) - len(piece)
    sign = piece[:_SIGN]
    at = len(tail)
    while (at := tail.rfind(piece, 0, at)) >= 0:
        begins = at == 0 or tail[at - 1 : at] == b"\n"
        if begins and tail.startswith(sign, at + len(piece)):
            return at
    return None


def open_active(path: str, mode: int) -> ActiveFile:
    """Open `path` for appending, creating it with `mode`; no symbolic link is followed.

    What is no regular file is refused: a pipe would take records until it is full, and then hang.
    The open file bears a shared lock, which dies with its last descriptor: who reads segments can
    tell by it whether one that was just rotated has still a writer.

    Raises `OSError`.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), mode)
    found = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(found):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", path)
    try:
        if found & 0o777 & ~mode and hasattr(os, "fchmod"):
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
