"""Rates and latencies."""

from __future__ import annotations

import asyncio
import pickle
import sys
import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("datasketches")

from laketrace import ConfigError
from laketrace.monitor import Throughput, timed, timers


def test_a_rate_looks_at_its_window_only() -> None:
    """What lies before the window does not count."""
    now = [0.0]
    orders = Throughput("orders", clock=lambda: now[0])
    orders.add(1000)
    now[0] = 100
    orders.add(60)

    assert orders.rate(60) == 1.0
    assert orders.rate(200) == 5.3
    assert orders.total == 1060


def test_old_buckets_are_used_again() -> None:
    """After an hour the history is overwritten, not added to."""
    now = [0.0]
    orders = Throughput("orders", clock=lambda: now[0])
    orders.add(1000)
    now[0] = 3600
    orders.add(1)

    assert orders.rate(3600) == pytest.approx(1 / 3600)


@pytest.mark.parametrize("window", [0, -1, 0.5, 3601])
def test_a_window_that_nobody_kept_is_refused(window: float) -> None:
    """A rate over two hours, of which one is known, would be half of it."""
    with pytest.raises(ConfigError, match="1 to 3600 seconds"):
        Throughput("orders").rate(window)  # type: ignore[arg-type]


def test_threads_lose_no_count() -> None:
    """Total, rate and latencies are exact, however many threads add."""
    orders = Throughput("orders", clock=lambda: 100.0)
    meet = threading.Barrier(4)

    def work() -> None:
        meet.wait()
        for _ in range(5000):
            orders.add(2, 0.5)

    threads = [threading.Thread(target=work) for _ in range(4)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)

    assert (orders.total, orders.rate(10), orders.observed) == (40_000, 4000, 20_000)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=5000))
def test_quantiles_stay_within_the_stated_error(values: list[float]) -> None:
    """A quantile's rank among the values is right within the error the sketch states."""
    latency = Throughput("latency")
    for value in values:
        latency.observe(value)

    ordered = sorted(values)
    for rank in (0.5, 0.95, 0.99):
        quantile = latency.quantile(rank)
        assert quantile is not None
        below = sum(value < quantile for value in ordered) / len(ordered)
        above = sum(value <= quantile for value in ordered) / len(ordered)
        slack = latency.error * 2 + 1 / len(ordered)
        assert below - slack <= rank <= above + slack


def test_memory_stays_a_few_kilobytes() -> None:
    """However many latencies there are."""
    latency = Throughput("latency")
    for value in range(200_000):
        latency.observe(value)

    assert len(pickle.dumps(latency)) < 8 * 1024
    assert latency.error < 0.0134


def test_two_can_be_merged() -> None:
    """Sketches of two workers are one."""
    first, second = Throughput("a"), Throughput("b")
    for value in range(100):
        first.observe(value)
        second.observe(value + 100)
    first.merge(second)

    assert first.observed == 200 and first.quantile(0.5) == pytest.approx(100, abs=5)


def test_one_of_another_process_can_be_merged() -> None:
    """Total and latencies come along with it."""
    worker, driver = Throughput("orders"), Throughput("orders")
    worker.add(100, seconds=0.5)

    driver.merge(pickle.loads(pickle.dumps(worker)))

    assert (driver.total, driver.observed, driver.quantile(0.5)) == (100, 1, 0.5)


def test_nothing_observed_has_no_quantile() -> None:
    """None, not zero."""
    assert Throughput("none").quantile(0.5) is None


def test_timed_measures_blocks_functions_and_coroutines() -> None:
    """All forms count into the timer of their name, also when they raise."""

    @timed("all")
    def function() -> int:
        return 1

    @timed("all")
    async def coroutine() -> int:
        raise ValueError("x")

    async def block() -> None:
        async with timed("all"):
            await asyncio.sleep(0)

    with timed("all"):
        assert function() == 1
    with pytest.raises(ValueError, match="x"):
        asyncio.run(coroutine())
    asyncio.run(block())

    assert timers["all"].observed == timers["all"].total == 4
    assert timers["all"].rate(60) == pytest.approx(4 / 60)
    quantiles = [timers["all"].quantile(rank) or 0 for rank in (0.1, 0.5, 0.9)]
    assert all(low <= high for low, high in pairwise(quantiles))
