"""The faults that the tests get are real ones of a real kernel."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.faults import FullDisk, RefusingMount


def test_full_disk_has_no_room_until_it_is_made(full_disk: FullDisk) -> None:
    """A write to the full disk fails with ENOSPC; after `make_room` it works."""
    with open(os.path.join(full_disk, "new"), "ab", buffering=0) as file:
        with pytest.raises(OSError) as caught:
            file.write(b"line\n")
        full_disk.make_room()
        written = file.write(b"line\n")

    assert (caught.value.errno, written) == (errno.ENOSPC, 5)


def test_mount_shows_a_file_when_it_is_closed(fuse_mount: RefusingMount) -> None:
    """A file is not there while it is written, and whole after its close."""
    path = Path(fuse_mount, "run", "segment.log")
    path.parent.mkdir()

    with open(path, "wb") as file:
        file.write(b"x" * 300_000)
        file.flush()
        seen_before = (path.exists(), os.listdir(path.parent))

    assert seen_before == (False, [])
    assert path.read_bytes() == b"x" * 300_000
    assert os.listdir(path.parent) == ["segment.log"]


def _append(path: str) -> None:
    with open(path, "ab"):
        pass


def _rewrite_the_start(path: str) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.pwrite(descriptor, b"new", 0)
    finally:
        os.close(descriptor)


def _lock(path: str) -> None:
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(
    ("what", "number"),
    [
        (_append, errno.EOPNOTSUPP),
        (_rewrite_the_start, errno.ESPIPE),
        (lambda path: os.rename(path, f"{path}.gz"), errno.ENOSYS),
        (lambda path: os.link(path, f"{path}.gz"), errno.EPERM),
        (lambda path: os.truncate(path, 1), errno.EOPNOTSUPP),
        (_lock, errno.EOPNOTSUPP),
    ],
    ids=["append", "seek", "rename", "link", "truncate", "lock"],
)
def test_mount_refuses_what_the_platforms_refuse(
    fuse_mount: RefusingMount, what: object, number: int
) -> None:
    """Append, rewriting, renaming, linking, cutting and locking fail with the platforms' errnos."""
    path = os.path.join(fuse_mount, "segment.log")
    Path(path).write_bytes(b"whole")

    with pytest.raises(OSError) as caught:
        what(path)  # type: ignore[operator]

    assert caught.value.errno == number
    assert Path(path).read_bytes() == b"whole"


def test_mount_can_fail_on_close(fuse_mount: RefusingMount) -> None:
    """The error of an upload comes from `close`; the file never appears, until the mount heals."""
    path = Path(fuse_mount, "segment.log")

    fuse_mount.fail("close", errno.EIO)
    with pytest.raises(OSError) as caught:
        path.write_bytes(b"whole")
    seen = path.exists()
    fuse_mount.heal()
    path.write_bytes(b"whole")

    assert (caught.value.errno, seen) == (errno.EIO, False)
    assert path.read_bytes() == b"whole"
