"""The engine of one logger name: its handlers, its level, and the making of lines.

Floor 1. Stands on: core.encode, core.fork, core.handler, core.levels, core.limit, core.making,
core.notice, core.queue, core.record, core.stats, errors.

For each level the engine keeps a `Plan`: the ready-made head of a JSON line and the writers that
take it. `Logger` writes along the plan; where there is none (a filter, formatter, enricher or
callable sink wants the record, or the caller's place is asked for) it calls `emit`, which makes
the record, and the same bytes. Plans are rebuilt whenever anything they depend on changes.
Threads: any may log; adding and removing handlers takes a lock. After a fork the child keeps
handlers and settings and starts its accounts at zero.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from laketrace.core import fork
from laketrace.core.encode import Encoder, quote
from laketrace.core.handler import Form, Handler
from laketrace.core.levels import INFO, WARNING, Level, is_foreign
from laketrace.core.limit import is_longer, shorten
from laketrace.core.making import Call, make_record, redact
from laketrace.core.notice import cause, say
from laketrace.core.queue import Line
from laketrace.core.record import Record, Source
from laketrace.core.stats import Counter, Stats
from laketrace.errors import ConfigError

Writer = Callable[[Line, int], None]
SILENT = 1000  # a threshold that no level reaches
_MAX_KEPT = 1000  # accounts of removed handlers that stay apart


class Plan(NamedTuple):
    """How a record of one level is written without a record object.

    Without `writers` it cannot be. `holds` is asked first where it depends on a stream that the
    program may replace.
    """

    head: str
    writers: tuple[Writer, ...] | None
    holds: Callable[[], bool] | None = None


RECORD_WANTED = Plan("", None)


class _Limited:
    """The texts of one record for all its handlers, none longer than the limit of a record."""

    def __init__(self, record: Record, encoder: Encoder, limit: int) -> None:
        self._record = record
        self._encoder = encoder
        self._limit = limit
        self._line: str | None = None
        self._short: Record | None = None

    def __call__(self, form: Form | None) -> str:
        """The text that `form` makes, or the logger's own JSON line, which is made once."""
        if form is None:
            if self._line is None:
                self._line = self._made(lambda record: record.to_json(self._encoder))
            return self._line
        return self._made(form)

    def _made(self, form: Form) -> str:
        text = form(self._record)
        if isinstance(text, str) and is_longer(text, self._limit):
            if self._short is None:
                self._short = shorten(self._record, self._encoder, self._limit)
            text = form(self._short)
        return text


class Engine:
    """What all loggers of one name share."""

    fork_rank = 1

    def __init__(
        self,
        source: Source,
        *,
        encoder: Encoder,
        level: Level = INFO,
        caller_level: Level = WARNING,
        max_record: int = 16 << 20,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.source = source
        self.encoder = encoder
        self.level = level
        self.caller_no = caller_level.no
        self.max_record = max_record
        self.clock = clock
        self.handlers: dict[int, Handler] = {}
        self.closing: list[Callable[[float], None]] = []
        self.closed = False
        self.patch_failures = Counter()
        self._kept: dict[int, Stats] = {}
        self._leaving: list[Handler] = []
        self._numbers = 0
        self._lock = threading.RLock()
        self.refresh()
        fork.register(self)

    # -- handlers -----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Work out again what follows from level, handlers and source."""
        handlers = self.handlers.values()
        self.tail = self.source.members()
        self.plans: dict[Level, Plan] = {}
        self.threshold = min((self._level_of(handler) for handler in handlers), default=SILENT)
        self.locate_no = 0 if any(handler.details for handler in handlers) else self.caller_no

    def _level_of(self, handler: Handler) -> int:
        return (handler.level or self.level).no

    def next_number(self) -> int:
        """A handler id that was never used."""
        with self._lock:
            self._numbers += 1
            return self._numbers

    def add(self, handler: Handler) -> None:
        """Deliver to `handler` from now on."""
        with self._lock:
            self.handlers = {**self.handlers, handler.id: handler}
            self.refresh()

    def replace(self, old: Iterable[Handler], new: Iterable[Handler]) -> None:
        """Deliver to `new` instead of `old`, in one step; then settle and close the old ones."""
        gone = {handler.id for handler in old}
        with self._lock:
            kept = {key: item for key, item in self.handlers.items() if key not in gone}
            going = [self.handlers[key] for key in gone]
            self.handlers = {**{handler.id: handler for handler in new}, **kept}
            self.refresh()
        for handler in going:
            self._retire(handler, 10.0)

    def remove(self, number: int, timeout: float = 10.0) -> None:
        """Stop delivering to a handler, settle and close it; its accounts stay.

        Raises `ConfigError` for an id that is not there.
        """
        with self._lock:
            handler = self.handlers.get(number)
            if handler is None:
                known = ", ".join(map(str, self.handlers)) or "none"
                problem = f"there is no handler {number!r}. Handlers now: {known}."
                raise ConfigError([f"number={number!r}: {problem}"])
            self.handlers = {key: value for key, value in self.handlers.items() if key != number}
            self.refresh()
        self._retire(handler, timeout)

    def _retire(self, handler: Handler, timeout: float) -> None:
        """Close a handler; its accounts stay."""
        with self._lock:
            self._leaving.append(handler)
        handler.close(timeout)
        with self._lock:
            # One whose sink is still at work, or has removed itself, stays until that is written.
            settled = [item for item in self._leaving if item.closed and not item.stats().queued]
            self._leaving = [item for item in self._leaving if item not in settled]
            self._kept.update({item.id: item.stats() for item in settled})
            while len(self._kept) > _MAX_KEPT:
                oldest = [self._kept.pop(key) for key in list(self._kept)[:2]]
                self._kept = {0: Stats.total(oldest), **self._kept}

    def set_level(self, level: Level) -> None:
        """Change the level that handlers without an own one follow."""
        with self._lock:
            self.level = level
            self.refresh()

    def stats(self) -> Stats:
        """The accounts over all handlers, also removed ones."""
        with self._lock:
            kept = dict(self._kept)
            items = [*self._leaving, *self.handlers.values()]
        # Outside the lock: a sink takes its own, under which a user's code may ask for figures too.
        parts = {**kept, **{item.id: item.stats() for item in items}}
        total = Stats.total(parts.values())
        return total._replace(handlers=parts, patch_failures=self.patch_failures.value)

    # -- lines --------------------------------------------------------------------------------

    def plan(self, level: Level) -> Plan:
        """Make the plan for a level, at its first record or after a change."""
        if is_foreign(level):  # plans go by the names of levels
            return RECORD_WANTED
        plans = self.plans  # a change replaces the dict: a plan made of old state goes with it
        taking = [item for item in self.handlers.values() if level.no >= self._level_of(item)]
        plan = RECORD_WANTED
        if level.no < self.locate_no and all(item.takes_line() for item in taking):
            head = f'","level":{quote(level.name)},"message":'
            asks = [item.asks for item in taking if item.asks is not None]
            holds = (lambda: all(ask() for ask in asks)) if asks else None
            plan = Plan(head, tuple(item.writer(level) for item in taking), holds)
        elif any(item.asks is not None for item in taking):
            return plan  # not kept: the stream may be another one next time
        plans[level] = plan
        return plan

    def emit(self, call: Call) -> None:
        """Make a record and deliver it: the way of all records that have no plan."""
        level = call.level.no
        taking = [item for item in self.handlers.values() if level >= self._level_of(item)]
        if not taking:
            return
        encoder = self.encoder
        try:
            locate = level >= self.locate_no
            now_ns, failures, redactor = self.clock(), self.patch_failures, encoder.redactor
            record = make_record(call, self.source, now_ns, locate, failures, redactor)
            if redactor is not None:
                redact(record, redactor)
        except Exception as error:  # a fault of ours: the record is lost, but not in silence
            for handler in taking:
                handler.fail(error)
            return
        form = _Limited(record, encoder, self.max_record)
        for handler in taking:
            handler.deliver(record, form)

    def make_line(self, message: str, fields: dict[str, Any], form: Form | None = None) -> bytes:
        """A whole line in the name of LakeTrace, for what repairs a file."""
        record = Record(self.source, WARNING, message, self.clock(), fields)
        text = record.to_json(self.encoder) if form is None else form(record)
        return f"{text.rstrip()}\n".encode("utf-8", "backslashreplace")

    # -- the end ------------------------------------------------------------------------------

    def flush(self, timeout: float) -> bool:
        """Wait until what was emitted before the call is on its sink; False when time ran out."""
        deadline = time.monotonic() + timeout
        settled = True
        for handler in self.handlers.values():
            settled &= handler.settle(max(0.0, deadline - time.monotonic()))
        return settled

    def run_closing(self, timeout: float) -> None:
        """Call what asked to run at the end (uploads), each with the seconds that are left."""
        deadline = time.monotonic() + timeout
        for callback in list(self.closing):
            try:
                callback(max(0.0, deadline - time.monotonic()))
            except Exception as error:
                say(f"at close of {self.source.logger_name}: {cause(error)}")

    def close(self, timeout: float, at_close: float) -> None:
        """Drain, run what waits for the end, close all sinks; never raises, bounded in time.

        Where an interrupt cuts it off, it may be called again.
        """
        begun = False
        try:
            with self._lock:
                if self.closed:
                    return
                begun = self.closed = True
            deadline = time.monotonic() + timeout
            self.flush(timeout)
            left = max(0.0, deadline - time.monotonic())
            self.run_closing(at_close)
            deadline = time.monotonic() + left
            for handler in self.handlers.values():
                self._close(handler, deadline - time.monotonic())
        except BaseException:
            if begun:
                self.closed = False
            raise

    def _close(self, handler: Handler, timeout: float) -> None:
        try:
            handler.close(max(0.0, timeout))
        except Exception as error:
            say(f"closing {handler.name}: {cause(error)}", key=f"close {handler.name}")

    def drain_at_exit(self, timeout: float, local: bool) -> None:
        """Write what is queued before local sinks, or others, and count what could not be."""
        deadline = time.monotonic() + timeout
        for handler in self.handlers.values():
            if handler.queue is not None and handler.sink.local == local:
                handler.queue.stop(max(0.0, deadline - time.monotonic()), "exit")

    def hold(self) -> None:
        """Over a fork: no handler is half added."""
        self._lock.acquire(timeout=1)

    def release(self) -> None:
        """After a fork, in the parent."""
        fork.give_back(self._lock)

    def renew(self) -> None:
        """In a forked child: its own pid, its own accounts."""
        self._lock = threading.RLock()
        self._kept = {}
        self._leaving = []
        self.patch_failures = Counter()
        self.source = self.source._replace(pid=os.getpid())
        self.closing = []
        self.refresh()
