"""Room on a full disk for noting what is uploaded, without which none of it could be deleted.

Floor 7. Stands on: files.segment.

`<log_dir>/.laketrace/upload.reserve` takes 32 KiB while the disk has room. When it has none, they
are given up piece by piece: the first ones to the ledger, the last ones to the names of what is
done, which retention goes by. The next upload that finds room fills it up again. What is freed
anybody may take, a log as well as we; then the upload after the next retention goes on.
Threads: one at a time, as the upload's lock sees to.
"""

from __future__ import annotations

import errno
import os

from laketrace.files.segment import SIDECARS

FULL = (errno.ENOSPC, errno.EDQUOT)
SEGMENTS = 10
"""For so many segments it is enough, also for those with the longest names."""

_BYTES = 32 << 10
_LAST = 8 << 10
_PIECE = 4 << 10


def _path(log_dir: str) -> str:
    return os.path.join(log_dir, SIDECARS, "upload.reserve")


def fill(log_dir: str) -> bool:
    """Fill the reserve up; whether the disk has room for as much again."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(_path(log_dir), flags, 0o600)
        try:
            while (lacking := _BYTES - os.fstat(descriptor).st_size) > 0:
                os.write(descriptor, os.urandom(lacking))  # zeros take no room on some disks
            disk = os.fstatvfs(descriptor)
        finally:
            os.close(descriptor)
    except AttributeError:  # Windows
        return True
    except OSError as error:
        return error.errno not in FULL
    return disk.f_bavail * disk.f_frsize >= _BYTES


def give_up(log_dir: str, *, last: bool) -> bool:
    """Free a piece; False when there is none, or none but the last ones and `last` is not wanted.

    >>> give_up("/no/such/directory", last=True)
    False
    """
    floor = 0 if last else _LAST
    try:
        size = os.stat(_path(log_dir)).st_size
        if size <= floor:
            return False
        os.truncate(_path(log_dir), max(floor, size - _PIECE))
        return True
    except OSError:
        return False
