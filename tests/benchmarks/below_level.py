"""Scenario: a call below the level, over an empty method with the same arguments."""

from __future__ import annotations

import time
from typing import Any

from .contenders import count_back, start
from .figures import Figure, Plan, at_most, in_turn, ratio, summary
from .quiet import clean_blocks

NAMES = (
    "empty method",
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
    """The best block of one contender, in nanoseconds a call; no line may be there after it."""
    line = start(name, folder)
    below = line.below
    assert below is not None

    def timed(tens: int) -> int:
        begin = time.perf_counter_ns()
        below(tens)
        return time.perf_counter_ns() - begin

    took = min(timed(1000) for _ in range(5))
    tens = max(100, int(block_seconds * 1e9 * 1000 / took))
    found = clean_blocks(
        lambda: timed(tens) / (10 * tens), blocks=blocks, patience=patience, busy_thread=True
    )
    line.close()
    count_back(name, folder, 0)
    return {"ns": found.best}


def run(plan: Plan) -> list[Figure]:
    cases = {name: {"name": name, **plan.blocking} for name in NAMES}
    samples = in_turn(plan, one_process, cases)
    figures = []
    for name in NAMES[1:]:
        mine = name == "laketrace"
        figures.append(
            ratio(
                samples,
                f"{name} over an empty method",
                (name, "ns"),
                ("empty method", "ns"),
                scenario="below",
                goal="≤ 1.3" if mine else "",
                holds=at_most(1.3) if mine else None,
            )
        )
    for name in NAMES:
        trouble = samples.trouble.get(name, "")
        figures.append(
            summary("below", f"{name}: a call", samples.values(name, "ns"), "ns", trouble=trouble)
        )
    return figures
