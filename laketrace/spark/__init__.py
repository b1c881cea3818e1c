"""Spark and the log: stages, streams, what workers logged, and files loaded into a table.

Floor 7. Stands on: spark.context, spark.load, spark.stages, spark.streams, spark.workerlogs.

    from laketrace.spark import stage

    with stage(log, "bronze"):
        spark.read.json(path).write.saveAsTable("bronze.orders")

Nothing here starts or stops Spark or imports pyspark before it is needed, and nothing but `load`,
which is a job of its own, raises into the job: what Spark refuses is said in the log.
"""

from __future__ import annotations

from laketrace.spark.context import inheritable_thread_target, keep_context
from laketrace.spark.load import load
from laketrace.spark.stages import Stage, stage
from laketrace.spark.streams import watch_streams
from laketrace.spark.workerlogs import collect_worker_logs

__all__ = [
    "Stage",
    "collect_worker_logs",
    "inheritable_thread_target",
    "keep_context",
    "load",
    "stage",
    "watch_streams",
]
