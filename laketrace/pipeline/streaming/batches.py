"""The `foreachBatch` function of a guarded stream: good rows to the table, bad rows to the side.

Floor 7. Stands on: core.logger, errors, pipeline.streaming.deadletters, pipeline.streaming.places,
pipeline.streaming.settings, pipeline.streaming.sinks, pipeline.streaming.splitting, setup.

A batch is kept (`persist`) while it is worked on: it is read from its source once, and counted as
it is read. Dead letters are written before the table, each under the batch's version. Only rows are
ever blamed: where the source or the table fails, the batch fails, and the stream stops with that
error. On Spark Connect all this runs in a process of the server, where the log's records go to
`logging`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from laketrace.core.logger import Logger
from laketrace.errors import LakeTraceError
from laketrace.pipeline.streaming.deadletters import (
    dlq_sink,
    letters,
    remembered,
    source_of,
    without,
)
from laketrace.pipeline.streaming.places import claim_of, claim_places
from laketrace.pipeline.streaming.settings import StreamSettings, checked
from laketrace.pipeline.streaming.sinks import Sink, query_id, watermark_ms
from laketrace.pipeline.streaming.splitting import (
    ERROR,
    Blame,
    Part,
    blamed,
    fitted,
    may_be_rows,
    source_rows,
    tagged,
    unchecked,
)
from laketrace.setup import get_logger, loggers

Transform = Callable[[Any], Any]
"""A function of a DataFrame that gives a DataFrame."""


class TooManyBadRows(LakeTraceError, RuntimeError):
    """More of a batch was bad than `max_bad_percent` allows; its rows are all written.

    >>> print(TooManyBadRows(7, 3, 4, 50.0))
    batch 7: 3 of 4 rows are bad (75 %), more than max_bad_percent=50. They are dead letters by now.
    """

    def __init__(self, batch_id: int, bad: int, rows: int, limit: float) -> None:
        self.batch_id, self.bad, self.rows, self.limit = batch_id, bad, rows, limit
        super().__init__(
            f"batch {batch_id}: {bad} of {rows} rows are bad ({100 * bad / rows:.4g} %), more than "
            f"max_bad_percent={limit:g}. They are dead letters by now."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.batch_id, self.bad, self.rows, self.limit)


def with_dlq(
    transform: Transform,
    cfg: Mapping[str, Any],
    table: Any,
    checkpoint: Any = None,
    *,
    log: Logger | None = None,
) -> BatchGuard:
    """The `foreachBatch` function that takes good rows to `table` and bad rows to `dlq_path`.

    `transform` is a function of a DataFrame that gives the rows of the table; it pickles where the
    stream runs on Spark Connect. Bad is a row whose `_corrupt_record` is set, that is not what the
    setting `schema` says, that is older than the query's watermark, that makes the transform fail,
    or that does not fit the table afterwards. Both are written once for each batch: in a Delta
    table by the batch's version, in files of other formats by a folder for the batch, anywhere else
    at least once. `log` is by default the program's first logger.

        query = df.writeStream.foreachBatch(with_dlq(clean, cfg, "main.sales.orders"))...

    The query's `checkpointLocation` must be the same `checkpoint`; `write_stream` sees to it.
    Raises `ConfigError` for wrong settings. In the stream, a batch with more bad rows than
    `max_bad_percent` is written whole, and then raises `TooManyBadRows`, which stops the query.

    >>> from laketrace import get_logger
    >>> log = get_logger("doctest.streams", log_dir=None, stdout=False)
    >>> cfg = {"streaming": {"checkpoint": "/lake/c", "dlq_path": "/lake/d"}}
    >>> with_dlq(lambda df: df, cfg, "main.sales.orders", log=log).settings.table
    'main.sales.orders'
    >>> log.close()
    """
    settings = checked(cfg, table=table, checkpoint=checkpoint, foreach=True)
    return BatchGuard(transform, settings, default_log() if log is None else log)


def default_log() -> Logger:
    """The first logger that the program made, or one of its name."""
    made = loggers()
    return made[0] if made else get_logger()


class BatchGuard:
    """Takes the batches of a stream apart; see `with_dlq`. Pickles.

    With `repairs`, the rows are dead letters: what made them bad is the transform's to look at.
    """

    def __init__(
        self, transform: Transform, settings: StreamSettings, log: Logger, repairs: bool = False
    ) -> None:
        self.transform = transform
        self.settings = settings
        self.log = log
        self.repairs = repairs
        options = dict(settings.write_options)
        if settings.max_records_per_file is not None:
            options["maxRecordsPerFile"] = str(settings.max_records_per_file)
        self._table = Sink(str(settings.table), settings.format, options)
        folded = {name.lower(): value.lower() for name, value in options.items()}
        self._grows = folded.get("mergeschema") == "true"
        self._query = ""
        self._last: int | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.transform, self.settings, self.log, self.repairs)

    def __call__(self, batch: Any, batch_id: int) -> None:
        """Write one batch; Spark calls this."""
        spark = batch.sparkSession
        gone = self._begin(spark, batch_id)
        rows = _kept(self._tagged(spark, batch, batch_id))
        try:
            self._write(_Batch(spark, rows, batch_id), gone)
        finally:
            rows.unpersist()

    def _tagged(self, spark: Any, batch: Any, batch_id: int) -> Any:
        """The batch with the error of each row, as far as the row itself shows it."""
        if self.repairs:
            return unchecked(source_of(batch))
        watermark = 0
        if self.settings.watermark is not None and self.settings.event_time in batch.columns:
            watermark = watermark_ms(spark, self.settings.checkpoint, batch_id)
        return tagged(batch, self.settings, watermark)

    def _begin(self, spark: Any, batch_id: int) -> Any:
        """See to the first batch after a start, which may be one that ran before.

        Gives what of it is among the dead letters already, None for nothing.
        """
        again = self._last is None or batch_id <= self._last
        if again:
            settings = self.settings
            if self._last is None and not self.repairs:
                claim = claim_of(settings.checkpoint, settings.dlq_path, settings.table)
                claim_places(spark, claim, settings.checkpoint, settings.dlq_path)
            self._query = query_id(spark, settings.checkpoint)
            self._warn()
        self._last = batch_id
        return remembered(spark, self.settings, self._query, batch_id) if again else None

    def _warn(self) -> None:
        """Say what is not promised here."""
        if self._last is None and not self._table.exactly_once:
            self.log.warning(
                "a batch that runs again is written again: the output has no transactions",
                event="stream_at_least_once",
                table=self._table.place,
                format=self._table.format,
            )

    def _write(self, batch: _Batch, gone: Any) -> None:
        counts = count_errors(batch.rows)
        total, already = sum(counts.values()), 0
        rows = batch.rows
        if gone is not None:
            rows = without(rows, gone)
            counts = count_errors(rows)
            already = total - sum(counts.values())
        counts.pop(None, None)
        if counts:
            self._put_aside(rows.filter(f"{ERROR} IS NOT NULL"), batch.id, already)
        source = rows.filter(f"{ERROR} IS NULL").drop(ERROR)
        parts = self._put(batch, source)
        if parts:
            found = blamed(source, parts)
            bad = source.withColumn(ERROR, found).filter(f"{ERROR} IS NOT NULL")
            blamed_now = count_errors(bad)
            if blamed_now:
                self._put_aside(bad, batch.id, already + sum(counts.values()))
            for name, number in blamed_now.items():
                counts[name] = counts.get(name, 0) + number
            self._put_rest(batch, source.filter(found.isNull()))
        self._tell(batch.id, total, already, counts)

    def _put(self, batch: _Batch, source: Any) -> list[Part]:
        """Write the good rows, or find those to blame. Raises where none of them is."""
        try:
            self._table.put(self._made(batch, source), self._query, batch.id)
        except Exception as error:
            if not may_be_rows(error):
                raise
            _run(source)  # raises where the source is to blame
            parts = Blame(source, lambda rows: _run(self._made(batch, rows))).find()
            if not parts:  # the table is to blame, or what has passed by now
                raise
            return parts
        return []

    def _put_rest(self, batch: _Batch, source: Any) -> None:
        """Write what is left when the bad rows are known; nothing where the transform is broken."""
        try:
            made = self._made(batch, source)
        except Exception:
            if source.isEmpty():
                return
            raise
        if not source.isEmpty():
            self._table.put(made, self._query, batch.id)

    def _made(self, batch: _Batch, source: Any) -> Any:
        """What the transform makes of some rows, as the table wants it."""
        made = self.transform(source_rows(source, self.settings, self.repairs))
        if batch.schema is _UNASKED:
            batch.schema = self._table.schema(batch.spark)
        return fitted(made, batch.schema, self._grows)

    def _put_aside(self, bad: Any, batch_id: int, already: int) -> None:
        writer = f"{self._query}:dlq{f':{already}' if already else ''}"
        dlq_sink(self.settings).put(letters(bad, self._query, batch_id), writer, batch_id)

    def _tell(self, batch_id: int, total: int, already: int, counts: Mapping[Any, int]) -> None:
        bad = already + sum(counts.values())
        if not bad:
            return
        limit = self.settings.max_bad_percent
        share = 100 * bad / total
        self.log.warning(
            f"{bad} of {total} rows are dead letters",
            event="dead_letters",
            batch_id=batch_id,
            query_id=self._query,
            rows=total,
            bad_rows=bad,
            bad_percent=round(share, 4),
            by_class={str(name): number for name, number in counts.items()},
            dlq_path=self.settings.dlq_path,
        )
        if limit is not None and share > limit:
            raise TooManyBadRows(batch_id, bad, total, limit)


_UNASKED = object()


class _Batch:
    """One batch while it is worked on; `schema` is the table's, once somebody has asked for it."""

    def __init__(self, spark: Any, rows: Any, batch_id: int) -> None:
        self.spark = spark
        self.rows = rows
        self.id = batch_id
        self.schema: Any = _UNASKED


def count_errors(rows: Any) -> dict[Any, int]:
    """How many rows have an error of each class; None is the class of those without one."""
    found = rows.groupBy(f"{ERROR}.error_class").count().collect()
    return {row[0]: int(row[1]) for row in found}


def _kept(rows: Any) -> Any:
    """The rows, kept for all that is done with them; as they are where Spark keeps nothing."""
    try:
        return rows.persist()
    except Exception:  # serverless refuses it: then each step reads the batch from its source
        return rows


def _run(frame: Any) -> None:
    """Run a DataFrame to its end, for its errors alone."""
    frame.write.format("noop").mode("overwrite").save()
