"""Log files for DuckDB: which there are, and paths under which it can read each of them now.

Floor 7. Stands on: cli.places, core.notice, files.segment, lakehouse.columns, lakehouse.rows,
lakehouse.source, lakehouse.stream.

DuckDB reads plain, gz and zst files itself; other archives are unpacked into a folder of their
own first. A file that somebody may still write to is held open and read through that descriptor,
so that a rotation in between takes nothing away. Files that DuckDB refuses (a torn line, a damaged
archive) are converted, row by row, by the rules that the table follows.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from laketrace.cli.places import Logs
from laketrace.core.notice import say
from laketrace.files.segment import ARCHIVES, Segment, find_segments, parse_segment
from laketrace.lakehouse.columns import NAMES
from laketrace.lakehouse.rows import Place, Row, rows_of
from laketrace.lakehouse.source import SegmentFile, read_blocks, segment_mtime
from laketrace.lakehouse.stream import find_streams

_COPY = re.compile(r"[0-9a-f]{32}-(.+\.log\.\d{8}_\d{6}.*)")
_NATIVE = ("", ".gz", ".zst")
_GLOB = re.compile(r"[*?\[\]]")
_CHUNK_BYTES = 1 << 20
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class LogFile(NamedTuple):
    """A file of a log: as a segment, its name in the column `segment`, and when it ended (ns)."""

    segment: Segment
    name: str
    end_ns: int
    active: bool = False

    @property
    def place(self) -> Place:
        """What all of its rows share."""
        return Place.of(self.name, self.end_ns)


def list_files(logs: Logs, named: bool) -> list[LogFile]:
    """The files of some logs, finished ones first; with `named` under their names for ever.

    A file that is still written to has none yet and is called by its own name.
    """
    if logs.segment is not None:
        segments = [item for item in [parse_segment(logs.segment)] if item is not None]
    else:
        segments = _without_doubles(find_segments(logs.directory))
    if logs.stems is not None:
        segments = [item for item in segments if item.stem in logs.stems]
    names = _names(logs.directory) if named else {}
    files = [LogFile(item, names.get(item.path, item.base), item.time_ns) for item in segments]
    if logs.segment is None:
        for stem in logs.living_stems():
            path = os.path.join(logs.directory, f"{stem}.log")
            if os.path.isfile(path):
                active = Segment(path, stem, "", 0, "")
                changed = int(segment_mtime(active) * 1_000_000_000)
                files.append(LogFile(active, f"{stem}.log", changed, active=True))
    return files


def _without_doubles(segments: Iterable[Segment]) -> list[Segment]:
    """Where an archive lies beside its source, the source."""
    of_place: dict[tuple[str, tuple[str, int]], Segment] = {}
    for segment in segments:
        of_place.setdefault((segment.stem, segment.key), segment)
    return list(of_place.values())


def _names(directory: str) -> dict[str, str]:
    return {
        segment.path: stream.name_of(segment)
        for stream in find_streams(directory, settled=lambda segment: True).streams
        for segment in stream.segments
    }


def list_copies(directory: str) -> list[LogFile]:
    """The copies below an upload's target: `<logger>/<run>/<stream>-<segment>`, or lower parts."""
    found = []
    for folder, folders, names in os.walk(directory):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        depth = os.path.relpath(folder, directory).count(os.sep)
        if depth >= 1:
            folders.clear()
        for name in sorted(names):
            match = _COPY.fullmatch(name)
            segment = parse_segment(os.path.join(folder, name)) if match is not None else None
            if segment is not None:
                found.append(LogFile(segment, segment.base, segment.time_ns))
    return found


class Opened:
    """Files under paths that DuckDB can read now; use as a context manager.

    `folder` is for what has to be unpacked, and is the caller's to remove.
    """

    def __init__(self, files: Iterable[LogFile], folder: str) -> None:
        self._folder = folder
        self._held = ExitStack()
        self._count = 0
        self.files = list(files)
        self.paths: list[str] = []

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *exc: object) -> None:
        self._held.close()

    def open(self, whole: bool, tell: Callable[[float, float], None]) -> None:
        """Make the paths; with `whole`, a file that grows is copied as it is now.

        `tell` is told how many of how many files are ready. A segment that retention has taken
        away since it was listed is left out.
        """
        ready = []
        for number, file in enumerate(self.files):
            tell(number, len(self.files))
            try:
                self.paths.append(self._path(file, whole))
                ready.append(file)
            except FileNotFoundError:
                continue
        self.files = ready

    def _path(self, file: LogFile, whole: bool) -> str:
        segment = file.segment
        if segment.suffix not in _NATIVE or (file.active and whole):
            return self._unpacked(file)
        if file.active and os.path.isdir("/proc/self/fd"):
            held = self._held.enter_context(open(segment.path, "rb"))  # noqa: SIM115
            return f"/proc/self/fd/{held.fileno()}"
        os.stat(segment.path)
        if _GLOB.search(segment.path):  # DuckDB would take it for a pattern
            link = self._new_path(segment.suffix)
            os.symlink(os.path.abspath(segment.path), link)
            return link
        return segment.path

    def _new_path(self, suffix: str = "") -> str:
        self._count += 1
        return os.path.join(self._folder, f"{self._count}.log{suffix}")

    def _unpacked(self, file: LogFile) -> str:
        path = self._new_path()
        with SegmentFile(file.segment) as source, open(path, "wb") as target:
            while data := source.read(_CHUNK_BYTES):
                target.write(data)
        _tell_damage(file, source)
        return path

    def convert(self, number: int) -> str:
        """The rows of a file, made one by one, as JSON lines with the names of the columns.

        `date` is left out, `timestamp` is in microseconds since 1970.
        """
        file, path = self.files[number], self._new_path()
        suffix = os.path.splitext(self.paths[number])[1]
        suffix = suffix if suffix in ARCHIVES else ""
        segment = file.segment._replace(path=self.paths[number], suffix=suffix)
        with SegmentFile(segment) as source, open(path, "w", encoding="utf-8") as target:
            for block in read_blocks(source):
                for row in rows_of(block, file.place):
                    target.write(json.dumps(_values(row)) + "\n")
        _tell_damage(file, source)
        return path


def _values(row: Row) -> dict[str, Any]:
    values = dict(zip(NAMES, row, strict=True))
    del values["date"]
    values["timestamp"] = (values["timestamp"] - _EPOCH) // timedelta(microseconds=1)
    return values


def _tell_damage(file: LogFile, source: SegmentFile) -> None:
    if source.damage is not None:
        path = file.segment.path
        say(f"{path} is damaged and was read as far as it goes: {source.damage}", key=path)
