"""The dashboard in the docs shows what is exported, all of it and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from laketrace import get_logger
from tests.support.processes import ROOT

pytest.importorskip("prometheus_client")
pytest.importorskip("datasketches")

from prometheus_client.parser import text_string_to_metric_families

from laketrace.monitor import MemoryMonitor, metrics_text, timed

DASHBOARD: dict[str, Any] = json.loads(Path(ROOT, "docs/grafana-dashboard.json").read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
# Figures of engines that need not be there when the tests run.
OF_ENGINES = {
    "memory.arrow_mb", "memory.duckdb_mb", "memory.uss_mb", "memory.jvm_heap_mb",
    "memory.jvm_heap_limit_mb", "memory.executors_used_mb", "memory.executors_limit_mb",
    "memory.executors_peak_heap_mb",
}  # fmt: skip
Series = dict[str, list[dict[str, str]]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Series:
    """The series of a job that uses everything: name of the metric to the labels of each."""
    log = get_logger("dashboard", log_dir=tmp_path_factory.mktemp("logs"), stdout=False)
    with log.run("daily") as run, run.stage("bronze") as stage, timed("orders.read"):
        stage.observe([{"id": None}], name="orders", nulls=["id"])
        stage.metric("files_read", 12)
    monitor = MemoryMonitor(log)
    with monitor.track("load"):
        pass
    monitor.sample()
    log.finish_segment()
    log.close()
    log.info("after the end: dropped")
    series: Series = {}
    for family in text_string_to_metric_families(metrics_text(log)):
        for sample in family.samples:
            series.setdefault(sample.name, []).append(sample.labels)
    return series


def queries(panel: dict[str, Any]) -> list[str]:
    return [target["expr"] for target in panel["targets"]]


def selectors(query: str) -> list[tuple[str, dict[str, tuple[str, str]]]]:
    """The metrics of a query, each with its matchers: label to operator and value."""
    found = []
    for name, matchers in re.findall(r"(laketrace_\w+)(?:\{(.*?)\})?", query):
        pairs = re.findall(r'(\w+)(=~|!~|!=|=)"((?:[^"\\]|\\.)*)"', matchers)
        found.append(
            (name, {label: (op, value.replace("\\\\", "\\")) for label, op, value in pairs})
        )
    return found


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_a_panel_asks_for_what_is_exported(panel: dict[str, Any], exported: Series) -> None:
    """Each metric is there with the labels that are asked of it, and a pattern of names fits."""
    for query in queries(panel):
        assert selectors(query)
        assert all(
            query.count(opening) == query.count(closing) for opening, closing in ("()", "{}")
        )
        for name, matchers in selectors(query):
            labels = {label for series in exported[name] for label in series}
            assert matchers.keys() <= labels
            assert set(re.findall(r"by \((\w+)\)", query)) <= labels
            if "name" in matchers:
                there = {series["name"] for series in exported[name]} | OF_ENGINES
                assert any(re.fullmatch(matchers["name"][1], metric) for metric in there)


def test_every_metric_has_a_panel(exported: Series) -> None:
    """What is exported can be seen."""
    shown = {name for panel in PANELS for query in queries(panel) for name, _ in selectors(query)}

    assert {name for name in exported if not name.endswith("_created")} == shown


def test_legends_use_labels_that_are_there(exported: Series) -> None:
    """`{{dims}}` in a legend is a label of the metric."""
    for panel in PANELS:
        for target in panel["targets"]:
            labels = {label for name, _ in selectors(target["expr"]) for label in exported[name][0]}
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels


def test_the_dashboard_can_be_imported() -> None:
    """No data source of ours is in it, ids are unique, and no panel lies on another one."""
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    sources = {panel["datasource"]["uid"] for panel in PANELS}
    taken = [
        (column, line)
        for panel in DASHBOARD["panels"]
        for column in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for line in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len(ids) == len(set(ids))
    assert sources == {"${datasource}"}
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == [
        "datasource", "logger"
    ]  # fmt: skip
    assert len(taken) == len(set(taken)) and max(column for column, _ in taken) < 24
