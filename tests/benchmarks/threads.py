"""Scenario: eight threads on one logger, beside eight threads with nothing but `os.write`.

`os.write` gives up the interpreter lock, so threads that make their line in Python and write it
lose some of their rate whatever the logger does. The figure is what the logger keeps of its
one-thread rate over what the floor (encode, then a bare `os.write` without any lock) keeps of its
own. `os.write` of a ready line, without any Python between two writes, stands beside it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from .contenders import count_back, start
from .figures import Figure, Plan, Samples, at_least, at_most, in_turn, summary
from .quiet import clean_blocks

THREADS = 8


def _together(threads: int, work: Callable[[], None], finish: Callable[[], object]) -> int:
    """Nanoseconds from the common start until every thread has finished and `finish` returned."""
    barrier = threading.Barrier(threads + 1)

    def run() -> None:
        barrier.wait()
        work()

    crew = [threading.Thread(target=run) for _ in range(threads)]
    for each in crew:
        each.start()
    barrier.wait()
    begin = time.perf_counter_ns()
    for each in crew:
        each.join()
    finish()
    return time.perf_counter_ns() - begin


def one_process(
    folder: str,
    name: str,
    settings: dict[str, Any],
    blocks: int,
    block_seconds: float,
    patience: float,
) -> dict[str, Any]:
    """One contender: ns a record with one thread and with eight, and the p99 of a call in µs."""
    line = start(name, folder, **settings)
    timed = line.timed
    assert timed is not None
    written = 0

    def rate(threads: int) -> float:
        nonlocal written
        share = records // threads
        took = _together(threads, lambda: line.write(share), line.flush)
        written += share * threads
        return took / (share * threads)

    calls: list[int] = []

    def latency() -> float:
        nonlocal written
        found: list[list[int]] = []
        share = records // THREADS
        _together(THREADS, lambda: found.append(timed(share)), line.flush)
        written += share * THREADS
        calls[:] = sorted(took for each in found for took in each)
        return calls[int(len(calls) * 0.99)] / 1000

    records = 2000
    records = max(800, int(2 * block_seconds * 1e9 / min(rate(1) for _ in range(3))))
    few = max(4, blocks // 4)
    one = clean_blocks(lambda: rate(1), blocks=few, patience=patience)
    eight = clean_blocks(lambda: rate(THREADS), blocks=few, patience=patience)
    slow = clean_blocks(latency, blocks=max(4, few // 2), patience=patience)
    line.close()
    count_back(name, folder, written)
    return {
        "one": one.best,
        "eight": eight.best,
        "kept": one.best / eight.best,
        "p99": sorted(slow.values)[len(slow.values) // 2],
    }


def run(plan: Plan) -> list[Figure]:
    cases: dict[str, dict[str, Any]] = {
        "bare os.write": {"name": "bare os.write", "settings": {}},
        "floor": {"name": "floor", "settings": {}},
        "sync": {"name": "laketrace", "settings": {}},
        "enqueue": {"name": "laketrace", "settings": {"enqueue": True}},
        "structlog + orjson": {"name": "structlog + orjson", "settings": {}},
        "loguru serialize": {"name": "loguru serialize", "settings": {}},
    }
    samples = in_turn(
        plan, one_process, {key: {**case, **plan.blocking} for key, case in cases.items()}
    )
    return _figures(samples, list(cases))


def _figures(samples: Samples, names: list[str]) -> list[Figure]:
    figures = []
    floor = samples.values("floor", "kept")
    kept = samples.values("sync", "kept")
    shares = [mine / theirs for mine, theirs in zip(kept, floor, strict=False)]
    trouble = samples.trouble.get("sync", "")
    what = f"sync: kept by {THREADS} threads, over what encode + bare os.write keeps"
    figures.append(summary("threads", what, shares, "×", "≥ 0.9", at_least(0.9), trouble))
    p99 = samples.values("sync", "p99")
    what = f"sync: p99 of a call, {THREADS} threads"
    figures.append(summary("threads", what, p99, "µs", "≤ 1000", at_most(1000), trouble))
    queued = samples.values("enqueue", "kept")
    trouble = samples.trouble.get("enqueue", "")
    what = f"enqueue: kept by {THREADS} threads of the one-thread rate"
    figures.append(summary("threads", what, queued, "×", "≥ 0.8", at_least(0.8), trouble))
    for name in names:
        trouble = samples.trouble.get(name, "")
        for key, unit, what in (
            ("one", "ns", "a record, one thread"),
            ("eight", "ns", f"a record, {THREADS} threads"),
            ("kept", "×", "kept of the one-thread rate"),
            ("p99", "µs", f"p99 of a call, {THREADS} threads"),
        ):
            values = samples.values(name, key)
            figures.append(summary("threads", f"{name}: {what}", values, unit, trouble=trouble))
    return figures
