"""The demo's segments become a Delta table: by delta-rs without a JVM, or by Spark.

Floor 7. Stands on: cli.tables, cli.terminal, errors, runtime.

`--spark` is the one place in LakeTrace that starts Spark, because it was asked to; while its
session is active, `laketrace.upload` lets it write.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

from laketrace.cli.tables import open_delta
from laketrace.cli.terminal import progress
from laketrace.errors import LakeTraceError, MissingExtraError, need
from laketrace.runtime import active_session


class SparkError(LakeTraceError, RuntimeError):
    """Spark did not start; the text says why."""


class Writer(NamedTuple):
    """Who writes the table; `count_rows` gives the rows of a run, and their different places."""

    name: str
    count_rows: Callable[[str, str], tuple[int, int]]


@contextmanager
def delta_rs() -> Iterator[Writer]:
    """delta-rs, which needs no JVM. Raises `MissingExtraError`."""
    version = need("deltalake", "demo", "laketrace demo").__version__
    need("pyarrow", "demo", "laketrace demo")
    yield Writer(f"delta-rs {version}, without a JVM", _count)


def _count(table: str, run_id: str) -> tuple[int, int]:
    places = ["segment", "offset"]
    rows = open_delta(table).to_pyarrow_table(columns=places, filters=[("run_id", "=", run_id)])
    return rows.num_rows, rows.group_by(places).aggregate([]).num_rows


@contextmanager
def spark_writer() -> Iterator[Writer]:
    """The active Spark session, else one of two threads that ends with the block."""
    with _session() as session:

        def count(table: str, run_id: str) -> tuple[int, int]:
            rows = session.read.format("delta").load(table)
            rows = rows.filter(rows.run_id == run_id).select("segment", "offset")
            return int(rows.count()), int(rows.distinct().count())

        yield Writer(f"Spark {session.version}", count)


@contextmanager
def _session() -> Iterator[Any]:
    """The active Spark session or a new one.

    Delta's jars come from `delta-spark`, which lets Spark fetch them, unless the environment
    gives Spark jars already (PYSPARK_SUBMIT_ARGS, SPARK_CONF_DIR). Raises `MissingExtraError`.
    """
    session = active_session()
    if session is not None:
        yield session
        return
    with progress("starting Spark"):
        session = _start()
    try:
        yield session
    finally:
        session.stop()


def _start() -> Any:
    if os.environ.get("SPARK_CONF_DIR") or "jars" in os.environ.get("PYSPARK_SUBMIT_ARGS", ""):
        with_jars = None
    else:
        with_jars = _needed("delta", "delta-spark").configure_spark_with_delta_pip
    builder = (
        _needed("pyspark.sql", "pyspark")
        .SparkSession.builder.master("local[2]")
        .appName("laketrace-demo")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config(
            "spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog"
        )
    )
    try:
        session = (builder if with_jars is None else with_jars(builder)).getOrCreate()
    except Exception as error:  # no Java, no jars; Py4J, Ivy and Spark have classes of their own
        reason = str(error).strip().partition("\n")[0]
        raise SparkError(
            f"Spark did not start: {reason} It needs Java 17 or 21 (JAVA_HOME), and Delta's jars, "
            "which it fetches from Maven Central unless spark.jars names them."
        ) from None
    session.sparkContext.setLogLevel("ERROR")
    return session


def _needed(module: str, package: str) -> Any:
    """A module of Spark's. Raises `MissingExtraError`: no extra of ours brings pyspark."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"laketrace demo --spark needs the package {package}. On a cluster it is there; "
            "elsewhere run: pip install pyspark delta-spark",
            name=error.name,
        ) from None


def engine_of(table: str) -> str:
    """What a table itself says about who wrote its last commit."""
    (last,) = open_delta(table).history(1)
    return str(last.get("engineInfo", "unknown"))
