"""A query is run by DuckDB over log files or a Delta table.

Floor 7. Stands on: cli.query.files, cli.query.sql, cli.query.view, cli.tables, cli.terminal,
errors, lakehouse.columns.

The result is made whole before anything of it is shown, in DuckDB's own memory and beyond that in
a temporary folder; so a query that fails has shown nothing. Nothing is fetched from a network but
a table that lies there.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, NamedTuple

from laketrace.cli.query.files import LogFile, Opened
from laketrace.cli.query.sql import Query
from laketrace.cli.query.view import (
    Lines,
    create_view,
    lines_source,
    quoted,
    select_converted,
    select_lines,
    select_table,
)
from laketrace.cli.tables import TableError, open_delta
from laketrace.cli.terminal import Progress, UsageError, polled
from laketrace.errors import LakeTraceError, need
from laketrace.lakehouse.columns import NAMES

RESULT = "laketrace_result"
"""The temporary table that the result is in."""


class QueryError(LakeTraceError, RuntimeError):
    """The query could not be run; mostly the text is DuckDB's own."""


class Engine:
    """DuckDB, with a folder for what has to be put on disk meanwhile."""

    def __init__(self, folder: str, bar: Progress) -> None:
        self.duckdb: Any = need("duckdb", "cli", "laketrace query")
        self._folder = folder
        self._bar = bar
        self.connection = self.duckdb.connect(
            config={
                "temp_directory": os.path.join(folder, "duckdb"),
                "autoinstall_known_extensions": "false",
            }
        )
        self.connection.execute("set TimeZone = 'UTC'")

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Inside of the block every error of DuckDB's is a `QueryError`."""
        try:
            yield
        except self.duckdb.Error as error:
            text = str(error).partition("\n\nLINE ")[0]
            lacking = re.search(r'column "(\w+)" not found', text)
            if lacking:
                text += f"\nA field that a record was given is fields->>'$.{lacking[1]}'."
            raise QueryError(text) from None

    # -- what is asked ------------------------------------------------------------------------

    def over_table(self, query: Query, text: str) -> None:
        """Run a query over the Delta table at a path or URL."""
        need("pyarrow.dataset", "delta", "laketrace query over a Delta table")
        table = open_delta(text)
        if table is None:
            raise UsageError(
                f"there is no Delta table at {text}. Copies of log files are asked where they "
                "are a directory: mount that place, or copy it."
            )
        try:
            dataset = table.to_pyarrow_dataset()
        except Exception as error:  # features that delta-rs cannot read, or the store
            raise TableError(f"the Delta table {text} cannot be read: {error}") from None
        missing = [name for name in NAMES if name not in dataset.schema.names]
        if missing:
            raise UsageError(f"{text} is no table of log records: it lacks {', '.join(missing)}.")
        self.connection.register("laketrace_delta", dataset)
        self._run(query, [select_table("laketrace_delta")])

    def over_files(self, query: Query, files: list[LogFile]) -> None:
        """Run a query over log files; those that DuckDB refuses are converted and it runs again."""
        offsets = query.may_name("offset")
        with Opened(files, self._folder) as opened:
            opened.open(offsets, self._bar.to)
            odd, starts = set[int](), None
            if offsets:
                odd, starts = self._measure(opened)
            try:
                self._run(query, self._selects(opened, odd, starts))
            except self.duckdb.Error:
                found = self._refused(opened, odd)
                if not found:
                    raise
                self._run(query, self._selects(opened, odd | found, starts))

    def _selects(self, opened: Opened, odd: set[int], starts: list[int] | None) -> list[str]:
        even = [number for number in range(len(opened.paths)) if number not in odd]
        selects = [select_converted(opened.convert(number)) for number in sorted(odd)]
        if even:
            lines = Lines(
                [opened.paths[number] for number in even],
                [opened.files[number].name for number in even],
                [opened.files[number].end_ns for number in even],
                None if starts is None else _starts([starts[number] for number in even]),
            )
            selects.insert(0, select_lines(lines))
        return selects

    # -- how it is run ------------------------------------------------------------------------

    def _run(self, query: Query, selects: list[str]) -> None:
        """Make the result; where a column `_line` gets in the way of the query, without it."""
        if query.may_use_line:
            try:
                return self._make(query, selects, use_line=True)
            except self.duckdb.BinderException:
                pass
        return self._make(query, selects, use_line=False)

    def _make(self, query: Query, selects: list[str], use_line: bool) -> None:
        run = self.connection.execute
        run(create_view(selects, use_line))
        with polled(self._bar, self._percent, 100):
            run(
                f"create or replace temp table {RESULT} as select * from (\n"
                f"{query.text(use_line)}\n)"
            )
        for name in self.columns():
            nicer = _nicer(name, query.names(use_line))
            if nicer != name and nicer not in self.columns():
                run(f"alter table {RESULT} rename column {_name(name)} to {_name(nicer)}")

    def _percent(self) -> float:
        return max(0.0, float(self.connection.query_progress()))  # -1 where it cannot tell

    def columns(self) -> list[str]:
        """The columns of the result."""
        described = self.connection.execute(f"select * from {RESULT} limit 0").description
        return [str(column[0]) for column in described]

    def count(self) -> int:
        """The number of rows of the result."""
        row = self.connection.execute(f"select count(*) from {RESULT}").fetchone()
        return int(row[0])

    def rows(self, limit: int | None = None) -> Iterator[tuple[Any, ...]]:
        """The rows of the result; times are aware, in UTC."""
        readings = [_reading(name, kind) for name, kind in self._types()]
        chosen = ", ".join(reading.expression for reading in readings)
        most = "" if limit is None else f" limit {limit}"
        result = self.connection.execute(f"select {chosen} from {RESULT}{most}")
        while rows := result.fetchmany(10_000):
            for row in rows:
                pairs = zip(readings, row, strict=True)
                yield tuple(None if value is None else read.of(value) for read, value in pairs)

    def _types(self) -> list[tuple[str, str]]:
        described = self.connection.execute(f"describe {RESULT}").fetchall()
        return [(str(column), str(kind)) for column, kind, *_ in described]

    def write_parquet(self, path: str) -> None:
        """Write the result into a Parquet file."""
        self.connection.execute(
            f"copy {RESULT} to {quoted(path)} (format parquet, compression zstd)"
        )

    # -- files that are not as they should be -------------------------------------------------

    def _measure(self, opened: Opened) -> tuple[set[int], list[int]]:
        """The files in which DuckDB cannot count bytes, and the bytes of lines of the others."""
        odd: set[int] = set()
        sizes = [0] * len(opened.paths)
        for number, path in enumerate(opened.paths):
            self._bar.to(number, len(opened.paths))
            try:
                row = self.connection.execute(
                    "select coalesce(sum(strlen(json::varchar) + 1), 0) "
                    f"from {lines_source([path])}"
                ).fetchone()
            except self.duckdb.Error:
                odd.add(number)
                continue
            sizes[number] = int(row[0])
            if not _is_size(path, sizes[number]):
                odd.add(number)  # empty lines, or blanks around one
        return odd, sizes

    def _refused(self, opened: Opened, odd: set[int]) -> set[int]:
        """The files that DuckDB cannot read to their end."""
        found = set()
        for number, path in enumerate(opened.paths):
            try:
                if number not in odd:
                    self.connection.execute(f"select count(json) from {lines_source([path])}")
            except self.duckdb.Error:
                found.add(number)
        return found


def _starts(sizes: list[int]) -> list[int]:
    return [sum(sizes[:number]) for number in range(len(sizes))]


def _is_size(path: str, size: int) -> bool:
    """Whether the lines of a file, each counted with a newline, are `size` bytes.

    The last line may lack its newline. What gzip says of its content is modulo 2^32 (RFC 1952);
    of other archives nothing is known without reading them.
    """
    if path.endswith(".gz"):
        with open(path, "rb") as file:
            file.seek(-4, os.SEEK_END)
            return (size - int.from_bytes(file.read(4), "little")) % (1 << 32) in (0, 1)
    return path.endswith(".zst") or size - os.stat(path).st_size in (0, 1)


class _Reading(NamedTuple):
    """How a column comes out of DuckDB, and what is made of a value of it."""

    expression: str
    of: Callable[[Any], Any]


def _reading(name: str, kind: str) -> _Reading:
    """DuckDB gives times with a zone only where the package pytz is; so they come without one."""
    if kind == "TIMESTAMP WITH TIME ZONE":
        return _Reading(f"timezone('UTC', {_name(name)})", _in_utc)
    if "WITH TIME ZONE" in kind:  # inside of a list or struct
        return _Reading(f"to_json({_name(name)})", json.loads)
    return _Reading(_name(name), _itself)


def _in_utc(time: datetime) -> datetime:
    return time.replace(tzinfo=timezone.utc)


def _itself(value: Any) -> Any:
    return value


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _nicer(name: str, names: Mapping[str, str]) -> str:
    """A column's name with the fields in it under their own names."""
    for expression, field in names.items():
        at = name.lower().find(expression.lower())
        if at >= 0:
            name = name[:at] + field + name[at + len(expression) :]
    return name
