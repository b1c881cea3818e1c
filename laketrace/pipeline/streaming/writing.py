"""Starting a guarded stream.

Floor 7. Stands on: errors, pipeline.streaming.batches, pipeline.streaming.places,
pipeline.streaming.plans, pipeline.streaming.settings, spark.streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from laketrace.errors import ConfigError
from laketrace.pipeline.streaming.batches import BatchGuard, Transform, default_log
from laketrace.pipeline.streaming.places import (
    claim_of,
    claim_places,
    is_path,
    note_live,
    refuse_live,
)
from laketrace.pipeline.streaming.plans import has_watermark, loses_data
from laketrace.pipeline.streaming.settings import AVAILABLE_NOW, StreamSettings, checked
from laketrace.spark.streams import watch_streams

if TYPE_CHECKING:
    from laketrace.core.logger import Logger

_WITHOUT_PLACE = ("noop", "console", "memory", "kafka")


def write_stream(
    df: Any,
    cfg: Mapping[str, Any],
    table: Any,
    checkpoint: Any = None,
    transform: Transform | None = None,
    *,
    log: Logger | None = None,
) -> Any:
    """Start the stream `df` into `table`, a path or a name; gives Spark's `StreamingQuery`.

    With a `transform` each batch goes through `with_dlq`: bad rows to the dead letters. Without
    one Spark's own sink of the setting `format` is used (Delta, Parquet, Kafka, any other), which
    splits nothing. The query has a name (`name`, by default the table's), the watermark, the
    trigger and the limits of the settings, and its events are logged to `log`, by default the
    program's first logger. `checkpoint` may stand in the section, too.

    Raises `ConfigError`, before anything starts, for wrong settings, for a `df` with a source that
    skips lost data, and for places that belong to another query.

    >>> query = write_stream(df, cfg, "main.sales.orders", transform=clean)   # doctest: +SKIP
    >>> query.awaitTermination()                                              # doctest: +SKIP
    """
    settings = checked(cfg, table=table, checkpoint=checkpoint, foreach=transform is not None)
    _refuse(df, settings)
    claim = claim_of(settings.checkpoint, settings.dlq_path, settings.table)
    refuse_live(claim)
    spark = df.sparkSession
    claim_places(spark, claim, settings.checkpoint, settings.dlq_path)
    log = default_log() if log is None else log
    watch_streams(log, spark)
    column = settings.event_time
    if settings.watermark and column in df.columns and not has_watermark(df, column):
        df = df.withWatermark(column, settings.watermark)
    name = settings.name or name_of(str(settings.table))
    writer = df.writeStream.queryName(name).outputMode(settings.output_mode)
    writer = writer.option("checkpointLocation", settings.checkpoint)
    if settings.trigger_interval == AVAILABLE_NOW:
        writer = writer.trigger(availableNow=True)
    elif settings.trigger_interval is not None:
        writer = writer.trigger(processingTime=settings.trigger_interval)
    if transform is not None:
        query = writer.foreachBatch(BatchGuard(transform, settings, log)).start()
    else:
        query = _start(writer, settings)
    note_live(query, name, claim)
    return query


def name_of(table: str) -> str:
    """What a query into `table` is called, if nobody says.

    >>> name_of("main.sales.orders"), name_of("abfss://lake@acc/gold/orders/")
    ('orders', 'orders')
    """
    if is_path(table):
        return table.replace("\\\\", "/").rstrip("/").rpartition("/")[2] or table
    return table.rpartition(".")[2].replace("`", "") or table


def _refuse(df: Any, settings: StreamSettings) -> None:
    if not getattr(df, "isStreaming", False):
        raise ConfigError(["df: it is no stream. Make it with read_stream or spark.readStream."])
    if not settings.allow_data_loss and loses_data(df):
        raise ConfigError(
            [
                "df: a source of it has failOnDataLoss=false and would skip lost rows in silence. "
                "Read it with read_stream, or say allow_data_loss=True."
            ]
        )


def _start(writer: Any, settings: StreamSettings) -> Any:
    """Start a stream into Spark's own sink."""
    writer = writer.format(settings.format).options(**settings.write_options)
    if settings.max_records_per_file is not None:
        writer = writer.option("maxRecordsPerFile", str(settings.max_records_per_file))
    if settings.format in _WITHOUT_PLACE:
        return writer.start()
    table = str(settings.table)
    return writer.start(table) if is_path(table) else writer.toTable(table)
