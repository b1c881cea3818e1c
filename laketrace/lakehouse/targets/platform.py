"""A target that the platform's own file utilities write: `dbutils.fs`, `notebookutils.fs`.

Floor 7. Stands on: errors, lakehouse.retry, lakehouse.steps, lakehouse.targets.base, runtime.

Both copy files between local disk and any place that the platform has credentials for. `cp` of
Fabric says by its result whether it worked, that of Databricks by raising; neither says how much
it has written, so the uploader reads the copy back. The calls run in the JVM or another process
and can hang: each has a time limit, after which it is given up.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from laketrace.errors import UploadError
from laketrace.lakehouse.retry import within
from laketrace.lakehouse.steps import step
from laketrace.lakehouse.targets.base import CHUNK_BYTES, OpenSource, Timeout
from laketrace.runtime import local_disk

T = TypeVar("T")
_ABSENT = ("FileNotFound", "NoSuchFile", "PathNotFound", "does not exist", "No such file")
_UNKNOWN_SIZE = 64 << 20
_NO_LOCAL_FILES = "LocalFilesystemAccessDenied"


class PlatformTarget:
    """Files below `root`, through the `fs` of `dbutils` or `notebookutils`."""

    overwrites = True

    def __init__(self, fs: Any, root: str, shown: str, timeout: Timeout) -> None:
        self.shown = shown
        self._fs = fs
        self._root = root.rstrip("/")
        self._timeout = timeout

    def _within(self, work: Callable[[], T], what: str, size: int = 0) -> T:
        return within(self._timeout(size), work, f"{what} {self.shown}")

    def _copy(self, source: str, to: str, size: int) -> None:
        try:
            done = self._within(lambda: self._fs.cp(source, to), "copying to", size)
        except Exception as error:
            if _NO_LOCAL_FILES in str(error):
                raise UploadError(
                    f"this compute lets nothing copy from local disk to {self.shown}. "
                    "Use a volume, e.g. /Volumes/<catalog>/<schema>/<volume>/<folder>."
                ) from None
            raise
        if done is False:
            raise OSError(f"the platform did not copy to {to}")

    def sizes(self, folder: str) -> dict[str, int]:
        """The names of the files directly in a folder, with their sizes."""
        try:
            found = self._within(lambda: self._fs.ls(f"{self._root}/{folder}"), "listing")
        except Exception as error:
            if any(text in f"{type(error).__name__} {error}" for text in _ABSENT):
                return {}
            raise
        return {item.name: int(item.size) for item in found if not item.name.endswith("/")}

    def send(self, name: str, source: OpenSource, size: int) -> None:
        """Write a file whole under a name that is new."""
        folder, _, file_name = name.rpartition("/")
        if file_name in self.sizes(folder):
            raise FileExistsError(17, "it is there already", name)
        with _temporary() as path:
            with source() as reader, open(path, "wb") as file:
                while piece := reader.read(CHUNK_BYTES):
                    file.write(piece)
            step("sending")
            self._copy(f"file:{path}", f"{self._root}/{name}", size)

    def receive(self, name: str) -> Iterator[bytes]:
        """The content of a file, in pieces."""
        with _temporary() as path:
            self._copy(f"{self._root}/{name}", f"file:{path}", _UNKNOWN_SIZE)
            with open(path, "rb") as file:
                while piece := file.read(CHUNK_BYTES):
                    yield piece

    def replace(self, name: str, data: bytes) -> None:
        """Write a small file, over an older one if there is one."""
        path, text = f"{self._root}/{name}", data.decode("utf-8")
        if self._within(lambda: self._fs.put(path, text, True), "writing to") is False:
            raise OSError(f"the platform did not write {path}")

    def remove(self, name: str) -> None:
        """Remove a file."""
        try:
            self._within(lambda: self._fs.rm(f"{self._root}/{name}"), "removing from")
        except Exception as error:
            if not any(text in f"{type(error).__name__} {error}" for text in _ABSENT):
                raise


@contextmanager
def _temporary() -> Iterator[str]:
    """A path on local disk for the time of a copy."""
    path = os.path.join(local_disk(), f"laketrace-{os.urandom(8).hex()}.tmp")
    try:
        yield path
    finally:
        folder, name = os.path.split(path)
        for leftover in (path, f"{folder}/.{name}.crc"):  # Hadoop leaves a checksum beside it
            try:
                os.unlink(leftover)
            except FileNotFoundError:
                pass
