"""Figures as text for the terminal, and as the table between two markers of the README."""

from __future__ import annotations

import platform
from pathlib import Path

from .figures import Figure

BEGIN = "<!-- figures: begin -->"
END = "<!-- figures: end -->"
_REPEATS_WITHIN = 0.04


def _number(figure: Figure) -> str:
    if figure.value is None:
        return "not measured"
    value = figure.value
    digits = 0 if value >= 100 else 1 if value >= 20 else 2
    if figure.scenario == "rotation":
        digits = 3
    text = f"{value:,.{digits}f}"
    return f"{text} {figure.unit}".strip()


def _spread(figure: Figure) -> str:
    if figure.value is None or not figure.spread:
        return ""
    return f"± {figure.spread * 100:.1f} %"


def as_text(scenario: str, figures: list[Figure]) -> str:
    """The figures of one scenario, one a line, with the goal and what became of it."""
    lines = [f"\n{scenario}"]
    for figure in figures:
        verdict = {None: "", True: "reached", False: "MISSED"}[figure.reached]
        doubt = "  (does not repeat)" if figure.spread > _REPEATS_WITHIN else ""
        line = (
            f"  {figure.what:<72} {_number(figure):>14} {_spread(figure):>9}"
            f"  {figure.goal:<8} {verdict}{doubt}"
        )
        lines.append(f"{line}  {figure.note}".rstrip())
    return "\n".join(lines)


def as_markdown(figures: list[Figure], command: str) -> str:
    """The table of the README: what has a goal, then a record's time for each contender."""
    lines = [
        f"Measured on {_machine()} by `{command}`: every contender in fresh processes in turn, "
        "medians over 9 processes of the best of 48 blocks, blocks that other programs disturbed "
        "left out. Ratios are from one run; ± is how far its two repeats lay apart.",
        "",
        "| | measured | repeats | goal | |",
        "|---|---:|---:|---:|---|",
    ]
    for figure in figures:
        if figure.goal:
            verdict = {None: "", True: "reached", False: "missed"}[figure.reached]
            lines.append(
                f"| {figure.what} | {_number(figure)} | {_spread(figure)} | {figure.goal} "
                f"| {verdict} |"
            )
    lines += ["", "| one JSON record to a file | time | |", "|---|---:|---|"]
    for figure in figures:
        name, _, what = figure.what.rpartition(": ")
        if figure.scenario == "sync" and what == "a record":
            lines.append(f"| {name} | {_number(figure)} | {figure.note} |")
    return "\n".join(lines)


def _machine() -> str:
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            model = next(line.split(":", 1)[1].strip() for line in info if "model name" in line)
    except (OSError, StopIteration):
        pass
    return f"CPython {platform.python_version()}, {platform.system()}, {model}"


def renew(readme: Path, figures: list[Figure], command: str) -> None:
    """Put the table between the markers of `readme`; print it where they are not there."""
    table = as_markdown(figures, command)
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        print(f"{readme.name} has no lines {BEGIN} and {END}; the table:\n\n{table}")
        return
    readme.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}", encoding="utf-8")
