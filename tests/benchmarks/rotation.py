"""Scenario: the throughput with rotation at 10 MB, without compression, over that without.

A share of two per cent is smaller than the difference between two processes, so both loggers
live in one process and write their blocks in turn; a block holds several rotations.
"""

from __future__ import annotations

import os
import time
from typing import Any

from .contenders import KEEP_ALL, count_back, start
from .figures import Figure, Plan, at_least, in_turn, summary
from .quiet import NoCleanBlock, Watch, middle, wait_for_quiet

_BLOCK_BYTES = 40 * 1024 * 1024  # four segments


def one_process(folder: str, name: str, pairs: int, patience: float) -> dict[str, Any]:
    """The median over pairs of blocks of the rotating logger's rate over the plain one's."""
    places = {kind: os.path.join(folder, kind) for kind in ("plain", "rotating")}
    for place in places.values():
        os.mkdir(place)
    never: dict[str, Any] = {"rotation": "100 GB", "compression": None, **KEEP_ALL}
    often = {**never, "rotation": "10 MB"}
    plain = start(name, places["plain"], logger="plain", **never)
    rotating = start(name, places["rotating"], logger="rotating", **often)
    plain.write(5000)
    rotating.write(5000)
    size = os.path.getsize(os.path.join(places["plain"], "plain.log")) / 5000
    records = int(_BLOCK_BYTES / size)
    shares: list[float] = []
    written = {"plain": 5000, "rotating": 5000}
    deadline = time.monotonic() + patience
    turn = 0
    while len(shares) < pairs and time.monotonic() < deadline:
        turn += 1
        order = [("plain", plain), ("rotating", rotating)][:: 1 if turn % 2 else -1]
        took = {}
        clean = True
        for kind, line in order:
            with Watch(busy_thread=True) as watch:
                line.write(records)
            took[kind] = watch.wall_ns
            written[kind] += records
            clean = clean and watch.clean
        if clean:
            shares.append(took["plain"] / took["rotating"])
        else:
            wait_for_quiet(deadline)
    plain.close()
    rotating.close()
    for kind, place in places.items():
        count_back(name, place, written[kind])
    if len(shares) * 2 < pairs:
        raise NoCleanBlock(f"{len(shares)} clean pairs of {turn}")
    return {"share": middle(shares), "pairs": len(shares)}


def run(plan: Plan) -> list[Figure]:
    pairs = 8 if plan.processes >= 9 else 3
    name = "laketrace"
    case = {"name": name, "pairs": pairs, "patience": 2 * plan.patience}
    samples = in_turn(plan, one_process, {name: case})
    what = f"{name}: throughput with rotation at 10 MB over without"
    trouble = samples.trouble.get(name, "")
    values = samples.values(name, "share")
    return [summary("rotation", what, values, "×", "≥ 0.98", at_least(0.98), trouble)]
