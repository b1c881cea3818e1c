"""The view `logs` over log files: the rows that the Delta table would have, made by DuckDB.

Floor 7. Stands on: cli.query.sql, core.levels, lakehouse.columns.

The rules are those of `lakehouse.rows`: a record fills the columns, another JSON object goes whole
into `fields`, anything else into `raw`. A test compares the two. For speed each line is first held
against the head that LakeTrace's own lines have; only others are looked at by JSON types. Every
column is an expression of its own over the line, so DuckDB leaves out what a query does not use.
One difference is left: DuckDB takes NaN and Infinity for numbers, which are no JSON (RFC 8259) and
which LakeTrace never writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from laketrace.cli.query.sql import LINE
from laketrace.core.levels import get_level
from laketrace.lakehouse.columns import COLUMNS, NUMBERS, TEXTS

MAX_LINE_BYTES = 32 << 20  # a record is cut at 16 MB

_TYPES = {
    "timestamp": "timestamptz", "date": "date", "string": "varchar", "integer": "integer",
    "long": "bigint",
}  # fmt: skip
# The level of a line with the head that LakeTrace's own have, null for any other line.
_HEAD = (
    r'^\{"timestamp":"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])'
    r'T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}\+00:00",'
    r'"level":"([^"\\]{1,32})","message":"'
)
_OWN_LEVEL = f"nullif(regexp_extract(v, '{_HEAD}', 1), '')"
_THREE = "['$.timestamp', '$.level', '$.message']"
_ISO = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)"
_TIME = "try_cast(replace(j->>'$.timestamp', ',', '.') as timestamptz)"
# What a line is: 2 a record, 1 another JSON object, 0 anything else.
_KIND = f"""case when l is not null then 2
        when json_type(j) <> 'OBJECT' then 0
        when json_type(j, {_THREE}) = ['VARCHAR', 'VARCHAR', 'VARCHAR']
         and regexp_full_match(j->>'$.timestamp', '{_ISO}') and {_TIME} is not null then 2
        else 1 end"""
_LEVELS = (
    "TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL", "WARN", "FATAL", "NOTSET",
)  # fmt: skip
_INTEGERS = "('BIGINT', 'UBIGINT')"


class Lines(NamedTuple):
    """Files that DuckDB reads line by line, and what is the same for all lines of each.

    `starts` are the bytes in all files before each; None where offsets are not wanted.
    """

    paths: Sequence[str]
    names: Sequence[str]
    ends_ns: Sequence[int]
    starts: Sequence[int] | None = None


def quoted(text: str) -> str:
    """A text as an SQL literal.

    >>> quoted("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def lines_source(paths: Sequence[str]) -> str:
    """The table function that gives each line of some files as JSON; malformed ones raise."""
    files = ", ".join(map(quoted, paths))
    return f"read_ndjson_objects([{files}], maximum_object_size={MAX_LINE_BYTES})"


def select_lines(lines: Lines) -> str:
    """A SELECT that gives the rows of files, with the column `_line`."""
    ends = ", ".join(str(end // 1000) for end in lines.ends_ns)
    names = ", ".join(map(quoted, lines.names))
    length, start = "null", ""
    if lines.starts is not None:
        length = "sum(strlen(json::varchar) + 1) over (rows unbounded preceding)"
        starts = ", ".join(map(str, lines.starts))
        start = f"o - strlen(v) - 1 - list_extract([{starts}], f)"
    columns = ",\n    ".join(
        f'{_column(column.name, start)}::{_TYPES[column.type]} as "{column.name}"'
        for column in COLUMNS
    )
    return f"""select
    {columns}, j as {LINE}
from (select *, make_timestamptz(list_extract([{ends}]::bigint[], f)) as e,
    list_extract([{names}]::varchar[], f) as s, {_KIND} as k
  from (select *, {_OWN_LEVEL} as l
    from (select json as j, json::varchar as v, (file_index + 1)::bigint as f, {length} as o
      from {lines_source(lines.paths)})))"""


def _column(name: str, start: str) -> str:
    """The expression for one column, over the line `j` (as text `v`) of kind `k`."""
    if name == "timestamp":
        return f"case when k = 2 then coalesce({_TIME}, e) else e end"
    if name == "date":
        return f"timezone('UTC', {_column('timestamp', start)})"
    if name == "severity":
        whens = " ".join(f"when {quoted(text)} then {no}" for text, no in _severities())
        return f"case upper(trim({_column('level', start)})) {whens} end"
    if name == "level":
        return "coalesce(l, case when k = 2 then j->>'$.level' end)"
    if name == "message":
        return "case when k = 2 then j->>'$.message' end"
    if name in TEXTS:
        return f"case when k = 2 and json_type(j, '$.{name}') = 'VARCHAR' then j->>'$.{name}' end"
    if name in NUMBERS:
        return f"case when k = 2 and {_is_number(name)} then j->>'$.{name}' end"
    if name == "exception":
        return (
            "case when k = 2 and json_type(j, '$.exception') = 'OBJECT' then j->'$.exception' end"
        )
    if name == "fields":
        return f"case k when 2 then json_merge_patch(j, {_taken()}) when 1 then j end"
    if name == "segment":
        return "s"
    if name == "offset":
        return start or "null"
    return "case when k = 0 then v end"


def _is_number(name: str) -> str:
    bits = "bigint" if NUMBERS[name] > 1 << 31 else "integer"
    whole = f"json_type(j, '$.{name}') in {_INTEGERS}"
    return f"({whole} and try_cast(j->>'$.{name}' as {bits}) is not null)"


def _taken() -> str:
    """A JSON merge patch (RFC 7396) that removes the fields which stand in columns."""
    parts = [quoted('{"timestamp":null,"level":null,"message":null')]
    for name in TEXTS:
        if name not in ("level", "message"):
            parts.append(_member(name, f"json_type(j, '$.{name}') = 'VARCHAR'"))
    parts += [_member(name, _is_number(name)) for name in NUMBERS]
    parts.append(_member("exception", "json_type(j, '$.exception') = 'OBJECT'"))
    return "(" + " || ".join([*parts, quoted("}")]) + ")::json"


def _member(name: str, condition: str) -> str:
    member = quoted(f',"{name}":null')
    return f"case when {condition} then {member} else '' end"


def _severities() -> list[tuple[str, int]]:
    return [(name, get_level(name).no) for name in _LEVELS]


def select_converted(path: str) -> str:
    """A SELECT over rows that were made one by one, with the column `_line`."""
    types = {column.name: _TYPES[column.type] for column in COLUMNS if column.name != "date"}
    types["timestamp"] = "bigint"
    columns = ", ".join(f"{quoted(name)}: {quoted(kind)}" for name, kind in types.items())
    time = 'make_timestamptz("timestamp")'
    shown = {
        "timestamp": f'{time} as "timestamp"',
        "date": f"timezone('UTC', {time})::date as date",
    }
    chosen = ", ".join(shown.get(column.name, f'"{column.name}"') for column in COLUMNS)
    return (
        f"select {chosen}, fields::json as {LINE} from read_json({quoted(path)}, "
        f"format='newline_delimited', columns={{{columns}}}, "
        f"maximum_object_size={4 * MAX_LINE_BYTES})"
    )


def select_table(source: str) -> str:
    """A SELECT over a Delta table that DuckDB knows as `source`, with the column `_line`."""
    columns = ", ".join(f'"{column.name}"' for column in COLUMNS)
    return f"select {columns}, fields::json as {LINE} from {source}"


def create_view(selects: Sequence[str], use_line: bool) -> str:
    """The statement that makes the view `logs` of the rows of several sources."""
    exclude = "" if use_line else f" exclude ({LINE})"
    union = "\nunion all\n".join(selects)
    return f"create or replace temp view logs as select *{exclude} from (\n{union}\n)"
