"""A directory as a target: local disk, or a mount of a platform.

Floor 7. Stands on: lakehouse.retry, lakehouse.steps, lakehouse.targets.base,
lakehouse.targets.paths, runtime.signals.

On local disk a file is written under a hidden temporary name, flushed, and linked to its own
name, so that it appears whole or not at all. The mounts of the platforms know no links and
renames, no appending and no seeking, and show a file when it is closed (platform facts, section
2): there it is written once, whole, straight to its name. A directory that turns out to be such
a mount is treated as one. What a crash left half written is a beginning of the file that was to
be sent, and is written anew; anything else under the name is left alone.
A mount can hang: each call has a time limit, after which it is given up.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

from laketrace.lakehouse.retry import within
from laketrace.lakehouse.steps import step
from laketrace.lakehouse.targets.base import CHUNK_BYTES, OpenSource, Timeout
from laketrace.lakehouse.targets.paths import Location, check_mount
from laketrace.runtime import signals

T = TypeVar("T")
_TEMPORARY = ".tmp"


class DirectoryTarget:
    """Files below a directory; `timeout` gives the seconds that a call may take."""

    def __init__(self, location: Location, timeout: Timeout) -> None:
        self.shown = location.shown
        self._timeout = timeout
        self._location = location
        self._root = location.path
        self.overwrites = location.kind == "directory"
        if location.kind == "mount":
            self._root = signals.under_root(location.path)

    def _within(self, work: Callable[[], T], what: str, size: int = 0) -> T:
        return within(self._timeout(size), work, f"{what} {self.shown}")

    def _path(self, name: str) -> str:
        return os.path.join(self._root, *name.split("/"))

    def sizes(self, folder: str) -> dict[str, int]:
        """The names of the files directly in a folder, with their sizes."""

        def work() -> dict[str, int]:
            check_mount(self._location)
            try:
                with os.scandir(self._path(folder)) as entries:
                    return {item.name: item.stat().st_size for item in entries if item.is_file()}
            except FileNotFoundError:
                return {}
            except NotADirectoryError:
                text = f"{self._in_the_way()} is a file, and a target is a directory. Name another"
                raise NotADirectoryError(20, text) from None

        return self._within(work, "listing")

    def _in_the_way(self) -> str:
        """What is there of the root's own path."""
        path = self._root
        while not os.path.lexists(path):
            path = os.path.dirname(path)
        return path

    def send(self, name: str, source: OpenSource, size: int) -> None:
        """Write a file whole under a name that is new."""
        self._within(lambda: self._send(name, source, size), "writing to", size)

    def _send(self, name: str, source: OpenSource, size: int) -> None:
        check_mount(self._location)
        path = self._path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path):
            self._make_way(path, source)
        if self.overwrites:
            temporary = _temporary(path)
            try:
                _write(temporary, source, size)
                self.overwrites = _link(temporary, path)
            finally:
                _discard(temporary)
            _discard_temporaries(path)
        if not self.overwrites:  # a mount without links and renames
            _write(path, source, size)

    def _make_way(self, path: str, source: OpenSource) -> None:
        """Remove the beginning that a crash left; raise `FileExistsError` for anything else."""
        with open(path, "rb") as there, source() as whole:
            while piece := there.read(CHUNK_BYTES):
                if whole.read(len(piece)) != piece:
                    raise FileExistsError(17, "there is a file with other content", path)
            if not whole.read(1):
                raise FileExistsError(17, "it is there already", path)
        os.unlink(path)

    def receive(self, name: str) -> Iterator[bytes]:
        """The content of a file, in pieces."""
        path = self._path(name)
        file = self._within(lambda: open(path, "rb"), "reading")  # noqa: SIM115, closed below
        try:
            while piece := self._within(lambda: file.read(CHUNK_BYTES), "reading"):
                yield piece
        finally:
            file.close()

    def replace(self, name: str, data: bytes) -> None:
        """Write a small file, over an older one if there is one."""
        self._within(lambda: self._replace(name, data), "writing to")

    def _replace(self, name: str, data: bytes) -> None:
        path = self._path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not self.overwrites:
            _write_bytes(path, data)
            return
        temporary = _temporary(path)
        try:
            _write_bytes(temporary, data)
            os.replace(temporary, path)
        except OSError as error:
            if error.errno in _NOT_KNOWN:  # a mount without renames
                self.overwrites = False
            raise
        finally:
            _discard(temporary)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._within(lambda: _discard(self._path(name)), "removing from")


def _temporary(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{os.urandom(6).hex()}{_TEMPORARY}")


def _write(path: str, source: OpenSource, size: int) -> None:
    """Write and close a new file; errors that a mount reports on close come out of here."""
    done = 0
    with source() as reader, open(path, "wb", buffering=0) as file:
        while piece := reader.read(CHUNK_BYTES):
            view = memoryview(piece)
            while view:
                view = view[file.write(view) :]
            done += len(piece)
            if done * 2 >= size > (done - len(piece)) * 2:
                step("sending")
        _flush(file.fileno())


def _write_bytes(path: str, data: bytes) -> None:
    with open(path, "wb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        _flush(file.fileno())


def _flush(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOT_KNOWN:
            raise


_NOT_KNOWN = (1, 22, 38, 95)  # EPERM, EINVAL, ENOSYS, EOPNOTSUPP: what mounts say to such calls


def _link(temporary: str, path: str) -> bool:
    """Give a whole file its name; False where the file system cannot do that.

    Raises `FileExistsError` when another uploader was faster.
    """
    try:
        os.link(temporary, path)
        return True
    except FileNotFoundError:  # cleared away by another uploader that has sent the same file
        raise FileExistsError(17, "it is there already", path) from None
    except OSError as error:
        if error.errno not in _NOT_KNOWN:
            raise
    try:
        if os.path.lexists(path):
            raise FileExistsError(17, "it is there already", path)
        os.rename(temporary, path)
        return True
    except OSError as error:
        if error.errno not in _NOT_KNOWN:
            raise
    return False


def _discard_temporaries(path: str) -> None:
    """Remove what this and earlier, killed uploads of the file at `path` have left."""
    folder, name = os.path.split(path)
    for item in os.listdir(folder):
        if item.startswith(f".{name}.") and item.endswith(_TEMPORARY):
            _discard(os.path.join(folder, item))


def _discard(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
