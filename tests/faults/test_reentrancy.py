"""What is called by a logger logs itself: it ends, and what it logged is written or counted."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from laketrace import Logger
from laketrace.files import janitor
from tests.faults.proof import is_balanced, make_log, numbers_of, records_of, until

Prepare = Callable[[Logger, Path], Any]


def ends(action: Callable[[], object], seconds: float = 120) -> None:
    """Run something that must not hang, in a thread of its own, and pass on what it raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"
    if raised:
        raise raised[0]


class InRepr:
    def __init__(self, log: Logger) -> None:
        self.log = log

    def __repr__(self) -> str:
        self.log.warning("inner", value=self)
        return "shown"


class InLen(dict[str, int]):
    log: Logger

    def __len__(self) -> int:
        self.log.error("inner")
        return 1

    def items(self) -> Any:
        self.log.error("inner")
        return super().items()


class InStr(Exception):
    def __init__(self, log: Logger) -> None:
        self.log = log

    def __str__(self) -> str:
        self.log.error("inner", exc_info=self)
        return "shown"


def a_filter(log: Logger, folder: Path) -> None:
    log.add(str(folder / "other" / "other.log"), filter=lambda record: log.error("inner") or True)


def a_formatter(log: Logger, folder: Path) -> None:
    log.add(str(folder / "other" / "other.log"), format=lambda record: log.error("inner") or "text")


def a_sink(log: Logger, folder: Path) -> None:
    log.add(lambda text: log.error("inner"))


def a_queued_sink(log: Logger, folder: Path) -> None:
    log.add(lambda text: log.error("inner"), enqueue=True)


def a_sink_that_closes(log: Logger, folder: Path) -> None:
    log.add(lambda text: log.close())


def a_sink_that_asks(log: Logger, folder: Path) -> None:
    log.add(lambda text: (log.stats(), log.flush(0.2), log.finish_segment(), log.error("inner")))


def a_sink_that_adds_and_removes(log: Logger, folder: Path) -> None:
    log.add(lambda text: log.remove(log.add(lambda text: None)))


def an_enricher(log: Logger, folder: Path) -> Logger:
    return log.patch(lambda record: log.error("inner") or {"more": 1})


def a_value(log: Logger, folder: Path) -> Logger:
    return log.bind(value=InRepr(log))


def a_mapping(log: Logger, folder: Path) -> Logger:
    value = InLen(a=1)
    value.log = log
    return log.bind(value=value)


def an_exception(log: Logger, folder: Path) -> Logger:
    return log.opt(exception=InStr(log))


WAYS = [
    a_filter, a_formatter, a_sink, a_queued_sink, a_sink_that_closes, a_sink_that_asks,
    a_sink_that_adds_and_removes, an_enricher, a_value, a_mapping, an_exception,
]  # fmt: skip


@pytest.mark.parametrize("enqueue", [False, True], ids=["sync", "queue"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_logs_inside_a_log_call_ends(tmp_path: Path, way: Prepare, enqueue: bool) -> None:
    """No deadlock, no endless recursion; the outer records are there, all accounts add up."""
    log = make_log(tmp_path, enqueue=enqueue)
    prepared = way(log, tmp_path)
    logger = prepared if isinstance(prepared, Logger) else log

    def work() -> None:
        for number in range(20):
            (logger.info if number % 2 else logger.error)("outer", n=number)
        log.flush(120)

    ends(work)

    until(lambda: log.stats().queued == 0)  # what a sink logs comes after the flush
    stats = log.stats()
    closed = stats.dropped.get("closed", 0) > 0
    assert is_balanced(stats) and stats.queued == 0, stats
    # Of an exception that logs itself the interpreter's own limit is the end, and that is counted.
    assert stats.failed == 0 or way is an_exception, stats
    assert stats.emitted < 2500, stats
    found = [n for n in numbers_of(tmp_path) if n is not None]
    assert closed or set(found) == set(range(20))
    assert stats.handlers[1].written == len(own_records(tmp_path))


def own_records(folder: Path) -> list[dict[str, Any]]:
    return [record for record in records_of(folder) if record["message"] in ("outer", "inner")]


@pytest.mark.parametrize("enqueue", [False, True], ids=["sync", "queue"])
def test_a_finaliser_that_logs_at_any_moment(tmp_path: Path, enqueue: bool) -> None:
    """`__del__` runs wherever the collector wakes up, also in the middle of a write."""
    log = make_log(tmp_path, rotation="20 KB", enqueue=enqueue)
    made = 0
    told = 0

    class Leaves:
        def __init__(self) -> None:
            self.me = self  # a cycle: only the collector finds it

        def __del__(self) -> None:
            nonlocal told
            (log.error if told % 3 == 0 else log.info)("left")
            told += 1

    threshold = gc.get_threshold()
    gc.set_threshold(5, 2, 2)
    try:

        def work() -> None:
            nonlocal made
            for number in range(3000):
                Leaves()
                made += 1
                (log.warning if number % 5 == 0 else log.info)("row", n=number, more=[{}, {}])
            gc.collect()

        ends(work, 240)
    finally:
        gc.set_threshold(*threshold)

    gc.collect()
    assert log.flush(120)
    stats = log.stats()
    assert told == made == 3000
    assert sorted(numbers_of(tmp_path)) == list(range(3000))
    assert stats.emitted == 6000 and stats.queued == stats.failed == 0
    assert stats.written == len(records_of(tmp_path)) == 6000 - sum(stats.dropped.values())


@pytest.mark.parametrize("enqueue", [False, True], ids=["sync", "queue"])
def test_callables_of_rotation_compression_and_retention_may_log(
    tmp_path: Path, enqueue: bool
) -> None:
    """What they log, to the very file that they are called for, is in the files."""
    log: Logger

    def rotation(text: str, file: Any) -> bool:
        log.info("asked")
        log.error("asked")
        return file.tell() > 4000

    def compression(path: str) -> None:
        log.error("compressed")

    def retention(paths: list[str]) -> None:
        log.warning("retained")
        log.flush(0.1)

    log = make_log(
        tmp_path, rotation=rotation, compression=compression, retention=retention, enqueue=enqueue
    )

    ends(lambda: [log.info("row", n=number) for number in range(60)])
    ends(log.flush)

    assert janitor.wait(None, 120)
    log.close()  # else what the callables log may bring another rotation, which asks them again
    stats = log.stats()
    assert is_balanced(stats) and stats.queued == stats.failed == 0
    assert sorted(numbers_of(tmp_path)) == list(range(60))
    assert stats.written == len(records_of(tmp_path))
