"""The examples run, here as on the platform, and what they log is what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import ROOT

EXAMPLES = Path(ROOT, "examples")
NOTEBOOK = EXAMPLES / "fabric_notebook_safe_usage.ipynb"


@pytest.fixture
def run(spark_environ: dict[str, str], tmp_path: Path) -> Any:
    """Run an example; its output and the records that it logged."""

    def run_example(name: str, *args: str) -> tuple[str, list[dict[str, Any]]]:
        ran = subprocess.run(
            [sys.executable, str(EXAMPLES / name), *args],
            capture_output=True,
            text=True,
            timeout=240,
            cwd=tmp_path,
            env={**os.environ, **spark_environ, "LAKETRACE_LOG_DIR": str(tmp_path / "logs")},
        )
        assert ran.returncode == 0, ran.stderr[-3000:]
        return ran.stdout, read(tmp_path / "logs")

    return run_example


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
    _, records = run("example_fabric_spark_job.py", "500")

    ended = [record for record in records if record.get("event") == "stage_ended"]
    assert [record["stage"] for record in ended] == ["extract", "load"]
    assert ended[1]["job_ids"]
    (loaded,) = [record for record in records if record["message"] == "orders loaded"]
    assert (loaded["level"], loaded["total"]) == ("SUCCESS", 24750)


def test_databricks_job(run: Any) -> None:
    """The job has the run id of its parameter, and no secret is in its log."""
    out, records = run("example_databricks_job.py", "nightly-7")

    assert {record["run_id"] for record in records} == {"nightly-7"}
    text = out + json.dumps(records)
    assert "hunter2" not in text and "DE0212" not in text
    (failed,) = [record for record in records if record["level"] == "ERROR"]
    assert failed["table"] == "customers"
    assert failed["exception"]["error_class"].startswith("UNRESOLVED_COLUMN")


def test_multi_stage_pipeline(run: Any) -> None:
    """Every record of a stage bears its name, and each stage ends well."""
    _, records = run("example_multi_stage_pipeline.py")

    stages = [record["stage"] for record in records if record.get("event") == "stage_ended"]
    assert stages == ["bronze", "silver", "gold"]
    (cleaned,) = [record for record in records if record["message"] == "orders cleaned"]
    assert (cleaned["stage"], cleaned["rows_in"], cleaned["rows_out"]) == ("silver", 1000, 900)


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

    NotebookClient(notebook, timeout=240, kernel_name="python3").execute(cwd=str(tmp_path))

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
