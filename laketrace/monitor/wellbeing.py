"""Is the log itself well: ok, degraded or failing, with the reasons.

Floor 7. Stands on: files.segment.

Judged from the accounts and from the disk, without writing anything. What happened since the last
look counts, so that a fault that has passed does not show for ever.
"""

from __future__ import annotations

import os
import time
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

from laketrace.files.segment import find_segments, read_done

if TYPE_CHECKING:
    from laketrace.core.logger import Logger
    from laketrace.core.stats import Stats

_LITTLE_ROOM = 64 << 20  # bytes left on the disk from which on it is said
_FULL_QUEUE = 0.8  # share of the queue
_LATE = 3600  # seconds that a segment may wait for its upload


class Health(NamedTuple):
    """The state of a log: `ok`, `degraded` (it works, look) or `failing` (records are lost)."""

    status: str
    reasons: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.status == "ok"


class Looks:
    """One who looks at logs again and again; each has its own last look."""

    def __init__(self) -> None:
        self._seen: weakref.WeakKeyDictionary[Any, Stats] = weakref.WeakKeyDictionary()

    def health(self, log: Logger) -> Health:
        """How the log fares since this one's last look."""
        engine = log._engine
        now = log.stats()
        before = self._seen.get(engine)
        self._seen[engine] = now
        failing, degraded = _losses(now, before)
        if engine.closed:
            failing.append("the logger is closed")
        for number, handler in log.handlers.items():
            room = log.config.checked("queue_size")
            waits = now.handlers[number].queued if number in now.handlers else 0
            if handler.queue is not None and waits > _FULL_QUEUE * room:
                degraded.append(f"{handler.name}: {waits} of {room} places of the queue are taken")
        degraded += _disk(log) + _late(log)
        status = "failing" if failing else "degraded" if degraded else "ok"
        return Health(status, (*failing, *degraded))


_users = Looks()


def health(log: Logger) -> Health:
    """How the log fares since the last time it was asked.

    >>> from laketrace import get_logger
    >>> log = get_logger("doctest.health", log_dir=None, stdout=False)
    >>> health(log)
    Health(status='ok', reasons=())
    >>> log.close()
    """
    return _users.health(log)


def _losses(now: Stats, before: Stats | None) -> tuple[list[str], list[str]]:
    """What was lost since `before`: by the handlers that write no more, and by the others."""
    failing: list[str] = []
    degraded: list[str] = []
    for number, stats in now.handlers.items():
        earlier = before.handlers.get(number) if before is not None else None
        failed = stats.failed - (earlier.failed if earlier else 0)
        written = stats.written - (earlier.written if earlier else 0)
        if failed:
            text = f"handler {number}: {failed} records failed"
            (degraded if written else failing).append(text)
        for reason, count in stats.dropped.items():
            lost = count - (earlier.dropped.get(reason, 0) if earlier else 0)
            if lost:
                degraded.append(f"handler {number}: {lost} records dropped ({reason})")
    return failing, degraded


def _disk(log: Logger) -> list[str]:
    path = log.log_file_path
    if path is None:
        return []
    try:
        state = os.statvfs(path.parent)
    except (OSError, AttributeError) as error:
        return [f"{path.parent} cannot be looked at: {error}"]
    left = state.f_bavail * state.f_frsize
    return [f"{left // (1 << 20)} MB are left on the disk of {path}"] if left < _LITTLE_ROOM else []


def _late(log: Logger) -> list[str]:
    if not (log.config["upload_target"] or log.config["upload_table"]):
        return []
    left = waiting(log, time.time_ns())
    if left is None or left.oldest_seconds < _LATE:
        return []
    return [f"{left.segments} segments wait for upload, since {left.oldest_seconds / 3600:.1f} h"]


class Waiting(NamedTuple):
    """What waits for its upload: segments, their bytes, and the age of the oldest in seconds."""

    segments: int
    bytes: int
    oldest_seconds: float


def waiting(log: Logger, now_ns: int) -> Waiting | None:
    """The finished segments of a log that are not confirmed yet; None without a file."""
    path = log.log_file_path
    if path is None:
        return None
    log_dir, stem = os.path.split(os.fspath(path)[: -len(".log")])
    done = read_done(log_dir, stem)
    left = [segment for segment in find_segments(log_dir, stem) if segment.base not in done]
    oldest = min((segment.time_ns for segment in left), default=now_ns)
    return Waiting(len(left), sum(segment.size for segment in left), (now_ns - oldest) / 1e9)
