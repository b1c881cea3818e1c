"""What happens to finished segments: they are compressed, kept for a while, and deleted.

Floor 2. Stands on: files.janitor, files.lock, files.segment.

Only the segments of one logger are touched: those of its stem, and those of its second processes
and forked children, which their journals name. What another process still writes is left to it.
A segment that could not be compressed, because the disk was full, is tried again with the next.
Threads: all work runs as jobs of `files.janitor`, one after the other. Retention is asked for by
each rotation and done once for all that asked meanwhile, because it goes through the directory.
After a fork the child begins with nothing to do.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from laketrace.files import janitor
from laketrace.files.lock import claim
from laketrace.files.segment import Key, Segment, find_segments, own_stems, read_done

if TYPE_CHECKING:
    from laketrace.files.compression import Compression
    from laketrace.files.retention import Retention

_LAST: Key = ("~", 0)  # behind all others


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

    def _retain(self) -> None:
        self._is_asked_to_retain = False
        retention = self._retention
        if retention is None:
            return
        stems = self._stems()
        segments = [item for stem in stems for item in find_segments(self._log_dir, stem)]
        segments.sort(key=lambda item: item.key)
        expired = retention.expired(segments, self._clock())
        if self._shipped:
            done = {stem: read_done(self._log_dir, stem) for stem in stems}
            expired = [item for item in expired if item.base in done[item.stem]]
        for item in expired:
            try:
                os.unlink(item.path)
            except FileNotFoundError:
                pass
        for choose in retention.callables:
            choose([item.path for item in segments if os.path.exists(item.path)])
