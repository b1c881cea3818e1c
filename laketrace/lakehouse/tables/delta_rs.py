"""Rows into a Delta table without Spark: delta-rs, the package deltalake.

Floor 7. Stands on: errors, files.segment, lakehouse.ahead, lakehouse.plan, lakehouse.retry,
lakehouse.rows, lakehouse.source, lakehouse.steps, lakehouse.stream, lakehouse.tables.names,
lakehouse.tables.shape, lakehouse.targets, runtime.

delta-rs does not skip what a transaction id says is there (delta-rs issues 2580, 3821). So for
each commit: take a snapshot of the table, read from it which version it holds of the stream,
write the rows behind that to a file, and commit the file against this snapshot. Whoever has
committed for the same stream meanwhile makes that fail ("Concurrent transaction failed"), and
everything begins again with a new snapshot. A commit whose fate is unknown, because the network
died or the process was killed, needs no more than that either.

Many uploaders of one table get in each other's way; they try again with short random pauses,
without counting that as a failure and without writing the rows again. Memory: a few blocks and a
row group; a commit takes about 64 MiB of lines.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from itertools import chain
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from laketrace.errors import UploadError, need
from laketrace.files.segment import Segment
from laketrace.lakehouse.ahead import map_ahead
from laketrace.lakehouse.plan import (
    LAST_UNIT,
    Position,
    Slice,
    next_commit,
    position_of,
    version_of,
)
from laketrace.lakehouse.retry import Retry
from laketrace.lakehouse.rows import Place
from laketrace.lakehouse.source import Block, SegmentFile, read_blocks
from laketrace.lakehouse.steps import step
from laketrace.lakehouse.stream import Stream
from laketrace.lakehouse.tables.names import TableName, parse_table
from laketrace.lakehouse.tables.shape import (
    LOADED,
    LOADER,
    check_features,
    check_properties,
    check_shape,
)
from laketrace.lakehouse.targets import Location, lakehouse_url, open_target, storage_token
from laketrace.runtime import local_disk

Confirm = Callable[[Segment, int], None]
"""Told of each segment that is in the table now, whole, and how many rows this call added."""

COMMIT_BYTES = 64 << 20
_RACES = 200  # lost in a row; each costs at most two seconds and all of it the deadline
_COMMIT_TRIES = 30


class DeltaRsTable:
    """A Delta table at a path, written by delta-rs.

    Raises `UploadError` for a place that delta-rs cannot commit to, and `MissingExtraError`.
    """

    def __init__(self, name: TableName, options: Mapping[str, str], request_timeout: float) -> None:
        self.shown = name.shown
        self._deltalake = need("deltalake", "delta", "writing Delta tables without Spark")
        self._row_file = import_module("laketrace.lakehouse.tables.row_file")  # needs pyarrow
        self._location = _location(name)
        local = self._location.kind == "directory"
        self._uri = self._location.path if local else self._location.shown
        self._given = dict(options)
        self._options = dict(options)
        self._request_timeout = request_timeout
        if self._remote and not options and (token := storage_token()) is not None:
            self._options["bearer_token"] = token
            if "fabric.microsoft.com" in self._uri:
                self._options["use_fabric_endpoint"] = "true"
        self._table: Any = None
        self._checked = False

    @property
    def _remote(self) -> bool:
        return "://" in self._uri

    def load(self, stream: Stream, retry: Retry, confirm: Confirm) -> None:
        """Bring what the table lacks of a stream into it, commit by commit.

        Raises what the last try raised; what was confirmed before that stays so.
        """
        race = retry.impatient(_RACES, first_pause=0.05, longest_pause=2.0)
        progress = _Progress(stream, confirm)
        while not progress.complete:
            retry.run(lambda: race.run(lambda: self._advance(progress, retry), _is_lost_race))

    def _advance(self, progress: _Progress, retry: Retry) -> None:
        """One snapshot, and the commit that goes on from what it holds."""
        table, self._table = self._snapshot(retry), None
        held = table.transaction_version(progress.stream.app_id)
        step("reading")
        slices = progress.next_slices(None if held is None else position_of(held))
        if slices:
            self._append(table, progress, slices, retry)
        self._table = table  # it failed nowhere, so it may be brought up to date next time

    def _storage_options(self, retry: Retry) -> dict[str, str] | None:
        if not self._remote:
            return None
        seconds = f"{retry.deadline.left(self._request_timeout):.3f}s"
        limits = {"timeout": seconds, "connect_timeout": seconds, "retry_timeout": seconds}
        return {"max_retries": "2", **self._options, **limits}

    def _snapshot(self, retry: Retry) -> Any:
        """The newest snapshot of the table."""
        in_time = retry.deadline.left(self._request_timeout) == self._request_timeout
        if self._table is None or not in_time:  # an open one has the time limits of its opening
            return self._open(retry)
        self._table.update_incremental()
        return self._table

    def _open(self, retry: Retry) -> Any:
        """The table, which is made if there is none."""
        options = self._storage_options(retry)
        try:
            table = self._deltalake.DeltaTable(self._uri, storage_options=options)
        except self._deltalake.exceptions.TableNotFoundError:
            table = self._create(options)
        if not self._checked:
            self._check(table)
            self._checked = True
        return table

    def _create(self, options: dict[str, str] | None) -> Any:
        try:
            self._deltalake.DeltaTable.create(
                self._uri, self._row_file.SCHEMA, mode="error", storage_options=options
            )
        except Exception as error:
            try:
                return self._deltalake.DeltaTable(self._uri, storage_options=options)
            except self._deltalake.exceptions.TableNotFoundError:
                raise error from None
        return self._deltalake.DeltaTable(self._uri, storage_options=options)

    def _check(self, table: Any) -> None:
        fields = json.loads(table.schema().to_json())["fields"]
        required = [field["name"] for field in fields if not field["nullable"]]
        types = {field["name"]: _type_name(field["type"]) for field in fields}
        metadata = table.metadata()
        check_features(self.shown, table.protocol().writer_features or ())
        check_shape(self.shown, types, metadata.partition_columns, required)
        check_properties(self.shown, metadata.configuration)

    def _append(self, table: Any, progress: _Progress, slices: list[Slice], retry: Retry) -> None:
        """Append the rows of `slices` in one commit on top of a snapshot.

        Where there are none, as behind the last unit of an archive, nothing is committed.
        """
        lacking = slices
        if LOADED in table.metadata().configuration:
            lacking = _without_loaded(table, progress.stream, slices)
            if not lacking:
                progress.passed(slices[-1].position)
                return
        pending = progress.pending
        if pending is None or pending.slices != lacking:
            progress.pending = pending = self._write(progress.stream, lacking, retry)
        if pending.file is not None:
            self._commit(
                table, progress.stream.app_id, version_of(slices[-1].position), pending.file
            )
        step("committed")
        progress.reached(pending.source)

    def _write(self, stream: Stream, slices: list[Slice], retry: Retry) -> _Pending:
        """Put the rows of `slices` into a file in the table's folder."""
        source = _Source(stream, slices)
        batches = source.batches()
        first = next(batches, None)
        if first is None:
            return _Pending(slices, source, None)
        limit = retry.deadline.limit(self._request_timeout)
        with TemporaryDirectory(prefix="laketrace-", dir=local_disk()) as folder:
            file = self._row_file.write_rows(folder, chain([first], batches))
            target = open_target(self._location, self._given, limit)
            target.send(file.name, file.open, file.size)
        return _Pending(slices, source, file)

    def _commit(self, table: Any, app_id: str, version: int, file: Any) -> None:
        transaction = import_module("deltalake.transaction")
        add = transaction.AddAction(file.name, file.size, {}, file.modified_ms, True, file.stats)
        made = [transaction.Transaction(app_id, version)]
        if LOADED in table.metadata().configuration:  # a load meanwhile must make this one fail
            loads = table.transaction_version(LOADER) or 0
            made.append(transaction.Transaction(LOADER, loads))
        table.create_write_transaction(
            [add], "append", table.schema(),
            commit_properties=transaction.CommitProperties(
                app_transactions=made,
                max_commit_retries=_COMMIT_TRIES,
            ),
        )  # fmt: skip


class _Progress:
    """How far a stream is in the table, as far as this call knows."""

    def __init__(self, stream: Stream, confirm: Confirm) -> None:
        self.stream = stream
        self.complete = False
        self.pending: _Pending | None = None
        self._confirm = confirm
        self._after: Position | None = None
        self._rows: dict[str, int] = {}
        self._left = list(stream.segments)

    def next_slices(self, held: Position | None) -> list[Slice]:
        """What to commit next, on top of a table that holds `held`."""
        places = [place for place in (held, self._after) if place is not None]
        slices = next_commit(self._left, max(places, default=None), COMMIT_BYTES)
        first = slices[0].segment if slices else None
        while self._left and self._left[0] != first:
            segment = self._left.pop(0)
            self._confirm(segment, self._rows.pop(segment.base, 0))
        self.complete = not slices
        return slices

    def passed(self, position: Position) -> None:
        """Note what somebody has loaded."""
        self._after = position

    def reached(self, source: _Source) -> None:
        """Note what has been committed, or was found to be empty."""
        self._after = source.reached
        self.pending = None
        for base, count in source.rows.items():
            self._rows[base] = self._rows.get(base, 0) + count


class _Pending(NamedTuple):
    """A file of rows that lost the race for its commit and may win the next one."""

    slices: list[Slice]
    source: _Source
    file: Any


class _Source:
    """The batches of the slices of a commit, and what there is to know of them afterwards."""

    def __init__(self, stream: Stream, slices: list[Slice]) -> None:
        self.rows: dict[str, int] = {}
        self.reached = slices[-1].position
        self._stream = stream
        self._slices = slices

    def batches(self) -> Iterator[Any]:
        """The rows, in order of their segments."""
        for part in self._slices:
            yield from self._batches_of(part)

    def _batches_of(self, part: Slice) -> Iterator[Any]:
        segment, behind = part.segment, 0
        place = Place.of(self._stream.name_of(segment), segment.time_ns)
        transformer = import_module("laketrace.lakehouse.fast_rows").Transformer(place)

        def work(block: Block) -> tuple[int, list[Any]]:
            return block.offset + len(block.data), list(transformer.batches(block))

        with SegmentFile(segment) as file:
            for end, batches in map_ahead(work, read_blocks(file, *part.range), _threads()):
                behind = end
                for batch in batches:
                    self.rows[segment.base] = self.rows.get(segment.base, 0) + batch.num_rows
                    yield batch
                step("writing")
            if file.ended and (behind >= file.at or not behind):
                self.reached = Position(segment.key, LAST_UNIT)  # there are no units behind


def _without_loaded(table: Any, stream: Stream, slices: list[Slice]) -> list[Slice]:
    """Those slices that no load has brought; a load brings all of a segment that is not there."""
    names = {stream.name_of(part.segment): part for part in slices}
    wanted = import_module("pyarrow.dataset").field("segment").isin(list(names))
    rows = table.to_pyarrow_dataset().to_table(columns=["segment", "offset"], filter=wanted)
    found = rows.group_by("segment").aggregate([("offset", "max")]).to_pylist()
    reached = {row["segment"]: row["offset_max"] for row in found}
    return [part for name, part in names.items() if reached.get(name, -1) < part.range[0]]


def _threads() -> int:
    """How many threads make rows: one for an upload in the background of a job."""
    return 2 if threading.current_thread() is threading.main_thread() else 1


def _is_lost_race(error: Exception) -> bool:
    return type(error).__name__ == "CommitFailedError"


def _type_name(kind: object) -> str:
    """Delta's name of a type; of a nested one, what kind it is."""
    return str(kind["type"]) if isinstance(kind, dict) else str(kind)


def _location(name: TableName) -> Location:
    """Where delta-rs finds the table: a local directory or a URL."""
    location = name.location
    if location is None:
        raise UploadError(
            f"{name.shown} is a name in a catalog, and without a Spark session only a path can be "
            "written. Start Spark first, or use the table's path, e.g. abfss://... or s3://..."
        )
    if location.kind in ("directory", "object"):
        return location
    mounted = location.path.removeprefix("/lakehouse/default/")
    if location.kind == "lakehouse" or mounted != location.path:
        return _location(parse_table(lakehouse_url(mounted)))
    raise UploadError(
        f"{name.shown} is on a mount, which cannot commit to a Delta table (no rename, no links). "
        "Start Spark first, or use the table's URL, e.g. abfss://... or s3://..."
    )
