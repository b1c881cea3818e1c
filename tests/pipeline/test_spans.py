"""Runs and stages as spans, where the program uses OpenTelemetry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from laketrace import Logger, get_logger

pytestmark = pytest.mark.extra("opentelemetry.sdk")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Logger]:
    logger = get_logger("spans", log_dir=tmp_path, stdout=False)
    yield logger
    logger.close()


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the SDK would send."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)  # one can be set once a process
    return kept


def records(log: Logger) -> list[dict[str, Any]]:
    log.flush()
    return [json.loads(line) for line in log.log_file_path.read_text().splitlines()]


def test_run_and_stages_are_spans_and_records_bear_their_ids(log: Logger, exporter: Any) -> None:
    """Nested as the stages are, one trace; each record has the ids of the span it lies in."""
    with log.run("daily") as run, run.stage("bronze"), run.stage("read"):
        log.info("inside")

    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"daily", "bronze", "bronze/read"}
    assert spans["bronze"].parent.span_id == spans["daily"].context.span_id
    assert spans["bronze/read"].parent.span_id == spans["bronze"].context.span_id
    named = {span.context.span_id: name for name, span in spans.items()}
    told = [
        (record.get("event", record["message"]), named[int(record["span_id"], 16)])
        for record in records(log)
    ]
    assert told == [
        ("run_start", "daily"),
        ("stage_start", "bronze"),
        ("stage_start", "bronze/read"),
        ("inside", "bronze/read"),
        ("pipeline_metric", "bronze/read"),
        ("stage_end", "bronze/read"),
        ("pipeline_metric", "bronze"),
        ("stage_end", "bronze"),
        ("pipeline_metric", "daily"),
        ("run_end", "daily"),
    ]
    assert len({record["trace_id"] for record in records(log)}) == 1


def test_a_failure_is_on_the_innermost_span_once(log: Logger, exporter: Any) -> None:
    """All have the status, one has the exception."""
    with pytest.raises(ValueError), log.run("daily") as run, run.stage("bronze"):
        raise ValueError("x")

    bronze, daily = exporter.get_finished_spans()
    assert [span.status.status_code.name for span in (bronze, daily)] == ["ERROR", "ERROR"]
    assert [len(span.events) for span in (bronze, daily)] == [1, 0]
    assert bronze.attributes["laketrace.status"] == "failed"


def test_a_stage_on_a_thread_belongs_to_its_run(log: Logger, exporter: Any) -> None:
    """A thread starts without a current span."""

    def work() -> None:
        with run.stage("bronze"):
            pass

    with log.run("daily") as run:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    bronze, daily = exporter.get_finished_spans()
    assert bronze.parent.span_id == daily.context.span_id


def test_a_run_under_a_span_of_the_program_is_its_child(log: Logger, exporter: Any) -> None:
    """And after the run that span is the current one again."""
    from opentelemetry import trace

    tracer = trace.get_tracer("program")
    with tracer.start_as_current_span("job") as job:
        with log.run("daily"):
            pass
        assert trace.get_current_span() is job

    daily = exporter.get_finished_spans()[0]
    assert daily.parent.span_id == job.get_span_context().span_id


def test_opentelemetry_is_never_imported_for_a_program() -> None:
    """A program that does not use it pays nothing, and its records have no ids."""
    program = (
        "import sys, laketrace\n"
        "log = laketrace.get_logger('plain', log_dir=None, stdout=False)\n"
        "with log.run('daily') as run, run.stage('bronze'): pass\n"
        "log.close()\n"
        "assert not any(name.startswith('opentelemetry') for name in sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    subprocess.run([sys.executable, "-c", program], env=environment, timeout=240, check=True)
