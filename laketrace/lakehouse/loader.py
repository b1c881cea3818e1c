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

from typing import Any, NamedTuple
from uuid import uuid4

from laketrace.core.notice import say
from laketrace.lakehouse.columns import NAMES, ddl
from laketrace.lakehouse.file_rows import COLUMNS, copy_at, rows_of_files
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
    _patiently(lambda: _prepare(loaded))
    found = (
        spark.readStream.format("binaryFile")
        .schema(_FILES)
        .option("recursiveFileLookup", "true")
        .option("maxFilesPerTrigger", str(files))
        .option("maxFileAge", _FOR_EVER)
        .load(place)
        .select("path", "length")
    )
    writer = found.writeStream.foreachBatch(_Batch(order.table)).option("checkpointLocation", kept)
    if trigger is not None:
        return writer.trigger(processingTime=trigger).start()
    query = writer.trigger(availableNow=True).start()
    query.awaitTermination()
    return query


def _prepare(table: SparkTable) -> None:
    table.open()
    table.mark_as_loaded()


def _patiently(work: Any) -> None:
    retry = Retry(_TRIES, Deadline(None), first_pause=0.1, longest_pause=5.0)
    retry.run(work, lambda error: is_lost_race(error) or isinstance(error, _Skipped))


class _Skipped(Exception):
    """A commit was taken for another loader's, because that one has committed meanwhile."""


class _Batch(NamedTuple):
    """What is done with a batch of files. Travels to the server of Spark Connect."""

    table: TableName

    def __call__(self, files: Any, number: int) -> None:
        segments: dict[str, str] = {}
        for row in files.collect():
            copy = copy_at(row["path"])
            if copy is not None and row["length"] > _LARGEST:
                say(
                    f"{row['path']} was left out: Spark hands over no file of {row['length']:,} "
                    "bytes. Bring it to the table with laketrace upload, from where it was written."
                )
            elif copy is not None:
                segments[row["path"]] = copy.segment
        if segments:
            spark = files.sparkSession
            table = SparkTable(self.table, spark)
            _patiently(lambda: _load(spark, table, segments))


def _load(spark: Any, table: SparkTable, segments: dict[str, str]) -> None:
    """One commit with the rows that the table lacks of these files (path: segment)."""
    path, modified, content = COLUMNS
    files = spark.read.format("binaryFile").load(list(segments))
    files = files.selectExpr(path, f"unix_micros(modificationTime) AS {modified}", content)
    rows = files.mapInArrow(rows_of_files, ddl())
    there = table.read()
    there = there.where(there["segment"].isin(list(segments.values())))
    there = there.groupBy("segment").agg({"offset": "max"}).toDF("segment", "reached")
    lacking = rows.join(there.hint("broadcast"), "segment", "left")
    lacking = lacking.where("reached IS NULL OR offset > reached").select(*NAMES)
    mark = uuid4().hex
    # Greater than that of any other load, since the table has grown by one version with each.
    table.write(lacking, LOADER, table.version() + 1, mark)
    if mark not in table.marks():
        raise _Skipped
