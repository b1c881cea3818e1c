"""The aggregates of Spark behind figures: none but the caller's own can fail an action on a value.

Floor 7. Stands on: pipeline.figures.

`DataFrame.observe` takes aggregates that are not distinct. In ANSI mode, the default of Spark 4, a
cast that fails ends the action; so values are compared with values of their type alone. A sample
is taken in the same pass: each row that offends falls by its hash into one of a few places, and of
each place the greatest row is kept, so that memory stays bounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from laketrace.pipeline.figures import Figure, NotKnown, Own

_NTZ = "yyyy-MM-dd'T'HH:mm:ss.SSSSSS"
REPEATED = (
    "whether values are repeated takes a second pass over the data, which expect(second_pass=True) "
    "allows"
)
_LONGEST_ROW = 4000  # characters of a row, as JSON, in a sample
_KINDS_OF_VALUES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "date": (date,),
    "timestamp": (date,),
    **dict.fromkeys(("byte", "short", "integer", "long", "float", "double"), (int, float)),
    "decimal": (int, float, Decimal),
}


def aggregate(functions: Any, figure: Figure, kinds: dict[str, str]) -> Any:
    """An aggregate for a figure; but for the caller's own, one that cannot fail on a value.

    Raises `NotKnown`.
    """
    if figure.kind == "rows":
        return functions.count(functions.lit(1))
    if figure.kind == "own":
        return _own(functions, figure.argument)
    if figure.kind == "sample":
        return _sample(functions, figure, kinds)
    name = str(figure.column)
    if figure.kind in ("nulls", "broken", "outside", "unmatched"):
        offends = _offends(functions, figure.kind, name, figure.argument, kinds)
        return functions.count(functions.when(offends, 1))
    column = column_of(functions, name)
    if figure.kind in ("min", "max"):
        return _extreme(functions, getattr(functions, figure.kind), column, kinds[name])
    if figure.kind == "newest":
        if kinds[name] not in ("timestamp", "timestamp_ntz", "date"):
            raise NotKnown(f"{name} is of type {kinds[name]}, which is no time")
        return functions.max(functions.unix_micros(column.cast("timestamp")))
    if figure.kind == "distinct":
        return functions.approx_count_distinct(column)
    raise NotKnown(f"{REPEATED} ({name})")


def _extreme(functions: Any, pick: Any, column: Any, kind: str) -> Any:
    """An extreme; times as numbers or texts, since Spark 3.5 would give objects of the JVM."""
    if kind == "timestamp":
        return functions.unix_micros(pick(column))
    if kind == "date":
        return pick(column).cast("string")
    if kind == "timestamp_ntz":
        return functions.date_format(pick(column), _NTZ)
    return pick(column)


def column_of(functions: Any, name: str) -> Any:
    """The column of that very name, dots and all."""
    return functions.col("`" + name.replace("`", "``") + "`")


def _own(functions: Any, own: Own) -> Any:
    """SQL of Spark as a text, or a Column as it is."""
    return functions.expr(own.value) if isinstance(own.value, str) else own.value


def _offends(functions: Any, kind: str, name: str, argument: Any, kinds: dict[str, str]) -> Any:
    """Whether a row offends; null where its value is null, but for `nulls`."""
    if kind == "broken":
        return ~_own(functions, argument)
    column = column_of(functions, name)
    if kind == "nulls":
        return column.isNull()
    if kind == "outside":
        _refuse_casts(name, kinds[name], argument)
        return ~column.isin(list(argument))
    if kind == "unmatched":
        if kinds[name] not in ("string", "char", "varchar"):
            raise NotKnown(f"{name} is of type {kinds[name]}, a pattern is for texts")
        return ~column.rlike(f"^(?:{argument})\\z")
    if kind == "repeated":
        raise NotKnown(f"{REPEATED} ({name})")
    _refuse_casts(name, kinds[name], [argument])
    return column < argument if kind == "below" else column > argument


def _refuse_casts(name: str, kind: str, values: Iterable[Any]) -> None:
    """Spark would cast, and in ANSI mode fail the action on a value that it cannot cast."""
    fits = _KINDS_OF_VALUES.get(kind, ())
    for value in values:
        if not isinstance(value, fits) or (isinstance(value, bool) and bool not in fits):
            raise NotKnown(f"{name} is of type {kind}, {value!r} is not"[:_LONGEST_ROW])


def _sample(functions: Any, figure: Figure, kinds: dict[str, str]) -> Any:
    """Some rows that offend, as lines of JSON: of those with the same hash the greatest."""
    kind, argument, most = figure.argument
    offends = _offends(functions, kind, str(figure.column), argument, kinds)
    row = functions.to_json(functions.struct(*(column_of(functions, name) for name in kinds)))
    short = functions.when(functions.length(row) <= _LONGEST_ROW, row)
    place = functions.pmod(functions.xxhash64(row), functions.lit(most))
    each = (functions.max(functions.when(offends & (place == k), short)) for k in range(most))
    return functions.concat_ws("\n", *each)


def plain(figure: Figure, value: Any, kinds: dict[str, str]) -> Any:
    """What Spark gave for a figure, as a value of Python."""
    if figure.kind == "sample":
        return [json.loads(line) for line in value.splitlines()]
    if value is None:
        return None
    if figure.kind == "newest":
        return value / 1_000_000
    kind = kinds.get(figure.column or "") if figure.kind in ("min", "max") else None
    if kind == "timestamp":
        return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=value)
    if kind == "date":
        return date.fromisoformat(value)
    if kind == "timestamp_ntz":
        return datetime.fromisoformat(value)
    return value


def alias(figure: Figure) -> str:
    """The name of a figure in the progress of a stream."""
    return "row_count" if figure.kind == "rows" else f"{figure.kind}_{figure.column or ''}"
