"""Good rows and bad rows: what tells them apart.

Floor 7. Stands on: core.cut, pipeline.streaming.settings.

What a source row shows by itself is found in one expression: a record that the source could not
parse, a value that is not what `schema` says, an event older than the watermark. What comes out of
a transform is made to fit the table, and a row that does not fit fails there. Which source rows
make a transform fail is then found by halving the batch (`Blame`), in at most `_MOST_TRIALS` runs;
what was not told apart by then is bad together. Rows are known by a hash of what they hold, so that
a batch that runs again, in any order, is split in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from laketrace.core.cut import cut
from laketrace.pipeline.streaming.settings import StreamSettings

ERROR = "_laketrace_error"
CORRUPT = "_corrupt_record"
RESCUED = "_rescued_data"  # of Databricks' Auto Loader: what does not fit the schema
_HASH = "_laketrace_row"
_MOST_TRIALS = 64
_MOST_HASHES = 100_000  # rows whose hashes are looked at in the driver
_MOST_REASON = 2000  # bytes
_LOWEST, _HIGHEST = -(1 << 63), (1 << 63) - 1
_OWN = re.compile(r"laketrace\[([A-Z_]+)\] ([^\n]*?)(?= SQLSTATE: |\n|\Z)")
_CLASS = re.compile(r"\[([A-Z][A-Z0-9_]+(?:\.[A-Z0-9_]+)*)\]")
_NOT_THE_ROWS = re.compile(
    r"JOB_CANCELL?ED|OPERATION_CANCELL?ED|StatusCode\.(?:CANCELLED|UNAVAILABLE)"
    r"|Job \d+ cancelled|InterruptedException|SparkContext was shut|OutOfMemoryError"
    r"|ExecutorLostFailure|FetchFailed|Py4JNetworkError"
)
_STACK = re.compile(r"\s*(?:JVM stacktrace:|\n\s*at [\w.$]+\()")
_BY_CONTENT = ("struct", "array", "map", "variant", "interval", "void", "null", "object")


def functions() -> Any:
    """`pyspark.sql.functions`, which serve classic Spark and Spark Connect."""
    return import_module("pyspark.sql.functions")


class Unfit(ValueError):
    """What a transform made does not fit the table, whatever the rows are."""


def error_of(kind: Any, reason: Any) -> Any:
    """The error of a row, as a column."""
    F = functions()

    def column(value: Any) -> Any:
        return F.lit(value) if isinstance(value, str) else value

    return F.struct(column(kind).alias("error_class"), column(reason).alias("error_reason"))


def tagged(batch: Any, settings: StreamSettings, watermark: int) -> Any:
    """The batch with the error of each source row, null for those without one."""
    F = functions()
    found = []
    for name, kind, reason in (
        (CORRUPT, "CORRUPT_RECORD", "the source could not parse the record"),
        (RESCUED, "SCHEMA_MISMATCH", "the record has values that do not fit the source's schema"),
    ):
        if name in batch.columns:
            found.append((F.col(quoted(name)).isNotNull(), kind, F.lit(reason)))
    for field, column in _expected(batch, settings):
        found += _wrong(batch, field, column)
    late = _late(batch, settings.event_time, watermark)
    if late is not None:
        found.append(late)
    error = _no_error()
    for condition, kind, reason in reversed(found):
        error = F.when(condition, error_of(kind, reason)).otherwise(error)
    return batch.withColumn(ERROR, error)


def unchecked(batch: Any) -> Any:
    """The batch with no error in any row."""
    return batch.withColumn(ERROR, _no_error())


def _no_error() -> Any:
    F = functions()
    return F.lit(None).cast("struct<error_class: string, error_reason: string>")


def source_rows(batch: Any, settings: StreamSettings, marks: bool) -> Any:
    """What a transform gets: the typed columns of the source, without the marks of bad rows.

    With `marks` the columns that mark bad rows stay, for a transform that repairs them.
    """
    F = functions()
    frame = batch.drop(ERROR) if marks else batch.drop(ERROR, CORRUPT, RESCUED)
    for field, column in _expected(frame, settings):
        if column is not None and _differs(column.dataType, field.dataType):
            frame = frame.withColumn(column.name, F.expr(_try_cast(column.name, field.dataType)))
    return frame


def _expected(batch: Any, settings: StreamSettings) -> list[tuple[Any, Any]]:
    """The fields of the setting `schema`, each with that of the batch, None where it has none."""
    if settings.schema is None:
        return []
    schema = settings.schema
    if isinstance(schema, str):
        schema = batch.sparkSession.createDataFrame([], schema).schema
    there = {field.name.lower(): field for field in batch.schema.fields}
    return [
        (field, there.get(field.name.lower()))
        for field in schema.fields
        if field.name not in (CORRUPT, RESCUED)
    ]


def _wrong(batch: Any, field: Any, column: Any) -> list[tuple[Any, str, Any]]:
    """What a field of `schema` refuses in a row."""
    F = functions()
    if column is None:
        return [(F.lit(True), "SCHEMA_MISMATCH", F.lit(f"there is no column {field.name}"))]
    found: list[tuple[Any, str, Any]] = []
    value = F.col(quoted(column.name))
    if not field.nullable:
        reason = F.lit(f"{field.name} is null, which the schema does not allow")
        found.append((value.isNull(), "SCHEMA_MISMATCH", reason))
    if _differs(column.dataType, field.dataType):
        failed = F.expr(_try_cast(column.name, field.dataType)).isNull() & value.isNotNull()
        found.append((failed, "CAST_INVALID", _no_cast(column, field.name, field.dataType)))
    return found


def _late(batch: Any, name: str, watermark: int) -> tuple[Any, str, Any] | None:
    F = functions()
    kinds = {field.name: field.dataType.typeName() for field in batch.schema.fields}
    if watermark <= 0 or not str(kinds.get(name)).startswith("timestamp"):
        return None
    limit = F.expr(f"timestamp_millis({watermark})")
    reason = F.concat(
        F.lit(f"{name} "), F.col(quoted(name)).cast("string"),
        F.lit(" is older than the watermark "), limit.cast("string"),
    )  # fmt: skip
    return F.col(quoted(name)) < limit, "LATE", reason


# -- what a transform made -------------------------------------------------------------------------


def fitted(made: Any, schema: Any, grows: bool) -> Any:
    """What a transform made, as the table wants it; a row that does not fit fails when written.

    `schema` is the table's, None before there is one; `grows` that it takes new columns. Raises
    `Unfit` for columns that it has not.
    """
    F = functions()
    wanted = {} if schema is None else {field.name.lower(): field for field in schema.fields}
    for name in (CORRUPT, RESCUED):
        if name in made.columns and name not in wanted:
            said = _raise("CORRUPT_RECORD", F.lit(f"{name} is there after the transform"))
            ok = F.when(F.col(quoted(name)).isNotNull(), said.cast("boolean")).otherwise(True)
            made = made.filter(ok).drop(name)
    if schema is None:
        return made
    extra = [field.name for field in made.schema.fields if field.name.lower() not in wanted]
    if extra and not grows:
        raise Unfit(f"laketrace[SCHEMA_MISMATCH] the table has no column {', '.join(extra)}")
    return made.select(
        *(_fitting(field, wanted.get(field.name.lower())) for field in made.schema.fields)
    )


def _fitting(field: Any, wanted: Any) -> Any:
    F = functions()
    value = F.col(quoted(field.name))
    if wanted is None:
        return value
    made = value
    if _differs(field.dataType, wanted.dataType):
        cast = F.expr(_try_cast(field.name, wanted.dataType))
        said = _raise("CAST_INVALID", _no_cast(field, field.name, wanted.dataType))
        made = F.when(cast.isNull() & value.isNotNull(), said.cast(wanted.dataType)).otherwise(cast)
    if not wanted.nullable and field.nullable:
        said = _raise("SCHEMA_MISMATCH", F.lit(f"{field.name} is null, which the table refuses"))
        made = F.when(value.isNull(), said.cast(wanted.dataType)).otherwise(made)
    return made.alias(field.name)


def _raise(kind: str, reason: Any) -> Any:
    F = functions()
    return F.raise_error(F.concat(F.lit(f"laketrace[{kind}] "), reason))


def _no_cast(field: Any, name: str, wanted: Any) -> Any:
    F = functions()
    shown = F.lit("a value")
    if not str(field.dataType.simpleString()).startswith(_BY_CONTENT):
        shown = F.concat(
            F.lit("'"), F.substring(F.col(quoted(field.name)).cast("string"), 1, 200), F.lit("'")
        )
    return F.concat(F.lit(f"{name}: "), shown, F.lit(f" is no {wanted.simpleString()}"))


def _differs(one: Any, other: Any) -> bool:
    return bool(one.simpleString() != other.simpleString())


def _try_cast(name: str, wanted: Any) -> str:
    return f"try_cast({quoted(name)} AS {wanted.simpleString()})"


def quoted(name: str) -> str:
    """A column's name in an expression of SQL.

    >>> quoted("a.b")
    '`a.b`'
    """
    return "`" + name.replace("`", "``") + "`"


# -- which rows make a transform fail ------------------------------------------------------------


def row_hash(frame: Any) -> Any:
    """A hash of what a row holds, as a column: 64 bits, nulls in their places."""
    F = functions()
    parts, nulls = [], []
    for field in frame.schema.fields:
        column = F.col(quoted(field.name))
        nulls.append(column.isNull().cast("string"))
        if str(field.dataType.simpleString()).startswith(_BY_CONTENT):
            exact = {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"}
            column = F.to_json(F.struct(column), exact)
        parts.append(column)
    return F.xxhash64(*parts, F.concat_ws(",", *nulls))


class Part(NamedTuple):
    """Rows whose hashes lie from `low` to `high`, and why they are bad."""

    low: int
    high: int
    error_class: str
    error_reason: str


class Blame:
    """Which rows of a batch make a transform fail.

    `run` runs a transform over some of them and throws the result away.
    """

    def __init__(self, rows: Any, run: Callable[[Any], None]) -> None:
        self._rows = rows.withColumn(_HASH, row_hash(rows))
        self._run = run
        self._trials = 0

    def find(self) -> list[Part]:
        """The rows to blame; empty where all of them together do not fail now.

        A transform that fails over no row at all fails by itself: then all are to blame.
        """
        error = self._failure(_LOWEST, _HIGHEST)
        if error is None:
            return []
        if self._failure(1, 0) is not None:  # nothing lies between
            return [self._part(_LOWEST, _HIGHEST, error)]
        return self._within(_LOWEST, _HIGHEST, error, None, known=True)

    def _within(
        self, low: int, high: int, error: BaseException, hashes: list[int] | None, known: bool
    ) -> list[Part]:
        """The rows to blame from `low` to `high`, which fail with `error`.

        Where that is not `known`, it follows from their neighbours, which do not fail.
        """
        if hashes is None:
            hashes = self._hashes(low, high)
        few = hashes is not None and len(hashes) < 2
        if few or low == high or self._trials >= _MOST_TRIALS:
            sure = known or self._failure(low, high) is not None
            return [self._part(low, high, error)] if sure else []
        middle = (low + high) // 2 if hashes is None else hashes[len(hashes) // 2] - 1
        lower, upper = (
            None if hashes is None else [each for each in hashes if each <= middle],
            None if hashes is None else [each for each in hashes if each > middle],
        )
        failure = self._failure(low, middle)
        if failure is None:
            found = self._within(middle + 1, high, error, upper, known=False)
        else:
            found = self._within(low, middle, failure, lower, known=True)
            failure = self._failure(middle + 1, high)
            if failure is not None:
                found += self._within(middle + 1, high, failure, upper, known=True)
        if not found and self._failure(low, high) is not None:
            return [self._part(low, high, error)]  # they fail together, though not apart
        return found

    def _hashes(self, low: int, high: int) -> list[int] | None:
        """The hashes of the rows in order; None where they are too many."""
        rows = self._between(low, high).select(_HASH).distinct().limit(_MOST_HASHES + 1).collect()
        return None if len(rows) > _MOST_HASHES else sorted(row[0] for row in rows)

    def _failure(self, low: int, high: int) -> BaseException | None:
        self._trials += 1
        try:
            self._run(self._between(low, high).drop(_HASH))
        except Exception as error:
            if not may_be_rows(error):
                raise
            return error
        return None

    def _between(self, low: int, high: int) -> Any:
        F = functions()
        return self._rows.filter(F.col(_HASH).between(low, high))

    def _part(self, low: int, high: int, error: BaseException) -> Part:
        return Part(low, high, *reason_of(error))


def may_be_rows(error: BaseException) -> bool:
    """Whether rows can be the cause of an error: not where a job was stopped or lost its machine.

    >>> may_be_rows(ValueError("x")), may_be_rows(RuntimeError("[SPARK_JOB_CANCELLED] Job 3"))
    (True, False)
    """
    return _NOT_THE_ROWS.search(f"{type(error).__name__}: {error}") is None


def blamed(frame: Any, parts: list[Part]) -> Any:
    """The error of each row of a frame, by what was found; null for the others."""
    F = functions()
    error = _no_error()
    row = row_hash(frame)
    for part in parts:
        condition = row.between(part.low, part.high)
        error = F.when(condition, error_of(part.error_class, part.error_reason)).otherwise(error)
    return error


def reason_of(error: BaseException) -> tuple[str, str]:
    """The class and the text of an error: Spark's own class where it has one.

    >>> reason_of(RuntimeError("[DIVIDE_BY_ZERO] Division by zero. Use ..."))
    ('DIVIDE_BY_ZERO', '[DIVIDE_BY_ZERO] Division by zero. Use ...')
    >>> reason_of(RuntimeError("[X] laketrace[CAST_INVALID] a: 'b' is no int SQLSTATE: P0001"))
    ('CAST_INVALID', "a: 'b' is no int")
    >>> reason_of(KeyError("amount"))
    ('TRANSFORM_RAISED', "KeyError: 'amount'")
    """
    text = _STACK.split(str(error), maxsplit=1)[0]
    own = _OWN.search(text)
    if own:
        return own[1], cut(own[2], _MOST_REASON)
    found = _CLASS.search(text)
    if found:
        return found[1], cut(text[found.start() :].strip(), _MOST_REASON)
    return "TRANSFORM_RAISED", cut(f"{type(error).__name__}: {text}", _MOST_REASON)
