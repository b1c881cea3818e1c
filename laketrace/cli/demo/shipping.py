"""The demo's segments become a Delta table: by delta-rs without a JVM, or by Spark.

Floor 7. Stands on: errors, lakehouse, runtime.

`--spark` is the one place in LakeTrace that starts Spark, because it was asked to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from laketrace.errors import MissingExtraError
from laketrace.lakehouse import UploadReport, upload
from laketrace.runtime import active_session


def ship(log_dir: str, table: str) -> UploadReport:
    """Upload every segment of a directory into a Delta table; the active file is finished first."""
    return upload(log_dir, table=table)


@contextmanager
def spark_session() -> Iterator[Any]:
    """The active Spark session, else one of two threads that ends with the block.

    Delta's jars come from `delta-spark`, which lets Spark fetch them, unless the environment
    gives Spark jars already (PYSPARK_SUBMIT_ARGS, SPARK_CONF_DIR). Raises `MissingExtraError`.
    """
    session = active_session()
    if session is not None:
        yield session
        return
    try:
        from delta import configure_spark_with_delta_pip
        from pyspark.sql import SparkSession
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"laketrace demo --spark needs the package {error.name}. On a cluster it is there; "
            "elsewhere run: pip install pyspark delta-spark",
            name=error.name,
        ) from None
    builder = (
        SparkSession.builder.master("local[2]")
        .appName("laketrace-demo")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config(
            "spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog"
        )
    )
    given = os.environ.get("SPARK_CONF_DIR") or "jars" in os.environ.get("PYSPARK_SUBMIT_ARGS", "")
    session = (builder if given else configure_spark_with_delta_pip(builder)).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    finally:
        session.stop()


def count_with_spark(session: Any, table: str, run_id: str) -> int:
    """The rows of a run in a Delta table, counted by Spark."""
    rows = session.read.format("delta").load(table)
    return int(rows.filter(rows.run_id == run_id).count())
