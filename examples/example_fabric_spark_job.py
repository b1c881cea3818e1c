"""A Spark job definition of Microsoft Fabric: the main file.

The session is the platform's; what the program logs is on the driver's disk when it ends, however
it ends. Here: `python example_fabric_spark_job.py 1000`.
"""

from __future__ import annotations

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from laketrace import get_logger, stop_spark_if_active
from laketrace.spark import stage


def main(rows: int) -> int:
    spark = SparkSession.builder.appName("daily_orders").getOrCreate()
    with get_logger("daily_orders", enqueue=True) as log, log.catch("job failed", reraise=True):
        with stage(log, "extract"):
            orders = spark.range(rows).withColumn("amount", F.col("id") % 100)
            log.info("orders read", rows=rows)
        with stage(log, "load"):
            total = orders.agg(F.sum("amount")).first()[0]
            log.success("orders loaded", total=total)
    stop_spark_if_active()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
