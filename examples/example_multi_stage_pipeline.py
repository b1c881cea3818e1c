"""Bronze, silver, gold: each stage has its name in the log and in the Spark UI.

`python example_multi_stage_pipeline.py` reads made-up orders, cleans them and sums them up.
"""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from laketrace import Logger, get_logger
from laketrace.spark import stage


def bronze(spark: SparkSession, log: Logger) -> DataFrame:
    orders = spark.range(1000).select(
        F.col("id").alias("order_id"),
        F.when(F.col("id") % 10 != 0, F.col("id") % 7).alias("customer_id"),
        (F.col("id") % 50).cast("double").alias("amount"),
    )
    log.info("orders read", rows=orders.count())
    return orders


def silver(orders: DataFrame, log: Logger) -> DataFrame:
    clean = orders.where(F.col("customer_id").isNotNull())
    log.info("orders cleaned", rows_in=orders.count(), rows_out=clean.count())
    return clean


def gold(orders: DataFrame, log: Logger) -> DataFrame:
    totals = orders.groupBy("customer_id").agg(F.sum("amount").alias("amount"))
    log.info("totals made", rows=totals.count())
    return totals


def main() -> None:
    spark = SparkSession.builder.appName("pipeline").getOrCreate()
    log = get_logger("orders_pipeline")
    with stage(log, "bronze"):
        orders = bronze(spark, log)
    with stage(log, "silver"):
        clean = silver(orders, log)
    with stage(log, "gold"):
        gold(clean, log)
    log.success("pipeline ended", deliveries=log.stats().written)
    log.close()


if __name__ == "__main__":
    main()
