"""Scenario: a hundred loggers with open files, each with a record written."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from typing import Any

from .contenders import OLD_RELEASE
from .figures import Figure, Plan, at_most, in_turn, summary

LOGGERS = 100


def _memory_and_threads() -> tuple[float, int]:
    """Resident KiB and threads of this process, from the kernel."""
    gc.collect()
    with open("/proc/self/statm", "rb") as statm:
        pages = int(statm.readline().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024, len(os.listdir("/proc/self/task"))


def one_process(folder: str, old: bool, enqueue: bool) -> dict[str, Any]:
    """What the second to the 101st logger add, after one logger has written a record."""
    if old:
        if not OLD_RELEASE.is_dir():
            raise ModuleNotFoundError("laketrace 1.0.2 is not there")
        sys.path.insert(0, str(OLD_RELEASE))
    get_logger = importlib.import_module("laketrace").get_logger

    settings: dict[str, Any] = {"log_dir": folder, "stdout": False, "enqueue": enqueue}

    def one(number: int) -> Any:
        log = get_logger(f"orders_{number}", settings)
        if old:
            signal.alarm(0)
        log.info("table loaded", table="orders", rows=number, seconds=0.25)
        return log

    loggers = [one(0)]
    if enqueue and not old:
        loggers[0].flush()
    before, _ = _memory_and_threads()
    loggers += [one(number) for number in range(1, LOGGERS + 1)]
    if enqueue and not old:
        for log in loggers:
            log.flush()
    after, threads = _memory_and_threads()
    files = sum(name.endswith(".log") for name in os.listdir(folder))
    assert files == LOGGERS + 1, f"{files} files of {LOGGERS + 1}"
    for log in loggers:
        log.close()
    return {"rss": after - before, "threads": threads - 1, "files": files}


def run(plan: Plan) -> list[Figure]:
    cases = {
        "laketrace": {"old": False, "enqueue": False},
        "laketrace, enqueue": {"old": False, "enqueue": True},
        "laketrace 1.0.2": {"old": True, "enqueue": False},
        "laketrace 1.0.2, enqueue": {"old": True, "enqueue": True},
    }
    samples = in_turn(plan, one_process, cases)
    figures = []
    for name, case in cases.items():
        trouble = samples.trouble.get(name, "")
        for key, unit, limit, what in (
            ("rss", "KiB", 1024, f"RSS of {LOGGERS} more loggers"),
            ("threads", "", 1, "threads beside the main one"),
        ):
            goal, holds = ("", None) if case["old"] else (f"≤ {limit}", at_most(limit))
            values = samples.values(name, key)
            figures.append(
                summary("loggers", f"{name}: {what}", values, unit, goal, holds, trouble)
            )
    return figures
