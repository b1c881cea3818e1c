"""The rules of a run: what is collected, and that nothing is skipped unseen.

`@pytest.mark.extra("orjson")`   the test needs an optional package; where it is missing, a skip.
`@pytest.mark.python("3.11")`    the test is about something that older interpreters do not have:
                                 it is left out there, which is no skip, and counted as deselected.
`@pytest.mark.spark("4.1")`      likewise for Spark; without a version any Spark will do.
`--no-skips` or `CI=true`        a skip, also one of a whole module, is a failure with its reason.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Iterator

import pytest

NEVER = ("", "0", "false", "no", "off")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips",
        action="store_true",
        default=os.environ.get("CI", "").lower() not in NEVER,
        help="a skipped test is a failed one (the default where CI=true)",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    too_new = [item for item in items if _needs_newer(item)]
    if too_new:
        items[:] = [item for item in items if item not in too_new]
        config.hook.pytest_deselected(items=too_new)


def pytest_runtest_setup(item: pytest.Item) -> None:
    wanted = [name for mark in item.iter_markers("extra") for name in mark.args]
    missing = [name for name in wanted if not _is_there(name)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: pip install -e '.[test]'")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if item.config.getoption("--no-skips") and not hasattr(report, "wasxfail"):
        _refuse_skip(report)


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    outcome = yield
    if collector.config.getoption("--no-skips"):
        _refuse_skip(outcome.get_result())  # type: ignore[attr-defined]


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.outcome == "skipped":
        place = report.longrepr
        reason = place[2] if isinstance(place, tuple) else str(place)
        report.outcome = "failed"
        report.longrepr = f"A skip is a failure here (--no-skips or CI=true). {reason}"


def _needs_newer(item: pytest.Item) -> bool:
    pythons = [_numbers(mark.args[0]) for mark in item.iter_markers("python")]
    sparks = [_numbers(mark.args[0]) for mark in item.iter_markers("spark") if mark.args]
    return any(sys.version_info < wanted for wanted in pythons) or any(
        _spark_version() < wanted for wanted in sparks
    )


def _spark_version() -> tuple[int, ...]:
    for package in ("pyspark", "pyspark-client"):
        try:
            return _numbers(importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            continue
    return (99,)  # none: the test says so when it runs


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the parent of a dotted name is missing
        return False
