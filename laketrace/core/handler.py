"""A handler: which records it takes, what they look like, and where they go.

Floor 1. Stands on: core.fork, core.levels, core.notice, core.queue, core.record, core.stats.

A handler whose form is the default JSON line, without a filter, takes the ready line that the
logger made; any other gets the record. A filter, formatter or sink that raises costs that one
delivery, which is counted as failed and said once. One that logs is served by all handlers but
its own: there the delivery is counted as `dropped["reentrant"]`, so nothing recurses for ever. A
file in the default form, where only a signal handler or a value's `__repr__` can come in between,
takes a few levels of that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from typing import Any

from laketrace.core import fork
from laketrace.core.levels import ERROR, Level
from laketrace.core.notice import cause, say
from laketrace.core.queue import Line, LineSink, RecordQueue
from laketrace.core.record import Message, Record
from laketrace.core.stats import Accounts, Stats

Form = Callable[[Record], str]
Filter = Callable[[Record], bool]


class _Inside(threading.local):
    """The sinks that this thread is delivering to right now, from the outermost call in.

    A tuple that is replaced and put back whole, so that an interrupt leaves nothing behind.
    """

    def __init__(self) -> None:
        self.sinks: tuple[int, ...] = ()


_inside = _Inside()
_causes = count()  # what is said once is said once for each sink, also where one has gone before
_NESTED = 3  # records below a record, in one thread, that a file in the default form takes


class Handler:
    """One destination of a logger, as `log.handlers` shows it."""

    def __init__(
        self,
        number: int,
        name: str,
        sink: LineSink,
        *,
        level: Level | None = None,
        filter: Filter | None = None,
        form: Form | None = None,
        queue: RecordQueue | None = None,
        own: bool = False,
        details: bool = False,
    ) -> None:
        self.id = number
        self.name = name
        self.level = level
        self.own = own
        self.details = details
        self.closed = False
        self.sink = sink
        self.queue = queue
        self._filter = filter
        self._form = form
        self._key = id(sink)
        self._cause = f"handler {next(_causes)}"
        self._front: Any = queue if queue is not None else sink

    def __repr__(self) -> str:
        return f"<Handler {self.id}: {self.name}, level {self.level or 'of the logger'}>"

    def takes_line(self) -> bool:
        """Whether the logger's own JSON line is what this handler wants now."""
        if self._filter is not None or self._wants_record:
            return False
        return self._form is None or (self.asks is not None and self.asks())

    @property
    def asks(self) -> Callable[[], bool] | None:
        """What to ask whether a line is still wanted, for a stream that may be replaced."""
        return getattr(self._form, "takes_line", None)

    @property
    def _wants_record(self) -> bool:
        return bool(getattr(self.sink, "wants_record", False))

    def writer(self, level: Level) -> Callable[[Line, int], None]:
        """What to call with a ready line of this level."""
        put = self._put(level)
        return put if self.sink.local else lambda line, ns: self._guarded(put, line, ns)

    def _put(self, level: Level) -> Callable[[Line, int], None]:
        queue = self.queue
        if queue is None:
            return self.sink.append
        put = queue.put_now if level.no >= ERROR.no else queue.put
        if getattr(self.sink, "asks_user", False):  # who may log, which the sink has to see
            return lambda line, ns: queue.put_or_pass(put, line, ns)
        return put

    def _guarded(self, put: Callable[[Line, int], None], line: Line, ns: int) -> None:
        if self._key in _inside.sinks:
            self._front.accounts.refuse("reentrant")
        else:
            put(line, ns)

    def deliver(self, record: Record, text_of: Callable[[Form | None], str]) -> None:
        """Filter, format and hand on a record; `text_of` makes its text, or the JSON line."""
        inside = _inside.sinks
        plain = self._filter is None and self._form is None and self.sink.local
        if inside.count(self._key) > (_NESTED if plain else 0):
            self._front.accounts.refuse("reentrant")
            return
        try:
            _inside.sinks = (*inside, self._key)
            if self._filter is not None and not self._filter(record):
                return
            text = text_of(None if self.takes_line() else self._form)
            if not isinstance(text, str):
                raise TypeError(f"the formatter returned {type(text).__name__}, not str")
        except Exception as error:
            self.fail(error)
            return
        finally:
            _inside.sinks = inside
        if not text.endswith("\n"):
            text += "\n"
        item: Line = (
            Message(text, record)
            if self._wants_record
            else text.encode("utf-8", "backslashreplace")
        )
        self._put(record.level)(item, record.timestamp_ns)

    def fail(self, error: BaseException) -> None:
        """Count a delivery that did not get as far as the sink."""
        self._front.accounts.fail()
        say(
            f"{self.name}: filter or formatter failed with {cause(error)}. "
            "The record is counted as failed.",
            key=self._cause,
        )

    def stats(self) -> Stats:
        """The accounts of this handler."""
        stats: Stats = self._front.stats()
        return stats

    def settle(self, timeout: float) -> bool:
        """Wait until what was emitted before is on the sink; False when time ran out."""
        settled: bool = self._front.settle(timeout)
        return settled

    def close(self, timeout: float) -> None:
        """Settle (bounded), then close the sink if it is ours; later deliveries are dropped."""
        if self.queue is not None:
            self.queue.stop(timeout, "exit")
        self.sink.close(timeout)
        if self.queue is not None:
            self.queue.bypass()
        self.closed = True


class TextSink:
    """A sink of text: a stream, a callable, an object with `write`. Keeps the accounts.

    Calls come one at a time; a thread waits at most `PATIENCE` seconds for another one's call
    to end, then its delivery is counted as `dropped["busy"]`. `predecessor` is a sink to the same
    place under other settings: what still comes to it when it is closed is written here.
    """

    PATIENCE = 5.0
    local = False
    fork_rank = 3

    def __init__(
        self,
        name: str,
        write: Callable[[str], object],
        *,
        wants_record: bool = False,
        predecessor: TextSink | None = None,
    ) -> None:
        self.accounts = Accounts()
        self.wants_record = wants_record
        self._name = name
        self._cause = f"sink {next(_causes)}"
        self._write = write
        self._lock = threading.RLock()
        self._closed = False
        self._successor: TextSink | None = None
        if predecessor is not None:
            predecessor._successor = self
        fork.register(self)

    def refusal(self, line: Line) -> str | None:
        """The reason for which this line is dropped, if there is one."""
        return "closed" if self._closed else None

    def append(self, line: Line, ns: int) -> None:
        """Count and write one line; a fault is counted and said once."""
        if self._closed and self._successor is not None:
            self._successor.append(line, ns)
            return
        lines = [line]
        counted: list[int] = []
        try:
            counted.extend(map(next, (self.accounts.emitted.ticks,)))
            self._end(lines)
        except BaseException:
            if counted and lines:
                self.accounts.failed.tick()
            raise

    def append_many(self, lines: list[Line], ns: int) -> None:
        """Write lines that are counted already, in order."""
        while lines:
            self._end(lines)

    def _end(self, lines: list[Line]) -> None:
        """Write or refuse the first line, take it out of the list and count that."""
        accounts = self.accounts
        reason = self.refusal(lines[0])
        lock = self._lock
        try:
            if reason is None and not lock.acquire(timeout=self.PATIENCE):
                reason = "busy"
            if reason is None:
                self._write_first(lines)
            else:
                tick = accounts.dropped(reason).tick
                del lines[0]
                tick()
        finally:
            try:
                lock.release()
            except RuntimeError:  # it was not taken
                pass

    def _write_first(self, lines: list[Line]) -> None:
        line = lines[0]
        tick = self.accounts.written.tick
        inside = _inside.sinks
        try:
            _inside.sinks = (*inside, id(self))
            self._write(line.decode("utf-8") if isinstance(line, bytes) else line)
        except BaseException as error:
            tick = self.accounts.failed.tick
            if not isinstance(error, Exception):
                raise
            say(
                f"{self._name} failed with {cause(error)}. Records are counted as failed.",
                key=self._cause,
            )
        finally:
            _inside.sinks = inside
            del lines[0]
            tick()

    def settle(self, timeout: float) -> bool:
        """Wait for a call that is running in another thread."""
        try:
            return self._lock.acquire(timeout=max(timeout, 0))
        finally:
            fork.give_back(self._lock)

    def close(self, timeout: float) -> None:
        """Take no more; a stream is not ours to close."""
        self._closed = True

    def stats(self) -> Stats:
        """The accounts."""
        return self.accounts.stats()

    def hold(self) -> None:
        """Over a fork: nobody is in the middle of a call."""
        self._lock.acquire(timeout=1)

    def release(self) -> None:
        """After a fork, in the parent."""
        fork.give_back(self._lock)

    def renew(self) -> None:
        """In a forked child: a free lock, empty accounts."""
        self._lock = threading.RLock()
        self.accounts.clear()
