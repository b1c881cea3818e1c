"""The rules of a run: what is collected, and that nothing is skipped unseen.

`@pytest.mark.extra("orjson")`   the test needs an optional package; where it is missing, a skip.
`@pytest.mark.python("3.11")`    the test is about something that older interpreters do not have:
                                 it is left out there, which is no skip, and counted as deselected.
`--no-skips` or `CI=true`        a skip, also one of a whole module, is a failure with its reason.
"""

from __future__ import annotations

import importlib.util
import os
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
    too_new = [item for item in items if _needs_newer_python(item)]
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


def _needs_newer_python(item: pytest.Item) -> bool:
    versions = [mark.args[0] for mark in item.iter_markers("python")]
    return any(sys.version_info < tuple(map(int, text.split("."))) for text in versions)


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the parent of a dotted name is missing
        return False
