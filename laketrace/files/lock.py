"""Who writes a stem: one process, by a lock that dies with it.

Floor 2. Stands on: files.segment.

The lock is on a file of its own that is never replaced, so that a rotation cannot open a gap in
it. `flock` belongs to the open file, not to the process: a forked child closes its copy of the
descriptor and thereby leaves the lock with its parent.

The file's text is the last key that the stem has used, noted before a segment gets it. Once a
segment is uploaded and deleted nothing else tells of it, and what a dead process left active must
not get its name: it would pass for uploaded.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from laketrace.files.segment import (
    SIDECARS,
    JournalLine,
    Key,
    find_segments,
    key_text,
    parse_key,
    read_journal,
    sidecar,
    write_journal,
)

_fcntl: Any
try:
    import fcntl as _fcntl
except ImportError:  # Windows
    _fcntl = None


_KEY_BYTES = 32


class Ownership:
    """The right to write `<log_dir>/<stem>.log` and to rename it."""

    def __init__(self, log_dir: str, stem: str, descriptor: int) -> None:
        self.log_dir = log_dir
        self.stem = stem
        self._descriptor = descriptor

    @property
    def path(self) -> str:
        """The path of the active file."""
        return os.path.join(self.log_dir, f"{self.stem}.log")

    def release(self) -> None:
        """Give the lock back."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def remove(self) -> None:
        """Remove an empty active file and the sidecars of the stem, and give the lock back."""
        # The lock last: it keeps others out.
        kinds = ("ledger", "stream", "done", "rows", "runs", "lock")
        for path in [self.path, *(sidecar(self.log_dir, self.stem, kind) for kind in kinds)]:
            try:
                os.unlink(path)
            except OSError:
                pass
        self.release()

    def holds(self) -> bool:
        """Whether the lock is still where others would look for it."""
        return _is_at(sidecar(self.log_dir, self.stem, "lock"), self._descriptor)

    def is_free(self) -> bool:
        """Whether the active file is a regular file, or can become one.

        A directory is in the way there, and a symbolic link may lead into another's file.
        """
        try:
            return stat.S_ISREG(os.lstat(self.path).st_mode)
        except OSError:
            return True

    def use(self, key: Key) -> None:
        """Note that a segment is about to get `key`."""
        try:  # in place, and always as long: a full disk takes it too
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, key_text(key).ljust(_KEY_BYTES).encode())
        except OSError:
            pass  # a disk that was full at the first time; the segments on it tell too

    def last_used(self) -> Key:
        """The key noted last, by whichever process."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        return parse_key(os.read(self._descriptor, _KEY_BYTES).decode("ascii", "replace").strip())

    def journal(self) -> list[JournalLine]:
        """The journal of the stem."""
        return read_journal(self.log_dir, self.stem)

    def is_copied(self) -> bool:
        """Whether the last stream was drawn elsewhere: this directory is a copy."""
        lines = self.journal()
        return bool(lines) and lines[-1].inode not in (0, self._inode)

    @property
    def _inode(self) -> int:
        return os.fstat(self._descriptor).st_ino

    def begin_stream(self, last: Key, now_ns: int, logger_name: str) -> JournalLine:
        """Draw a stream for what this process writes from now on, after the segment `last`.

        Earlier lines stay as long as there are segments of theirs.
        """
        lines = self.journal()
        keys = [segment.key for segment in find_segments(self.log_dir, self.stem)]
        ends = [line.after for line in lines[1:]] + [last]
        kept = [
            line
            for line, end in zip(lines, ends, strict=False)
            if any(line.after < key <= end for key in keys)
        ]
        stream = os.urandom(16).hex()
        line = JournalLine(stream, last, now_ns, os.getpid(), logger_name, self._inode)
        write_journal(self.log_dir, self.stem, [*kept, line])
        return line


def make_directory(path: str) -> None:
    """Create a directory, and those above it, for this user alone."""
    path = os.path.abspath(path)
    if os.path.isdir(path):
        return
    make_directory(os.path.dirname(path))
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise NotADirectoryError(20, "a file is in the way", path) from None


def claim(log_dir: str, stem: str) -> Ownership | None:
    """Become the writer of `stem`; None when another process, or another sink of this one, is.

    Raises `OSError` where the directory cannot be written.
    """
    make_directory(os.path.join(log_dir, SIDECARS))
    path = sidecar(log_dir, stem, "lock")
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
    while True:
        descriptor = os.open(path, flags, 0o600)
        try:
            _lock(descriptor)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, (BlockingIOError, PermissionError)):
                return None
            raise
        # Its last owner may have removed the file just before letting go of the lock on it.
        if _is_at(path, descriptor):
            return Ownership(log_dir, stem, descriptor)
        os.close(descriptor)


def _is_at(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:
        return False


def _lock(descriptor: int) -> None:
    if _fcntl is not None:
        _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
    else:
        import importlib

        msvcrt = importlib.import_module("msvcrt")
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
