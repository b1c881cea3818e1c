"""A figure of a bench test, printed beside its goal: `pytest -m bench -s` shows them.

A goal that is missed is told and fails no test: on a busy machine it would say nothing.
"""

from __future__ import annotations


def show(
    what: str,
    value: float,
    unit: str,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> None:
    """Print a figure, and whether its goal is reached, where it has one."""
    goal = ""
    if at_most is not None:
        goal = f" (≤ {at_most:g}: {'reached' if value <= at_most else 'MISSED'})"
    if at_least is not None:
        goal = f" (≥ {at_least:g}: {'reached' if value >= at_least else 'MISSED'})"
    print(f"\n{what}: {value:.3f} {unit}{goal}")
