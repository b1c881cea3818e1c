"""Tables, and which writer leads to each of them.

Floor 7. Stands on: core.notice, lakehouse.retry, lakehouse.stream, lakehouse.tables.delta_rs,
lakehouse.tables.names, lakehouse.tables.spark, runtime.

With an active Spark session Spark writes, for it can write every table that it can read; without
one, and beside an engine that must not write, delta-rs does. Both record the same transactions, so
they may take turns on one stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from laketrace.core.notice import say
from laketrace.lakehouse.retry import Retry
from laketrace.lakehouse.stream import Stream
from laketrace.lakehouse.tables.delta_rs import Confirm, DeltaRsTable
from laketrace.lakehouse.tables.names import TableName, parse_table
from laketrace.lakehouse.tables.spark import EngineRefused, SparkTable
from laketrace.runtime import active_session

__all__ = ["Table", "TableName", "open_table", "parse_table"]


class Table(Protocol):
    """A log table."""

    shown: str
    """The table as messages may show it."""

    def load(self, stream: Stream, retry: Retry, confirm: Confirm) -> None:
        """Bring what the table lacks of a stream into it, once each, in order.

        `confirm` is told of each segment that is in the table as a whole. Raises the error of the
        last try.
        """
        ...


def open_table(name: TableName, options: Mapping[str, str], request_timeout: float) -> Table:
    """The table called `name`; nothing is written yet.

    Raises `UploadError` when nothing here can write it, and `MissingExtraError`.
    """
    session = active_session()
    if session is None:
        return DeltaRsTable(name, options, request_timeout)
    return _SparkFirst(
        SparkTable(name, session),
        lambda: DeltaRsTable(name, options, request_timeout) if name.location else None,
    )


class _SparkFirst:
    """A table that Spark writes, or delta-rs when Spark turns out to be unfit for it."""

    def __init__(self, spark: SparkTable, instead: Callable[[], DeltaRsTable | None]) -> None:
        self.shown = spark.shown
        self._table: Table = spark
        self._instead = instead

    def load(self, stream: Stream, retry: Retry, confirm: Confirm) -> None:
        """See `Table.load`."""
        try:
            self._table.load(stream, retry, confirm)
        except EngineRefused as error:
            instead = self._instead()
            if instead is None:
                raise
            say(f"{error} It is done so now.", key=f"engine {self.shown}")
            self._table = instead
            instead.load(stream, retry, confirm)
