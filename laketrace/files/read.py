"""Reading back: every record of a log, in order, and a list of what was no record.

Floor 2. Stands on: files.compression, files.segment.

Memory is bounded by the longest line. A file that is rotated or compressed while it is read is
found again under its new name.
"""

from __future__ import annotations

import heapq
import json
import os
from calendar import timegm
from collections.abc import Iterator
from time import strptime
from typing import IO, Any, NamedTuple

from laketrace.files.segment import ARCHIVES, find_segments, parse_segment


class Torn(NamedTuple):
    """A line that is no record: where it begins (in uncompressed bytes) and what it is."""

    file: str
    offset: int
    bytes: bytes


class Records:
    """An iterator over records, each a dict; `torn` grows with the lines that were none."""

    def __init__(self, path: str) -> None:
        self.torn: list[Torn] = []
        self._records = self._merge(path)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        return next(self._records)

    def _merge(self, path: str) -> Iterator[dict[str, Any]]:
        streams = [self._chain(files) for files in _files(path)]
        if len(streams) == 1:
            yield from streams[0]
        else:
            yield from heapq.merge(*streams, key=lambda record: str(record.get("timestamp", "")))

    def _chain(self, files: list[str]) -> Iterator[dict[str, Any]]:
        for path in files:
            with _open(path) as file:
                offset = 0
                for line in file:
                    record = _parse(line)
                    if record is None:
                        self.torn.append(Torn(path, offset, line))
                    else:
                        yield record
                    offset += len(line)


def read(path: str | os.PathLike[str]) -> Records:
    """The records of a directory of logs, of one log, or of one segment, in time order.

    `path` is a directory (all logs in it, merged by timestamp), an active file (`orders.log`:
    its segments and archives first) or a segment. Lines that are no JSON object are not yielded;
    they are listed in the iterator's `torn` (file, offset, bytes) as reading gets to them.

    Raises `FileNotFoundError` when there is nothing at `path`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open(f"{folder}/etl.log", "w") as file:
    ...         _ = file.write('{"message": "ready"}\\n{"mess')
    ...     records = read(folder)
    ...     [record["message"] for record in records], [torn.offset for torn in records.torn]
    (['ready'], [21])
    """
    text = os.fspath(path)
    if not os.path.exists(text) and not _files(text):
        raise FileNotFoundError(2, "there is no log here", text)
    return Records(text)


def _files(path: str) -> list[list[str]]:
    """The files to read: a list for each stem, in order."""
    if os.path.isdir(path):
        stems = {segment.stem for segment in find_segments(path)}
        stems.update(name[:-4] for name in os.listdir(path) if name.endswith(".log"))
        return [_log(path, stem) for stem in sorted(stems)]
    directory, name = os.path.split(os.path.abspath(path))
    if name.endswith(".log") and parse_segment(name) is None:
        files = _log(directory, name[:-4])
        return [files] if files else []
    return [[path]]


def _log(directory: str, stem: str) -> list[str]:
    """The files of one stem, oldest first; where an archive lies beside its source, the source."""
    files: dict[tuple[str, int], str] = {}
    for segment in find_segments(directory, stem):
        files.setdefault(segment.key, segment.path)
    active = os.path.join(directory, f"{stem}.log")
    return [*files.values(), *([active] if os.path.isfile(active) else [])]


def _open(path: str) -> IO[bytes]:
    """Open a log file, also when it was compressed since it was listed."""
    from laketrace.files.compression import open_archive

    for name in (path, *(path + suffix for suffix in ARCHIVES)):
        try:
            return open_archive(name)
        except FileNotFoundError:
            continue
    raise FileNotFoundError(2, "the file went away while it was read", path)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:  # also bytes that are no UTF-8
        return None
    return record if isinstance(record, dict) else None


def first_timestamp(path: str) -> int | None:
    """When the first line of a log file was written, in Unix nanoseconds to the second.

    Both forms are read, the JSON line and the text line that begins with its time in UTC; None
    where the line tells nothing.
    """
    try:
        with open(path, "rb") as file:
            line = file.readline(1 << 16)
    except OSError:
        return None
    record = _parse(line)
    text = str(record.get("timestamp", "")) if record else line[:32].decode("ascii", "replace")
    try:
        return timegm(strptime(text[:19].replace("T", " "), "%Y-%m-%d %H:%M:%S")) * 1_000_000_000
    except ValueError:
        return None


def last_lines(path: str, number: int) -> list[bytes]:
    """The last `number` lines of a log, read from the end and over rotations."""
    if number <= 0:
        return []
    lines: list[bytes] = []
    for name in reversed([file for files in _files(path) for file in files]):
        try:
            found = _tail(name, number - len(lines))
        except OSError:
            continue
        lines = found + lines
        if len(lines) >= number:
            break
    return lines


def _tail(path: str, number: int) -> list[bytes]:
    if path.endswith(ARCHIVES):
        from collections import deque

        with _open(path) as file:
            return list(deque(file, number))
    with open(path, "rb") as plain:
        at = plain.seek(0, os.SEEK_END)
        tail = b""
        while at > 0 and tail.count(b"\n") <= number:
            step = min(1 << 16, at)
            at -= step
            plain.seek(at)
            tail = plain.read(step) + tail
    return tail.splitlines(keepends=True)[-number:]
