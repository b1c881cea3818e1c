"""Tables, and which writer leads to each of them.

Floor 7. Stands on: lakehouse.retry, lakehouse.stream, lakehouse.tables.delta_rs,
lakehouse.tables.names.

With an active Spark session Spark writes, for it can write every table that it can read; without
one delta-rs does. Both record the same transactions, so they may take turns on one stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from laketrace.lakehouse.retry import Retry
from laketrace.lakehouse.stream import Stream
from laketrace.lakehouse.tables.delta_rs import Confirm, DeltaRsTable
from laketrace.lakehouse.tables.names import TableName, parse_table

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
    return DeltaRsTable(name, options, request_timeout)
