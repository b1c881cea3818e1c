"""Ctrl-C in a notebook, and any signal handler that raises, at any point of a call.

CPython looks for signals when a call into C returns and when a Python function begins. A profile
function is called at these very points, so an interrupt can be put at each of them in turn: what
happens by bad luck once in a year happens here at every point, every time.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import laketrace.core
import laketrace.files
from laketrace import Logger
from laketrace.files import janitor
from laketrace.testing import ManualClock
from tests.faults.proof import (
    assert_account,
    is_balanced,
    make_log,
    numbers_of,
    run_program,
    until,
)


class Interrupt(KeyboardInterrupt):
    """What the user's Ctrl-C, or the handler of a signal, raises."""


CODE = os.path.dirname(laketrace.core.__file__), os.path.dirname(laketrace.files.__file__)


def interrupted(action: Callable[[], object], point: int) -> bool:
    """Do something and interrupt it at its n-th point; False when it has not so many."""
    points = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal points
        if event in ("call", "c_return") and frame.f_code.co_filename.startswith(CODE):
            points += 1
            if points == point:
                sys.setprofile(None)
                raise Interrupt

    sys.setprofile(profile)
    try:
        action()
    except Interrupt:
        pass
    finally:
        sys.setprofile(None)
    return points >= point


# What is done to a logger in which ten records of about 200 bytes have been logged.
def log_one(log: Logger) -> None:
    log.info("row", n=10)


def log_an_error(log: Logger) -> None:
    log.error("row", n=10)


def log_several(log: Logger) -> None:
    for number in range(10, 25):
        log.info("row", n=number)


def log_a_minute_later(log: Logger) -> None:
    log._engine.clock.advance(60)  # type: ignore[attr-defined]
    log.info("row", n=10)


def log_after_a_deletion(log: Logger) -> None:
    log.flush(120)  # else the queue's thread may look at the file between the next two lines
    log._engine.clock.advance(60)  # type: ignore[attr-defined]
    os.unlink(log.log_file_path)
    log.info("row", n=10)


def finish_a_segment(log: Logger) -> None:
    log.finish_segment()


def ask_for_figures(log: Logger) -> None:
    log.stats()


def flush(log: Logger) -> None:
    log.flush()


ACTIONS = [
    log_one,
    log_an_error,
    log_several,
    log_a_minute_later,
    log_after_a_deletion,
    finish_a_segment,
    ask_for_figures,
    flush,
]


@pytest.mark.parametrize("enqueue", [False, True], ids=["sync", "queue"])
@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.__name__)
def test_an_interrupt_leaves_the_account_right(
    tmp_path: Path, action: Callable[[Logger], None], enqueue: bool
) -> None:
    """Wherever it strikes: the account adds up to the files, and the logger goes on as before."""
    point, reached = 1, True
    while reached:
        folder = tmp_path / str(point)
        with ManualClock():
            log = make_log(folder, rotation="2 KB", enqueue=enqueue)
        for number in range(10):
            log.info("row", n=number)
        reached = interrupted(lambda log=log: action(log), point)  # type: ignore[misc]

        log.info("row", n=100)
        log.error("row", n=101)

        assert log.flush(120), f"point {point}: {log.stats()}"
        stats = log.stats()
        numbers = numbers_of(folder)
        assert stats.queued == 0, f"point {point}: {stats}"
        assert_account(stats, folder)
        assert len(numbers) == len(set(numbers)), f"point {point}"
        assert {*range(10), 100, 101} <= set(numbers), f"point {point}"
        log.close()
        point += 1
    assert point > 10


def test_an_interrupt_of_close_loses_nothing(tmp_path: Path) -> None:
    """A close that is cut off leaves the records in the file and can be called again."""
    point, reached = 1, True
    while reached:
        folder = tmp_path / str(point)
        log = make_log(folder, rotation="2 KB", enqueue=True)
        for number in range(25):
            log.info("row", n=number)
        reached = interrupted(log.close, point)

        log.close()
        log.info("late", n=100)

        assert is_balanced(log.stats()), f"point {point}: {log.stats()}"
        assert set(range(25)) <= set(numbers_of(folder)), f"point {point}"
        point += 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_text_sink_counts_what_an_interrupt_cut_off() -> None:
    """A delivery to a callable that is interrupted is written, failed or never emitted."""
    point, reached = 1, True
    while reached:
        seen: list[str] = []
        log = make_log(None)
        number = log.add(seen.append)
        reached = interrupted(lambda log=log: log.info("cut off"), point)  # type: ignore[misc]

        log.info("next")

        stats = log.stats().handlers[number]
        assert is_balanced(stats) and stats.queued == 0, f"point {point}: {stats}"
        assert len(seen) - 1 <= stats.written <= len(seen)
        assert stats.written + stats.failed >= len(seen)
        assert '"next"' in seen[-1], f"point {point}: {stats}"
        log.close()
        point += 1


@pytest.mark.parametrize(
    "seconds", [0.5, pytest.param(8, marks=pytest.mark.slow)], ids=["short", "long"]
)
@pytest.mark.parametrize("enqueue", [False, True], ids=["sync", "queue"])
def test_a_storm_of_signals_in_a_tight_loop(
    tmp_path: Path, enqueue: bool, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer interrupts a loop that logs, many times a second: nothing lost, nothing doubled."""
    log = make_log(tmp_path, rotation="500 KB", compression="gz", enqueue=enqueue)
    interrupts = 0
    # What is raised in a callback of the garbage collector, Python hands to this hook, and goes on.
    # pytest's own is written in Python, so that the next signal would be raised inside of it.
    gc.collect()  # what other tests have left is not finalised in the storm
    swallowed: list[sys.UnraisableHookArgs] = []
    monkeypatch.setattr(sys, "unraisablehook", swallowed.append)

    def handler(signum: int, frame: FrameType | None) -> None:
        inside = frame
        while inside is not None and not inside.f_code.co_filename.endswith(
            "laketrace/core/logger.py"
        ):
            inside = inside.f_back
        if inside is not None and sys.exc_info()[0] is None:  # one at a time, where it is expected
            raise Interrupt

    former = signal.signal(signal.SIGALRM, handler)
    number = 0
    logged = []
    end = time.monotonic() + seconds
    signal.setitimer(signal.ITIMER_REAL, 0.0007, 0.0007)
    try:
        while time.monotonic() < end or interrupts <= 50:
            number += 1
            try:
                log.info("row", n=number)
            except Interrupt:
                interrupts += 1
            else:
                logged.append(number)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)

    assert all(isinstance(unraisable.exc_value, Interrupt) for unraisable in swallowed)
    assert log.flush(120), log.stats()
    assert janitor.wait(None, 120)
    numbers = numbers_of(tmp_path)
    assert_account(log.stats(), tmp_path)
    assert len(numbers) == len(set(numbers))
    assert set(logged) <= set(numbers)
    log.close()


def test_a_signal_handler_may_log_at_any_moment(tmp_path: Path) -> None:
    """A handler that logs while the loop below it logs and rotates: no deadlock, nothing lost."""
    log = make_log(tmp_path, rotation="10 KB")
    told = 0

    def handler(signum: int, frame: FrameType | None) -> None:
        nonlocal told
        log.warning("signal", told=told)
        told += 1
        signal.setitimer(signal.ITIMER_REAL, 0.0005)

    former = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005)
    number = 0
    try:
        end = time.monotonic() + 0.5
        while time.monotonic() < end or told <= 50:
            (log.info if number % 2 else log.warning)("row", n=number)
            number += 1
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)

    until(lambda: log.flush(1))
    assert sorted(numbers_of(tmp_path)) == list(range(number))
    assert_account(log.stats(), tmp_path)
    assert log.stats().written == number + told


def test_what_an_interrupted_close_left_is_written_at_exit(tmp_path: Path) -> None:
    """A second Ctrl-C, in `close` itself: the end of the program writes what was queued."""
    code = """
import sys
from laketrace import get_logger
log = get_logger("proof", log_dir=sys.argv[1], stdout=False, enqueue=True,
                 close_timeout=120)
interrupts = [KeyboardInterrupt]
def interrupt(seconds_left):
    if interrupts:
        raise interrupts.pop()
log.at_close(interrupt)
try:
    log.close()
except KeyboardInterrupt:
    for number in range(1000):
        log.info("row", n=number)
"""
    exit_code, _, said = run_program(code, tmp_path)

    assert (exit_code, said) == (0, "")
    assert numbers_of(tmp_path) == list(range(1000))


def test_a_job_whose_submission_is_interrupted_is_waited_for() -> None:
    """Whatever an interrupt cuts off of `submit`, `wait` returns only when the job is done."""
    point, reached = 1, True
    while reached:
        slow, done = threading.Event(), []
        janitor.submit("first", lambda slow=slow: slow.wait(120))  # type: ignore[misc]
        job = lambda done=done: done.append(1)  # noqa: E731
        reached = interrupted(lambda job=job: janitor.submit("key", job), point)  # type: ignore[misc]

        early = janitor.wait("key", 0)
        slow.set()

        assert janitor.wait("key", 120)
        assert janitor.wait("first", 120)
        finished = list(done)
        janitor.submit("last", lambda: None)
        assert janitor.wait("last", 120)
        assert finished == done, f"point {point}"
        assert not (early and done), f"point {point}"
        point += 1
    assert point > 3
