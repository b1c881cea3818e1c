"""What memory is used for, read from what is there: the process, Python, Arrow, DuckDB, the JVM.

Floor 7. Stands on: runtime.

Each reading is a function that returns figures or nothing; none starts or imports what is not
running yet, and none raises. Figures are in MB (1,048,576 bytes) unless the name says otherwise.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

from laketrace.runtime import active_session

Figures = dict[str, float]
MB = 1 << 20


def process() -> Figures:
    """Resident memory (`rss_mb`) and what would be freed if the process ended (`uss_mb`).

    By psutil where it is installed, else from `/proc`, else the peak that `resource` knows
    (`peak_rss_mb`).
    """
    try:
        import psutil
    except ModuleNotFoundError:
        return _from_proc() or _from_resource()
    own = psutil.Process()
    try:
        info = own.memory_full_info()
    except psutil.Error:  # not everywhere may a process read its own page tables
        return {"rss_mb": own.memory_info().rss / MB}
    return {"rss_mb": info.rss / MB, "uss_mb": info.uss / MB}


def _from_proc() -> Figures:
    try:
        with open("/proc/self/smaps_rollup", "rb") as file:
            lines = [line.split() for line in file if line.count(b"kB")]
    except OSError:  # before Linux 4.14, and in some sandboxes
        return _from_statm()
    kilobytes = {line[0].rstrip(b":"): int(line[1]) for line in lines}
    own = kilobytes.get(b"Private_Clean", 0) + kilobytes.get(b"Private_Dirty", 0)
    return {"rss_mb": kilobytes.get(b"Rss", 0) / 1024, "uss_mb": own / 1024}


def _from_statm() -> Figures:
    try:
        with open("/proc/self/statm", "rb") as file:
            pages = int(file.read().split()[1])
    except (OSError, IndexError, ValueError):
        return {}
    return {"rss_mb": pages * os.sysconf("SC_PAGE_SIZE") / MB}


def _from_resource() -> Figures:
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return {}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_rss_mb": peak / (MB if sys.platform == "darwin" else 1024)}


def python() -> Figures:
    """Python's own heap: allocated blocks, and bytes where `tracemalloc` is tracing."""
    figures: Figures = {"python_blocks": float(sys.getallocatedblocks())}
    tracemalloc = sys.modules.get("tracemalloc")
    if tracemalloc is not None and tracemalloc.is_tracing():
        figures["python_traced_mb"] = tracemalloc.get_traced_memory()[0] / MB
    return figures


def arrow() -> Figures:
    """What Arrow's default pool has allocated, where pyarrow is loaded."""
    module = sys.modules.get("pyarrow")
    if module is None:
        return {}
    return {"arrow_mb": module.total_allocated_bytes() / MB}


def duckdb() -> Figures:
    """What DuckDB's default connection uses, where duckdb is loaded."""
    module = sys.modules.get("duckdb")
    if module is None:
        return {}
    with module.default_connection().cursor() as cursor:
        row = cursor.execute("select sum(memory_usage_bytes) from duckdb_memory()").fetchone()
    return {"duckdb_mb": float(row[0] or 0) / MB}


def spark() -> Figures:
    """The driver's JVM heap and the executors' memory, of an active classic session.

    Asked of `java.lang.Runtime` and of Spark's status store, which is what its REST API
    (`/applications/[app-id]/executors`) reads: `executors_used_mb` of `executors_limit_mb` is
    storage, `executors_peak_heap_mb` the sum of the largest heaps that they have reported, with
    their heartbeats. A Connect session has no JVM here.
    """
    session: Any = active_session()
    if session is None or not hasattr(session, "_jvm"):
        return {}
    runtime = session._jvm.java.lang.Runtime.getRuntime()
    figures: Figures = {
        "jvm_heap_mb": (runtime.totalMemory() - runtime.freeMemory()) / MB,
        "jvm_heap_limit_mb": runtime.maxMemory() / MB,
    }
    executors = session._jsc.sc().statusStore().executorList(True)
    summaries = [executors.apply(index) for index in range(executors.size())]
    figures["executors"] = float(len(summaries))
    figures["executors_used_mb"] = sum(item.memoryUsed() for item in summaries) / MB
    figures["executors_limit_mb"] = sum(item.maxMemory() for item in summaries) / MB
    peaks = [item.peakMemoryMetrics() for item in summaries]
    heaps = [peak.get().getMetricValue("JVMHeapMemory") for peak in peaks if peak.isDefined()]
    if heaps:
        figures["executors_peak_heap_mb"] = sum(heaps) / MB
    return figures


SOURCES: dict[str, Callable[[], Figures]] = {
    "process": process,
    "python": python,
    "arrow": arrow,
    "duckdb": duckdb,
    "spark": spark,
}


def read_all(problems: dict[str, str], names: Iterable[str] | None = None) -> Figures:
    """The figures of the sources `names` now, of all by default.

    A source that fails is named in `problems` and left out.
    """
    figures: Figures = {}
    for name in SOURCES if names is None else names:
        try:
            figures.update(SOURCES[name]())
            problems.pop(name, None)
        except Exception as error:
            problems[name] = f"{type(error).__name__}: {error}"
    return {name: round(value, 3) for name, value in figures.items()}


class GarbageCollections:
    """Counts and pauses of Python's garbage collector by generation, from its own callbacks.

    >>> collections = GarbageCollections()
    >>> collections.start(); _ = gc.collect(); collections.stop()
    >>> collections.figures()["gc2_count"]
    1.0
    """

    def __init__(self) -> None:
        self._counts = [0, 0, 0]
        self._seconds = [0.0, 0.0, 0.0]
        self._longest = [0.0, 0.0, 0.0]
        self._began = 0.0

    def start(self) -> None:
        """Listen from now on, once."""
        self.stop()
        gc.callbacks.append(self._on)

    def stop(self) -> None:
        """Listen no more."""
        if self._on in gc.callbacks:
            gc.callbacks.remove(self._on)

    def _on(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = perf_counter()
            return
        generation = min(info["generation"], 2)
        pause = perf_counter() - self._began
        self._counts[generation] += 1
        self._seconds[generation] += pause
        self._longest[generation] = max(self._longest[generation], pause)

    def figures(self) -> Figures:
        """For each generation: collections, their time in all, and the longest one in ms."""
        figures: Figures = {}
        for generation in range(3):
            figures[f"gc{generation}_count"] = float(self._counts[generation])
            figures[f"gc{generation}_pause_ms"] = round(self._seconds[generation] * 1000, 3)
            figures[f"gc{generation}_longest_ms"] = round(self._longest[generation] * 1000, 3)
        return figures
