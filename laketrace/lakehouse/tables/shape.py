"""Whether an existing table has the shape that log records need.

Floor 7. Stands on: errors, lakehouse.columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from laketrace.errors import UploadError
from laketrace.lakehouse.columns import COLUMNS, ddl

# What both writers can append to; the others of the protocol's list ("Valid Feature Names in Table
# Features") make delta-rs refuse the table, or would need more than an append (platform facts 6.2).
_WRITABLE = frozenset((
    "appendOnly", "invariants", "changeDataFeed", "timestampNtz", "variantType",
    "variantType-preview",
))  # fmt: skip
_CONSTRAINT = "delta.constraints."
_FORGETS = "delta.setTransactionRetentionDuration"

LOADED = "laketrace.loaded"
"""The property of a table into which files are loaded (`laketrace.spark.load`), so that it may
hold rows that no transaction of their stream tells of."""

LOADER = "laketrace:loader"
"""The transaction id in which loads, and uploads to a loaded table, see each other."""

# What a platform may switch on for new tables although delta-rs cannot write it.
_PLAIN = ("delta.enableDeletionVectors", "delta.enableRowTracking")


def create_statement(table: str, *marks: str) -> str:
    """The SQL that makes a table, given as SQL has it, unless it is there.

    `marks` are properties that become true.

    >>> create_statement("main.ops.logs")[:44]
    'CREATE TABLE IF NOT EXISTS main.ops.logs (`t'
    """
    values = dict.fromkeys(_PLAIN, "false") | {"delta.checkpointPolicy": "classic"}
    values |= dict.fromkeys(marks, "true")
    properties = ", ".join(f"'{name}' = '{value}'" for name, value in values.items())
    return f"CREATE TABLE IF NOT EXISTS {table} ({ddl()}) USING delta TBLPROPERTIES ({properties})"


def check_shape(
    shown: str, types: Mapping[str, str], partitions: Iterable[str], required: Iterable[str]
) -> None:
    """See that a table has exactly our columns, by name (in any order) and Delta type.

    `required` are its columns that take no nulls. Raises `UploadError` that names each column
    that differs.

    >>> check_shape("t", {column.name: column.type for column in COLUMNS}, [], [])
    """
    wanted = {column.name: column.type for column in COLUMNS}
    problems = [
        f"{name} is {types[name]} instead of {kind}"
        for name, kind in wanted.items()
        if types.get(name, kind) != kind
    ]
    groups = {
        "missing": [name for name in wanted if name not in types],
        "not ours": [name for name in types if name not in wanted],
        "without nulls": [name for name in required if name in wanted],
        "partitioned by": list(partitions),
    }
    problems += [f"{what}: {', '.join(names)}" for what, names in groups.items() if names]
    if problems:
        raise UploadError(
            f"the table {shown} has another shape: {'; '.join(problems)}. "
            "Use a table of its own; LakeTrace makes it."
        )


def check_properties(shown: str, properties: Mapping[str, str]) -> None:
    """See that a table keeps what it knows of transactions, and checks nothing of its own.

    Raises `UploadError` if not.
    """
    constraints = [name for name in properties if name.startswith(_CONSTRAINT)]
    if constraints:
        raise UploadError(
            f"the table {shown} has constraints ({', '.join(constraints)}), which a log must not "
            "have: every line goes in. Use a table of its own; LakeTrace makes it."
        )
    if _FORGETS in properties:
        raise UploadError(
            f"the table {shown} forgets transactions after {properties[_FORGETS]}, so nobody could "
            f"tell what it holds. Unset its property {_FORGETS}."
        )


def check_features(shown: str, features: Iterable[str]) -> None:
    """See that delta-rs can append to a table. Raises `UploadError` if not."""
    missing = sorted(set(features) - _WRITABLE)
    if missing:
        raise UploadError(
            f"the table {shown} has {', '.join(missing)}, which the package deltalake cannot "
            "write. Upload from a process with a Spark session, or to a table that LakeTrace makes."
        )
