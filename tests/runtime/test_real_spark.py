"""What real pyspark shows: each test is a Spark program of its own, which reports as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from laketrace import runtime

PREAMBLE = """
import json, os, sys, threading
import laketrace.runtime as runtime
import pyspark
from pyspark import SparkContext
from pyspark.sql import SparkSession

report = {}

def in_child(read):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, json.dumps(read()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    answer = os.fdopen(reader, "rb").read()
    os.waitpid(pid, 0)
    return json.loads(answer)

def in_thread(read):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(read()))
    thread.start()
    thread.join()
    return answers[0]

def look():
    context = runtime.detect_runtime()
    return [context.platform.value, context.runtime_type.value]

def settings():
    return runtime.spark_settings(["level", "rotation", "no_such"])

def app_id():
    return runtime.run_context().get("spark_app_id")

# pyspark is imported, no session is there: every call must leave the JVM alone.
report["before"] = [
    look(), settings(), app_id(), runtime.is_executor(), runtime.default_name(),
    runtime.stop_spark_if_active(), SparkContext._gateway is None,
]
"""

SEE_AND_STOP = """
report["look"] = look()
report["thread"] = in_thread(lambda: [look(), settings(), app_id()])
report["settings"] = settings()
report["app_id"] = app_id()
report["executor"] = runtime.is_executor()
report["child"] = in_child(lambda: [look(), settings(), app_id(), runtime.stop_spark_if_active()])
report["after_child"] = int(spark.range(7).count())
runtime.stop_spark_if_active()
report["stopped"] = [settings(), runtime.active_session() is None]
print("REPORT" + json.dumps(report))
"""

CLASSIC = """
spark = (
    SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    .config("spark.laketrace.rotation", "10 MB").getOrCreate()
)
spark.conf.set("spark.laketrace.level", "DEBUG")
report["real_app_id"] = spark.sparkContext.applicationId
report["worker"] = spark.sparkContext.parallelize([1], 1).map(
    lambda _: [runtime.is_executor(), *look(), runtime.active_session() is None]
).collect()[0]

def batch(df, _):
    report["foreach_batch"] = [runtime.is_executor(), df.count()]

query = (
    spark.readStream.format("rate-micro-batch").option("rowsPerBatch", 3).load()
    .writeStream.foreachBatch(batch).trigger(once=True).start()
)
query.awaitTermination()
"""

CONNECT = """
builder = (
    SparkSession.builder.remote("local[1]").config("spark.ui.enabled", "false")
    .config("spark.laketrace.rotation", "10 MB")
)
spark = builder.getOrCreate()
spark.conf.set("spark.laketrace.level", "DEBUG")
report["real_app_id"] = spark.conf.get("spark.app.id")

from pyspark.sql.functions import udf

@udf("boolean")
def on_executor(_):
    import laketrace.runtime
    return laketrace.runtime.is_executor()

report["worker"] = spark.range(1).select(on_executor("id")).collect()[0][0]
target = os.environ["TARGET"]

def batch(df, _):
    import laketrace.runtime
    with open(target, "w") as file:
        file.write(repr(laketrace.runtime.is_executor()))

writer = (
    spark.readStream.format("rate-micro-batch").option("rowsPerBatch", 3).load()
    .writeStream.foreachBatch(batch).trigger(once=True)
)
for tries_left in range(5, -1, -1):  # Spark gives such a process 10 s, too few on a busy machine
    try:
        query = writer.start()
        break
    except Exception as error:
        if not tries_left or "Python worker failed to connect back" not in str(error):
            raise
query.awaitTermination()
report["foreach_batch"] = open(target).read()

from laketrace import get_logger
from laketrace.spark import stage

with stage(get_logger("stages", log_dir=None, stdout=False), "bronze"):
    spark.range(3).collect()
jobs = SparkContext._active_spark_context._jsc.sc().statusStore().jobsList(None)
newest = max((jobs.apply(index) for index in range(jobs.size())), key=lambda job: job.jobId())
report["job"] = [newest.description().get(), newest.jobTags().mkString(" ")]
"""


def run(program: str, tmp_path: Path, environ: dict[str, str]) -> dict[str, Any]:
    script = tmp_path / "load orders.py"
    script.write_text(PREAMBLE + program + SEE_AND_STOP)
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, **environ, "TARGET": str(tmp_path / "answer")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "REPORT" in done.stdout, done.stderr[-3000:]
    report: dict[str, Any] = json.loads(done.stdout.partition("REPORT")[2])
    return report


def check_common(report: dict[str, Any]) -> None:
    settings = {"level": "DEBUG", "rotation": "10 MB"}
    app_id = report["real_app_id"]
    assert report["before"] == [["local", "local"], {}, None, False, "load_orders", None, True]
    assert report["look"] == ["spark", "script"]
    assert report["settings"] == settings
    assert report["app_id"] == app_id
    assert report["thread"] == [["spark", "script"], settings, app_id]
    assert report["executor"] is False
    assert report["child"] == [["spark", "script"], {}, app_id, None]
    assert report["after_child"] == 7
    assert report["stopped"] == [{}, True]


def test_classic_session(spark_environ: dict[str, str], tmp_path: Path):
    """A classic session is found, read and stopped; workers know themselves; forks keep off."""
    report = run(CLASSIC, tmp_path, spark_environ)

    check_common(report)
    assert report["worker"] == [True, "spark", "script", True]
    assert report["foreach_batch"] == [False, 3]


def test_connect_session(spark_environ: dict[str, str], tmp_path: Path):
    """The same on Spark Connect, where foreachBatch runs in a process of its own.

    What Spark's pages show of a job, as its server has it, bears the name of the stage.
    """
    report = run(CONNECT, tmp_path, spark_environ)

    check_common(report)
    assert report["worker"] is True
    assert report["foreach_batch"] == "True"
    description, tags = report["job"]
    assert description == "bronze" and "Tag_bronze" in tags


def test_connect_session_of_sail(sail: Any):
    """A session whose server is no Spark is found, and its settings are read."""
    sail.conf.set("spark.laketrace.level", "DEBUG")

    found = runtime.spark_settings(["level", "rotation"])

    sail.conf.unset("spark.laketrace.level")
    assert runtime.active_session() is sail
    assert runtime.detect_runtime().platform == "spark"
    assert found == {"level": "DEBUG"}
