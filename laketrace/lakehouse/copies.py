"""Segments become files of a target: one each, under one name, with one content.

Floor 7. Stands on: errors, files.segment, lakehouse.ledger, lakehouse.retry, lakehouse.source,
lakehouse.steps, lakehouse.stream, lakehouse.targets.

    <target>/<logger_name>/<run_id>/<stream>-<segment>[.gz ...]

Form and digest are in the ledger before the first byte is sent, so that a segment that is
compressed between two tries is still sent as the first try began it. A file under the name with
the planned content is the confirmation, whoever put it there; with other content it is left
alone and reported. Memory: a block.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from hashlib import sha256
from typing import BinaryIO

from laketrace.errors import UploadError
from laketrace.files.segment import ARCHIVES, Segment
from laketrace.lakehouse.ledger import Ledger, Planned
from laketrace.lakehouse.retry import Deadline, Retry
from laketrace.lakehouse.source import (
    BLOCK_BYTES,
    Block,
    SegmentFile,
    SegmentGone,
    present,
    read_blocks,
)
from laketrace.lakehouse.steps import step
from laketrace.lakehouse.stream import Stream, fields_of, origin_of
from laketrace.lakehouse.targets import Target, remote_name


class SegmentError(UploadError):
    """One segment cannot be copied; others can."""


class Copier:
    """Copies the segments of a stream to a target."""

    def __init__(self, target: Target, ledger: Ledger, stream: Stream, retry: Retry) -> None:
        self._target = target
        self._ledger = ledger
        self._stream = stream
        self._retry = retry
        self._listed: dict[str, dict[str, int]] = {}
        self._sent: set[str] = set()

    def copy(self, segment: Segment) -> bool:
        """See that the target has a segment; whether it had to be sent.

        Raises `SegmentError` when it cannot be, `SegmentGone`, and what the last try raised.
        """
        plan = self._ledger.plan(segment.base) or self._decide(segment)
        step("planned")
        self._retry.run(lambda: self._bring(segment, plan))
        return plan.name in self._sent

    def _decide(self, segment: Segment) -> Planned:
        segment = present(segment)
        origin = origin_of(segment)
        folder = f"{remote_name(origin.logger_name)}/{remote_name(origin.run_id)}"
        name = self._stream.name_of(segment)
        # Compressed since an upload of which the ledger knows nothing any more: as that began it.
        there = self._retry.run(lambda: self._names(folder))
        form = "" if name in there else segment.suffix
        plan = describe(segment, f"{folder}/{name}", form, self._retry.deadline)
        return self._ledger.decide(segment.base, plan)

    def _bring(self, segment: Segment, plan: Planned) -> None:
        self._refuse_other_forms(plan)
        size = self._size_there(plan)
        if size == plan.bytes and self._has_digest(plan):
            step("verified")
            return
        if size is not None and size >= plan.bytes:
            raise SegmentError(f"{plan.name} is there with other content; it was left alone")
        try:
            self._target.send(plan.name, lambda: _open_as(segment, plan), plan.bytes)
        except FileExistsError:
            self._listed.clear()
            if not self._has_digest(plan):
                raise SegmentError(
                    f"{plan.name} is there with other content; it was left alone"
                ) from None
            return
        self._sent.add(plan.name)
        step("sent")
        if not self._has_digest(plan):
            self._target.remove(plan.name)
            raise OSError(f"{plan.name} did not arrive as it was sent")
        step("verified")

    def _names(self, folder: str) -> dict[str, int]:
        if folder not in self._listed:
            self._listed[folder] = self._target.sizes(folder)
        return self._listed[folder]

    def _size_there(self, plan: Planned) -> int | None:
        folder, _, name = plan.name.rpartition("/")
        return self._names(folder).get(name)

    def _refuse_other_forms(self, plan: Planned) -> None:
        """A reader would find every record twice."""
        folder, _, name = plan.name.rpartition("/")
        plain = name.removesuffix(plan.form) if plan.form else name
        for form in ("", *ARCHIVES):
            if form != plan.form and plain + form in self._names(folder):
                raise SegmentError(f"{plan.name} is there already as {plain + form}")

    def _has_digest(self, plan: Planned) -> bool:
        digest = sha256()
        for piece in self._target.receive(plan.name):
            digest.update(piece)
        return digest.hexdigest() == plan.sha256


def describe(segment: Segment, name: str, form: str, deadline: Deadline) -> Planned:
    """What the copy of a segment is: in its present form, or (`form` "") uncompressed.

    Raises `SegmentGone` when it is not there any more, and `OutOfTime`.
    """
    counter = _Counter()
    digest = sha256()
    size = 0
    with _opened(segment, form) as copied:
        for piece in _pieces(copied):
            deadline.check()
            digest.update(piece)
            size += len(piece)
    with SegmentFile(segment) as file:
        for block in read_blocks(file):
            deadline.check()
            counter.take(block)
    return Planned(
        name + form, form, size, digest.hexdigest(), counter.records,
        counter.first, _last_time(counter.block),
    )  # fmt: skip


class _Counter:
    """Counts lines, and keeps what the first and the last record are found in."""

    def __init__(self) -> None:
        self.records = 0
        self.first = ""
        self.block: Block | None = None

    def take(self, block: Block) -> None:
        self.records += 1 if block.torn else _lines_in(block.data)
        if not block.torn:
            self.first = self.first or _first_time(block.data.split(b"\n"))
            self.block = block


def _lines_in(data: bytes) -> int:
    return data.count(b"\n") + (not data.endswith(b"\n"))


def _first_time(lines: list[bytes]) -> str:
    """The timestamp of the first record among a few lines; "" where there is none."""
    for line in lines[:100]:
        time = (fields_of(line) or {}).get("timestamp")
        if isinstance(time, str):
            return time
    return ""


def _last_time(block: Block | None) -> str:
    return _first_time(block.data.split(b"\n")[::-1]) if block is not None else ""


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(BLOCK_BYTES):
        yield piece


def _open_as(segment: Segment, plan: Planned) -> BinaryIO:
    """The bytes of a segment in the planned form.

    Raises `SegmentError` when it has been tampered with, `SegmentGone` when it is gone.
    """
    file = _opened(segment, plan.form)
    if not file.seekable():
        return file
    if file.seek(0, io.SEEK_END) != plan.bytes:
        file.close()
        raise SegmentError(f"{segment.base} has changed since its upload began")
    file.seek(0)
    return file


def _opened(segment: Segment, form: str) -> BinaryIO:
    """The bytes of a segment in a form. Raises `SegmentGone`."""
    plain = segment.path.removesuffix(segment.suffix)
    try:
        return open(plain + form, "rb")
    except FileNotFoundError:
        if form:
            raise SegmentGone(segment.path) from None
        return io.BufferedReader(_Unpacked(segment))


class _Unpacked(io.RawIOBase):
    """The uncompressed bytes of a segment that was compressed after its copy was planned."""

    def __init__(self, segment: Segment) -> None:
        self._file = SegmentFile(segment)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        data = self._file.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.__exit__()
        super().close()
