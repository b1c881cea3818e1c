"""Records wait here between the program and the sink.

Floor 1. Stands on: core.fork, core.notice, core.stats.

A `RecordQueue` holds at most `capacity` ready lines. When it is full, `drop_new` drops the new
one, `drop_old` the oldest, and `block` waits at most `patience` seconds for room and then drops
the new one; while nothing moves, later calls do not wait again. Each drop is counted by reason.
One daemon thread serves every queue of the process; it sleeps while all are empty, and lets
records gather for `LINGER` seconds so that many share a write. Whoever needs its record on disk
(ERROR and above, `flush`, exit) drains in its own thread where the sink is local.
Threads: any may put, one at a time drains. After a fork the child starts empty.
"""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from laketrace.core import fork
from laketrace.core.notice import say
from laketrace.core.stats import Accounts, Stats

LINGER = 0.02  # seconds; a longer nap saves writes, a shorter one loses less to a SIGKILL
_BATCH = 2000
Line = bytes | str


class LineSink(Protocol):
    """Where ready lines end: keeps its own accounts, never raises."""

    local: bool
    """Whether a write goes to this machine's disk, so that any thread may wait for it."""

    def append(self, line: Any, ns: int, /) -> None:
        """Write one line (bytes, or what the handler made); `ns` is the time of the record."""
        ...

    def append_many(self, lines: list[Any], ns: int, /) -> None:
        """Write several lines, in order."""
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
        self._items: deque[Line] = deque()
        self._capacity = capacity
        self._overflow = overflow
        self._patience = patience
        self._clock = clock
        self._on_recovered = on_recovered
        self._untold: dict[str, int] = {}
        self._stuck = False  # the last wait was in vain: do not wait again until something moves
        self._direct = False  # the writer thread is gone for good: write in the caller
        self._draining = threading.Lock()
        self._drainer = 0
        self._held = False
        fork.register(self)
        _writer.queues.add(self)

    def put(self, line: Line, ns: int) -> None:
        """Take a line; returns at once unless the queue is full and the policy is `block`."""
        if len(self._items) >= self._capacity or self._direct:
            self._put_full(line, ns)
            return
        self.accounts.emitted.tick()
        self._items.append(line)
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

    def _put_full(self, line: Line, ns: int) -> None:
        if self._direct:
            self.accounts.emitted.tick()
            self._items.append(line)
            self.drain(self._patience)
            return
        if self._overflow == "drop_old":
            self.accounts.emitted.tick()
            try:
                self._items.popleft()
                self._lose("queue_full")
            except IndexError:
                pass
            self._items.append(line)
            _writer.ring()
            return
        if self._overflow == "block" and self._wait_for_room():
            self.accounts.emitted.tick()
            self._items.append(line)
            _writer.ring()
            return
        self.accounts.emitted.tick()
        self._lose("queue_full" if self._overflow == "drop_new" else "timeout")

    def _wait_for_room(self) -> bool:
        if self._stuck or self._drainer == threading.get_ident():
            return False
        deadline = time.monotonic() + self._patience
        while len(self._items) >= self._capacity:
            if time.monotonic() >= deadline:
                self._stuck = True
                return False
            _writer.ring()
            time.sleep(0.0005)
        return True

    def _lose(self, reason: str, number: int = 1) -> None:
        self.accounts.drop(reason, number)
        self._untold[reason] = self._untold.get(reason, 0) + number

    def drain(self, timeout: float) -> bool:
        """Write what waits, in this thread; False when another one kept the sink too long."""
        if self._drainer == threading.get_ident():
            return False  # the sink logs: its line is written by the loop that is running
        if not self._draining.acquire(timeout=max(timeout, 0)):
            return False
        self._drainer = threading.get_ident()
        try:
            # What is put meanwhile is left to the next round, so that this ends.
            left = len(self._items)
            while left > 0:
                batch = self._take(min(left, _BATCH))
                if not batch:
                    break
                left -= len(batch)
                self.sink.append_many(batch, self._clock())
                self._stuck = False
        finally:
            self._drainer = 0
            self._draining.release()
        if self._untold and not self._items and self._on_recovered is not None:
            lost, self._untold = self._untold, {}
            self._on_recovered(lost)
        return True

    def _take(self, number: int) -> list[Line]:
        take = self._items.popleft
        batch: list[Line] = []
        try:
            for _ in range(number):
                batch.append(take())
        except IndexError:  # drop_old took one
            pass
        return batch

    def settle(self, timeout: float) -> bool:
        """Wait until what was put before the call is on the sink; False when time ran out."""
        deadline = time.monotonic() + timeout
        target = self.accounts.emitted.value
        while not self._ended(target):
            if self._drainer == threading.get_ident():
                return False
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            if self.sink.local or not _writer.ring():
                self.drain(remaining)
            else:
                time.sleep(0.001)
        return True

    def _ended(self, target: int) -> bool:
        stats = self.stats()
        return stats.emitted - stats.queued >= target or stats.queued == 0

    def stop(self, timeout: float, reason: str) -> bool:
        """Settle, then drop what is left, counted under `reason`; later lines are not queued."""
        settled = self.settle(timeout)
        while self._items:
            left = self._take(len(self._items))
            self.accounts.drop(reason, len(left))
        self._direct = self.sink.local
        return settled

    def stats(self) -> Stats:
        """The accounts of queue and sink together; a batch in the writer's hand is queued."""
        sink = self.sink.stats()
        own = self.accounts.stats()
        dropped = dict(own.dropped)
        for reason, number in sink.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + number
        failed = own.failed + sink.failed
        written = sink.written
        queued = own.emitted - written - failed - sum(dropped.values())
        return Stats(own.emitted, written, dropped, failed, queued)

    def hold(self) -> None:
        """Over a fork: no batch is in the hand of a thread that the child will not have."""
        mine = self._drainer == threading.get_ident()
        self._held = not mine and self._draining.acquire(timeout=1)

    def release(self) -> None:
        """After a fork, in the parent."""
        if self._held:
            self._held = False
            self._draining.release()

    def renew(self) -> None:
        """In a forked child: the parent writes what the parent queued."""
        self._items = deque()
        self._draining = threading.Lock()
        self._drainer = 0
        self._held = False
        self._untold = {}
        self._stuck = False
        self.accounts.clear()


class _Writer:
    """The one thread that empties every queue of this process.

    The bell is a bare lock used as a binary semaphore: ringing it is one call into C, so a
    signal handler that logs cannot find it half rung.
    """

    fork_rank = 4

    def __init__(self) -> None:
        self.queues: weakref.WeakSet[RecordQueue] = weakref.WeakSet()
        self.awake = False
        self._thread: threading.Thread | None = None
        self.renew()
        fork.register(self)

    def ring(self) -> bool:
        """Wake the thread, starting it at first need; False when that is not possible."""
        if self._thread is None and not self._start():
            return False
        try:
            self._bell.release()
        except RuntimeError:  # it is ringing already
            pass
        return True

    def _start(self) -> bool:
        if not self._start_lock.acquire(blocking=False):
            return True  # another thread, or the frame below this signal handler, is at it
        try:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="laketrace-writer", daemon=True)
                thread.start()
                self._thread = thread
            return True
        except RuntimeError:  # the interpreter is shutting down
            return False
        finally:
            self._start_lock.release()

    def _run(self) -> None:
        while True:
            self._bell.acquire()
            self.awake = True
            # Let a batch gather. A second ring (a full queue, a call that waits) ends the nap.
            self._bell.acquire(timeout=LINGER)
            waiting = True
            while waiting and not sys.is_finalizing():
                waiting = self._round()
            self.awake = False
            # What was put before `awake` went down did not ring: look once more.
            if any(queue._items for queue in list(self.queues)):
                self.ring()

    def _round(self) -> bool:
        waiting = False
        for queue in list(self.queues):
            try:
                if queue._items:
                    queue.drain(0.1)
                    waiting = waiting or len(queue._items) >= _BATCH
            except Exception as error:  # a sink never raises; a fault of ours must not stop it
                say(f"the writer thread met {type(error).__name__}: {error}", key="writer")
        return waiting

    def hold(self) -> None:
        """Over a fork: the thread is not half started."""
        self._held = self._start_lock.acquire(timeout=1)

    def release(self) -> None:
        """After a fork, in the parent."""
        if self._held:
            self._held = False
            self._start_lock.release()

    def renew(self) -> None:
        """In a forked child: no thread yet."""
        self._start_lock = threading.Lock()
        self._held = False
        self._bell = threading.Lock()
        self._bell.acquire()
        self._thread = None
        self.awake = False


_writer = _Writer()
