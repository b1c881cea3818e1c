"""Memory: snapshots, components, and leaks told once."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from laketrace import ConfigError, Logger, get_logger
from laketrace.core.gauges import gauges
from laketrace.monitor import MemoryMonitor, readings
from laketrace.monitor import memory as memory_module
from laketrace.monitor.readings import SOURCES, GarbageCollections, read_all


class Memory:
    """A process whose resident memory, and whose time, the test holds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.rss = 100.0
        self.garbage = 0.0

    def read(self, problems: dict[str, str], names: Any = None) -> dict[str, float]:
        return {"rss_mb": self.rss}

    def clock(self) -> float:
        return self.now


@pytest.fixture
def told() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def log(told: list[dict[str, Any]]) -> Iterator[Logger]:
    """A logger whose records, with their level, end in `told`."""
    logger = get_logger("memory", log_dir=None, stdout=False)
    logger.add(lambda text: told.append({"level": text.record.level, **text.record.extra}))
    yield logger
    logger.close()


def grow(monitor: MemoryMonitor, memory: Memory, mb_per_minute: float, minutes: float) -> None:
    """Let memory grow for a while, with a reading every five seconds."""
    for _ in range(int(minutes * 12)):
        monitor.sample()
        memory.now += 5
        memory.rss += mb_per_minute / 12


def leaks(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in told if record["event"] == "memory_leak"]


def test_a_leak_is_told_once_with_its_rate(log: Logger, told: list[dict[str, Any]]) -> None:
    """Growth above the limit over a whole window is one record, however long it lasts."""
    memory = Memory()
    monitor = MemoryMonitor(log, read=memory.read, clock=memory.clock)

    grow(monitor, memory, mb_per_minute=120, minutes=4)

    (leak,) = leaks(told)
    assert leak["level"] == "WARNING" and leak["growth_mb_per_minute"] == pytest.approx(120, 0.05)


def test_a_leak_is_told_though_readings_are_rare(log: Logger, told: list[dict[str, Any]]) -> None:
    """One reading a window, or dear ones, of which fewer are taken: the window is longer then."""
    memory = Memory()
    monitor = MemoryMonitor(log, interval=60, window=60, read=memory.read, clock=memory.clock)

    for _ in range(8):
        monitor.sample()
        memory.now += 60
        memory.rss += 120

    (leak,) = leaks(told)
    assert (leak["growth_mb_per_minute"], leak["window_seconds"]) == (120, 180)


def test_growth_below_the_limit_is_no_leak(log: Logger, told: list[dict[str, Any]]) -> None:
    """A job that grows slowly is left alone."""
    memory = Memory()
    monitor = MemoryMonitor(log, read=memory.read, clock=memory.clock)

    grow(monitor, memory, mb_per_minute=40, minutes=4)

    assert leaks(told) == []


def test_one_jump_is_no_leak(log: Logger, told: list[dict[str, Any]]) -> None:
    """A table that is loaded at once raises memory by a step, not by a slope."""
    memory = Memory()
    monitor = MemoryMonitor(log, read=memory.read, clock=memory.clock)

    grow(monitor, memory, mb_per_minute=0, minutes=1)
    memory.rss += 2000
    grow(monitor, memory, mb_per_minute=0, minutes=3)

    assert leaks(told) == []


def test_garbage_is_collected_before_a_leak_is_told(
    log: Logger, told: list[dict[str, Any]]
) -> None:
    """What a collection frees was no leak."""

    class Freed(Memory):
        def __init__(self) -> None:
            super().__init__()
            gc.callbacks.append(self.on_collection)

        def on_collection(self, phase: str, info: dict[str, int]) -> None:
            if phase == "stop" and info["generation"] == 2:
                self.rss = 100.0

    memory = Freed()
    monitor = MemoryMonitor(log, read=memory.read, clock=memory.clock)
    try:
        grow(monitor, memory, mb_per_minute=120, minutes=1.2)
    finally:
        gc.callbacks.remove(memory.on_collection)

    assert leaks(told) == []


def test_a_second_leak_is_told_after_the_first_has_ended(
    log: Logger, told: list[dict[str, Any]]
) -> None:
    """When memory has stopped growing, the next growth is another leak."""
    memory = Memory()
    monitor = MemoryMonitor(log, read=memory.read, clock=memory.clock)

    for rate in (120, 0, 120):
        grow(monitor, memory, mb_per_minute=rate, minutes=3)

    assert len(leaks(told)) == 2


def test_components_are_told_apart(log: Logger) -> None:
    """`track` attributes growth to a name, over several runs."""
    memory = Memory()
    monitor = MemoryMonitor(log, read=memory.read, clock=memory.clock)

    for growth in (10, 30):
        with monitor.track("load"):
            memory.rss += growth

    assert monitor.components["load"] == {"runs": 2, "growth_mb": 40, "largest_mb": 30}


def test_components_are_in_each_snapshot(log: Logger, told: list[dict[str, Any]]) -> None:
    """What grew, by component, stands beside the figures of the process."""
    memory = Memory()
    monitor = MemoryMonitor(log, read=memory.read, clock=memory.clock)
    with monitor.track("load"):
        memory.rss += 10

    monitor.sample()

    assert told[-1]["components"] == {"load": 10}
    assert gauges("memory")["memory.component_mb", (("component", "load"),)] == 10


def test_dear_readings_are_taken_less_often(log: Logger) -> None:
    """What costs 10 ms of processor time is not asked again within two seconds: 0.5 % of a core."""

    def dear(problems: dict[str, str], names: Any = None) -> dict[str, float]:
        end = time.thread_time() + 0.01
        while time.thread_time() < end:
            pass
        return {"rss_mb": 1}

    cheap = MemoryMonitor(log, interval=0.5, read=Memory().read)

    assert cheap._take() < 2 <= MemoryMonitor(log, interval=0.5, read=dear)._take()
    never = MemoryMonitor(log, interval=float("inf"), read=Memory().read)
    assert never._take() == threading.TIMEOUT_MAX


def test_long_windows_cost_no_more_than_short_ones(log: Logger) -> None:
    """A window of thousands of readings is judged by some of them, and the same is found."""
    memory = Memory()
    monitor = MemoryMonitor(log, window=24 * 3600, read=memory.read, clock=memory.clock)
    monitor._readings.extend((second, second / 60 * 100) for second in range(24 * 3600))
    memory.now = 24 * 3600

    began = time.thread_time()
    slope = monitor._growth({"rss_mb": 24 * 60 * 100.0})

    assert slope == pytest.approx(100, 0.01)
    assert time.thread_time() - began < 1


def test_source_that_hangs_holds_nobody_up(log: Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    """`stop` gives up a reading that does not come back; `track` never asks such a source."""
    let_go, asked = threading.Event(), threading.Event()

    def hanging() -> dict[str, float]:
        asked.set()
        let_go.wait(600)
        return {}

    monkeypatch.setitem(SOURCES, "spark", hanging)
    monkeypatch.setattr(memory_module, "_PATIENCE", 0.05)
    monitor = MemoryMonitor(log).start()
    thread = monitor._thread
    assert asked.wait(120) and thread is not None

    with monitor.track("load"):
        pass
    monitor.stop()

    assert monitor.components["load"]["runs"] == 1
    assert thread.is_alive()
    let_go.set()
    thread.join(120)


def test_a_source_that_fails_is_named_and_the_others_go_on(
    log: Logger, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A monitor never raises into the job."""

    def broken() -> dict[str, float]:
        raise OSError("gone")

    monkeypatch.setitem(SOURCES, "arrow", broken)
    monitor = MemoryMonitor(log)
    monitor.sample()

    assert monitor.problems == {"arrow": "OSError: gone"}
    assert told[-1]["event"] == "memory_snapshot" and told[-1]["python_blocks"] > 0


def test_its_thread_starts_once_and_ends(log: Logger, told: list[dict[str, Any]]) -> None:
    """`start` twice is one thread; after `stop` there is none, and a last reading was logged."""
    monitor = MemoryMonitor(log, interval=3600).start()
    monitor.start()
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("laketrace-memory") == 1

    monitor.stop()

    assert "laketrace-memory" not in [thread.name for thread in threading.enumerate()]
    assert told[-1]["event"] == "memory_snapshot"


def test_wrong_settings_are_told_at_once(log: Logger) -> None:
    """All problems in one error."""
    with pytest.raises(ConfigError, match=r"2 settings are wrong"):
        MemoryMonitor(log, interval=0, window=-1)


def test_real_memory_is_read_with_and_without_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    """`/proc` and psutil agree about this process within a few MB."""
    psutil = pytest.importorskip("psutil")
    problems: dict[str, str] = {}
    with_psutil = read_all(problems)
    monkeypatch.setitem(sys.modules, "psutil", None)
    without = read_all(problems)

    assert psutil and problems == {}
    assert with_psutil["rss_mb"] == pytest.approx(without["rss_mb"], abs=8)
    assert with_psutil["uss_mb"] == pytest.approx(without["uss_mb"], abs=8)


def test_without_psutil_and_proc_the_peak_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a system without `/proc` the largest resident memory is what `resource` tells."""
    monkeypatch.setitem(sys.modules, "psutil", None)
    real = read_all({}, ["process"])

    def no_proc(path: str, *args: Any) -> Any:
        raise FileNotFoundError(path)

    monkeypatch.setattr(readings, "open", no_proc, raising=False)
    figures = read_all(problems := {}, ["process"])

    assert problems == {} and list(figures) == ["peak_rss_mb"]
    assert figures["peak_rss_mb"] >= real["rss_mb"] - 8


def test_a_collection_that_is_asked_for_is_told(log: Logger, told: list[dict[str, Any]]) -> None:
    """What it found and freed."""
    memory = Memory()
    monitor = MemoryMonitor(log, read=memory.read)
    kept: list[Any] = [[]]
    kept[0].append(kept)  # a circle, which only the collector frees
    del kept

    result = monitor.collect()

    assert result["objects"] >= 1 and result["freed_mb"] == 0
    assert told[-1]["event"] == "memory_collected" and told[-1]["objects"] == result["objects"]


def test_a_monitor_that_nobody_stops_ends_with_the_process() -> None:
    """Its thread keeps no program from ending."""
    program = (
        "import laketrace, laketrace.monitor as monitor\n"
        "log = laketrace.get_logger('left', log_dir=None, stdout=False)\n"
        "monitor.MemoryMonitor(log, interval=0.01).start()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}

    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        timeout=240,
        capture_output=True,
        text=True,
    )

    assert (ended.returncode, ended.stderr) == (0, "")


def test_arrow_and_duckdb_are_read_where_they_are_loaded() -> None:
    """Engines in this process have a figure of their own."""
    pyarrow = pytest.importorskip("pyarrow")
    duckdb = pytest.importorskip("duckdb")
    kept = pyarrow.array(range(1_000_000))
    duckdb.sql("create or replace table kept as select range as id from range(100000)")

    problems: dict[str, str] = {}
    figures = read_all(problems)

    assert problems == {} and len(kept)
    assert figures["arrow_mb"] > 7 and figures["duckdb_mb"] > 0


def test_collections_are_counted_by_generation() -> None:
    """Counts and pauses come from the collector itself."""
    collections = GarbageCollections()
    collections.start()
    collections.start()  # as in a forked child, whose monitor starts anew
    gc.collect(0)
    gc.collect(2)
    collections.stop()
    gc.collect(2)

    figures = collections.figures()
    assert figures["gc0_count"] >= 1 and figures["gc2_count"] == 1
    assert figures["gc2_longest_ms"] > 0


def test_memory_of_a_session_is_read(spark: Any) -> None:
    """The JVM's heap and the executors' memory come from the session that is there."""
    spark.range(1000).cache().count()

    figures = SOURCES["spark"]()

    assert 0 < figures["jvm_heap_mb"] <= figures["jvm_heap_limit_mb"]
    assert figures["executors"] == 1  # `local[2]`: the driver
    assert 0 < figures["executors_used_mb"] < figures["executors_limit_mb"]
    spark.catalog.clearCache()


def test_a_connect_session_has_no_jvm_here(any_connect: Any) -> None:
    """Nothing is asked of a session whose server is elsewhere."""
    assert any_connect.range(1).count() == 1

    assert SOURCES["spark"]() == {}
