"""Scenario: what `import laketrace` costs a program that has imported json and logging.

Parts of LakeTrace load on first use, so the figure that a program pays is with `get_logger`
in its hand; both are measured against the same goal. Wall times are compared as medians of
interleaved, undisturbed runs; with fewer than a third of them there is no figure.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .contenders import OLD_RELEASE
from .figures import Figure, Plan, at_most, summary
from .quiet import Watch, middle, wait_for_quiet
from .worker import ROOT

_BASE = "import json, logging"
_GET = "from laketrace import get_logger"
_PROGRAMS: dict[str, tuple[Path, str]] = {  # where to import from, and the statement
    _BASE: (ROOT, ""),
    "import laketrace": (ROOT, "import laketrace"),
    _GET: (ROOT, _GET),
    "import laketrace 1.0.2": (OLD_RELEASE, "import laketrace"),
    "import loguru": (ROOT, "import loguru"),
    "import structlog": (ROOT, "import structlog"),
    "import picologging": (ROOT, "import picologging"),
}
_GOALS = ("import laketrace", _GET)


def _run(caches: str, path: Path, statement: str, *options: str) -> tuple[float | None, str]:
    """Wall milliseconds of one program (None if others disturbed it) and what it printed.

    Bytecode is kept in `caches`, whatever the environment says about writing it.
    """
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONPYCACHEPREFIX": caches}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with Watch(children=True) as watch:
        ended = subprocess.run(
            [sys.executable, *options, "-c", f"{_BASE}; {statement}"],
            env=environment,
            cwd=Path(sys.executable).parent,
            capture_output=True,
            text=True,
        )
    if ended.returncode:
        raise ModuleNotFoundError(ended.stderr.strip().splitlines()[-1])
    return (watch.wall_ns / 1e6 if watch.clean else None), ended.stderr


def _after_base(report: str) -> float:
    """Milliseconds that `-X importtime` gives for what the statement imported, all together.

    The outermost modules after `logging`, which the base imports last, are indented by one space.
    """
    rows = [line.split("|") for line in report.splitlines() if line.count("|") == 2]
    names = [row[2].rstrip() for row in rows]
    after = rows[names.index(" logging") + 1 :]
    outermost = [row for row in after if row[2].startswith(" ") and not row[2].startswith("  ")]
    return sum(int(row[1]) for row in outermost) / 1000


def run(plan: Plan) -> list[Figure]:
    rounds = 31 if plan.processes >= 9 else 9
    figures: list[Figure] = []
    extra: dict[str, list[float]] = {name: [] for name in _PROGRAMS}
    inside: dict[str, list[float]] = {name: [] for name in _PROGRAMS}
    trouble: dict[str, str] = {}
    for _ in range(plan.repeats):
        with tempfile.TemporaryDirectory(prefix="bench-") as caches:
            walls, reports = _one_repeat(caches, rounds, trouble)
        base = walls.pop(_BASE)
        for name, found in walls.items():
            if min(len(found), len(base)) * 3 >= rounds:
                extra[name].append(middle(found) - middle(base))
            if len(reports[name]) * 3 >= rounds:
                inside[name].append(middle(reports[name]))
    for name in list(_PROGRAMS)[1:]:
        goal: tuple[str, Any] = ("≤ 8", at_most(8)) if name in _GOALS else ("", None)
        why = trouble.get(name, "too few quiet runs")
        what = f"{name}: wall time beyond {_BASE}"
        figures.append(summary("import", what, extra[name], "ms", *goal, trouble=why))
        what = f"{name}: -X importtime beyond {_BASE}"
        figures.append(summary("import", what, inside[name], "ms", trouble=why))
    return figures


def _one_repeat(
    caches: str, rounds: int, trouble: dict[str, str]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Interleaved runs of every program; the first round only warms the bytecode caches."""
    walls: dict[str, list[float]] = {name: [] for name in _PROGRAMS}
    reports: dict[str, list[float]] = {name: [] for name in _PROGRAMS}
    for number in range(rounds + 1):
        for name, (path, statement) in _PROGRAMS.items():
            if name in trouble:
                continue
            wait_for_quiet(time.monotonic() + 1)
            try:
                wall, _ = _run(caches, path, statement)
                timed, report = _run(caches, path, statement, "-X", "importtime")
            except ModuleNotFoundError as missing:
                trouble[name] = str(missing)
                continue
            if number and wall is not None:
                walls[name].append(wall)
            if number and timed is not None:
                reports[name].append(_after_base(report))
    return walls, reports
