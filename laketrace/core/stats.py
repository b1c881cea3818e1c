"""The accounts: what became of every record.

Floor 1. Stands on: nothing.

    emitted = written + sum(dropped.values()) + failed + queued

holds at every moment. A delivery is emitted when a handler has accepted it, and from then on
queued (also while it is in a thread's hand) until it is written, dropped for a reason or failed.
Counters take no lock, so that a log call, a signal handler and a finaliser may count at any time.

An interrupt (Ctrl-C in a notebook, any signal handler that raises) must not leave a record half
counted. CPython looks for signals at the end of a call, at the start of a Python function and when
a loop turns; so a call into C always happens whole, and what stands behind it may not happen. The
code that counts is written to that: it prepares what it needs, then does one call into C, or a
`del` and one call into C, which nothing comes between.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count, islice
from typing import Any, NamedTuple

count_all: Callable[[Iterable[object]], None] = deque[object](maxlen=0).extend
"""Do all that an iterator of ticks (`Counter.steps`, `map(next, ...)`) stands for, in one call."""


# Held for the length of an addition, by all counters: a logger has some twenty of them.
_lock = threading.RLock()


def _renew() -> None:
    """In a forked child: a free lock."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


class Counter:
    """A number that any thread may raise without a lock.

    `tick()` raises it by one: one call into C, which CPython does not interrupt; `ticks` is the
    iterator behind it. A tick is all that `itertools.count` can do, so reading ticks as well and
    takes the number of reads off.

    >>> counter = Counter()
    >>> _ = counter.tick(), counter.tick(), counter.add(5)
    >>> count_all(counter.steps(3))
    >>> counter.value, counter.value
    (10, 10)
    """

    __slots__ = ("_added", "_reads", "tick", "ticks")

    def __init__(self) -> None:
        self.ticks = count()
        self.tick: Callable[[], int] = self.ticks.__next__
        self._reads = 0
        self._added = 0

    def steps(self, number: int) -> Iterator[int]:
        """`number` ticks, to be done by `count_all`."""
        return islice(self.ticks, number)

    def add(self, number: int) -> None:
        """Raise it by `number` at once."""
        with _lock:
            self._added += number

    @property
    def value(self) -> int:
        """The number now."""
        with _lock:
            try:
                ticks = self.tick()
            finally:
                self._reads += 1
            return ticks - self._reads + 1 + self._added


class Stats(NamedTuple):
    """The accounts of a logger, or of one of its handlers, at one moment.

    `emitted = written + sum(dropped.values()) + failed + queued`. `dropped` maps a reason
    (`queue_full`, `closed`, `reentrant`, `exit`, ...) to a number; `handlers` maps the id of each
    handler, also of a removed one, to its own `Stats`; `patch_failures` counts enrichers that
    raised, whose records were written nevertheless.

    >>> print(Stats(5, 2, {"closed": 1}, failed=2))
    5 emitted = 2 written + 1 dropped (closed 1) + 2 failed + 0 queued
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

    def __str__(self) -> str:
        reasons = ", ".join(f"{reason} {number}" for reason, number in self.dropped.items())
        dropped = f"{sum(self.dropped.values())} dropped" + (f" ({reasons})" if reasons else "")
        parts = f"{self.written} written + {dropped} + {self.failed} failed + {self.queued} queued"
        return f"{self.emitted} emitted = {parts}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What a notebook shows."""
        printer.text(str(self))

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

    def dropped(self, reason: str) -> Counter:
        """The number of deliveries that were accepted and not written for this reason."""
        return self._dropped.get(reason) or self._dropped.setdefault(reason, Counter())

    def refuse(self, reason: str) -> None:
        """Count a delivery that is dropped at the door: emitted and dropped at once."""
        count_all(map(next, (self.emitted.ticks, self.dropped(reason).ticks)))

    def fail(self) -> None:
        """Count a delivery that fails at the door: emitted and failed at once."""
        count_all(map(next, (self.emitted.ticks, self.failed.ticks)))

    def stats(self) -> Stats:
        """The figures now."""
        # Ends are read before beginnings: what ends in between can only look queued.
        written = self.written.value
        failed = self.failed.value
        counters = list(self._dropped.items())
        dropped = {reason: counter.value for reason, counter in counters}
        emitted = self.emitted.value
        queued = emitted - written - failed - sum(dropped.values())
        dropped = {reason: number for reason, number in dropped.items() if number}
        return Stats(emitted, written, dropped, failed, queued)
