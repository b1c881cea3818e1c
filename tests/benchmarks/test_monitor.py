"""Figures of the monitors: `pytest -m bench tests/benchmarks/test_monitor.py -s` prints them.

Processor time, not the clock on the wall, of many short turns; the best of them counts.
"""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client", reason="needs the extra monitor")
pytest.importorskip("datasketches", reason="needs the extra monitor")

from laketrace import get_logger
from laketrace.monitor import MemoryMonitor, Throughput, serve_metrics, timed

from .shown import show

pytestmark = pytest.mark.bench
TURNS = 300


def best(call: Callable[[], object], number: int = 500) -> float:
    """Seconds of one call."""
    turns = timeit.repeat(call, number=number, repeat=TURNS, timer=time.process_time)
    return min(turns) / number


def test_log_call_with_all_monitors_on(tmp_path: Path) -> None:
    """Memory watched and metrics served, a log call takes at most 1.05 times as long."""
    log = get_logger("bench.monitors", log_dir=str(tmp_path), stdout=False, rotation="1 GB")

    def call() -> None:
        log.info("table loaded", table="orders", rows=3)

    without, watched = [], []
    for _ in range(5):
        without.append(best(call))
        with MemoryMonitor(log, interval=0.1), serve_metrics(log), timed("bench.monitors"):
            watched.append(best(call))
    log.close()

    show("log call without monitors", min(without) * 1e6, "µs")
    show("log call, all monitors on : off", min(watched) / min(without), "x", at_most=1.05)


def test_timed_and_throughput() -> None:
    """A call that is measured or counted costs at most 1 µs more."""
    orders = Throughput("bench.orders")

    def block() -> None:
        with timed("bench.block"):
            pass

    @timed("bench.function")
    def measured() -> None:
        pass

    def plain() -> None:
        pass

    floor = best(plain)
    figures = {
        "with timed(...)": best(block) - floor,
        "@timed": best(measured) - floor,
        "Throughput.add": best(lambda: orders.add(1, 0.25)) - floor,
    }

    for what, seconds in figures.items():
        show(what, seconds * 1e6, "µs", at_most=1)


def test_memory_monitor_of_a_process() -> None:
    """With its default interval it takes at most 0.5 % of a core, in one thread."""
    log = get_logger("bench.memory", log_dir=None, stdout=False)
    monitor = MemoryMonitor(log)
    monitor.sample()
    kept = [list(range(100)) for _ in range(200_000)]  # a process of some size

    began = time.thread_time()
    for _ in range(20):
        monitor.sample()
    share = (time.thread_time() - began) / 20 / 5.0
    log.close()

    show("memory monitor, share of a core", share * 100, "%", at_most=0.5)
    assert kept
