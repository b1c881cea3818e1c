"""Files that jobs have shipped become rows of a table, loaded by one Spark job: `spark.load`.

Floor 7. Stands on: core.notice, lakehouse.columns, lakehouse.file_rows, lakehouse.options,
lakehouse.retry, lakehouse.tables.names, lakehouse.tables.shape, lakehouse.tables.spark,
lakehouse.targets.

A structured stream lists the target and remembers in its checkpoint which files it has seen; each
of its batches is some files, which the executors read, and one commit. What makes that exactly
once is the table, not the checkpoint:

    the rows that a batch brings are those behind what the table has of each segment, found by a
    join that is part of the commit (see `tables.spark`). Rows of a segment are only ever added in
    order, so the last one there tells them all

So a batch that is tried again, a checkpoint that was lost, a second loader and rows that uploaders
have put there are all the same thing. Uploaders know from a property of the table that rows may be
there without a version of their stream, and look for them in the same way; commits of both sides
bear one transaction id more, so that none of them goes by another unseen.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from laketrace.core.notice import say
from laketrace.lakehouse.columns import ddl
from laketrace.lakehouse.file_rows import COLUMNS, SEGMENT, copy_at, rows_of_files
from laketrace.lakehouse.options import make_options
from laketrace.lakehouse.retry import Deadline, Retry
from laketrace.lakehouse.tables.names import TableName
from laketrace.lakehouse.tables.shape import LOADER
from laketrace.lakehouse.tables.spark import SparkTable, is_lost_race, path_for_spark
from laketrace.lakehouse.targets import parse_target

_TRIES = 30
_LARGEST = 2_000_000_000  # bytes of a file; an array of the JVM has less than 2 GiB
_FILES = "path STRING, modificationTime TIMESTAMP, length BIGINT, content BINARY"
_FOR_EVER = "36500d"  # a file is new when it was not seen, however old it is


def start_loading(
    spark: Any, target: object, table: object, checkpoint: object, trigger: str | None, files: int
) -> Any:
    """The query that loads a target into a table; see `laketrace.spark.load`."""
    order = make_options(target, table)
    assert order.target is not None and order.table is not None
    place = path_for_spark(order.target)
    kept = path_for_spark(parse_target(checkpoint))
    loaded = SparkTable(order.table, spark)
    _patiently(lambda: loaded.open(to_load=True))
    found = (
        spark.readStream.format("binaryFile")
        .schema(_FILES)
        .option("recursiveFileLookup", "true")
        .option("maxFilesPerTrigger", str(files))
        .option("maxFileAge", _FOR_EVER)
        .load(place)
        .select("path", "length")
    )
    writer = found.writeStream.option("checkpointLocation", kept)
    writer = writer.foreachBatch(_Batches(order.table))
    if trigger is not None:
        return writer.trigger(processingTime=trigger).start()
    query = writer.trigger(availableNow=True).start()
    query.awaitTermination()
    return query


def _patiently(work: Any) -> None:
    retry = Retry(_TRIES, Deadline(None), first_pause=0.1, longest_pause=5.0)
    retry.run(work, lambda error: is_lost_race(error) or isinstance(error, _Skipped))


class _Skipped(Exception):
    """A commit was taken for another loader's, because that one has committed meanwhile."""


class _Batches:
    """What is done with the batches of files. Travels to the server of Spark Connect."""

    def __init__(self, table: TableName) -> None:
        self._table = table
        self._newest: int | None = None  # the version of the table at the last look

    def __call__(self, files: Any, number: int) -> None:
        paths: dict[str, str] = {}
        for row in files.collect():
            copy = copy_at(row["path"])
            if copy is not None and row["length"] > _LARGEST:
                say(
                    f"{row['path']} was left out: Spark hands over no file of {row['length']:,} "
                    "bytes. Bring it to the table with laketrace upload, from where it was written."
                )
            elif copy is not None:
                paths[copy.segment] = row["path"]  # of two copies, an archive and not, one
        if paths:
            spark = files.sparkSession
            table = SparkTable(self._table, spark)
            _patiently(lambda: self._load(spark, table, paths))

    def _load(self, spark: Any, table: SparkTable, paths: dict[str, str]) -> None:
        """One commit with the rows that the table lacks of these files (segment: path)."""
        if self._newest is None:
            self._newest = table.look().version
        mark = uuid4().hex
        # Greater than that of any load before, since the table has grown by one version with each;
        # where another one has committed since the look, Delta may skip this commit.
        table.write(_lacking(spark, table, paths), LOADER, self._newest + 1, mark)
        look = table.look()
        self._newest = look.version
        if mark not in look.marks:
            raise _Skipped


def _lacking(spark: Any, table: SparkTable, paths: dict[str, str]) -> Any:
    """The rows of these files (segment: path) that the table does not have when they are written.

    The join is of files, some hundreds, not of rows.
    """
    path, modified, content, reached = COLUMNS
    there = table.read()
    there = there.where(there["segment"].isin(list(paths)))
    there = there.groupBy("segment").agg({"offset": "max"}).toDF("segment", reached)
    files = spark.read.format("binaryFile").load(list(paths.values()))
    files = files.selectExpr("*", f"{SEGMENT} AS segment")
    files = files.join(there.hint("broadcast"), "segment", "left").selectExpr(
        path,
        f"unix_micros(modificationTime) AS {modified}",
        content,
        f"coalesce({reached}, -1L) AS {reached}",
    )
    return files.mapInArrow(rows_of_files, ddl())
