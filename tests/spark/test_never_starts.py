"""LakeTrace never imports pyspark by itself and never makes a JVM appear."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import laketrace
from laketrace import Logger, monitor, pipeline, runtime, spark
from tests.support.processes import ROOT

# Everything public that a program without Spark may call; `kept` are names of 1.x.
EVERYTHING = """
import os, pickle, sys
from importlib.util import find_spec
import laketrace
from laketrace import *
from laketrace import runtime

def all_of_it():
    folder = sys.argv[1]
    log = get_logger("etl", log_dir=folder, stdout=False, enqueue=True, rotation="1 KB")
    get_logger("etl", log_dir=folder, level="DEBUG")
    get_logger(log_dir=None, stdout=False)
    create_logger("other", {"log_dir": None, "stdout": False}).info("x")
    log.trace("t"); log.debug("d"); log.info("i %s", 1, a=1); log.success("s"); log.warning("w")
    log.error("e"); log.critical("c"); log.log("INFO", "l"); log.log_structured("m", data={"a": 1})
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("x")
    with log.catch("c"), log.contextualize(a=1), contextualize(b=2):
        raise ValueError("v")
    bound = log.bind(stage="s").opt(lazy=True).patch(lambda record: {"p": 1})
    bound.info("%s", lambda: 1)
    pickle.loads(pickle.dumps(bound)).info("back")
    number = log.add(lambda text: None); log.set_level("INFO"); log.is_enabled_for("INFO")
    log.remove(number); log.handlers; log.stats(); log.flush(); log.tail(0)
    log.finish_segment(); log.name; log.run_id; log.config; log.runtime_metadata; log.bound
    log.log_file_path; add_level("AUDIT", 35); list(laketrace.read(folder))
    bound.unbind("stage"); log.at_close(lambda left: None); laketrace.Logger("third").info("x")
    escape_newlines("a"); escape_format_strings("{"); mask_pii("a"); sanitize_message("a")
    laketrace.Record, laketrace.Stats, laketrace.RuntimeContext, laketrace.__version__
    ConfigError, LakeTraceError, MissingExtraError, MissingLogError, UploadError
    detect_runtime(); stop_spark_if_active()
    runtime.RuntimeDetector.detect_platform(); runtime.RuntimeDetector.detect_runtime_type()
    runtime.RuntimeDetector.get_runtime_metadata(); runtime.RuntimeDetector.reset_cache()
    runtime.active_session(); runtime.default_name(); runtime.find_run_id(); runtime.findings()
    runtime.get_run_id_from_environment(); runtime.is_executor(); runtime.local_disk()
    runtime.record_context(); runtime.run_context(); runtime.spark_settings(["level"])
    runtime.Finding, runtime.RuntimePlatform, runtime.RuntimeType
    from laketrace.spark import stage, keep_context, Stage
    with stage(log, "bronze") as bronze:
        keep_context(lambda: log.info("x"))()
    assert type(pickle.loads(pickle.dumps(bronze))) is Stage
    with log.run("daily") as run, run.stage("silver") as silver:
        silver.observe([{"id": 1}], nulls=["id"])
        silver.metric("files", 1); silver.expect("id is there", column="id", max_null_percent=0)
    str(run.summary()); log.pipeline_metric("silver", "rows", 1); log.health()
    log.data_quality_metric("orders", "rows", 1)
    from laketrace import monitor, pipeline
    with monitor.MemoryMonitor(log, interval=60) as memory, memory.track("load"):
        memory.collect()
    monitor.health(log), monitor.Health
    if find_spec("prometheus_client") and find_spec("datasketches"):
        with monitor.timed("x"):
            monitor.Throughput("y").add(1)
        monitor.timers, monitor.metrics_text(log), monitor.MetricsServer
        monitor.write_textfile(folder + "/x.prom", log)
        with monitor.serve_metrics(log):
            pass
    pipeline.start_run(log, "again"), pipeline.Run, pipeline.Stage
    pipeline.Summary, pipeline.Timing, pipeline.ExpectationFailed, pipeline.TooManyBadRows
    pipeline.pipeline_metric(log, "a", "b", 1); pipeline.data_quality_metric(log, "a", "b", 1)
    cfg = {"streaming": {"checkpoint": folder + "/c", "dlq_path": folder + "/d"}}
    pipeline.validate_streaming_config(cfg); pipeline.create_dlq_handler(cfg)
    pipeline.with_dlq(lambda rows: rows, cfg, "orders", log=log)
    from laketrace.interop import LakeTraceHandler, capture
    LakeTraceHandler(log)
    with capture(log):
        pass
    target = folder + "/target"
    report = log.upload(target)
    assert report.ok, report
    assert log.upload_log_to_lakehouse(target)
    report = laketrace.upload(folder, target)
    assert report.ok, report
    log.close()
"""
NEED_A_SESSION = {
    *("load", "watch_streams", "collect_worker_logs", "inheritable_thread_target"),
    *("read_stream", "write_stream", "replay_dlq"),
}
NEED_A_SERVER = {"push_metrics"}

NO_PYSPARK = """
class Never:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pyspark", "py4j", "delta", "databricks", "notebookutils"):
            raise AssertionError(f"{name} was imported")

sys.meta_path.insert(0, Never())
all_of_it()
from laketrace.spark import collect_worker_logs
assert collect_worker_logs(None, get_logger("last", log_dir=None, stdout=False)) == 0
print("done", any(name.startswith("pyspark") for name in sys.modules))
"""

NO_JVM = """
import subprocess
import pyspark, pyspark.sql, pyspark.sql.streaming.listener
from pyspark import SparkContext
started = []
sys.addaudithook(lambda event, args: started.append(str(args[:1])) if event in (
    "subprocess.Popen", "os.fork", "os.posix_spawn", "socket.connect") else None)
all_of_it()
from laketrace.spark import collect_worker_logs, watch_streams
log = get_logger("last", log_dir=None, stdout=False)
assert collect_worker_logs(None, log) == 0 and log.watch_streams(None) is None
print("done", started, SparkContext._gateway, SparkContext._jvm)
"""


def test_nothing_public_is_left_out() -> None:
    """The program above uses every public name that has something to do without Spark."""
    nodes = list(ast.walk(ast.parse(EVERYTHING)))
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    used |= {node.id for node in nodes if isinstance(node, ast.Name)}
    methods = {name for name in dir(Logger) if not name.startswith("_")}

    houses = (laketrace, runtime, spark, pipeline, monitor)
    there = {*methods, *(name for house in houses for name in house.__all__)}

    # `over` is how the package itself makes a logger.
    assert there - used - NEED_A_SESSION - NEED_A_SERVER - {"over"} == set()


def run(program: str, folder: Path) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", EVERYTHING + program, str(folder)],
        capture_output=True,
        text=True,
        timeout=400,
        env={**os.environ, "PYTHONPATH": ROOT},
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout.splitlines()[-1]


def test_nothing_imports_pyspark(tmp_path: Path) -> None:
    """Every public call works under an import hook that fails on pyspark."""
    assert run(NO_PYSPARK, tmp_path) == "done False"


@pytest.mark.extra("pyspark", "py4j")
def test_nothing_makes_a_jvm_appear(tmp_path: Path) -> None:
    """With pyspark loaded and no session, no public call starts a process or connects."""
    assert run(NO_JVM, tmp_path) == "done [] None None"
