"""The streams of a directory: which segments are there, settled, and who wrote them.

Floor 7. Stands on: files.segment, lakehouse.rows, lakehouse.source, lakehouse.targets.base.

A directory is listed twice and the two lists are put together: a file that is renamed (when its
archive is ready) while one list is read may be missing from that list, but not from both. Without
that a segment could be passed over and counted as uploaded with its successor. For the same
reason a stream ends at its first segment that is not settled.

A segment without a journal (of 1.x, or of a directory that was copied without its sidecars) is a
stream of its own, named by its name and content, so that two copies of it are the same stream. A
copy that an upload has made bears the name of its stream: it is no segment, and its lines would
come again under another name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from hashlib import sha256
from itertools import groupby
from typing import Any, NamedTuple

from laketrace.files.segment import Segment, find_each_segment, read_journal
from laketrace.lakehouse.rows import members_of
from laketrace.lakehouse.source import BLOCK_BYTES, SegmentFile, is_settled, read_blocks
from laketrace.lakehouse.targets.base import remote_name

_OF_COPY = re.compile("[0-9a-f]{32}-")  # how the name of a copy begins, see `Stream.name_of`


class Stream(NamedTuple):
    """What one process wrote for one logger, as far as it is settled and still there."""

    id: str
    stem: str
    segments: tuple[Segment, ...]

    @property
    def app_id(self) -> str:
        """The application id of its transactions in a table."""
        return f"laketrace:{self.id}"

    def name_of(self, segment: Segment) -> str:
        """The name for ever of one of its segments: in targets and in the column `segment`."""
        return f"{self.id}-{remote_name(segment.base)}"


class Streams(NamedTuple):
    """The streams of a directory, how many segments somebody still writes to, and how many files
    are copies that an upload has made."""

    streams: tuple[Stream, ...]
    waiting: int
    copies: int


def find_streams(
    log_dir: str,
    stems: Collection[str] | None = None,
    settled: Callable[[Segment], bool] = is_settled,
) -> Streams:
    """The streams in `log_dir`, of all stems or of some, each with its segments in order."""
    found: list[Stream] = []
    waiting = 0
    listed = [item for item in find_each_segment(log_dir) if stems is None or item.stem in stems]
    segments = [item for item in listed if not _is_copy(item)]
    for stem, of_stem in groupby(segments, key=lambda item: item.stem):
        for stream_id, items in _by_stream(log_dir, stem, list(of_stem)):
            ready: list[Segment] = []
            for segment in items:
                if not settled(segment):
                    break
                ready.append(segment)
            waiting += len(items) - len(ready)
            if ready:
                found.append(Stream(stream_id, stem, tuple(ready)))
    return Streams(tuple(found), waiting, len(listed) - len(segments))


def _is_copy(segment: Segment) -> bool:
    named = _OF_COPY.match(segment.stem) is not None
    return named and not read_journal(os.path.dirname(segment.path), segment.stem)


def _by_stream(log_dir: str, stem: str, segments: list[Segment]) -> list[tuple[str, list[Segment]]]:
    journal = read_journal(log_dir, stem)
    streams: dict[str, list[Segment]] = {}
    for segment in segments:
        owners = [line.stream for line in journal if line.after < segment.key]
        stream_id = owners[-1] if owners else _orphan_id(segment)
        if stream_id is not None:
            streams.setdefault(stream_id, []).append(segment)
    return list(streams.items())


def _orphan_id(segment: Segment) -> str | None:
    """A stream's id from what a segment is called and contains; None when it is gone."""
    digest = sha256(f"laketrace orphan\n{segment.base}\n".encode("utf-8", "surrogatepass"))
    try:
        with SegmentFile(segment) as file:
            while piece := file.read(BLOCK_BYTES):
                digest.update(piece)
    except FileNotFoundError:
        return None
    return digest.hexdigest()[:32]


class Origin(NamedTuple):
    """Whose records a segment holds, by its first record."""

    logger_name: str
    run_id: str


def origin_of(segment: Segment) -> Origin:
    """Whose records a segment holds; its stem and `no-run` where no line near its start tells.

    Raises `FileNotFoundError` when it is gone.
    """
    with SegmentFile(segment) as file:
        block = next(read_blocks(file), None)
    for line in block.data.split(b"\n") if block is not None else ():
        fields = fields_of(line)
        if fields is not None and isinstance(fields.get("run_id"), str):
            name = fields.get("logger_name")
            return Origin(name if isinstance(name, str) else segment.stem, fields["run_id"])
    return Origin(segment.stem, "no-run")


def fields_of(line: bytes) -> dict[str, Any] | None:
    """The members of a line that is a JSON object."""
    try:
        return {name: value for name, value, *_ in members_of(line.decode("utf-8"))}
    except (ValueError, RecursionError):
        return None
