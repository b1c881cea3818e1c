"""For tests of code that logs, and of sinks: records as objects, a clock, an examiner.

Floor 6. Stands on: core.logger, core.records, errors, setup.

    records = Records()              # a sink that keeps the records
    log.add(records)
    assert records.having(table="orders").messages == ["table loaded"]

With pytest the fixture `log_records` does that for every logger (`interop.pytest_plugin`).
Threads: `Records` may be filled from any; read it when they are done.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from laketrace import setup
from laketrace.core.logger import Logger
from laketrace.core.records import Records
from laketrace.errors import ConfigError, LakeTraceError

__all__ = ["ManualClock", "Records", "SinkError", "examine_sink"]


class ManualClock:
    """A clock that the test holds: Unix nanoseconds that only move when told to.

    `at` is where it starts: an aware `datetime`, or nanoseconds. As a context manager it is the
    clock of every logger that is made inside the block.

    >>> from laketrace import get_logger
    >>> with ManualClock(datetime(2026, 11, 21, 9, tzinfo=timezone.utc)) as clock:
    ...     log = get_logger("clocked", log_dir=None, stdout=False)
    >>> records = Records()
    >>> _ = log.add(records)
    >>> clock.advance(minutes=5)
    >>> log.info("five past")
    >>> records[0].timestamp.isoformat()
    '2026-11-21T09:05:00+00:00'
    >>> log.close()
    """

    def __init__(self, at: datetime | int = 1_767_225_600_000_000_000) -> None:
        self.now_ns = at if isinstance(at, int) else _ns(at)
        self._former: list[Callable[[], int]] = []

    def __call__(self) -> int:
        """The time now."""
        return self.now_ns

    def advance(self, seconds: float = 0, **units: float) -> None:
        """Move by `seconds`, or by `minutes=`, `hours=`, `days=`, ...; backwards if negative."""
        self.now_ns += round(timedelta(seconds=seconds, **units) / timedelta(microseconds=1)) * 1000

    def set(self, at: datetime | int) -> None:
        """Move to an instant."""
        self.now_ns = at if isinstance(at, int) else _ns(at)

    def __enter__(self) -> ManualClock:
        self._former.append(setup.clock)
        setup.clock = self
        return self

    def __exit__(self, *exc_info: object) -> None:
        setup.clock = self._former.pop()


def _ns(at: datetime) -> int:
    if at.tzinfo is None:
        problem = "has no time zone. Use datetime(..., tzinfo=timezone.utc)."
        raise ConfigError([f"at={at!r}: {at!r} {problem}"])
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (at - epoch) // timedelta(microseconds=1) * 1000


# -- the examiner --------------------------------------------------------------------------------

Made = tuple[Any, Callable[[], str]]


class SinkError(LakeTraceError, AssertionError):
    """A sink breaks rules of the contract; `problems` are all of them."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n  - ".join(["the sink does not keep the contract:", *problems]))


def examine_sink(
    make: Callable[[], Made],
    *,
    spoil: Callable[[Any], object] | None = None,
    records: int = 200,
    threads: int = 4,
    **settings: Any,
) -> None:
    """Put a sink through the contract of sinks, with and without a queue before it.

    `make` returns a fresh sink, as `log.add(sink, **settings)` takes it, and a function that
    gives all text which that sink has received so far. `spoil`, if given, makes a sink fail from
    then on. `records` is how many are logged for each rule, `threads` how many log at once.

    The contract, which is what LakeTrace promises of each of its own sinks:

    - *once*: each record arrives once, whole, on one line, in the order in which it was logged,
      and nothing else arrives.
    - *whole*: a record of 1 MB and one full of foreign characters arrive whole, and disturb no
      other.
    - *threads*: records of several threads arrive like those of one; those of each thread in order.
    - *flushed*: when `flush` has returned True, what was logged before it can be read.
    - *counted*: the accounts agree with what can be read, and
      `emitted = written + dropped + failed + queued`.
    - *apart*: two sinks made by `make` do not get each other's records.
    - *removed*: after `remove` all that was logged before has arrived, nothing more does, and the
      program hears nothing of it.
    - *failing* (with `spoil`): a fault raises nothing, costs only its own deliveries, and they are
      counted as failed.

    Raises `SinkError` with every rule that is broken.

    >>> def make():
    ...     kept = []
    ...     return kept.append, lambda: "".join(kept)
    >>> examine_sink(make)
    """
    problems: list[str] = []
    for enqueue in (False, True):
        examiner = _Examiner(make, spoil, records, threads, {**settings, "enqueue": enqueue})
        for problem in examiner.examine():
            where = "with a queue before it" if enqueue else "without a queue"
            problems.append(f"{problem} ({where})")
    if problems:
        raise SinkError(problems)


_numbers = itertools.count()
_FOREIGN = "\u00e9\u6f22\U0001f600 \x1b[31m \u2028\u202e 'quoted' \"quoted\" {} %s \\n \t \x00"


class _Case(NamedTuple):
    """A logger whose only handler is a sink that is examined."""

    log: Logger
    number: int
    sink: Any
    read: Callable[[], str]

    def arrived(self, token: str) -> list[str]:
        """The lines that belong to the messages marked with `token`."""
        return [line for line in self.read().split("\n") if f"<{token}" in line]


class _Examiner:
    """The rules, one method each, which yields what is wrong."""

    def __init__(
        self,
        make: Callable[[], Made],
        spoil: Callable[[Any], object] | None,
        records: int,
        threads: int,
        settings: dict[str, Any],
    ) -> None:
        self._make = make
        self._spoil = spoil
        self._records = records
        self._threads = threads
        self._settings = settings

    def examine(self) -> Iterator[str]:
        rules = [self.once, self.whole, self.threads, self.counted, self.apart, self.removed]
        if self._spoil is not None:
            rules.append(self.failing)
        for rule in rules:
            logs: list[Logger] = []
            try:
                for problem in rule(lambda logs=logs: self._case(logs)):  # type: ignore[misc]
                    yield f"{rule.__name__}: {problem}"
            except Exception as error:
                yield f"{rule.__name__}: {type(error).__name__}: {error}"
            finally:
                for log in logs:
                    log.close()

    def _case(self, logs: list[Logger]) -> _Case:
        name = f"examined-{next(_numbers)}"
        log = setup.get_logger(name, log_dir=None, stdout=False, add_runtime_context=False)
        logs.append(log)
        sink, read = self._make()
        return _Case(log, log.add(sink, **self._settings), sink, read)

    def once(self, make: Callable[[], _Case]) -> Iterator[str]:
        case = make()
        for number in range(self._records):
            case.log.info(f"<once {number}>", number=number)
        if not case.log.flush(10):
            yield "flush did not come to an end within 10 seconds"
        lines = [line for line in case.read().split("\n") if line]
        yield from _in_order(lines, "once", range(self._records))
        if len(lines) != self._records:
            yield f"{len(lines)} lines arrived for {self._records} records"

    def whole(self, make: Callable[[], _Case]) -> Iterator[str]:
        case = make()
        long = "x" * (1 << 20)
        case.log.info("<whole 0>")
        case.log.info(f"<whole 1 {long} end>")
        case.log.info(f"<whole 2 {_FOREIGN} end>")
        case.log.info("<whole 3>")
        case.log.flush(10)
        lines = case.arrived("whole")
        yield from _in_order(lines, "whole", range(4), end="")
        if not any(f"<whole 1 {long} end>" in line for line in lines):
            yield "a record of 1 MB did not arrive whole"
        if not any("<whole 2 " in line and " end>" in line for line in lines):
            yield "a record with foreign characters did not arrive on one line"

    def threads(self, make: Callable[[], _Case]) -> Iterator[str]:
        case = make()

        def work(thread: int) -> None:
            for number in range(self._records):
                case.log.info(f"<thread{thread} {number}>")

        workers = [threading.Thread(target=work, args=(each,)) for each in range(self._threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        case.log.flush(10)
        for each in range(self._threads):
            lines = case.arrived(f"thread{each} ")
            yield from _in_order(lines, f"thread{each}", range(self._records))

    def counted(self, make: Callable[[], _Case]) -> Iterator[str]:
        case = make()
        for number in range(self._records):
            case.log.error(f"<counted {number}>")
        case.log.flush(10)
        stats = case.log.stats()
        read = len(case.arrived("counted"))
        if stats.written != read:
            yield f"{stats.written} records are counted as written, {read} can be read"
        if stats.emitted != (
            stats.written + sum(stats.dropped.values()) + stats.failed + stats.queued
        ):
            yield f"the account does not add up: {stats}"

    def apart(self, make: Callable[[], _Case]) -> Iterator[str]:
        one, other = make(), make()
        one.log.info("<one 0>")
        other.log.info("<other 0>")
        one.log.flush(10)
        other.log.flush(10)
        if len(one.arrived("one")) != 1 or len(other.arrived("other")) != 1:
            yield "a record did not arrive where it was logged"
        if one.arrived("other") or other.arrived("one"):
            yield "a record arrived at another sink"

    def removed(self, make: Callable[[], _Case]) -> Iterator[str]:
        case = make()
        case.log.info("<removed 0>")
        case.log.remove(case.number)
        case.log.info("<removed 1>")
        case.log.flush(10)
        yield from _in_order(case.arrived("removed"), "removed", range(1))

    def failing(self, make: Callable[[], _Case]) -> Iterator[str]:
        case = make()
        case.log.info("<failing 0>")
        case.log.flush(10)
        if self._spoil is not None:
            self._spoil(case.sink)
        for number in range(1, 4):
            case.log.error(f"<failing {number}>")
        case.log.flush(10)
        failed = case.log.stats().failed
        if failed != 3:
            yield f"of 3 records that met a fault {failed} are counted as failed"


def _in_order(lines: list[str], token: str, numbers: range, end: str = ">") -> Iterator[str]:
    """What is wrong with the lines for `<token 0>`, `<token 1>`, ..."""
    at = 0
    for number in numbers:
        mark = f"<{token} {number}{end}"
        found = [index for index, line in enumerate(lines) if mark in line]
        if len(found) != 1:
            yield f"record {number} arrived {len(found)} times"
            return
        if found[0] < at:
            yield f"record {number} arrived before one that was logged earlier"
            return
        if lines[found[0]].count(f"<{token} ") != 1:
            yield f"record {number} shares its line with another one"
            return
        at = found[0]
