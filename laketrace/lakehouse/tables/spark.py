"""Rows into a Delta table by Spark, where a session is active: classic or Connect.

Floor 7. Stands on: errors, lakehouse.commits, lakehouse.plan, lakehouse.retry, lakehouse.steps,
lakehouse.stream, lakehouse.tables.delta_rs, lakehouse.tables.frames, lakehouse.tables.names,
lakehouse.tables.shape, lakehouse.targets, runtime.place.

Each commit bears the stream as `txnAppId` and the place that it reaches as `txnVersion` (Delta's
"Idempotent table writes"), so the write itself is the question what the table holds: Delta skips
it when the table has that version or a later one. Nothing is read beforehand, because nothing
read can be trusted later: Delta takes the snapshot of a write by itself, and the JVM of a killed
client may still commit. DESCRIBE HISTORY does not tell transactions, and the files in
`_delta_log`, which do, are hidden from users of a catalog. Two rules make the answer exact:

    one unit      is in the table whole or not at all, so the version decides
    several       are joined against what the table has of their segments. Delta runs that join on
                  the snapshot of the transaction (an INSERT that reads its own table has the
                  guarantees of a MERGE), and fails when this stream commits meanwhile

An engine that takes the options and ignores them (Sail does) would double records. So before its
first commit a session has to skip an empty one that the table knows; one that does not is refused,
and so is one that does not know Delta's statements. Spark has no time limits: each call is given
up when the time of the upload is over, and may still succeed then, which does no harm. Memory: a
commit, at most 48 MiB of lines.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4
from weakref import WeakKeyDictionary

from laketrace.errors import UploadError
from laketrace.lakehouse.commits import Commit, commits_of
from laketrace.lakehouse.plan import version_of
from laketrace.lakehouse.retry import Retry, is_permanent, within
from laketrace.lakehouse.steps import step
from laketrace.lakehouse.stream import Stream
from laketrace.lakehouse.tables.delta_rs import Confirm
from laketrace.lakehouse.tables.frames import Frames, frame_maker
from laketrace.lakehouse.tables.names import TableName
from laketrace.lakehouse.tables.shape import (
    LOADED,
    check_properties,
    check_shape,
    create_statement,
)
from laketrace.lakehouse.targets import Location, lakehouse_url
from laketrace.runtime.place import here

T = TypeVar("T")

_RACES = 100
_CALL_SECONDS = 3600.0  # of one call; the time of the whole upload is the limit that counts
_SEEN = 100  # the newest commits among which our own is looked for
_CHECKS = "laketrace:check"

_RACE = re.compile(
    r"DELTA_(?:CONCURRENT_|METADATA_CHANGED|PROTOCOL_CHANGED)|Concurrent[A-Z]\w*Exception"
    r"|(?:Metadata|Protocol)ChangedException"
)
_ABSENT = re.compile(
    r"DELTA_MISSING_DELTA_TABLE|DELTA_TABLE_NOT_FOUND|TABLE_OR_VIEW_NOT_FOUND"
    r"|DELTA_PATH_DOES_NOT_EXIST|PATH_NOT_FOUND"
)
_FOREIGN = re.compile(
    r"DATA_SOURCE_NOT_FOUND|ailed to find (?:the )?data source|UNSUPPORTED_DATASOURCE"
)
_EXITING = "after interpreter shutdown"  # gRPC needs threads, which an exit does not give any more
_FINAL = frozenset(("AnalysisException", "ParseException"))
_REFUSES = frozenset(
    ("ParseException", "IllegalArgumentException", "UnsupportedOperationException")
)


class EngineRefused(UploadError):
    """A Spark session that must not write a table; nothing has been written."""


class Look(NamedTuple):
    """What a table's history says: its newest version, and the marks of its newest commits."""

    version: int
    marks: set[str]


class SparkTable:
    """A Delta table, written by a Spark session. Raises `UploadError` for a place it cannot reach.

    Threads: one at a time.
    """

    def __init__(self, name: TableName, session: Any) -> None:
        self.shown = name.shown
        self._session = session
        self._path = None if name.location is None else path_for_spark(name.location)
        self._name = name.name if self._path is None else ""
        self._sql = self._name or "delta.`{}`".format(str(self._path).replace("`", "``"))
        self._loaded = False  # also by `laketrace.spark.load`, which knows no versions of streams
        self._ready = False

    @cached_property
    def _frames(self) -> Frames:
        return frame_maker(self._session)

    def load(self, stream: Stream, retry: Retry, confirm: Confirm) -> None:
        """Bring what the table lacks of a stream into it, commit by commit.

        Raises `EngineRefused` before anything is written, and what the last try raised.
        """
        race = retry.impatient(_RACES, first_pause=0.05, longest_pause=2.0)

        def call(work: Callable[[], T]) -> T:
            def in_time() -> T:
                seconds = retry.deadline.left(_CALL_SECONDS)
                return within(seconds, work, f"Spark with {self.shown}")

            return retry.run(lambda: race.run(in_time, is_lost_race), _is_passing)

        if not self._ready:
            call(self.open)
            self._ready = True
        rows: dict[str, int] = {}
        for commit in commits_of(stream, self._frames.make):
            if self._frames.count(commit.batches):
                if self._sql not in _trusted.setdefault(self._session, set()):
                    call(lambda: self._examine(stream))
                step("reading")
                self._append(stream, commit, call, rows)
            for segment in commit.ended:
                confirm(segment, rows.pop(stream.name_of(segment), 0))

    # -- the table -----------------------------------------------------------------------------

    def open(self, to_load: bool = False) -> None:
        """See that the table is there, and has our shape.

        `to_load` lets uploaders know that rows come here without a version of their stream.
        """
        detail = self._detail()
        if detail is None:
            self._run(create_statement(self._sql, *[LOADED] * to_load))
            detail = self._detail()
        if detail is None or detail.get("format") != "delta":
            raise UploadError(f"{self.shown} is no Delta table. Use a table of its own.")
        schema = self.read().schema
        types = {field.name: field.dataType.typeName() for field in schema.fields}
        required = [field.name for field in schema.fields if not field.nullable]
        check_shape(self.shown, types, detail.get("partitionColumns") or (), required)
        properties = dict(detail.get("properties") or {})
        check_properties(self.shown, properties)
        if to_load and LOADED not in properties:
            self._run(f"ALTER TABLE {self._sql} SET TBLPROPERTIES ('{LOADED}' = 'true')")
        self._loaded = to_load or LOADED in properties

    def _run(self, statement: str) -> list[Any]:
        rows: list[Any] = self._session.sql(statement).collect()
        return rows

    def _detail(self) -> dict[str, Any] | None:
        """What DESCRIBE DETAIL says; None where there is no table."""
        try:
            (row,) = self._run(f"DESCRIBE DETAIL {self._sql}")
        except Exception as error:
            if _ABSENT.search(str(error)):
                return None
            if _EXITING in str(error):
                raise EngineRefused(
                    f"Spark Connect can write {self.shown} no more, because the interpreter exits. "
                    f"Close the logger before (`with get_logger(...)`). {_INSTEAD}"
                ) from error
            if type(error).__name__ in _REFUSES or _FOREIGN.search(str(error)):
                raise EngineRefused(
                    f"the Spark session cannot write {self.shown}, because it has no Delta Lake "
                    f"({_first_line(error)}). {_INSTEAD}"
                ) from error
            raise
        return dict(row.asDict())

    def read(self) -> Any:
        """The table as a DataFrame."""
        if self._path is None:
            return self._session.table(self._name)
        return self._session.read.format("delta").load(self._path)

    # -- the engine ----------------------------------------------------------------------------

    def _examine(self, stream: Stream) -> None:
        """See that this session skips what the table has. Raises `EngineRefused` when not.

        The stream begins with an empty commit, and a second one of that version must be skipped.
        Where the stream has begun before, nothing would be seen of either; nor of those of the
        checks' own id, where a clock ahead of ours has checked. A new id always tells.
        """
        checks = [(stream.app_id, 0), (_CHECKS, time.time_ns()), (f"{_CHECKS}:{uuid4().hex}", 0)]
        for app_id, version in checks:
            marks = [uuid4().hex, uuid4().hex]
            for mark in marks:
                self.write(self._frames.frame([]), app_id, version, mark)
            landed = self.look().marks
            if marks[1] in landed:
                break
            if marks[0] in landed:
                _trusted[self._session].add(self._sql)
                return
        raise EngineRefused(
            f"the Spark session must not write {self.shown}: it ignores txnAppId and txnVersion, "
            f"so an upload that is tried again would double records. {_INSTEAD}"
        )

    def look(self) -> Look:
        """A look at the newest commits."""
        history = self._run(f"DESCRIBE HISTORY {self._sql} LIMIT {_SEEN}")
        texts = [row["userMetadata"] or "" for row in history]
        newest = max(row["version"] for row in history)
        return Look(newest, {text.rpartition(" ")[2] for text in texts})

    # -- the rows ------------------------------------------------------------------------------

    def _append(
        self,
        stream: Stream,
        commit: Commit[Any],
        call: Callable[[Callable[[], None]], None],
        rows: dict[str, int],
    ) -> None:
        """Bring a commit into the table, unless it is there."""
        assert commit.position is not None
        version = version_of(commit.position)
        checked = commit.units > 1 or self._loaded

        def write() -> None:
            frame = self._frames.frame(commit.batches)
            lacking = self._lacking(frame, commit) if checked else frame
            self.write(lacking.coalesce(1), stream.app_id, version)

        call(write)
        step("committed")
        for name, count in self._frames.rows_by_segment(commit.batches).items():
            rows[name] = rows.get(name, 0) + count

    def _lacking(self, frame: Any, commit: Commit[Any]) -> Any:
        """The rows that the table does not have when they are written."""
        table = self.read()
        there = table.where(table["segment"].isin(commit.names))
        return frame.join(there.select("segment", "offset"), ["segment", "offset"], "left_anti")

    def write(self, frame: Any, app_id: str, version: int, mark: str = "") -> None:
        """Append rows in one commit, unless the table has this version of `app_id` or a later one.

        `mark` is what a `look` will tell it by.
        """
        writer = frame.write.format("delta").mode("append")
        writer = writer.option("txnAppId", app_id).option("txnVersion", str(version))
        writer = writer.option("userMetadata", f"laketrace {mark}".strip())
        if self._path is None:
            writer.saveAsTable(self._name)
        else:
            writer.save(self._path)


_INSTEAD = (
    "Without it, tables at a path are written by the package deltalake: "
    "pip install 'laketrace[delta]'."
)
_trusted: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


def is_lost_race(error: Exception) -> bool:
    """Whether somebody else has committed first, so that trying again is no retry of a fault."""
    return _RACE.search(str(error)) is not None


def _is_passing(error: Exception) -> bool:
    return not is_permanent(error) and type(error).__name__ not in _FINAL


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]


def path_for_spark(place: Location) -> str:
    """Where Spark finds a place.

    A local path gets its scheme, because Spark would look for it on the cluster's own file system.
    Raises `UploadError` for a place that Spark does not reach.
    """
    if place.kind == "directory":
        return f"file:{place.path}"
    if place.kind == "lakehouse":
        return lakehouse_url(place.path)
    if place.kind == "object":
        if place.scheme == "az":
            raise UploadError(
                f"Spark does not know {place.shown}. "
                "Use abfss://<container>@<account>.dfs.core.windows.net/<folder>."
            )
        s3a = place.scheme == "s3" and here().platform != "databricks"
        return f"s3a{place.shown.removeprefix('s3')}" if s3a else place.shown
    if place.path.startswith("/lakehouse/default/"):
        return lakehouse_url(place.path.removeprefix("/lakehouse/default/"))
    if place.path.startswith("/dbfs/"):
        return f"dbfs:/{place.path.removeprefix('/dbfs/')}"
    if place.path.startswith("/Volumes/") or place.kind == "dbfs":
        return place.path
    raise UploadError(f"Spark does not reach {place.shown}. Use the table's name, or its URL.")
