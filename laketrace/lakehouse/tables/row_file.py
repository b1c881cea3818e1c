"""Rows become one Parquet file, with the statistics that a table's log wants.

Floor 7. Stands on: errors, lakehouse.columns, lakehouse.fast_rows.

The file is written by Arrow to local disk, row group by row group (memory is that of a row
group), and sent to the table's folder like any other file. It belongs to the table when a commit
names it; until then, and if no commit ever does, nobody sees it (VACUUM removes such files, as
after any writer of Delta that was killed).

Not by the file system that deltalake offers Arrow: that one holds the interpreter's lock while it
waits for the network, and every log call of the process with it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any, BinaryIO, NamedTuple
from uuid import uuid4

from laketrace.errors import need
from laketrace.lakehouse.columns import COLUMNS
from laketrace.lakehouse.fast_rows import SCHEMA

pq: Any = need("pyarrow.parquet", "delta", "writing Delta tables")

_ROW_GROUP = 1 << 17
# Columns of few or short values: they get a dictionary, and they are worth statistics.
_DICTIONARY = [
    "level", "logger_name", "run_id", "hostname", "platform", "runtime_type", "file", "function",
    "segment",
]  # fmt: skip
_BOUNDED = (
    "timestamp", "date", "level", "severity", "logger_name", "run_id", "hostname", "pid",
    "platform", "runtime_type", "segment", "offset",
)  # fmt: skip
_LONGEST = 200


class RowFile(NamedTuple):
    """A file of rows that is not in the table yet: what the log's `add` action says of it."""

    name: str
    local: str
    size: int
    modified_ms: int
    stats: str

    def open(self) -> BinaryIO:
        """Its bytes, as long as the local file is there."""
        return open(self.local, "rb")


def write_rows(folder: str, batches: Iterable[Any]) -> RowFile:
    """Write batches of rows to a new file in the local directory `folder`."""
    name = f"part-00000-{uuid4()}-c000.zstd.parquet"
    path = os.path.join(folder, name)
    with pq.ParquetWriter(
        path, SCHEMA, compression="zstd", compression_level=1, use_dictionary=_DICTIONARY,
        store_schema=False,
    ) as writer:  # fmt: skip
        for batch in batches:
            writer.write_batch(batch, row_group_size=_ROW_GROUP)
    size, now_ms = os.path.getsize(path), time.time_ns() // 1_000_000
    return RowFile(name, path, size, now_ms, json.dumps(_stats(pq.read_metadata(path))))


def _stats(metadata: Any) -> dict[str, Any]:
    """The statistics of a file in the form of Delta's protocol, "Per-file Statistics"."""
    found: dict[str, Any] = {"numRecords": metadata.num_rows, "minValues": {}, "maxValues": {}}
    found["nullCount"] = {}
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    for index, column in enumerate(COLUMNS):
        chunks = [group.column(index).statistics for group in groups]
        if not all(chunk is not None and chunk.has_null_count for chunk in chunks):
            continue
        nulls = sum(chunk.null_count for chunk in chunks)
        found["nullCount"][column.name] = nulls
        bounds = [(chunk.min, chunk.max) for chunk in chunks if chunk.has_min_max]
        full = [chunk for chunk in chunks if chunk.num_values]
        if column.name in _BOUNDED and bounds and len(bounds) == len(full):
            low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
            if len(str(low)) <= _LONGEST and len(str(high)) <= _LONGEST:
                found["minValues"][column.name] = _value(low, up=False)
                found["maxValues"][column.name] = _value(high, up=True)
    return found


def _value(value: Any, up: bool) -> Any:
    """A bound as JSON; times in milliseconds, which all readers know, rounded outwards."""
    if isinstance(value, datetime):
        if up:
            value += timedelta(microseconds=999)
        return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z"
    return value.isoformat() if isinstance(value, date) else value
