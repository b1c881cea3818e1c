"""Scenario: what `import laketrace` costs a program that has imported json and logging."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .contenders import OLD_RELEASE
from .figures import Figure, Plan, at_most, summary
from .quiet import Watch, middle, wait_for_quiet
from .worker import ROOT

_BASE = "import json, logging"
_PROGRAMS: dict[str, tuple[str, str]] = {
    "nothing": (str(ROOT), ""),
    "laketrace": (str(ROOT), "laketrace"),
    "laketrace 1.0.2": (str(OLD_RELEASE), "laketrace"),
    "loguru": (str(ROOT), "loguru"),
    "structlog": (str(ROOT), "structlog"),
    "picologging": (str(ROOT), "picologging"),
}


def _run(path: str, module: str, *options: str) -> tuple[float | None, str]:
    """Wall milliseconds of one program (None if others disturbed it) and what it printed."""
    program = f"{_BASE}, {module}" if module else _BASE
    with Watch(children=True) as watch:
        ended = subprocess.run(
            [sys.executable, *options, "-c", program],
            env={**os.environ, "PYTHONPATH": path},
            cwd=Path(sys.executable).parent,
            capture_output=True,
            text=True,
        )
    if ended.returncode:
        raise ModuleNotFoundError(ended.stderr.strip().splitlines()[-1])
    return (watch.wall_ns / 1e6 if watch.clean else None), ended.stderr


def _cumulative(report: str, module: str) -> float:
    """Milliseconds that `-X importtime` gives for the module with all it imports."""
    for line in report.splitlines():
        fields = line.split("|")
        if len(fields) == 3 and fields[2].strip() == module:
            return int(fields[1]) / 1000
    raise ValueError(f"{module} is not in the report")


def run(plan: Plan) -> list[Figure]:
    rounds = 31 if plan.processes >= 9 else 7
    figures: list[Figure] = []
    extra: dict[str, list[float]] = {}
    inside: dict[str, list[float]] = {}
    trouble: dict[str, str] = {}
    for _ in range(plan.repeats):
        walls, reports = _one_repeat(rounds, trouble)
        for name in _PROGRAMS:
            if name != "nothing" and walls[name] and walls["nothing"]:
                extra.setdefault(name, []).append(middle(walls[name]) - middle(walls["nothing"]))
            if reports[name]:
                inside.setdefault(name, []).append(middle(reports[name]))
    for name in list(_PROGRAMS)[1:]:
        goal: tuple[str, Any] = ("≤ 8", at_most(8)) if name == "laketrace" else ("", None)
        why = trouble.get(name, "no quiet run")
        what = f"import {name}: wall time more than {_BASE}"
        figures.append(summary("import", what, extra.get(name, []), "ms", *goal, trouble=why))
        what = f"import {name}: -X importtime, after {_BASE}"
        figures.append(summary("import", what, inside.get(name, []), "ms", trouble=why))
    return figures


def _one_repeat(
    rounds: int, trouble: dict[str, str]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Interleaved runs of every program; the first round only warms the bytecode caches."""
    walls: dict[str, list[float]] = {name: [] for name in _PROGRAMS}
    reports: dict[str, list[float]] = {name: [] for name in _PROGRAMS}
    for number in range(rounds + 1):
        wait_for_quiet(time.monotonic() + 2)
        for name, (path, module) in _PROGRAMS.items():
            if name in trouble:
                continue
            try:
                wall, _ = _run(path, module)
                timed, report = _run(path, module, "-X", "importtime") if module else (None, "")
            except ModuleNotFoundError as missing:
                trouble[name] = str(missing)
                continue
            if number and wall is not None:
                walls[name].append(wall)
            if number and timed is not None:
                reports[name].append(_cumulative(report, module))
    return walls, reports
