"""A FUSE file system that refuses what the platforms' mounts refuse; a process of its own.

    python -m tests.support.refusing_mount MOUNTPOINT BACKING_DIR FAULTS_FILE

| asked for                              | answer                                     |
|----------------------------------------|--------------------------------------------|
| open for append                        | EOPNOTSUPP (95), as `/dbfs` and `/Volumes` |
| a write that does not follow the last  | ESPIPE (29), as `/Volumes`                 |
| rename                                 | ENOSYS (38), as `/Volumes`, `/lakehouse`   |
| link                                   | EPERM (1), as `/Volumes`, `/Workspace`     |
| truncate to another length than 0      | EOPNOTSUPP                                 |
| lock (`flock`, `lockf`)                | EOPNOTSUPP, as blobfuse                    |
| see a file before it is closed         | ENOENT, not listed, as `/Workspace`        |

FAULTS_FILE is JSON, read at every call: `{"close": [5, 0.0]}` makes the operation (`open`, `read`,
`write`, `close`, `list`, `mkdir`, `remove`) wait so many seconds, then fail with that errno; errno
0 only waits. A file whose close failed never appears.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import stat
import sys
import threading
import time
from typing import Any

import mfusepy


class RefusingFiles(mfusepy.Operations):  # type: ignore[misc]
    """Closed files lie in `backing`; files that are being written wait in memory."""

    def __init__(self, backing: str, faults: str) -> None:
        self.backing = backing
        self.faults = faults
        self.waiting: dict[int, bytearray] = {}
        self.handles = itertools.count(1)
        self.lock_ = threading.Lock()

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        if fh in self.waiting:
            now = time.time()
            size = len(self.waiting[fh])
            mode = stat.S_IFREG | 0o644
            times = {"st_mtime": now, "st_ctime": now, "st_atime": now}
            return {"st_mode": mode, "st_nlink": 1, "st_size": size, **times}
        found = os.lstat(self._real(path))
        names = ("mode", "nlink", "size", "mtime", "ctime", "atime", "uid", "gid")
        return {f"st_{name}": getattr(found, f"st_{name}") for name in names}

    def readdir(self, path: str, fh: int) -> list[str]:
        self._meet("list")
        return [".", "..", *os.listdir(self._real(path))]

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        return self._begin(fi if isinstance(fi, int) else 0)

    def open(self, path: str, flags: int) -> int:
        if flags & os.O_ACCMODE != os.O_RDONLY:
            return self._begin(flags, None if flags & os.O_TRUNC else path)
        self._meet("open")
        os.stat(self._real(path))
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        self._meet("read")
        if fh in self.waiting:
            return bytes(self.waiting[fh][offset : offset + size])
        with open(self._real(path), "rb") as file:
            file.seek(offset)
            return file.read(size)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._meet("write")
        with self.lock_:
            text = self.waiting[fh]
            if offset != len(text):
                raise mfusepy.FuseOSError(errno.ESPIPE)
            text += data
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        if length != 0 or fh not in self.waiting:
            raise mfusepy.FuseOSError(errno.EOPNOTSUPP)
        self.waiting[fh].clear()
        return 0

    def flush(self, path: str, fh: int) -> int:
        if fh in self.waiting:
            self._meet("close")
            with open(self._real(path), "wb") as file:
                file.write(self.waiting[fh])
        return 0

    def release(self, path: str, fh: int) -> int:
        self.waiting.pop(fh, None)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        self._meet("mkdir")
        os.mkdir(self._real(path), mode)
        return 0

    def rmdir(self, path: str) -> int:
        self._meet("remove")
        os.rmdir(self._real(path))
        return 0

    def unlink(self, path: str) -> int:
        self._meet("remove")
        os.unlink(self._real(path))
        return 0

    def rename(self, old: str, new: str) -> int:
        raise mfusepy.FuseOSError(errno.ENOSYS)

    def link(self, target: str, source: str) -> int:
        raise mfusepy.FuseOSError(errno.EPERM)

    def lock(self, path: str, fh: int, cmd: int, lock: Any) -> int:
        raise mfusepy.FuseOSError(errno.EOPNOTSUPP)

    def flock(self, path: str, fh: int, op: int) -> int:
        raise mfusepy.FuseOSError(errno.EOPNOTSUPP)

    def chmod(self, path: str, mode: int) -> int:
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    def utimens(self, path: str, times: Any = None) -> int:
        return 0

    def _begin(self, flags: int, keeps: str | None = None) -> int:
        self._meet("open")
        if flags & os.O_APPEND:
            raise mfusepy.FuseOSError(errno.EOPNOTSUPP)
        text = bytearray()
        if keeps is not None:  # opened without O_TRUNC: a write at 0 is no longer sequential
            with open(self._real(keeps), "rb") as file:
                text += file.read()
        handle = next(self.handles)
        self.waiting[handle] = text
        return handle

    def _meet(self, operation: str) -> None:
        number, seconds = self._fault(operation)
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._fault(operation) == [number, seconds]:
            time.sleep(0.02)
        if number:
            raise mfusepy.FuseOSError(number)

    def _fault(self, operation: str) -> list[float]:
        """Its errno and the seconds before that; zeros for none."""
        try:
            with open(self.faults, encoding="utf-8") as file:
                return list(json.load(file).get(operation, (0, 0.0)))
        except FileNotFoundError:
            return [0, 0.0]

    def _real(self, path: str) -> str:
        return os.path.join(self.backing, path.lstrip("/"))


if __name__ == "__main__":
    mfusepy.FUSE(
        RefusingFiles(sys.argv[2], sys.argv[3]),
        sys.argv[1],
        foreground=True,
        direct_io=True,
        hard_remove=True,
        fsname="refusing",
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
    )
