"""Records wait here between the program and the sink.

Floor 1. Stands on: core.fork, core.living, core.notice, core.stats.

A `RecordQueue` holds at most `capacity` ready lines. When it is full, `drop_new` drops the new
one, `drop_old` the oldest, and `block` waits at most `patience` seconds for room and then drops
the new one; while nothing moves, later calls do not wait again. Each drop is counted by reason.
One daemon thread serves every queue of the process; it sleeps while all are empty, and lets
records gather for `LINGER` seconds so that many share a write. Whoever needs its record on disk
(ERROR and above, `flush`, exit) drains in its own thread where the sink is local.
Threads: any may put, one at a time drains. An interrupt at any point loses and doubles nothing
(see `core.stats`): a line is in the queue, in the hand of who drains, or accounted for by the
sink. After a fork the child starts empty.
"""

from __future__ import annotations

import sys
import threading
import time
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable
from itertools import islice
from threading import get_ident
from typing import Any, Protocol

from laketrace.core import fork
from laketrace.core.living import Living
from laketrace.core.notice import cause, say
from laketrace.core.stats import Accounts, Stats, count_all

LINGER = 0.02  # seconds; a longer nap saves writes, a shorter one loses less to a SIGKILL
_BATCH = 2000
_NOTHING = object()
_NO_ARGUMENTS = ((),)
Line = bytes | str


class LineSink(Protocol):
    """Where ready lines end: keeps its own accounts, never raises."""

    local: bool
    """Whether a write goes to this machine's disk, so that any thread may wait for it."""

    def append(self, line: Any, ns: int, /) -> None:
        """Count and write one line (bytes, or what the handler made) of a record of that time."""
        ...

    def append_many(self, lines: list[Any], ns: int, /) -> None:
        """Write lines that a queue has counted as emitted, in order.

        Takes those out of the list that are accounted for: all of them, unless it was interrupted
        or is called from below itself.
        """
        ...

    def stats(self) -> Stats:
        """The accounts."""
        ...

    def settle(self, timeout: float, /) -> bool:
        """Wait until no write is under way; False when time (seconds) ran out."""
        ...

    def close(self, timeout: float, /) -> None:
        """Take no more lines: count them as `dropped["closed"]`."""
        ...


class RecordQueue:
    """A bounded queue in front of one sink."""

    fork_rank = 2

    def __init__(
        self,
        sink: LineSink,
        *,
        capacity: int = 10_000,
        overflow: str = "block",
        patience: float = 1.0,
        clock: Callable[[], int] = time.time_ns,
        on_recovered: Callable[[dict[str, int]], None] | None = None,
    ) -> None:
        self.accounts = Accounts()
        self.sink = sink
        self._capacity = capacity
        self._overflow = overflow
        self._patience = patience
        self._clock = clock
        self._on_recovered = on_recovered
        self._direct = False  # whether the queue is out of service: lines go to the sink at once
        self.renew()
        fork.register(self)
        _writer.queues.add(self)

    def renew(self) -> None:
        """Start empty, also in a forked child: the parent writes what the parent queued."""
        self.accounts.clear()
        self._count = self.accounts.emitted.tick
        self._items: deque[Line] = deque()
        self._source = iter(self._items.popleft, _NOTHING)  # to take many in one call into C
        self._hand: list[Line] = []  # taken out and not yet accounted for by the sink
        self._told: dict[str, int] = {}
        self._stuck = False  # the last wait was in vain: do not wait again until something moves
        self._draining = threading.RLock()
        self._drainer = 0

    @property
    def waiting(self) -> bool:
        """Whether there is something to drain."""
        return bool(self._items or self._hand)

    # -- putting ------------------------------------------------------------------------------

    def put(self, line: Line, ns: int) -> None:
        """Take a line; returns at once unless the queue is full and the policy is `block`."""
        if (self._direct or len(self._items) >= self._capacity) and not self._has_room(line, ns):
            return
        try:
            self._count()
        except BaseException:  # an interrupt, right after the call
            self.accounts.emitted.add(-1)
            raise
        try:
            self._items.append(line)
        finally:
            if not _writer.awake:
                _writer.ring()

    def put_now(self, line: Line, ns: int) -> None:
        """Take a line and return when it is on the sink: what ERROR and above do.

        A sink that is not local is only given a nudge: a call never waits for a network.
        """
        local = self.sink.local
        if local and len(self._items) >= self._capacity:
            self.drain(self._patience)
        self.put(line, ns)
        if local:
            self.drain(self._patience)
        else:
            _writer.ring()

    def put_or_pass(self, put: Callable[[Line, int], None], line: Line, ns: int) -> None:
        """`put` a line, or give it to the sink at once where it is logged below the sink itself.

        For a sink that calls a function of the user's for each line: each would bring another one.
        """
        if self._drainer == get_ident():
            self.sink.append(line, ns)
        else:
            put(line, ns)

    def _has_room(self, line: Line, ns: int) -> bool:
        """Make room as the policy says; where there is none, the line is dealt with here."""
        if self._direct:
            self.sink.append(line, ns)
            return False
        _writer.ring()
        if self._overflow == "drop_old":
            self._drop_oldest()
        elif self._overflow == "drop_new" or not self._wait_for_room():
            self.accounts.refuse("queue_full" if self._overflow == "drop_new" else "timeout")
            return False
        return True

    def _drop_oldest(self) -> None:
        dropped = self.accounts.dropped("queue_full").tick
        oldest: list[Line] = []
        try:
            oldest.extend(islice(self._source, 1))
        except IndexError:  # it was written meanwhile
            pass
        finally:
            if oldest:
                dropped()

    def _wait_for_room(self) -> bool:
        if self._stuck or self._drainer == get_ident():
            return False
        deadline = time.monotonic() + self._patience
        while len(self._items) >= self._capacity:
            if time.monotonic() >= deadline:
                self._stuck = True
                return False
            _writer.ring()
            time.sleep(0.0005)
        return True

    # -- draining -----------------------------------------------------------------------------

    def drain(self, timeout: float) -> bool:
        """Write what waits, in this thread; False when another one kept the sink too long."""
        me = get_ident()
        if self._drainer == me:
            return False  # the sink logs: its line is written by the loop that is running
        lock = self._draining
        lost: dict[str, int] = {}
        try:
            if not lock.acquire(timeout=max(timeout, 0)):
                return False
            self._drainer = me
            self._empty()
            lost = self._lost()
        finally:
            if self._drainer == me:
                self._drainer = 0
            try:
                lock.release()
            except RuntimeError:  # it was not taken
                pass
        if lost and self._on_recovered is not None:
            self._on_recovered(lost)
        return True

    def _empty(self) -> None:
        hand = self._hand
        # What is put meanwhile is left to the next round, so that this ends.
        left = len(hand) + len(self._items)
        while left > 0:
            if not hand:
                try:
                    hand.extend(islice(self._source, min(left, _BATCH)))
                except IndexError:  # drop_old took some
                    pass
            before = len(hand)
            self.sink.append_many(hand, self._clock())
            if len(hand) == before:
                return
            left -= before - len(hand)
            self._stuck = False

    def _lost(self) -> dict[str, int]:
        """What a full queue has cost since this was asked last, once there is room again."""
        if self._items:
            return {}
        dropped = self.accounts.stats().dropped
        told, self._told = (
            self._told,
            {key: dropped.get(key, 0) for key in ("queue_full", "timeout")},
        )
        lost = {reason: number - told.get(reason, 0) for reason, number in self._told.items()}
        return {reason: number for reason, number in lost.items() if number}

    def settle(self, timeout: float) -> bool:
        """Wait until what was put before the call is on the sink; False when time ran out."""
        deadline = time.monotonic() + timeout
        target = self.stats().emitted
        pause = 0.0
        while not self._ended(target):
            if self._drainer == get_ident():
                return False
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            if self.sink.local or not _writer.ring():
                self.drain(remaining)
            else:
                pause = 0.001
            time.sleep(pause)  # give way; and no busy loop while another thread has the sink
            pause = 0.0005
        return True

    def _ended(self, target: int) -> bool:
        stats = self.stats()
        return stats.emitted - stats.queued >= target or stats.queued == 0

    # -- the end ------------------------------------------------------------------------------

    def stop(self, timeout: float, reason: str) -> bool:
        """Settle, then drop what is left, counted under `reason`; later lines are not queued.

        Where the sink is not local they are, because it may hang and the caller must not.
        """
        settled = self.settle(timeout)
        self._direct = self.sink.local
        self._drop_all(reason)
        return settled

    def bypass(self) -> None:
        """Give later lines to the sink at once, which is closed; also what has just come in."""
        self._direct = True
        self.drain(0)

    def _drop_all(self, reason: str) -> None:
        ticks = self.accounts.dropped(reason).tick
        left: list[Line] = []
        while self._items:
            try:
                left.extend(islice(self._source, 1))
            except IndexError:
                pass
            finally:
                if left:
                    left.clear()
                    ticks()

    def stats(self) -> Stats:
        """The accounts of queue and sink together; what is in somebody's hand is queued."""
        sink = self.sink.stats()
        own = self.accounts.stats()
        dropped = dict(own.dropped)
        for reason, number in sink.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + number
        emitted = own.emitted + sink.emitted
        failed = own.failed + sink.failed
        queued = emitted - sink.written - failed - sum(dropped.values())
        return Stats(emitted, sink.written, dropped, failed, queued)

    def hold(self) -> None:
        """Over a fork: no batch is in the hand of a thread that the child will not have."""
        self._draining.acquire(timeout=1)

    def release(self) -> None:
        """After a fork, in the parent."""
        fork.give_back(self._draining)


class _Writer:
    """The one thread that empties every queue of this process.

    The bell is a bare lock used as a binary semaphore: ringing it is one call into C, so a
    signal handler that logs cannot find it half rung. The thread is started by a bare call too:
    `Thread.start` takes a lock that the code below a signal handler may hold, and waits.
    """

    fork_rank = 4

    def __init__(self) -> None:
        self.queues: Living[RecordQueue] = Living()
        self.renew()
        fork.register(self)

    def renew(self) -> None:
        """No thread yet, also in a forked child."""
        self.awake = False
        self._starter = iter([self._run])  # gives out what to run once, in one call into C
        self._bell = threading.Lock()
        self._bell.acquire()

    def ring(self) -> bool:
        """Wake the thread, starting it at first need; False when that is not possible."""
        try:
            count_all(map(start_new_thread, self._starter, _NO_ARGUMENTS))
        except RuntimeError:  # no more threads, or the interpreter is shutting down
            self._starter = iter([self._run])
            return False
        try:
            self._bell.release()
        except RuntimeError:  # it is ringing already
            pass
        return True

    def _run(self) -> None:
        threading.current_thread().name = "laketrace-writer"
        while True:
            self._bell.acquire()
            self.awake = True
            # Let a batch gather. A second ring (a full queue, a call that waits) ends the nap.
            self._bell.acquire(timeout=LINGER)
            while self._round() and not sys.is_finalizing():
                pass
            self.awake = False
            # What was put before `awake` went down did not ring: look once more.
            if any(queue.waiting for queue in self.queues):
                self.ring()

    def _round(self) -> bool:
        """Drain what waits; whether so much has come in meanwhile that it is worth another one."""
        full = False
        for queue in self.queues:
            try:
                if queue.waiting:
                    queue.drain(0.1)
                    full = full or len(queue._items) >= _BATCH
            except BaseException as error:  # a user's sink may even ask to exit: not this thread
                say(f"the writer thread met {cause(error)}", key="writer")
        return full

    def hold(self) -> None:
        """Over a fork there is nothing to hold."""

    def release(self) -> None:
        """After a fork, in the parent."""


_writer = _Writer()
