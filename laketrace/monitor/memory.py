"""Watches the memory of a job: snapshots, components, and leaks told once.

Floor 7. Stands on: core.gauges, errors, monitor.readings.

A daemon thread takes a reading every `interval` seconds and logs it as a `memory_snapshot`; where
readings are so dear that this would take more than 0.5 % of a core, it takes fewer. A leak is a
slope of resident memory above the limit in both halves of a whole window, by the median of all
slopes between two readings (Theil-Sen), which a few outliers do not move; before it is told as
`memory_leak`, garbage is collected and memory read again. It is told once, and again only after
memory has stopped growing in between. Where readings are rare the window is as long as four of
them take. Threads: one for each monitor, none after `stop`. A forked child has no thread; it may
start one. A fault of a source never stops the others or the job.
"""

from __future__ import annotations

import gc
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations
from statistics import median
from typing import TYPE_CHECKING, Any

from laketrace.core.gauges import set_gauge
from laketrace.monitor.readings import Figures, GarbageCollections, read_all

if TYPE_CHECKING:
    from laketrace.core.logger import Logger

_ENOUGH = 4  # readings without which a slope says nothing
_MOST_POINTS = 120  # of a window: the number of slopes between them grows with its square
_SHARE = 0.005  # of a core, at most
_PATIENCE = 5.0  # seconds that `stop` waits for the last reading


class MemoryMonitor:
    """Memory of this process and of the engines in it, as records of a log.

    `interval` and `window` are in seconds, `leak_mb_per_minute` is the growth of resident memory
    from which on a `memory_leak` is told. As a context manager, or by `start()` and `stop()`.

    >>> from laketrace import get_logger
    >>> log = get_logger("doctest.memory", log_dir=None, stdout=False)
    >>> with MemoryMonitor(log, interval=60) as monitor:
    ...     with monitor.track("load"):
    ...         rows = list(range(1000))
    >>> sorted(monitor.components)
    ['load']
    >>> log.close()
    """

    def __init__(
        self,
        log: Logger,
        interval: float = 5.0,
        window: float = 60.0,
        leak_mb_per_minute: float = 64.0,
        *,
        read: Callable[..., Figures] = read_all,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        problems = [
            f"{name}={value!r}: not a number above 0. Use seconds, or MB a minute."
            for name, value in (
                ("interval", interval), ("window", window),
                ("leak_mb_per_minute", leak_mb_per_minute),
            )
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0
        ]  # fmt: skip
        if problems:
            from laketrace.errors import ConfigError

            raise ConfigError(problems)
        self._log = log
        self._interval = interval
        self._window = window
        self._limit = leak_mb_per_minute
        self._read = read
        self._clock = clock
        self._readings: deque[tuple[float, float]] = deque()
        self._leaking = False
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._garbage = GarbageCollections()
        self.problems: dict[str, str] = {}
        """Sources that could not be read at the last reading, with the reason."""
        self.components: dict[str, Figures] = {}
        """What was tracked: for each component its runs, growth and largest growth in MB."""

    def start(self) -> MemoryMonitor:
        """Take readings from now on; a second call does nothing."""
        if self._thread is None or not self._thread.is_alive():
            self._stop = threading.Event()
            self._garbage.start()
            self._thread = threading.Thread(
                target=self._run, args=(self._stop,), name="laketrace-memory", daemon=True
            )
            self._thread.start()
        return self

    def stop(self) -> None:
        """Take a last reading and no more; waits at most 5 seconds for it."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stop.set()
        if thread is not threading.current_thread():
            thread.join(_PATIENCE)
        self._garbage.stop()

    def __enter__(self) -> MemoryMonitor:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _run(self, stop: threading.Event) -> None:
        # All readings in this thread: one that Spark does not answer holds up nobody else.
        while not stop.wait(self._take()):
            pass
        self._take()

    def _take(self) -> float:
        """Take a reading; the seconds to wait for the next one."""
        before = time.thread_time()
        self.sample()
        seconds = max(self._interval, (time.thread_time() - before) / _SHARE)
        return min(seconds, threading.TIMEOUT_MAX)  # for an interval without end

    def sample(self) -> Figures:
        """Take one reading now, log it, and judge whether memory leaks; never raises."""
        try:
            figures = self._figures()
            parts = self._growth_by_component()
            components = {"components": parts} if parts else {}
            self._log.info("memory", event="memory_snapshot", **figures, **components)
            for name, value in figures.items():
                set_gauge(self._log.name, f"memory.{name}", value)
            for name, value in parts.items():
                set_gauge(self._log.name, "memory.component_mb", value, {"component": name})
            self._judge(figures)
        except Exception as error:  # the job never suffers: the reading is missing, and says why
            self.problems["sample"] = f"{type(error).__name__}: {error}"
            return {}
        return figures

    def _figures(self) -> Figures:
        return {**self._read(self.problems), **self._garbage.figures()}

    def _growth_by_component(self) -> dict[str, float]:
        with self._lock:
            return {name: item["growth_mb"] for name, item in self.components.items()}

    def _judge(self, figures: Figures) -> None:
        """Log a leak when the growth over a whole window is above the limit."""
        slope = self._growth(figures)
        if slope is None or slope <= self._limit:
            # Below half of the limit memory has stopped growing: the next leak is another one.
            self._leaking = self._leaking and slope is not None and slope > self._limit / 2
            return
        if self._leaking:
            return
        gc.collect()
        again = self._resident()
        (began, first), (ended, _) = self._readings[0], self._readings.pop()
        self._readings.append((ended, again))
        if (again - first) / (ended - began) * 60 > self._limit:
            self._leaking = True
            self._log.warning(
                "memory grows",
                event="memory_leak",
                growth_mb_per_minute=round(slope, 1),
                limit_mb_per_minute=self._limit,
                window_seconds=round(ended - began, 3),
                rss_mb=again,
                components=self._growth_by_component(),
            )

    def _growth(self, figures: Figures) -> float | None:
        """MB a minute over the window; None while the window is not full."""
        now, used = self._clock(), _used(figures)
        if used is None:
            return None
        readings = self._readings
        readings.append((now, used))
        while len(readings) > _ENOUGH and readings[1][0] <= now - self._window:
            readings.popleft()
        if len(readings) < _ENOUGH or now - readings[0][0] < self._window:
            return None
        # A step, like a table that is loaded at once, lies in one half; a leak grows in both.
        points = list(readings)[:: 1 + len(readings) // _MOST_POINTS]
        middle = len(points) // 2
        return min(_slope(points[: middle + 1]), _slope(points[middle:]))

    @contextmanager
    def track(self, component: str) -> Iterator[None]:
        """Attribute the growth of memory inside the block to `component`; threads may overlap."""
        before = self._resident()
        try:
            yield
        finally:
            after = self._resident()
            growth = after - before if before and after else 0.0
            with self._lock:
                seen = self.components.setdefault(
                    component, {"runs": 0.0, "growth_mb": 0.0, "largest_mb": 0.0}
                )
                seen["runs"] += 1
                seen["growth_mb"] = round(seen["growth_mb"] + growth, 3)
                seen["largest_mb"] = max(seen["largest_mb"], round(growth, 3))

    def collect(self) -> dict[str, Any]:
        """Force a garbage collection; what it freed is logged as `memory_collected`."""
        before = self._resident()
        found = gc.collect()
        freed = round(before - self._resident(), 3)
        result = {"objects": found, "freed_mb": freed}
        self._log.info("garbage collected", event="memory_collected", **result)
        return result

    def _resident(self) -> float:
        """Resident memory in MB, 0 where it is not known; no other source is asked."""
        return _used(self._read(self.problems, ("process",))) or 0.0


def _used(figures: Figures) -> float | None:
    """Resident memory, or the largest that it ever was where the system tells no more."""
    return figures.get("rss_mb", figures.get("peak_rss_mb"))


def _slope(points: list[tuple[float, float]]) -> float:
    """The median of the slopes between any two points, in MB a minute."""
    pairs = combinations(points, 2)
    slopes = [
        (used - base) / (after - before)
        for (before, base), (after, used) in pairs
        if after > before
    ]
    return median(slopes) * 60 if slopes else 0.0
