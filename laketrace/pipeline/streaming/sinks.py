"""Where a batch of a stream goes, once.

Floor 7. Stands on: errors, files.units, pipeline.streaming.places.

A Delta table keeps the version of each writer, and skips a batch that it has
(`txnAppId`/`txnVersion`, https://docs.delta.io/latest/delta-streaming.html#idempotent-table-writes-
in-foreachbatch). Files of other formats get a folder a batch, which a repetition replaces. Any
other place takes a batch as often as it is written: at least once.
The writer's id is that of the query in its checkpoint: a new checkpoint is a new writer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from laketrace.errors import ConfigError
from laketrace.files.units import shown
from laketrace.pipeline.streaming.places import is_path

FOLDER = "laketrace_batch"
"""The partition column of files that are no Delta table: one folder a batch."""

_FILES = ("parquet", "orc", "avro", "json", "csv", "text", "xml")
_WITH_SCHEMA = ("delta", "parquet", "orc")
_ABSENT = (
    "PATH_NOT_FOUND",
    "UNABLE_TO_INFER_SCHEMA",
    "TABLE_OR_VIEW_NOT_FOUND",
    "DELTA_TABLE_NOT_FOUND",
    "DELTA_MISSING_DELTA_TABLE",
    "DELTA_SCHEMA_NOT_SET",
    "is not a Delta table",
)


class Sink(NamedTuple):
    """A table, or files: `place` is a name in the catalog or a path."""

    place: str
    format: str
    options: Mapping[str, str]

    @property
    def exactly_once(self) -> bool:
        """Whether a batch that is written again is there once."""
        return self.format == "delta" or (is_path(self.place) and self.format in _FILES)

    def put(self, frame: Any, writer: str | None, batch_id: int | None) -> None:
        """Write a batch under the id of its writer; without one, add rows as often as called."""
        write = frame.write.format(self.format).options(**self.options)
        if writer is None:
            pass
        elif self.format == "delta":
            write = write.options(txnAppId=f"laketrace:{writer}", txnVersion=str(batch_id))
        elif self.exactly_once:
            folder = f"{FOLDER}={writer.replace(':', '-')}-{batch_id}"
            write.mode("overwrite").save(f"{self.place.rstrip('/')}/{folder}")
            return
        write = write.mode("append")
        if is_path(self.place):
            write.save(self.place)
        else:
            write.saveAsTable(self.place)

    def read(self, spark: Any) -> Any:
        """What is there, as a DataFrame; None before the first write."""
        from pyspark.errors import AnalysisException  # type: ignore[import-not-found,unused-ignore]

        try:
            if is_path(self.place):
                frame = spark.read.format(self.format).load(self.place)
            else:
                frame = spark.read.table(self.place)
            frame.schema  # noqa: B018 - a Connect client asks the server here
        except AnalysisException as error:
            if any(word in str(error) for word in _ABSENT):
                return None
            raise
        return frame

    def schema(self, spark: Any) -> Any:
        """The columns that a row must have; None where any will do."""
        if self.format not in _WITH_SCHEMA and is_path(self.place):
            return None
        frame = self.read(spark)
        return None if frame is None else frame.drop(FOLDER).schema


def query_id(spark: Any, checkpoint: str) -> str:
    """The id of the query, which Spark keeps in its checkpoint. Raises `ConfigError` without one.

    The file is that of Spark's `StreamMetadata`: JSON with one field, `id`.
    """
    from pyspark.errors import AnalysisException  # type: ignore[import-not-found,unused-ignore]

    try:
        lines = spark.read.text(f"{checkpoint.rstrip('/')}/metadata").collect()
    except AnalysisException as error:
        if "PATH_NOT_FOUND" not in str(error):
            raise
        raise ConfigError(
            [
                f"checkpoint={shown(checkpoint)}: the running query has its checkpoint elsewhere. "
                "Start it with .option('checkpointLocation', ...) of the same path."
            ]
        ) from error
    return str(json.loads("".join(row[0] for row in lines))["id"])


def watermark_ms(spark: Any, checkpoint: str, batch_id: int) -> int:
    """The watermark that the query had when Spark planned the batch, in Unix ms; 0 without one.

    Spark writes it into its offset log before the batch runs, and reports it as the batch's
    watermark, so a batch that runs again meets the same one. (Format of `OffsetSeqLog`: a version,
    then JSON with `batchWatermarkMs`.)
    """
    lines = spark.read.text(f"{checkpoint.rstrip('/')}/offsets/{batch_id}").collect()
    for row in lines:
        try:
            return int(json.loads(row[0])["batchWatermarkMs"])
        except (ValueError, KeyError, TypeError):
            continue
    return 0
