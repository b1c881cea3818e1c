"""Scenario: one thread, one JSON record a call, one write a record, to a file on disk.

The figure is the time of a record, as the best of many blocks, over the floor's.
"""

from __future__ import annotations

import time
from typing import Any

from .contenders import count_back, start
from .figures import Figure, Plan, at_least, at_most, in_turn, ratio, summary
from .quiet import clean_blocks

NAMES = (
    "floor",
    "floor, orjson's own datetime",
    "laketrace",
    "structlog + orjson",
    "laketrace 1.0.2",
    "loguru serialize",
    "stdlib + json",
    "picologging text",
)


def one_process(
    folder: str, name: str, blocks: int, block_seconds: float, patience: float
) -> dict[str, Any]:
    """The best block of one contender, in nanoseconds a record; every line is counted back."""
    line = start(name, folder)
    written = 0

    def timed(records: int) -> int:
        nonlocal written
        begin = time.perf_counter_ns()
        line.write(records)
        took = time.perf_counter_ns() - begin
        written += records
        return took

    took = min(timed(1000) for _ in range(5))
    records = max(100, int(block_seconds * 1e9 * 1000 / took))
    calls = _write_calls()
    before = written
    found = clean_blocks(
        lambda: timed(records) / records, blocks=blocks, patience=patience, busy_thread=True
    )
    calls = _write_calls() - calls
    line.close()
    size = count_back(name, folder, written)
    return {
        "ns": found.best,
        "tried": found.tried,
        "clean": len(found.values),
        "bytes": size / written,
        "writes": calls / (written - before),
    }


def _write_calls() -> int:
    """How many writes the process has made, to check the one write a record; 0 if unknown."""
    try:
        with open("/proc/self/io", "rb") as counters:
            return int(next(line for line in counters if line.startswith(b"syscw")).split()[1])
    except OSError:
        return 0


def run(plan: Plan) -> list[Figure]:
    cases = {name: {"name": name, **plan.blocking} for name in NAMES}
    samples = in_turn(plan, one_process, cases)

    def over(what: str, above: str, below: str, goal: str = "", holds: Any = None) -> Figure:
        return ratio(
            samples, what, (above, "ns"), (below, "ns"), scenario="sync", goal=goal, holds=holds
        )

    figures = [
        over("laketrace over the floor", "laketrace", "floor", "≤ 1.5", at_most(1.5)),
    ]
    for peer, limit in (
        ("structlog + orjson", 1.3),
        ("laketrace 1.0.2", 2.1),
        ("loguru serialize", 5.4),
        ("stdlib + json", None),
        ("picologging text", None),
    ):
        goal, holds = (f"≥ {limit}", at_least(limit)) if limit else ("", None)
        figures.append(over(f"laketrace: faster than {peer}", peer, "laketrace", goal, holds))
    for name in NAMES:
        times = [ns / 1000 for ns in samples.values(name, "ns")]
        trouble = samples.trouble.get(name, "")
        figure = summary("sync", f"{name}: a record", times, "µs", trouble=trouble)
        if times:
            size, calls = (samples.values(name, key)[0] for key in ("bytes", "writes"))
            figure = figure._replace(note=f"{size:.0f} bytes, {calls:.2f} writes a record")
        figures.append(figure)
    return figures
