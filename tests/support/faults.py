"""Real faults of disks and mounts: `full_disk` and `fuse_mount`.

Both are paths (`str`) with a way to change the fault. They need root; where a test cannot have
them, the skip says what is missing.
"""

from __future__ import annotations

import ctypes.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ROOT, stop

NEED_ROOT = "needs root, to mount {what}: run the tests as root"


class FullDisk(str):
    """A tmpfs of 256 KB with not a byte left."""

    __slots__ = ()

    def fill(self) -> None:
        """Write ballast until the disk takes no more."""
        with open(self._ballast, "ab", buffering=0) as file:
            try:
                while file.write(bytes(1024)) == 1024:
                    pass
            except OSError:
                return

    def make_room(self) -> None:
        """Take the ballast away: 256 KB are free again, less what lies there."""
        os.truncate(self._ballast, 0)

    @property
    def _ballast(self) -> str:
        return os.path.join(self, ".ballast")


class RefusingMount(str):
    """A mount that refuses what the platforms' mounts refuse (see `refusing_mount`)."""

    __slots__ = ("faults",)
    faults: str

    def fail(self, operation: str, number: int = 0, *, seconds: float = 0.0) -> None:
        """From now on `operation` waits `seconds` (less if it heals), then fails with `number`.

        `number` is an errno; with 0 it works.
        """
        known = {**self._known(), operation: [number, seconds]}
        draft = f"{self.faults}.new"
        with open(draft, "w", encoding="utf-8") as file:
            json.dump(known, file)
        os.replace(draft, self.faults)

    def heal(self) -> None:
        """End every fault of `fail`; the refusals stay."""
        if os.path.exists(self.faults):
            os.unlink(self.faults)

    def _known(self) -> dict[str, list[float]]:
        if not os.path.exists(self.faults):
            return {}
        with open(self.faults, encoding="utf-8") as file:
            return dict(json.load(file))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        names = getattr(item, "fixturenames", ())
        if "full_disk" in names or "fuse_mount" in names:
            item.add_marker("fault")
        if "fuse_mount" in names:
            item.add_marker(pytest.mark.extra("mfusepy"))


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[FullDisk]:
    """A directory on a real disk that is full: a tmpfs of 256 KB."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip(NEED_ROOT.format(what="a tmpfs"))
    place = tmp_path / "full_disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    said = subprocess.run(command, capture_output=True, text=True)
    if said.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs: {said.stderr.strip()}")
    disk = FullDisk(place)
    try:
        disk.fill()
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def fuse_mount(tmp_path: Path) -> Iterator[RefusingMount]:
    """A directory on a real FUSE mount that cannot append, rename, seek or lock."""
    missing = _missing_for_fuse()
    if missing:
        pytest.skip(missing)
    place, backing, faults = (tmp_path / name for name in ("mount", "backing", "faults.json"))
    place.mkdir()
    backing.mkdir()
    command = [sys.executable, "-m", "tests.support.refusing_mount"]
    process = subprocess.Popen(
        [*command, str(place), str(backing), str(faults)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _wait_for_mount(place, process)
        mount = RefusingMount(place)
        mount.faults = str(faults)
        yield mount
    finally:
        faults.unlink(missing_ok=True)  # lets go what hangs
        subprocess.run(["umount", "-l", str(place)], capture_output=True)
        stop(process)


def _missing_for_fuse() -> str:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return NEED_ROOT.format(what="FUSE")
    if not os.path.exists("/dev/fuse"):
        return "needs FUSE in the kernel: there is no /dev/fuse"
    if not ctypes.util.find_library("fuse3") or not shutil.which("fusermount3"):
        return "needs libfuse: apt-get install fuse3"
    return ""


def _wait_for_mount(place: Path, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while not os.path.ismount(place):
        if process.poll() is not None or time.monotonic() > end:
            stop(process)
            said = process.stderr.read().decode() if process.stderr else ""
            raise RuntimeError(f"the FUSE mount did not come up: {said}")
        time.sleep(0.02)
