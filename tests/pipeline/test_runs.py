"""Runs and stages, as records."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from laketrace import ConfigError, Logger, get_logger
from laketrace.core.gauges import gauges
from laketrace.errors import MissingExtraError


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Logger]:
    logger = get_logger("pipeline", log_dir=tmp_path, stdout=False)
    yield logger
    logger.close()


def records(log: Logger, *events: str) -> list[dict[str, Any]]:
    """The records of these events, in order."""
    log.flush()
    found = map(json.loads, log.log_file_path.read_text().splitlines())
    return [record for record in found if not events or record.get("event") in events]


def test_a_run_and_its_stages_are_records(log: Logger) -> None:
    """Start and end, with status and duration; what is logged inside bears their names."""
    with log.run("daily", params={"day": "2026-11-20"}) as run:
        with run.stage("bronze"), run.stage("read"):
            get_logger("pipeline").info("inside")
        log.info("between")

    events = [record.get("event", record["message"]) for record in records(log)]
    assert events == [
        *("run_start", "stage_start", "stage_start", "inside"),
        *("pipeline_metric", "stage_end", "pipeline_metric", "stage_end", "between"),
        *("pipeline_metric", "run_end"),
    ]
    start, *_, end = records(log, "run_start", "run_end")
    assert start["params"] == {"day": "2026-11-20"}
    assert end["status"] == "ok" and end["duration_seconds"] >= 0
    inside = next(record for record in records(log) if record["message"] == "inside")
    assert (inside["run_name"], inside["stage"], inside["attempt"]) == ("daily", "bronze/read", 1)
    between = next(record for record in records(log) if record["message"] == "between")
    assert between["run_name"] == "daily" and "stage" not in between


def test_a_failed_stage_logs_its_exception_once(log: Logger) -> None:
    """The innermost stage logs it; the others and the run say that they failed; it goes on."""
    with (
        pytest.raises(ValueError, match="x"),
        log.run("daily") as run,
        run.stage("bronze"),
        run.stage("read"),
    ):
        raise ValueError("x")

    ends = records(log, "stage_end", "run_end")
    assert [end["status"] for end in ends] == ["failed"] * 3
    assert ["exception" in end for end in ends] == [True, False, False]
    assert ends[-1]["failed_stage"] == "bronze/read" and ends[-1]["level"] == "ERROR"


def test_a_decorated_stage_is_tried_again(log: Logger) -> None:
    """At most `retries` times, each attempt a stage of its own; the last failure goes on."""
    calls: list[int] = []
    with log.run("daily") as run:

        @run.stage("silver", retries=2)
        def flaky() -> str:
            calls.append(1)
            if len(calls) < 3:
                raise OSError("not yet")
            return "done"

        assert flaky() == "done"

    ends = records(log, "stage_end")
    assert [(end["attempt"], end["status"]) for end in ends] == [
        (1, "failed"), (2, "failed"), (3, "ok"),
    ]  # fmt: skip
    assert run.status == "ok" and run.failed_stage is None


def test_a_stage_entered_again_is_another_attempt(log: Logger) -> None:
    """A loop around a `with` block: each entry counts, with what belongs to it alone."""
    with log.run("daily") as run:
        silver = run.stage("silver")
        for file in ("/raw/1", "/raw/2"):
            with silver as stage:
                stage.reads(file)
                if file == "/raw/1":
                    stage.metric("skipped", 1)

    assert [(timing.attempt, timing.metrics) for timing in run.timings] == [
        (1, {"skipped": 1}), (2, {})
    ]  # fmt: skip
    assert [end["inputs"] for end in records(log, "stage_end")] == [["/raw/1"], ["/raw/2"]]


@pytest.mark.parametrize("retries", [-1, 1.5, "2", True])
def test_retries_are_a_whole_number(log: Logger, retries: Any) -> None:
    """Said where the stage is made, not where it fails."""
    with log.run("daily") as run, pytest.raises(ConfigError, match=r"retries=.*whole number"):
        run.stage("silver", retries=retries)


@pytest.mark.parametrize("name", ["", None, 7])
def test_a_stage_has_a_name(log: Logger, name: Any) -> None:
    """Its jobs in Spark and its metrics bear it."""
    with log.run("daily") as run, pytest.raises(ConfigError, match="a stage has a name"):
        run.stage(name)


def test_a_generator_is_no_stage(log: Logger) -> None:
    """Its body runs when its values are taken, after the stage: nothing of it would be seen."""

    def rows() -> Iterator[int]:
        yield 1

    async def more() -> AsyncIterator[int]:
        yield 1

    with log.run("daily") as run:
        for function in (rows, more):
            with pytest.raises(ConfigError, match="is a generator"):
                run.stage("read")(function)


@pytest.mark.parametrize(
    "library", ["pickle", pytest.param("cloudpickle", marks=pytest.mark.extra("cloudpickle"))]
)
def test_runs_and_stages_pickle_by_name(log: Logger, library: str) -> None:
    """In another process a stage tells metrics under its own name, also of an inner stage."""
    dumps = import_module(library).dumps
    with log.run("daily", params={"day": 1}) as run, run.stage("bronze"), run.stage("read") as read:
        there = pickle.loads(dumps({"run": run, "stage": read}))
        there["stage"].metric("rows", 3)
        there["stage"].observe([{"id": None}], name="part", nulls=["id"])

    assert (there["run"].name, there["run"].params) == ("daily", {"day": 1})
    assert (there["stage"].path, there["stage"].attempt) == ("bronze/read", 1)
    assert there["stage"].metrics == {"rows": 3, "part.row_count": 1} and read.metrics == {}
    names = [record["metric_name"] for record in records(log) if "metric_name" in record]
    assert names[:3] == [
        "pipeline.bronze/read.rows",
        "pipeline.bronze/read.part.row_count",
        "dq.part.null_percent",
    ]


def test_coroutines_and_threads_have_stages(log: Logger) -> None:
    """Stages in tasks and threads keep their names apart."""
    with log.run("daily") as run:

        @run.stage("task")
        async def task() -> None:
            await asyncio.sleep(0)
            log.info("in task")

        async def both() -> None:
            await asyncio.gather(task(), task())

        asyncio.run(both())

        def work() -> None:
            with run.stage("thread"):
                log.info("in thread")

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    stages = {
        record["message"]: record["stage"] for record in records(log) if "in " in record["message"]
    }
    assert stages == {"in task": "task", "in thread": "thread"}
    threads = [record for record in records(log) if record["message"] == "in thread"]
    assert threads[0]["run_name"] == "daily"


def test_metrics_are_records_and_gauges(log: Logger) -> None:
    """A metric has name, value, type, unit and dimensions; its last value is kept."""
    with log.run("daily") as run, run.stage("bronze") as stage:
        stage.metric("files_read", 12, {"source": "s3"}, unit="files")
    log.pipeline_metric("gold", "rows", 3)
    log.data_quality_metric("orders", "null_percent", 0.5, {"column": "id"})

    first, duration, total, gold, quality = records(log, "pipeline_metric", "data_quality_metric")
    assert first["metric_name"] == "pipeline.bronze.files_read" and first["unit"] == "files"
    assert first["dims"] == {"source": "s3"} and first["metric_type"] == "gauge"
    assert duration["metric_name"] == "pipeline.bronze.duration.seconds"
    assert total["metric_name"] == "pipeline.total.duration.seconds"
    assert (gold["metric_name"], gold["metric_value"]) == ("pipeline.gold.rows", 3)
    assert (first["stage"], gold["stage"], "stage" in quality) == ("bronze", "gold", False)
    assert quality["metric_name"] == "dq.orders.null_percent"
    assert gauges("pipeline")[("dq.orders.null_percent", (("column", "id"),))] == 0.5


def test_a_metric_that_is_no_number_is_refused(log: Logger) -> None:
    """All problems at once."""
    with pytest.raises(ConfigError, match="2 settings are wrong"):
        log.pipeline_metric("gold", "rows", "three", metric_type="speed")  # type: ignore[arg-type]


def test_a_killed_run_gets_its_end_at_the_next_start(tmp_path: Path) -> None:
    """A real SIGKILL in mid-run; the next start of the logger says that it was lost, once."""
    program = (
        "import os, signal, laketrace\n"
        f"log = laketrace.get_logger('killed', log_dir={str(tmp_path)!r}, stdout=False)\n"
        "with log.run('finished'): pass\n"
        "with log.run('daily'):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "LAKETRACE_RUN_ID": "run-1", "PYTHONPATH": os.getcwd()}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, timeout=240)
    assert ended.returncode == -signal.SIGKILL

    for _ in range(2):
        get_logger("killed", log_dir=tmp_path, stdout=False).close()

    found = map(json.loads, (tmp_path / "killed.log").read_text().splitlines())
    lost = [record for record in found if record.get("status") == "lost"]
    assert [(end["event"], end["run_name"], end["run_id"]) for end in lost] == [
        ("run_end", "daily", "run-1")
    ]


def test_a_killed_run_of_a_second_process_gets_its_end_too(tmp_path: Path) -> None:
    """It had a file and a journal of its own; who takes them over tells, and leaves none behind."""
    first = get_logger("second", log_dir=tmp_path, stdout=False)
    program = (
        "import os, signal, laketrace\n"
        f"log = laketrace.get_logger('second', log_dir={str(tmp_path)!r}, stdout=False)\n"
        "with log.run('finished'): pass\n"
        "with log.run('daily'):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "LAKETRACE_RUN_ID": "run-2", "PYTHONPATH": os.getcwd()}
    subprocess.run([sys.executable, "-c", program], env=environment, timeout=240)
    first.close()

    for _ in range(2):
        get_logger("second", log_dir=tmp_path, stdout=False).close()

    found = map(json.loads, (tmp_path / "second.log").read_text().splitlines())
    lost = [record for record in found if record.get("status") == "lost"]
    assert [(end["run_name"], end["run_id"]) for end in lost] == [("daily", "run-2")]
    assert list((tmp_path / ".laketrace").glob("*.runs")) == []


def test_the_summary_is_a_table_and_safe_html(log: Logger) -> None:
    """Text for a terminal, HTML with a timeline for a notebook, nothing unescaped in it."""
    with log.run("<daily>") as run, run.stage("bronze") as stage:
        stage.metric("rows", 3)

    summary = run.summary()
    assert "run <daily>: ok" in str(summary) and "rows=3" in str(summary)
    assert "&lt;daily&gt;" in summary._repr_html_() and "<daily>" not in summary._repr_html_()


def test_what_is_no_error_stops_a_run(log: Logger) -> None:
    """A notebook's exit, Ctrl-C: no exception in the log, and no failed stage."""
    with pytest.raises(SystemExit), log.run("daily") as run, run.stage("bronze"):
        raise SystemExit

    ends = records(log, "stage_end", "run_end")
    assert [(end["status"], end["level"]) for end in ends] == [("stopped", "INFO")] * 2
    assert not any("exception" in end or "failed_stage" in end for end in ends)
    assert run.status == "stopped"


def test_a_stage_says_what_it_reads_and_writes(log: Logger) -> None:
    """In its last record."""
    with log.run("daily") as run, run.stage("bronze") as stage:
        stage.reads("/raw/orders")
        stage.writes("main.bronze.orders")

    (end,) = records(log, "stage_end")
    assert (end["inputs"], end["outputs"]) == (["/raw/orders"], ["main.bronze.orders"])


def test_a_summary_can_be_had_in_mid_run(log: Logger) -> None:
    """The run is open, and has taken some time."""
    with log.run("daily") as run:
        with run.stage("bronze"):
            pass
        text = str(run.summary())

        text_of_another = str(log.run("of nobody").summary())

    assert text.startswith("run daily: open, 0.")
    assert text_of_another.startswith("run of nobody: open, 0.")


@pytest.mark.extra("matplotlib")
def test_the_plot_has_a_bar_for_each_attempt(log: Logger, tmp_path: Path) -> None:
    """A figure of matplotlib, which draws itself."""
    with log.run("daily") as run:
        for name in ("bronze", "silver"):
            with run.stage(name):
                pass

    figure = run.plot()

    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["bronze (1)", "silver (1)"]
    figure.savefig(tmp_path / "run.png")
    assert (tmp_path / "run.png").stat().st_size > 1000


def test_without_matplotlib_the_plot_says_what_is_missing(
    log: Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    with log.run("daily") as run:
        pass

    with pytest.raises(MissingExtraError, match="pip install matplotlib"):
        run.plot()


def test_a_forked_child_ends_nothing_of_its_parent(log: Logger) -> None:
    """It leaves the blocks of its parent's run without a record; a stage of its own is told."""
    child = -1
    try:
        with log.run("daily") as run, run.stage("bronze"):
            child = os.fork()
            if child == 0:
                with run.stage("of the child"):
                    pass
    finally:
        if child == 0:
            log.close()
            os._exit(0)
    os.waitpid(child, 0)

    assert [end.get("stage") for end in records(log, "stage_end", "run_end")] == ["bronze", None]
    (written,) = log.log_file_path.parent.glob(f"*.{child}.log")
    found = [json.loads(line) for line in written.read_text().splitlines()]
    ends = [record for record in found if record.get("event") in ("stage_end", "run_end")]
    assert [end["stage"] for end in ends] == ["bronze/of the child"]
