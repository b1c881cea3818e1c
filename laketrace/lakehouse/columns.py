"""The columns of a log table: names, Delta types, meanings.

Floor 7. Stands on: nothing.

Everything that writes or checks a table reads this list. The types are Delta's names for them
(Delta protocol, "Primitive Types"); all columns are nullable. No maps and no structs: the SQL
endpoints of Fabric cannot read maps, and a shape that never changes can be appended to by every
writer at once.
"""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """One column of the table."""

    name: str
    type: str
    meaning: str


COLUMNS = (
    Column("timestamp", "timestamp", "when it was logged; of a line that is no record: see `raw`"),
    Column("date", "date", "the UTC day of `timestamp`"),
    Column("level", "string", "the level's name"),
    Column("severity", "integer", "the level's number; null for a level that is not registered"),
    Column("message", "string", "as given"),
    Column("logger_name", "string", "the name in get_logger(name)"),
    Column("run_id", "string", "argument, the platform's run id, or one for the process"),
    Column("hostname", "string", "the machine"),
    Column("pid", "long", "the process"),
    Column("platform", "string", "fabric, databricks, synapse, spark or local"),
    Column("runtime_type", "string", "notebook, job, script or local"),
    Column("file", "string", "the caller's file, from the level in `caller_level` up"),
    Column("line", "integer", "the caller's line"),
    Column("function", "string", "the caller's function"),
    Column("exception", "string", "JSON text of the exception object"),
    Column("fields", "string", "JSON text of everything else in the record"),
    Column("segment", "string", "<stream>-<segment>: where the line lies, for ever"),
    Column("offset", "long", "the byte of the uncompressed segment at which the line begins"),
    Column("raw", "string", "the text of a line that is no record, dated with the segment's end"),
)
NAMES = tuple(column.name for column in COLUMNS)

# Columns that are taken from a record under the same name, with the JSON type that they must have.
TEXTS = (
    "level", "message", "logger_name", "run_id", "hostname", "platform", "runtime_type", "file",
    "function",
)  # fmt: skip
NUMBERS = {"pid": 1 << 63, "line": 1 << 31}  # and the bound that they must stay below

# As Spark's SQL has them; TIMESTAMP alone may mean another type (spark.sql.timestampType).
_SQL = {
    "timestamp": "TIMESTAMP_LTZ", "date": "DATE", "string": "STRING", "integer": "INT",
    "long": "BIGINT",
}  # fmt: skip


def ddl() -> str:
    """The columns in Spark's SQL, as CREATE TABLE and createDataFrame take them.

    >>> ddl()[:45]
    '`timestamp` TIMESTAMP_LTZ, `date` DATE, `leve'
    """
    return ", ".join(f"`{column.name}` {_SQL[column.type]}" for column in COLUMNS)
