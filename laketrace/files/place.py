"""Where the files of a logger can lie: in `log_dir`, or in a spool on local disk.

Floor 2. Stands on: files.lock, files.segment.

The mounts of the platforms (Databricks Volumes, DBFS, Workspace files; the lakehouse mounts of
Fabric) cannot append, or show a file only when it is closed: on them a file is written once, whole.
They are known by their paths and by their file system, and a directory that is neither is tried:
write, append, read back, rename, lock. Where that fails the files lie in a spool, and `log_dir` is
where they are shipped to.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from laketrace.files.lock import claim, make_directory
from laketrace.files.segment import safe_stem

_MOUNTS = ("/Volumes", "/dbfs", "/Workspace", "/lakehouse", "/synfs", "/mnt/lakehouse")
_URL = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)
_PROBE = "probe"


class Place(NamedTuple):
    """A directory to write in; `target` is what was asked for where that is another one."""

    directory: str
    target: str | None
    reason: str

    @property
    def spooled(self) -> bool:
        """Whether the files lie somewhere else than asked for."""
        return self.target is not None


def find_place(log_dir: str, spool_root: str) -> Place:
    """`log_dir` itself where files can live there, else a directory of its own in `spool_root`.

    Never raises: a `log_dir` that is read-only, below a file or without permission is spooled too.

    >>> find_place("/Volumes/main/ops/logs", "/tmp/spool").directory.startswith("/tmp/spool/logs-")
    True
    """
    reason = why_not(log_dir)
    if not reason:
        return Place(os.path.abspath(log_dir), None, "")
    return spool(log_dir, spool_root, reason)


def spool(log_dir: str, spool_root: str, reason: str) -> Place:
    """The place that stands in for `log_dir`, because of `reason`."""
    return Place(spool_directory(log_dir, spool_root), _target(log_dir), reason)


def spool_directory(log_dir: str, spool_root: str) -> str:
    """Where the files for `log_dir` lie while they cannot lie in it; nothing is asked or made.

    >>> spool_directory("/Volumes/main/ops/logs", "/tmp/spool")
    '/tmp/spool/logs-de287342'
    """
    from hashlib import sha256

    target = _target(log_dir)
    name = safe_stem(os.path.basename(target.rstrip("/")) or "logs")[:40]
    digest = sha256(target.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return os.path.join(spool_root, f"{name}-{digest}")


def _target(log_dir: str) -> str:
    return log_dir if _URL.match(log_dir) else os.path.abspath(log_dir)


def why_not(log_dir: str) -> str:
    """Why log files cannot be written in `log_dir`; empty where they can."""
    if _URL.match(log_dir) and os.sep == "/":
        return "it is an address, not a directory"
    path = os.path.abspath(log_dir)
    for mount in _MOUNTS:
        if path == mount or path.startswith(mount + "/"):
            return f"{mount} is a mount that cannot append"
    kind = file_system(path)
    if kind.startswith("fuse"):
        return f"it is on a mount ({kind}) that may not append"
    return _try(path)


def file_system(path: str) -> str:
    """The type of the file system that `path` is, or would be, on; "" where nothing tells.

    >>> file_system("/proc/self")
    'proc'
    """
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            mounts = [line.split(" - ") for line in file]
    except OSError:
        return ""
    path = os.path.realpath(path)
    best, kind = "", ""
    for mount in mounts:
        if len(mount) != 2:
            continue
        point = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), mount[0].split(" ")[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, mount[1].split(" ")[0]
    return kind


def _try(path: str) -> str:
    """Do in `path` what a log file needs; the reason of the first failure."""
    name = os.path.join(path, f".laketrace-{_PROBE}-{os.getpid()}")
    step = "create a directory"
    try:
        make_directory(path)
        step = "lock"
        owner = claim(path, f"{_PROBE}.{os.getpid()}")
        if owner is not None:
            owner.remove()
        step = "append"
        for text in (b"a", b"b"):
            descriptor = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, text)
            finally:
                os.close(descriptor)
        step = "rename"
        os.rename(name, f"{name}.2")
        name = f"{name}.2"
        step = "read back"
        with open(name, "rb") as file:
            if file.read() != b"ab":
                return "what was appended cannot be read back"
        return ""
    except OSError as error:
        if error.errno == 28 and step in ("append", "lock"):  # a full disk may have room later
            return ""
        return f"cannot {step} there: {error.strerror or error}"
    finally:
        try:
            os.unlink(name)
        except OSError:
            pass
