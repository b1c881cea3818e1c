"""What happens to finished segments: they are compressed, kept for a while, and deleted.

Floor 2. Stands on: core.notice, files.compression, files.janitor, files.lock, files.recovery,
files.segment.

Only the segments of one logger are touched: those of its stem, and those of its second processes
and forked children, which their journals name. What another process still writes is left to it.
A segment that could not be compressed, because the disk was full, is tried again with the next.
What still waits for its upload is not deleted, with one exception: on a full disk the size that
retention allows holds for it too, because otherwise each new record would be lost. That is told
by a record at level ERROR, which counts what was removed.
Threads: all work runs as jobs of `files.janitor`, one after the other. Retention is asked for by
each rotation and done once for all that asked meanwhile, because it goes through the directory.
After a fork the child begins with nothing to do.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from laketrace.core.notice import say
from laketrace.files import janitor
from laketrace.files.lock import claim
from laketrace.files.recovery import Finding
from laketrace.files.segment import Key, Segment, find_segments, own_stems, read_done

if TYPE_CHECKING:
    from laketrace.files.compression import Compression
    from laketrace.files.retention import Retention

_LAST: Key = ("~", 0)  # behind all others
_FULL = (28, 122)  # ENOSPC, EDQUOT
_ROOM_PAUSE_NS = 5_000_000_000


class Upkeep:
    """The settings for the segments of one logger, and those that still wait for them."""

    def __init__(
        self,
        log_dir: str,
        stem: str,
        logger_name: str,
        retention: Retention | None,
        compression: Compression | None,
        shipped: bool,
        clock: Callable[[], int],
    ) -> None:
        self._log_dir = log_dir
        self._stem = stem
        self._logger_name = logger_name
        self._retention = retention
        self._compression = compression
        self._shipped = shipped
        self._clock = clock
        self.renew()

    def renew(self) -> None:
        """Nothing to do yet, also in a forked child: the parent does what it has begun."""
        self._uncompressed: list[Segment] = []
        self._is_asked_to_retain = False
        self._room_asked_ns = 0

    @property
    def is_wanted(self) -> bool:
        """Whether there is anything to do with a segment."""
        return self._retention is not None or self._compression is not None

    def has_segments(self) -> bool:
        """Whether earlier processes left segments."""
        return any(find_segments(self._log_dir, stem) for stem in self._stems())

    def finish(self, segment: Segment) -> None:
        """Compress a segment that nobody writes any more."""
        if self._compression is not None:
            self._uncompressed.append(segment)
            self._compress()

    def ask_to_retain(self) -> None:
        """Delete what has expired, after the jobs that are there."""
        if self._retention is not None and not self._is_asked_to_retain:
            try:
                self._is_asked_to_retain = True
                janitor.submit(self._log_dir, self._retain)
            except BaseException:  # an interrupt
                self._is_asked_to_retain = False
                raise

    def sweep(self, own: str, until: Key) -> None:
        """Compress what earlier processes left, of the stem `own` up to `until`."""
        for stem in self._stems():
            if stem == own:
                self._note(stem, until)
                continue
            owner = claim(self._log_dir, stem)
            if owner is not None:  # nobody writes it any more
                self._note(stem, _LAST)
                owner.release()
        self._compress()

    def _stems(self) -> list[str]:
        return own_stems(self._log_dir, self._stem, self._logger_name)

    def _note(self, stem: str, until: Key) -> None:
        if self._compression is not None:
            found = find_segments(self._log_dir, stem)
            self._uncompressed += [item for item in found if not item.suffix and item.key <= until]

    def _compress(self) -> None:
        while self._compression is not None and self._uncompressed:
            path = self._uncompressed[0].path
            try:
                self._compression.compress(path, janitor.out_of_time)
            except (FileNotFoundError, FileExistsError):
                pass  # retention was faster, or another process is at it
            except Exception as error:
                if not isinstance(error, OSError):  # else there may be room again next time
                    del self._uncompressed[0]
                raise
            del self._uncompressed[0]

    def make_room(self, fault: Exception, tell: Callable[[Finding], None] | None) -> None:
        """Where `fault` says that the disk is full, delete what retention can do without.

        What is uploaded, and then what is beyond the size of retention. Only where segments are
        uploaded; elsewhere each rotation has seen to it.
        """
        if not self._shipped or self._retention is None:
            return
        now_ns = self._clock()
        full = isinstance(fault, OSError) and fault.errno in _FULL
        if full and now_ns - self._room_asked_ns >= _ROOM_PAUSE_NS:
            self._room_asked_ns = now_ns
            janitor.submit(self._log_dir, lambda: self._make_room(tell))

    def _make_room(self, tell: Callable[[Finding], None] | None) -> None:
        if self._retention is None:
            return
        self._retain()  # what is uploaded goes first
        segments, done = self._segments()
        too_much = self._retention._replace(files=None, age=None).expired(segments, self._clock())
        removed = [item for item in too_much if item.base not in done[item.stem]]
        if not removed:
            return
        fields = {
            "segments": len(removed),
            "records": sum(map(_records_in, removed)),
            "bytes": sum(item.size for item in removed),
            "first": removed[0].base,
            "last": removed[-1].base,
        }
        for item in removed:
            _remove(item)
        text = "the disk is full: segments were removed before their upload"
        say(f"{text}: {fields['records']} records from {self._log_dir}", key=f"room {self._stem}")
        if tell is not None:
            tell(Finding("unsent_removed", text, fields, "ERROR"))

    def _segments(self) -> tuple[list[Segment], dict[str, frozenset[str]]]:
        """The segments, oldest first, and by stem which of them are uploaded."""
        stems = self._stems()
        segments = [item for stem in stems for item in find_segments(self._log_dir, stem)]
        done = {stem: frozenset(read_done(self._log_dir, stem)) for stem in stems}
        return sorted(segments, key=lambda item: item.key), done

    def _retain(self) -> None:
        self._is_asked_to_retain = False
        retention = self._retention
        if retention is None:
            return
        segments, done = self._segments()
        expired = retention.expired(segments, self._clock())
        if self._shipped:
            segments = [item for item in segments if item.base in done[item.stem]]
            expired = [item for item in expired if item.base in done[item.stem]]
        for item in expired:
            _remove(item)
        for choose in retention.callables:
            choose([item.path for item in segments if os.path.exists(item.path)])


def _remove(segment: Segment) -> None:
    try:
        os.unlink(segment.path)
    except FileNotFoundError:
        pass


def _records_in(segment: Segment) -> int:
    """How many lines a segment has, as far as it can be read."""
    from laketrace.files.compression import open_archive

    count = 0
    try:
        with open_archive(segment.path) as file:
            while piece := file.read(1 << 20):
                count += piece.count(b"\n")
    except Exception:  # damaged: what could be counted
        pass
    return count
