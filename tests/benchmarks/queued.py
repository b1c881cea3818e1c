"""Scenario: `enqueue=True`, seen by the caller, end to end, and while segments turn over.

`caller` is the median of single calls in bursts that the queue can hold, `end to end` the time
of a burst until `flush` says that all is on disk, both beside the same of the sync logger.
`tail` is what one call may cost while 64 MB segments rotate and compress to gz, at full speed
(the queue is full all the time: the caller waits for the writer) and at a steady rate.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from .contenders import KEEP_ALL, count_back, start
from .figures import Figure, Plan, at_least, at_most, in_turn, ratio, summary
from .quiet import NoCleanBlock, Watch, clean_blocks, middle, wait_for_quiet

STEADY = 25_000  # records a second
_BURST = 25


def burst_process(
    folder: str,
    name: str,
    settings: dict[str, Any],
    blocks: int,
    block_seconds: float,
    patience: float,
) -> dict[str, Any]:
    """One contender: the caller's median and the time of a record until it is on disk, in ns."""
    line = start(name, folder, **settings)
    timed = line.timed
    assert timed is not None
    written = 0

    def median_call() -> float:
        nonlocal written
        took = timed(burst)
        line.flush()
        written += burst
        return middle([float(each) for each in took])

    def end_to_end(records: int) -> float:
        nonlocal written
        begin = time.perf_counter_ns()
        line.write(records)
        line.flush()
        took = time.perf_counter_ns() - begin
        written += records
        return took / records

    burst = 1000
    per_record = min(end_to_end(2000) for _ in range(5))
    burst = min(5000, max(100, int(block_seconds * 1e9 / per_record)))
    long = max(1000, int(4 * block_seconds * 1e9 / per_record))
    calls = clean_blocks(median_call, blocks=blocks, patience=patience)
    rates = clean_blocks(lambda: end_to_end(long), blocks=max(4, blocks // 4), patience=patience)
    line.close()
    count_back(name, folder, written)
    return {"caller": calls.best, "end": rates.best}


def tail_process(
    folder: str, name: str, settings: dict[str, Any], segments: int, rate: int, patience: float
) -> dict[str, Any]:
    """Percentiles of single calls, in µs, until `segments` segments were finished.

    `rate` is records a second; 0 is as fast as the caller can.
    """
    line = start(name, folder, **settings)
    timed = line.timed
    assert timed is not None
    timed(1000)
    written = 1000
    took: list[int] = []
    deadline = time.monotonic() + patience

    def window() -> list[int]:
        if not rate:
            return timed(10_000)
        found: list[int] = []
        due = time.perf_counter()
        for _ in range(rate // 10 // _BURST):
            found += timed(_BURST)
            due += _BURST / rate
            time.sleep(max(0.0, due - time.perf_counter()))
        return found

    while len(_finished(folder)) < segments and time.monotonic() < deadline:
        with Watch() as watch:
            new = window()
        written += len(new)
        if watch.clean:
            took += new
    line.flush()
    line.close()
    archives = sum(path.suffix == ".gz" for path in _finished(folder))
    count_back(name, folder, written)
    if len(took) < 100_000:
        raise NoCleanBlock(f"{len(took)} of {written} calls were undisturbed")
    took.sort()
    found = {
        f"p{share}": took[min(len(took) - 1, int(len(took) * share / 100))] / 1000
        for share in (50, 99, 99.9)
    }
    return {**found, "max": took[-1] / 1000, "archives": archives, "calls": len(took)}


def _finished(folder: str) -> list[Path]:
    return [path for path in Path(folder).glob("*.log.*") if path.is_file()]


def run(plan: Plan) -> list[Figure]:
    wait_for_quiet(time.monotonic() + 1)
    return [*_bursts(plan), *_tails(plan)]


def _bursts(plan: Plan) -> list[Figure]:
    queue = {"enqueue": True}
    cases = {
        "sync": {"name": "laketrace", "settings": {}},
        "enqueue": {"name": "laketrace", "settings": queue},
        "loguru enqueue": {"name": "loguru serialize, enqueue", "settings": {}},
    }
    samples = in_turn(
        plan, burst_process, {key: {**case, **plan.blocking} for key, case in cases.items()}
    )
    figures = [
        ratio(
            samples,
            "enqueue: caller's median over sync",
            ("enqueue", "caller"),
            ("sync", "caller"),
            scenario="enqueue",
            goal="≤ 1.0",
            holds=at_most(1.0),
        ),
        ratio(
            samples,
            "enqueue: end-to-end rate over sync",
            ("sync", "end"),
            ("enqueue", "end"),
            scenario="enqueue",
            goal="≥ 1.0",
            holds=at_least(1.0),
        ),
    ]
    for name in cases:
        for key, what in (("caller", "caller's median"), ("end", "a record, end to end")):
            times = [ns / 1000 for ns in samples.values(name, key)]
            trouble = samples.trouble.get(name, "")
            figures.append(summary("enqueue", f"{name}: {what}", times, "µs", trouble=trouble))
    return figures


def _tails(plan: Plan) -> list[Figure]:
    settings = {"enqueue": True, "rotation": "64 MB", "compression": "gz", **KEEP_ALL}
    patience = max(60.0, plan.patience)
    quick = plan.processes < 9
    base = {"name": "laketrace", "settings": settings, "patience": patience}
    cases = {
        "full speed": {**base, "segments": 2 if quick else 4, "rate": 0},
        f"{STEADY:,} records/s": {**base, "segments": 1 if quick else 2, "rate": STEADY},
    }
    few = plan._replace(processes=min(3, plan.processes))
    samples = in_turn(few, tail_process, cases)
    figures = []
    for name in cases:
        trouble = samples.trouble.get(name, "")
        for key in ("p50", "p99", "p99.9", "max"):
            goal = key == "p99.9"
            figures.append(
                summary(
                    "enqueue",
                    f"64 MB segments to gz, {name}: {key} of a call",
                    samples.values(name, key),
                    "µs",
                    "≤ 200" if goal else "",
                    at_most(200) if goal else None,
                    trouble,
                )
            )
    return figures
