"""Scenario: what comes again costs less: repeated messages and bound contexts, over new ones."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

from laketrace import Logger, get_logger

from .figures import Figure, Plan, in_turn, ratio, summary
from .quiet import clean_blocks

MESSAGE = "order %06d of table orders was loaded"
CONTEXT = {
    "table": "orders", "stage": "bronze", "day": "2026-11-21",
    "source": "landing", "owner": "sales", "region": "eu",
}  # fmt: skip
# Name: settings, and what one turn of the loop logs.
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "new messages": ({}, "new"),
    "one message again": ({}, "again"),
    "new messages, mask_pii": ({"mask_pii": True}, "new"),
    "one message again, mask_pii": ({"mask_pii": True}, "again"),
    "six fields in each call": ({}, "fields"),
    "six fields bound": ({}, "bound"),
}
COMPARED = [
    ("one message again", "new messages"),
    ("one message again, mask_pii", "new messages, mask_pii"),
    ("six fields bound", "six fields in each call"),
]


def one_process(
    folder: str, name: str, blocks: int, block_seconds: float, patience: float
) -> dict[str, Any]:
    """The best block of one case, in nanoseconds a record."""
    settings, kind = CASES[name]
    log = get_logger("repeated", log_dir=folder, stdout=False, rotation="1 GB", **settings)
    write = _loop(log, kind)
    took = min(write(1000) for _ in range(5))
    records = max(100, int(block_seconds * 1e9 * 1000 / took))
    found = clean_blocks(
        lambda: write(records) / records, blocks=blocks, patience=patience, busy_thread=True
    )
    log.close()
    return {"ns": found.best}


def _loop(log: Logger, kind: str) -> Callable[[int], int]:
    """Log so many records and say how many nanoseconds it took; all texts are made before."""
    numbers = itertools.count()
    bound = log.bind(**CONTEXT) if kind == "bound" else log
    fields = CONTEXT if kind == "fields" else {}

    def write(records: int) -> int:
        first = next(numbers)
        messages = [MESSAGE % (first * 100_003 + number) for number in range(records)]
        if kind != "new":
            messages = [MESSAGE % 0] * records
        begin = time.perf_counter_ns()
        for message in messages:
            bound.info(message, **fields)
        return time.perf_counter_ns() - begin

    return write


def run(plan: Plan) -> list[Figure]:
    samples = in_turn(plan, one_process, {name: {"name": name, **plan.blocking} for name in CASES})
    figures = [
        ratio(
            samples, f"{again} over {new}", (again, "ns"), (new, "ns"),
            scenario="repeated", goal="< 1", holds=lambda value: value < 1,
        )
        for again, new in COMPARED
    ]  # fmt: skip
    for name in CASES:
        times = [ns / 1000 for ns in samples.values(name, "ns")]
        trouble = samples.trouble.get(name, "")
        figures.append(summary("repeated", f"{name}: a record", times, "µs", trouble=trouble))
    return figures
