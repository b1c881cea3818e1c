"""The accounts: what became of every record.

Floor 1. Stands on: nothing.

    emitted = written + sum(dropped.values()) + failed + queued

holds at every moment. A delivery is emitted when a handler has accepted it, and from then on
queued (also while it is in a thread's hand) until it is written, dropped for a reason or failed.
Counters take no lock, so that a log call, a signal handler and a finaliser may count at any time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import NamedTuple


class Counter:
    """A number that any thread may raise without a lock.

    `tick()` raises it by one: one call into C, which CPython does not interrupt. A tick is all
    that `itertools.count` can do, so reading ticks as well and takes the number of reads off.

    >>> counter = Counter()
    >>> _ = counter.tick(), counter.tick(), counter.add(5)
    >>> counter.value, counter.value
    (7, 7)
    """

    __slots__ = ("_added", "_lock", "_reads", "tick")

    def __init__(self) -> None:
        self.tick: Callable[[], int] = count().__next__
        self._reads = 0
        self._added = 0
        self._lock = threading.RLock()

    def add(self, number: int) -> None:
        """Raise it by `number` at once."""
        with self._lock:
            self._added += number

    @property
    def value(self) -> int:
        """The number now."""
        with self._lock:
            ticks = self.tick() - self._reads
            self._reads += 1
            return ticks + self._added


class Stats(NamedTuple):
    """The accounts of a logger, or of one of its handlers, at one moment.

    `emitted = written + sum(dropped.values()) + failed + queued`. `dropped` maps a reason
    (`queue_full`, `closed`, `reentrant`, `exit`, ...) to a number; `handlers` maps the id of each
    handler, also of a removed one, to its own `Stats`; `patch_failures` counts enrichers that
    raised, whose records were written nevertheless.

    >>> Stats.total([Stats(2, 1, {"closed": 1}), Stats(3, 3)]).dropped
    {'closed': 1}
    """

    emitted: int = 0
    written: int = 0
    dropped: dict[str, int] = {}  # noqa: RUF012 - never written to: a fresh dict is always given
    failed: int = 0
    queued: int = 0
    handlers: Mapping[int, Stats] = {}
    patch_failures: int = 0

    @classmethod
    def total(cls, parts: Iterable[Stats]) -> Stats:
        """The sum of several accounts."""
        emitted = written = failed = queued = 0
        dropped: dict[str, int] = {}
        for part in parts:
            emitted += part.emitted
            written += part.written
            failed += part.failed
            queued += part.queued
            for reason, number in part.dropped.items():
                dropped[reason] = dropped.get(reason, 0) + number
        return cls(emitted, written, dropped, failed, queued)


class Accounts:
    """The counters of one handler; `stats()` reads them so that the sum is always right.

    >>> accounts = Accounts()
    >>> _ = accounts.emitted.tick(), accounts.written.tick(), accounts.emitted.tick()
    >>> accounts.stats()
    Stats(emitted=2, written=1, dropped={}, failed=0, queued=1, handlers={}, patch_failures=0)
    """

    __slots__ = ("_dropped", "emitted", "failed", "written")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Start at zero, as a forked child does."""
        self.emitted = Counter()
        self.written = Counter()
        self.failed = Counter()
        self._dropped: dict[str, Counter] = {}

    def drop(self, reason: str, number: int = 1) -> None:
        """Count deliveries that were accepted and will not be written."""
        counter = self._dropped.get(reason)
        if counter is None:
            counter = self._dropped.setdefault(reason, Counter())
        counter.add(number)

    def refuse(self, reason: str, number: int = 1) -> None:
        """Count deliveries that are dropped at the door: emitted and dropped at once."""
        self.emitted.add(number)
        self.drop(reason, number)

    def stats(self) -> Stats:
        """The figures now."""
        # Ends are read before beginnings: what ends in between can only look queued.
        written = self.written.value
        failed = self.failed.value
        dropped = {reason: counter.value for reason, counter in list(self._dropped.items())}
        emitted = self.emitted.value
        queued = emitted - written - failed - sum(dropped.values())
        return Stats(emitted, written, dropped, failed, queued)
