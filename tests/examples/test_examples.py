"""The examples run, here as on the platform, and what they log is what they say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import ROOT

EXAMPLES = Path(ROOT, "examples")
NOTEBOOK = EXAMPLES / "fabric_notebook_safe_usage.ipynb"


# One process for all, whose session is there before, as on a platform; the job stops it at last.
RUNNER = """
import contextlib, os, runpy, sys
from pyspark.sql import SparkSession

SparkSession.builder.getOrCreate()
folder, logs, *calls = sys.argv[1:]
for call in calls:
    sys.argv = call.split()
    os.environ["LAKETRACE_LOG_DIR"] = os.path.join(logs, sys.argv[0])
    with open(os.path.join(logs, f"{sys.argv[0]}.out"), "w") as out:
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            runpy.run_path(os.path.join(folder, sys.argv[0]), run_name="__main__")
"""
CALLS = (
    "example_fabric_notebook.py",
    "example_databricks_job.py nightly-7",
    "example_5_unified_spark_logging.py",
    "example_fabric_spark_job.py 500",
)


@pytest.fixture(scope="module")
def ran(spark_environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the output and the logs of each example."""
    folder = tmp_path_factory.mktemp("examples")
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, str(EXAMPLES), str(folder), *CALLS],
        capture_output=True,
        text=True,
        timeout=560,
        cwd=folder,
        env={**os.environ, **spark_environ},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture
def run(ran: Path) -> Any:
    """What an example printed, and the records that it logged."""

    def result(name: str) -> tuple[str, list[dict[str, Any]]]:
        return (ran / f"{name}.out").read_text(), read(ran / name)

    return result


def read(folder: Path) -> list[dict[str, Any]]:
    (file,) = folder.glob("*.log")
    return [json.loads(line) for line in file.read_text().splitlines()]


def messages(records: list[dict[str, Any]]) -> list[str]:
    return [record["message"] for record in records]


def test_fabric_notebook(run: Any) -> None:
    """The notebook's cells log stages, warnings and a Spark error with its class."""
    out, records = run("example_fabric_notebook.py")

    assert "0 failed" in out
    assert {"stage clean ended", "stage report ended"} <= set(messages(records))
    (failed,) = [record for record in records if record["level"] == "ERROR"]
    assert failed["exception"]["error_class"] == "TABLE_OR_VIEW_NOT_FOUND"


def test_fabric_spark_job(run: Any) -> None:
    """The job logs its stages with Spark's job ids and its result."""
    _, records = run("example_fabric_spark_job.py")

    ended = [record for record in records if record.get("event") == "stage_ended"]
    assert [record["stage"] for record in ended] == ["extract", "load"]
    assert ended[1]["job_ids"]
    (loaded,) = [record for record in records if record["message"] == "orders loaded"]
    assert (loaded["level"], loaded["total"]) == ("SUCCESS", 24750)


def test_databricks_job(run: Any) -> None:
    """The job has the run id of its parameter, and no secret is in its log."""
    out, records = run("example_databricks_job.py")

    assert {record["run_id"] for record in records} == {"nightly-7"}
    text = out + json.dumps(records)
    assert "hunter2" not in text and "DE0212" not in text
    (failed,) = [record for record in records if record["level"] == "ERROR"]
    assert failed["table"] == "customers"
    assert failed["exception"]["error_class"].startswith("UNRESOLVED_COLUMN")


@pytest.mark.slow
def test_multi_stage_pipeline(spark_environ: dict[str, str], tmp_path: Path) -> None:
    """The flights go through bronze, silver and gold, as the page of the example shows it."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "example_multi_stage_pipeline.py")],
        capture_output=True,
        text=True,
        timeout=560,
        cwd=tmp_path,
        env={**os.environ, **spark_environ, "LAKETRACE_LOG_DIR": str(tmp_path / "logs")},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    records = read(tmp_path / "logs")

    ended = [record for record in records if record.get("event") == "stage_end"]
    assert [(record["stage"], record["status"]) for record in ended] == [
        ("landing", "ok"), ("bronze", "ok"), ("silver", "ok"), ("gold", "ok")
    ]  # fmt: skip
    told = {
        (record["metric_name"], record.get("dims", {}).get("column")): record["metric_value"]
        for record in records
        if "metric_name" in record
    }
    assert told["pipeline.landing.files_landed", None] == 12
    assert told["pipeline.bronze.dead_letters", None] == 1
    assert told["pipeline.silver.flights.row_count", None] == 336_775
    assert told["dq.flights.null_percent", "dep_time"] == pytest.approx(100 * 8255 / 336_775, 0.01)
    progress = [record for record in records if record.get("event") == "stream_progress"]
    assert sum(record["rows"] for record in progress) == 336_776
    missed = [record for record in records if record.get("passed") is False]
    assert [record["expectation"] for record in missed] == ["each aircraft is known"]
    assert "memory_snapshot" in [record.get("event") for record in records]
    page = Path(ROOT, "docs/how-to/multi-stage-pipeline.md").read_text("utf-8")
    (shown,) = re.findall(r'```text title="Output"\n(.*?)```', page, re.S)
    assert _timeless(shown) == _timeless(done.stdout)


def _timeless(text: str) -> list[str]:
    """The lines of an output without seconds, and without the widths that follow from them."""
    lines = re.sub(r"\b\d+\.\d+(?= s\b|  )", "...", text).splitlines()
    return [" ".join(line.split()) for line in lines if line.strip()]


def test_unified_spark_logging(run: Any) -> None:
    """What a UDF logged is in the driver's log where Spark can tell it; else a record says why."""
    import pyspark

    _, records = run("example_5_unified_spark_logging.py")

    assert "amounts computed" in messages(records)
    brought = [record for record in records if record.get("executor")]
    if tuple(map(int, pyspark.__version__.split(".")[:2])) < (4, 1):
        assert brought == []
        assert "worker_logs_missing" in [record.get("event") for record in records]
    else:
        (error,) = brought
        assert (error["message"], error["udf"], error["table"]) == (
            "order without amount",
            "net",
            "orders",
        )
        assert (error["stage"], error["gross"]) == ("net", 0.0)
        assert error["exception"]["type"] == "ZeroDivisionError"


def test_notebook_is_stored_without_outputs() -> None:
    """The notebook in the repository holds no outputs and no counters."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]

    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.spark
@pytest.mark.extra("nbclient", "ipykernel")
def test_notebook_runs_and_a_cell_can_run_again(
    spark_environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a real kernel, with Spark's progress bar on: no doubled and no broken line."""
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("LAKETRACE_LOG_DIR", str(tmp_path / "logs"))
    monkeypatch.setenv(
        "PYSPARK_SUBMIT_ARGS", "--conf spark.ui.showConsoleProgress=true pyspark-shell"
    )
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    again = [cell for cell in notebook.cells if 'log.info("ready"' in cell.source]
    notebook.cells[3:3] = [nbformat.from_dict({**again[0], "id": "again"})]

    NotebookClient(notebook, timeout=480, startup_timeout=240, kernel_name="python3").execute(
        cwd=str(tmp_path)
    )

    said = [record["message"] for record in read(tmp_path / "logs")]
    assert said.count("ready") == 2  # the cell ran twice
    assert said.count("details") == 1
    assert said.count("the table is not there") == 1
    lines = "".join(
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stdout"
    ).splitlines()
    assert sum("counted" in line for line in lines) == 1
