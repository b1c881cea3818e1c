"""Reading back: every record of a log, in order, and a list of what was no record.

Floor 2. Stands on: errors, files.compression, files.segment.

Memory is bounded by the longest line. A log may be written, rotated and compressed while it is
read: a file is found again under its new name, and no segment is passed over. What retention has
deleted by then, or what a damaged archive lost, is listed as torn.
"""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Iterator
from time import strptime
from typing import IO, Any, NamedTuple

from laketrace.errors import MissingLogError
from laketrace.files.segment import (
    ARCHIVES,
    Key,
    find_each_segment,
    find_segments,
    parse_segment,
)


class Torn(NamedTuple):
    """A line that is no record: where it begins (in uncompressed bytes) and what it is.

    Without bytes, what could not be read: the rest of a damaged archive, or a whole segment that
    was deleted before reading came to it.
    """

    file: str
    offset: int
    bytes: bytes


class Records:
    """An iterator over records, each a dict; `torn` grows with the lines that were none."""

    def __init__(self, path: str) -> None:
        self.torn: list[Torn] = []
        self._path = path
        self._records = self._merge(path)

    def __repr__(self) -> str:
        return f"<Records of {self._path}: an iterator over dicts>"

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        return next(self._records)

    def _merge(self, path: str) -> Iterator[dict[str, Any]]:
        logs = _logs(path)
        streams = [self._log(*log) for log in logs]
        if not logs and not os.path.isdir(path):
            streams = [self._file(path)]
        if len(streams) == 1:
            yield from streams[0]
        else:
            yield from heapq.merge(*streams, key=lambda record: str(record.get("timestamp", "")))

    def _log(self, directory: str, stem: str) -> Iterator[dict[str, Any]]:
        """The segments of a stem, those too that are made while they are read, then the rest."""
        read: Key = ("", 0)
        while True:
            for key, path in _segments(directory, stem, read):
                yield from self._file(path)
                read = key
            # Opened before the last look, so that a rotation in between is noticed.
            with _open_active(directory, stem) as file:
                if not _segments(directory, stem, read):
                    yield from self._lines(file, file.name)
                    return

    def _file(self, path: str) -> Iterator[dict[str, Any]]:
        try:
            opened = _open(path)
        except FileNotFoundError:
            self.torn.append(Torn(path, 0, b""))
            return
        except Exception as error:  # a zip archive is looked into when it is opened
            self._note(path, 0, error)
            return
        with opened as file:
            yield from self._lines(file, path)

    def _lines(self, file: IO[bytes], path: str) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            try:
                line = file.readline()
            except Exception as error:
                self._note(path, offset, error)
                return
            if not line:
                return
            record = parse_record(line)
            if record is None:
                self.torn.append(Torn(path, offset, line))
            else:
                yield record
            offset += len(line)

    def _note(self, path: str, offset: int, error: Exception) -> None:
        """List a damaged archive; an error of the disk or a missing codec is the caller's."""
        if isinstance(error, ValueError) or getattr(error, "errno", None) is not None:
            raise error
        self.torn.append(Torn(path, offset, b""))


def read(path: str | os.PathLike[str]) -> Records:
    """The records of a directory of logs, of one log, or of one segment, in time order.

    `path` is a directory (all logs in it, merged by timestamp), an active file (`orders.log`:
    its segments and archives first) or a segment. Lines that are no JSON object are not yielded;
    they are listed in the iterator's `torn` (file, offset, bytes) as reading gets to them.

    Raises `MissingLogError`, a `FileNotFoundError`, when there is nothing at `path`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open(f"{folder}/etl.log", "w") as file:
    ...         _ = file.write('{"message": "ready"}\\n{"mess')
    ...     records = read(folder)
    ...     [record["message"] for record in records], [torn.offset for torn in records.torn]
    (['ready'], [21])
    """
    text = os.fspath(path)
    if not os.path.exists(text) and not any(_files(*log) for log in _logs(text)):
        raise MissingLogError(2, "there is no log here", text)
    return Records(text)


def _logs(path: str) -> list[tuple[str, str]]:
    """The logs at `path`, each a directory and a stem; none where it is a single segment."""
    if os.path.isdir(path):
        stems = {segment.stem for segment in find_segments(path)}
        stems.update(name[:-4] for name in os.listdir(path) if name.endswith(".log"))
        return [(path, stem) for stem in sorted(stems)]
    directory, name = os.path.split(os.path.abspath(path))
    if name.endswith(".log") and parse_segment(name) is None:
        return [(directory, name[:-4])]
    return []


def _segments(directory: str, stem: str, after: Key) -> list[tuple[Key, str]]:
    """The segments of a stem behind a key."""
    each = find_each_segment(directory, stem)
    return [(segment.key, segment.path) for segment in each if segment.key > after]


def _files(directory: str, stem: str) -> list[str]:
    """The files of one stem, oldest first."""
    active = os.path.join(directory, f"{stem}.log")
    segments = [path for _, path in _segments(directory, stem, ("", 0))]
    return [*segments, *([active] if os.path.isfile(active) else [])]


def _open_active(directory: str, stem: str) -> IO[bytes]:
    path = os.path.join(directory, f"{stem}.log")
    try:
        return open(path, "rb")
    except (FileNotFoundError, IsADirectoryError):  # in mid-rotation, or not written yet
        return open(os.devnull, "rb")


def _open(path: str) -> IO[bytes]:
    """Open a log file, also when it was compressed since it was listed."""
    from laketrace.files.compression import open_archive

    for name in (path, *(path + suffix for suffix in ARCHIVES)):
        try:
            return open_archive(name)
        except FileNotFoundError:
            continue
    raise MissingLogError(2, "the file went away while it was read", path)


def parse_record(line: bytes) -> dict[str, Any] | None:
    """The JSON object that a line is, or None.

    >>> parse_record(b'{"message": "ready"}'), parse_record(b'{"mess')
    ({'message': 'ready'}, None)
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):  # also bytes that are no UTF-8, brackets without end
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
    from calendar import timegm

    record = parse_record(line)
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
    for name in reversed([file for log in _logs(path) for file in _files(*log)] or [path]):
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
        pieces: list[bytes] = []
        newlines = 0
        while at > 0 and newlines <= number:
            step = min(1 << 16, at)
            at -= step
            plain.seek(at)
            pieces.append(plain.read(step))
            newlines += pieces[-1].count(b"\n")
    return b"".join(reversed(pieces)).splitlines(keepends=True)[-number:]
