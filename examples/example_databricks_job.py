"""A Databricks job (notebook or Python task), also on serverless: only Spark Connect's API is used.

`run_id` comes as a job parameter: set `{{job.run_id}}` in the task. Here:
`python example_databricks_job.py nightly-7`.
"""

from __future__ import annotations

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from laketrace import get_logger
from laketrace.spark import stage


def main(run_id: str | None) -> None:
    spark = SparkSession.builder.getOrCreate()
    # On Databricks, log_dir="/Volumes/main/ops/logs" lets the files be written on local disk and
    # go to the volume as whole segments.
    log = get_logger("customer_sync", run_id=run_id, redact=["iban"])

    customers = spark.createDataFrame([(1, "Ann"), (2, None)], "id long, name string")
    with stage(log, "check"):
        nameless = customers.where(F.col("name").isNull()).count()
        log.info("customers read", rows=customers.count(), nameless=nameless)

    # Never in the log: a field named like a secret, or one that was named above.
    log.info("connected", user="etl", password="hunter2", iban="DE02120300000000202051")

    with log.contextualize(table="customers"), log.catch("merge failed"):
        spark.sql("SELECT no_such_column FROM VALUES (1)").collect()

    log.info("done", failed_deliveries=log.stats().failed)
    log.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
