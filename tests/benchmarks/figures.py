"""What a scenario hands back, and how figures of several processes become one.

A figure is the median over processes. A scenario is run `plan.repeats` times in full; the
figure is the median of the repeats and `spread` says how far they lay from it, so that a reader
sees what repeats within 4 % and what does not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from .quiet import middle
from .worker import Failed, in_fresh_process


class Plan(NamedTuple):
    """How much is measured. `patience` is the seconds one process may wait for quiet blocks."""

    processes: int = 9
    blocks: int = 48
    block_seconds: float = 0.04
    repeats: int = 2
    patience: float = 20.0

    @property
    def blocking(self) -> dict[str, Any]:
        """The part that a measuring process needs."""
        return {
            "blocks": self.blocks,
            "block_seconds": self.block_seconds,
            "patience": self.patience,
        }


QUICK = Plan(processes=3, blocks=12, block_seconds=0.04, repeats=1, patience=5.0)


class Figure(NamedTuple):
    """One row: what was measured, in which unit, against which goal.

    `value` is None when nothing could be measured, and `note` then says why. `reached` is None
    where there is no goal.
    """

    scenario: str
    what: str
    value: float | None
    unit: str
    goal: str = ""
    reached: bool | None = None
    spread: float = 0.0
    note: str = ""


def at_most(limit: float) -> Callable[[float], bool]:
    return lambda value: value <= limit


def at_least(limit: float) -> Callable[[float], bool]:
    return lambda value: value >= limit


class Samples:
    """What the processes of each contender measured, repeat by repeat."""

    def __init__(self) -> None:
        self.results: dict[str, list[list[dict[str, Any]]]] = {}
        self.trouble: dict[str, str] = {}

    def broken(self, name: str) -> bool:
        """Whether the contender failed for another reason than noise: trying again is no use."""
        return name in self.trouble and "NoCleanBlock" not in self.trouble[name]

    def values(self, name: str, key: str) -> list[float]:
        """The median of `key` for each repeat; empty when the contender gave nothing."""
        repeats = self.results.get(name, [])
        return [middle([result[key] for result in repeat]) for repeat in repeats if repeat]


def in_turn(
    plan: Plan, measurement: Callable[..., Any], cases: dict[str, dict[str, Any]]
) -> Samples:
    """Run every case in fresh processes in turn: A B C, B C A, ... for each repeat.

    A process that found no quiet block is tried once more. A contender that fails for another
    reason (not installed) is left out from then on; `Samples.trouble` says why. After a round
    in which no process at all was undisturbed, the repeat ends.
    """
    samples = Samples()
    for _ in range(plan.repeats):
        for name in cases:
            samples.results.setdefault(name, []).append([])
        for number in range(plan.processes):
            order = [name for name in cases if not samples.broken(name)]
            if not order:
                break
            _progress(f"{measurement.__module__.rpartition('.')[2]}: process {number + 1}")
            turn = number % len(order)
            quiet = 0
            for name in order[turn:] + order[:turn]:
                result = _try_twice(measurement, cases[name], samples, name)
                if result is not None:
                    samples.results[name][-1].append(result)
                    quiet += 1
            if not quiet:  # a whole round without one quiet process: the machine is busy
                break
    _progress("")
    for name, repeats in samples.results.items():
        enough = (plan.processes + 1) // 2
        if any(len(repeat) < enough for repeat in repeats):
            found = [len(repeat) for repeat in repeats]
            if not samples.broken(name):
                samples.trouble[name] = f"{found} of {plan.processes} processes were undisturbed"
            samples.results[name] = []
    return samples


def _try_twice(
    measurement: Callable[..., Any], arguments: dict[str, Any], samples: Samples, name: str
) -> Any:
    for _ in range(2):
        try:
            return in_fresh_process(measurement, **arguments)
        except Failed as trouble:
            samples.trouble[name] = str(trouble)
            if "NoCleanBlock" not in str(trouble):
                break
    return None


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def ratio(
    samples: Samples,
    what: str,
    above: tuple[str, str],
    below: tuple[str, str],
    *,
    scenario: str,
    goal: str = "",
    holds: Callable[[float], bool] | None = None,
    unit: str = "×",
    inverse: bool = False,
) -> Figure:
    """The ratio of two medians of the same run; `above` and `below` are (contender, key)."""
    trouble = [
        f"{name}: {samples.trouble[name]}"
        for name in dict.fromkeys([above[0], below[0]])
        if name in samples.trouble and not samples.values(name, above[1])
    ]
    pairs = zip(samples.values(*above), samples.values(*below), strict=False)
    values = [(low / high if inverse else high / low) for high, low in pairs]
    return summary(scenario, what, values, unit, goal, holds, "; ".join(trouble))


def summary(
    scenario: str,
    what: str,
    values: list[float],
    unit: str,
    goal: str = "",
    holds: Callable[[float], bool] | None = None,
    trouble: str = "",
) -> Figure:
    """One figure from the repeats' values; without values, a figure that says why."""
    if not values:
        return Figure(scenario, what, None, unit, goal, None, 0.0, trouble or "not measured")
    value = middle(values)
    spread = max(abs(each - value) / value for each in values) if value else 0.0
    reached = None if holds is None else holds(value)
    return Figure(scenario, what, value, unit, goal, reached, spread)
