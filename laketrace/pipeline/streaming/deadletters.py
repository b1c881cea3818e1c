"""Dead letters: the rows that a stream could not take, each with its reason.

Floor 7. Stands on: core.notice, errors, pipeline.streaming.places, pipeline.streaming.settings,
pipeline.streaming.sinks, pipeline.streaming.splitting.

A row keeps the columns of its source. With it go `error_class`, `error_reason`, `dlq_timestamp`,
`batch_id` and `query_id`; a column of the source that bears such a name is kept as
`source_<name>`. What a batch has among the dead letters already is asked before it runs again, and
the number of those rows is part of the writer's id: so a repetition adds what is missing, once,
also after the code has changed. Everything here pickles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from laketrace.core.notice import say
from laketrace.errors import ConfigError
from laketrace.pipeline.streaming.places import canonical
from laketrace.pipeline.streaming.settings import StreamSettings, checked
from laketrace.pipeline.streaming.sinks import FOLDER, Sink, query_id
from laketrace.pipeline.streaming.splitting import ERROR, error_of, functions, row_hash

COLUMNS = ("error_class", "error_reason", "dlq_timestamp", "batch_id", "query_id")
"""What is kept beside the columns of the source."""

_KEPT = "source_"


def dlq_sink(settings: StreamSettings) -> Sink:
    """Where the dead letters of a stream go; columns may be added with time."""
    options = {"mergeSchema": "true"} if settings.dlq_format == "delta" else {}
    return Sink(settings.dlq_path, settings.dlq_format, options)


def letters(rows: Any, query: str | None, batch_id: int | None) -> Any:
    """Rows with an error (`splitting.ERROR`) as they are kept."""
    F = functions()
    for name in rows.columns:
        if name.lower() in COLUMNS:
            rows = rows.withColumnRenamed(name, _KEPT + name)
    for field in rows.schema.fields:
        if field.dataType.typeName() in ("void", "null"):  # a column of nulls, which has no type
            rows = rows.withColumn(field.name, rows[field.name].cast("string"))
    return rows.select(
        *(rows[f"`{name}`"] for name in rows.columns if name != ERROR),
        F.col(f"{ERROR}.error_class").alias("error_class"),
        F.col(f"{ERROR}.error_reason").alias("error_reason"),
        F.current_timestamp().alias("dlq_timestamp"),
        F.lit(batch_id).cast("bigint").alias("batch_id"),
        F.lit(query).cast("string").alias("query_id"),
    )


def source_of(kept: Any) -> Any:
    """Dead letters as the rows of the source that they were."""
    rows = kept.drop(*COLUMNS, FOLDER)
    for name in rows.columns:
        if name.lower().startswith(_KEPT) and name[len(_KEPT) :].lower() in COLUMNS:
            rows = rows.withColumnRenamed(name, name[len(_KEPT) :])
    return rows


def remembered(spark: Any, settings: StreamSettings, query: str, batch_id: int) -> Any:
    """What a batch has among the dead letters, as rows of the source; None for nothing."""
    F = functions()
    kept = dlq_sink(settings).read(spark)
    if kept is None or "query_id" not in kept.columns:
        return None
    mine = kept.filter((F.col("query_id") == query) & (F.col("batch_id") == batch_id))
    return None if mine.isEmpty() else source_of(mine)


def without(rows: Any, gone: Any) -> Any:
    """The rows of the source that are not in `gone`, compared by what they hold.

    `gone` may lack columns, or have more: those of other times.
    """
    F = functions()
    there = {name.lower() for name in gone.columns}
    kept = gone.select(
        *(
            F.col(f"`{field.name}`").cast(field.dataType)
            if field.name.lower() in there
            else F.lit(None).cast(field.dataType)
            for field in rows.schema.fields
            if field.name != ERROR
        )
    ).toDF(*(name for name in rows.columns if name != ERROR))
    hashes = kept.select(row_hash(kept).alias("_laketrace_gone")).distinct()
    hashed = rows.withColumn("_laketrace_row", row_hash(rows.drop(ERROR)))
    return hashed.join(
        hashes, hashed["_laketrace_row"] == hashes["_laketrace_gone"], "left_anti"
    ).drop("_laketrace_row")


class DeadLetterHandler:
    """Takes bad rows to the dead letters of a stream; see `create_dlq_handler`."""

    def __init__(self, settings: StreamSettings) -> None:
        self.settings = settings
        self._query: str | None = None
        self._done: set[tuple[int, str]] = set()

    def __call__(
        self,
        bad_rows: Any,
        error_reason: str,
        batch_id: int | None = None,
        error_class: str = "REFUSED",
    ) -> None:
        """Write `bad_rows`, a DataFrame, with their reason; see `create_dlq_handler`."""
        if getattr(bad_rows, "isStreaming", False):
            raise ValueError("bad_rows is a stream. Call the handler in a foreachBatch function.")
        if batch_id is None:
            writer, query = None, None
        else:
            if self._query is None:
                self._query = self._identity(bad_rows.sparkSession)
            digest = hashlib.sha256(f"{error_class}\n{error_reason}".encode()).hexdigest()[:16]
            writer, query = f"{self._query}:refused:{digest}", f"{self._query}:refused"
            self._note(batch_id, digest, error_reason)
        rows = bad_rows.withColumn(ERROR, error_of(error_class, error_reason))
        dlq_sink(self.settings).put(letters(rows, query, batch_id), writer, batch_id)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.settings,)

    def _identity(self, spark: Any) -> str:
        """The id of the query; outside of one, that of the place of its checkpoint."""
        try:
            return query_id(spark, self.settings.checkpoint)
        except ConfigError:
            place = canonical(self.settings.checkpoint)
            return hashlib.sha256(place.encode()).hexdigest()[:32]

    def _note(self, batch_id: int, digest: str, reason: str) -> None:
        if (batch_id, digest) in self._done:
            say(
                f"dead letters of batch {batch_id} came twice for the reason {reason!r}: the "
                "second time counts as a repetition of the batch"
            )
        self._done = {item for item in self._done if item[0] >= batch_id - 1}
        self._done.add((batch_id, digest))


def create_dlq_handler(cfg: Mapping[str, Any], checkpoint: Any = None) -> DeadLetterHandler:
    """A function for a `foreachBatch` of your own.

    `handler(bad_rows, error_reason, batch_id=None)` adds the rows of the DataFrame `bad_rows` to
    the dead letters, with `error_reason` and an `error_class` (`"REFUSED"`). With `batch_id` it
    does so once for each batch and reason, however often Spark repeats the batch: call it once for
    each. Without it, each call adds rows. `checkpoint` may come from the section `streaming` of
    `cfg` as well.

    Raises `ConfigError` for wrong settings; the handler raises what Spark raises.

    >>> cfg = {"streaming": {"checkpoint": "/lake/c", "dlq_path": "/lake/d"}}
    >>> handler = create_dlq_handler(cfg)
    >>> handler.settings.dlq_path
    '/lake/d'
    """
    return DeadLetterHandler(checked(cfg, checkpoint=checkpoint))
