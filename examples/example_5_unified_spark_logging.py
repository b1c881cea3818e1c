"""One log for driver and workers: what UDFs log is brought home (Spark 4.1 and newer).

On older Spark a record says what is missing; errors of workers are then on their stderr.
"""

from __future__ import annotations

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from laketrace import get_logger
from laketrace.spark import collect_worker_logs, stage


def main() -> None:
    spark = SparkSession.builder.getOrCreate()
    spark.conf.set("spark.sql.pyspark.worker.logging.enabled", "true")
    log = get_logger("unified").bind(table="orders")

    @F.udf("double")
    def net(gross: float) -> float | None:
        # The same logger, on a worker: it came with the function, by name, fields and all.
        try:
            return 100 / gross
        except ZeroDivisionError:
            log.exception("order without amount", gross=gross)
            return None

    with stage(log, "net"):
        orders = spark.createDataFrame([(50.0,), (0.0,), (20.0,)], "gross double")
        rows = orders.select(net("gross")).collect()
        log.info("amounts computed", rows=len(rows))

    brought = collect_worker_logs(spark, log)
    log.info("worker logs collected", records=brought)
    log.close()


if __name__ == "__main__":
    main()
