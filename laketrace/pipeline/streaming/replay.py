"""Putting dead letters back, once they are repaired.

Floor 7. Stands on: pipeline.streaming.batches, pipeline.streaming.deadletters,
pipeline.streaming.settings, pipeline.streaming.writing.

The dead letters are read as a stream of their own, whose checkpoint lies hidden among them: it
knows which were read, so that none is put back twice, whoever replays and however often. What is
still bad becomes a new dead letter, for the next time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from laketrace.pipeline.streaming.batches import BatchGuard, Transform, default_log
from laketrace.pipeline.streaming.deadletters import dlq_sink
from laketrace.pipeline.streaming.settings import StreamSettings, checked
from laketrace.pipeline.streaming.writing import name_of

if TYPE_CHECKING:
    from laketrace.core.logger import Logger

CHECKPOINT = "_laketrace_replay"


class Replayed(NamedTuple):
    """What a replay did: how many dead letters it read, and how many of them are bad again."""

    rows: int
    bad_again: int


def replay_dlq(
    spark: Any,
    cfg: Mapping[str, Any],
    table: Any,
    repair: Transform,
    checkpoint: Any = None,
    *,
    log: Logger | None = None,
) -> Replayed:
    """Put the dead letters of a stream through `repair` and into `table`, each once.

    `repair` is a function of a DataFrame with the columns of the source, `_corrupt_record` among
    them where the source has it; it gives rows as the table wants them, as a `transform` does.
    What it leaves out is given up. Rows that still fail become dead letters again, with their new
    reason. A replay that was killed is finished by the next one. Returns how many were read and
    how many are bad again.

    Raises `ConfigError` for wrong settings, and what Spark raises.

    >>> replay_dlq(spark, cfg, "main.sales.orders", clean)     # doctest: +SKIP
    Replayed(rows=3, bad_again=0)
    """
    settings = checked(cfg, table=table, checkpoint=checkpoint, foreach=True)
    kept = dlq_sink(settings).read(spark)
    if kept is None:
        return Replayed(0, 0)
    mine = StreamSettings(
        {
            **settings,
            "checkpoint": f"{settings.dlq_path.rstrip('/')}/{CHECKPOINT}",
            "schema": None,
            "watermark": None,
            "max_bad_percent": None,
        }
    )
    reader = spark.readStream.format(settings.dlq_format)
    if settings.dlq_format == "delta":
        # Whoever clears out old dead letters stops no replay.
        reader = reader.options(failOnDataLoss="true", skipChangeCommits="true")
    else:
        reader = reader.schema(kept.schema)
    guard = BatchGuard(repair, mine, default_log() if log is None else log, repairs=True)
    query = (
        reader.load(settings.dlq_path)
        .writeStream.foreachBatch(guard)
        # A Connect client cannot read the progress of a query without a name.
        .queryName(f"{settings.name or name_of(str(settings.table))}_replay")
        .option("checkpointLocation", mine.checkpoint)
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    return _outcome(spark, mine, query)


def _outcome(spark: Any, settings: StreamSettings, query: Any) -> Replayed:
    # By source, because a Connect client of 4.2 gets no sum of them.
    read = [
        (int(item["batchId"]), sum(int(source["numInputRows"]) for source in item["sources"]))
        for item in query.recentProgress
    ]
    batches = [batch for batch, rows in read if rows]
    if not batches:
        return Replayed(0, 0)
    kept = dlq_sink(settings).read(spark)
    mine = f"query_id = '{query.id}' AND batch_id >= {min(batches)}"
    return Replayed(sum(rows for _, rows in read), kept.filter(mine).count())
