"""The queue: bounded, with a policy for fullness, and an account of what it costs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from laketrace import Logger, get_logger


class StuckSink:
    """A sink that takes nothing until it is let go: a dead network."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, text: str) -> None:
        self.entered.set()
        assert self.open.wait(300)
        self.taken.append(text)


@pytest.fixture
def stuck() -> Iterator[StuckSink]:
    """A stuck sink that is let go at the end, so that nothing waits for it."""
    sink = StuckSink()
    yield sink
    sink.open.set()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Logger]:
    """A logger with a queue before its file."""
    logger = get_logger("queued", log_dir=tmp_path, stdout=False, enqueue=True)
    yield logger
    logger.close()


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is true, at most two minutes."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.002)


def records(log: Logger) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.log_file_path.read_text().splitlines()]


def fill(log: Logger, stuck: StuckSink, overflow: str, timeout: float = 0.05) -> int:
    """Add a stuck handler with room for two, and log six records; the handler's id."""
    number = log.add(stuck, enqueue=True, queue_size=2, overflow=overflow, overflow_timeout=timeout)
    log.info("0")
    assert stuck.entered.wait(120)  # the writer has the first one in its hand
    for text in "12345":
        log.info(text)
    return number


def messages(stuck: StuckSink) -> list[str]:
    return [json.loads(text)["message"] for text in stuck.taken]


def test_what_is_in_the_writers_hand_is_still_queued(log: Logger, stuck: StuckSink) -> None:
    """A batch that the sink has not taken yet is queued, so the account adds up at any moment."""
    number = fill(log, stuck, "drop_new")

    stats = log.stats().handlers[number]
    assert (stats.emitted, stats.written, stats.queued) == (6, 0, 3)
    assert stats.dropped == {"queue_full": 3}


def test_drop_new_keeps_the_oldest(log: Logger, stuck: StuckSink) -> None:
    """`drop_new` refuses what comes when the queue is full."""
    number = fill(log, stuck, "drop_new")
    stuck.open.set()
    until(lambda: log.stats().handlers[number].queued == 0)

    assert messages(stuck)[:3] == ["0", "1", "2"]


def test_drop_old_keeps_the_newest(log: Logger, stuck: StuckSink) -> None:
    """`drop_old` gives up the oldest in the queue for the new one."""
    number = fill(log, stuck, "drop_old")
    stuck.open.set()
    until(lambda: log.stats().handlers[number].queued == 0)

    assert messages(stuck)[:3] == ["0", "4", "5"]


def test_block_waits_a_bounded_time_once(log: Logger, stuck: StuckSink) -> None:
    """`block` gives up after its time limit, and does not wait again while nothing moves."""
    number = fill(log, stuck, "block", timeout=0.2)
    begun = time.monotonic()
    for _ in range(200):
        log.info("x")

    assert log.stats().handlers[number].dropped == {"timeout": 203}
    assert time.monotonic() - begun < 0.2 * 200  # one wait for each call would take 40 s


def test_drops_are_told_once_later_as_a_record(log: Logger, stuck: StuckSink) -> None:
    """When the sink moves again, one record has the figures."""
    fill(log, stuck, "drop_new")
    stuck.open.set()
    until(lambda: any(record.get("event") == "records_dropped" for record in records(log)))

    told = [record for record in records(log) if record.get("event") == "records_dropped"]
    assert [record["dropped"] for record in told] == [{"queue_full": 3}]


def test_errors_are_on_disk_when_the_call_returns(log: Logger) -> None:
    """ERROR and above do not wait for the background thread; what came before is there too."""
    log.info("before")
    log.error("failed")

    assert [record["message"] for record in records(log)] == ["before", "failed"]


def test_records_are_frozen_at_the_call(log: Logger) -> None:
    """A list that is changed after the call does not change the log."""
    rows = [1]
    log.info("x", rows=rows)
    rows.append(2)
    log.flush(120)

    assert records(log)[0]["rows"] == [1]


@pytest.mark.parametrize("redact", [True, False])
def test_records_of_a_queued_function_are_frozen_too(log: Logger, redact: bool) -> None:
    """What a function reads from the record later is what was there at the call."""
    seen: list[Any] = []
    again = get_logger("queued", log_dir=None, stdout=False, redact=redact)
    again.add(lambda text: seen.append(text.record.extra), enqueue=True)
    rows = [1, {"deep": [2]}]
    again.info("x", rows=rows)
    rows[1]["deep"].append(3)  # type: ignore[index]
    rows.append(4)
    again.flush(120)

    assert seen == [{"rows": [1, {"deep": [2]}]}]


def test_the_writer_outlives_an_error_whose_text_raises(log: Logger) -> None:
    """One thread serves all queues: what one sink raises ends nothing for the others."""

    class Leaving(BaseException):
        def __str__(self) -> str:
            raise RuntimeError("no")

    def leave(text: str) -> None:
        raise Leaving

    number = log.add(leave, enqueue=True)
    log.info("x")
    until(lambda: log.stats().handlers[number].queued == 0)
    log.remove(number)
    log.info("later")

    until(lambda: [record["message"] for record in records(log)] == ["x", "later"])
    assert log.stats().handlers[number].failed == 1


def test_flush_is_true_when_all_is_written_and_false_when_time_runs_out(
    log: Logger, stuck: StuckSink
) -> None:
    """`flush` waits a bounded time, and says whether everything is on its sink."""
    log.info("x")
    assert log.flush(120) is True
    log.add(stuck, enqueue=True)
    log.info("y")

    assert log.flush(0.05) is False
    stuck.open.set()
    assert log.flush(120) is True


def test_a_stuck_sink_does_not_hold_up_close(tmp_path: Path, stuck: StuckSink) -> None:
    """`close` is bounded; what it could not write is counted."""
    log = get_logger("stuck", log_dir=tmp_path, stdout=False, close_timeout=0.2)
    number = log.add(stuck, enqueue=True)
    log.info("0")
    assert stuck.entered.wait(120)
    log.info("1")
    log.close()

    stats = log.stats().handlers[number]
    assert stats.dropped["exit"] == 1
    assert stats.emitted == stats.written + sum(stats.dropped.values()) + stats.queued


@pytest.mark.parametrize("enqueue", [True, False])
def test_a_sink_that_removes_itself_is_accounted_for(log: Logger, enqueue: bool) -> None:
    """What is in its hand at that moment is queued, and written when it is."""

    def once(text: str) -> None:
        log.remove(number)

    number = log.add(once, enqueue=enqueue)
    log.info("x")

    until(lambda: log.stats().handlers[number].written == 1)
    assert log.flush(120)
    stats = log.stats()
    assert (stats.queued, stats.written) == (0, 2) and number not in log.handlers


def test_a_sink_that_ends_after_its_removal_is_accounted_for(log: Logger, stuck: StuckSink) -> None:
    """`remove` waits a bounded time; the accounts go on until the last call has returned."""
    number = log.add(stuck, enqueue=True)
    log.info("x")
    assert stuck.entered.wait(120)
    log._engine.remove(number, timeout=0.05)
    during = log.stats().handlers[number].queued
    stuck.open.set()

    until(lambda: log.stats().handlers[number].written == 1)
    assert (during, log.stats().handlers[number].queued) == (1, 0)


def test_one_thread_serves_all_queues(tmp_path: Path) -> None:
    """However many loggers have a queue, there is one writer thread."""
    logs = [
        get_logger(f"many{number}", log_dir=tmp_path, stdout=False, enqueue=True)
        for number in range(20)
    ]
    for log in logs:
        log.info("x")
    assert all(log.flush(120) for log in logs)

    names = [thread.name for thread in threading.enumerate()]
    assert names.count("laketrace-writer") == 1
    for log in logs:
        log.close()


def test_a_queued_sink_that_logs_does_not_go_round_for_ever(log: Logger) -> None:
    """What a queued sink logs is not delivered to itself again."""
    number = log.add(lambda text: log.info("from the sink"), enqueue=True)
    log.info("x")
    until(lambda: log.stats().handlers[number].dropped.get("reentrant", 0) == 1)

    assert log.flush(120)
    assert [record["message"] for record in records(log)] == ["x", "from the sink"]
