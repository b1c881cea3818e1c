"""Figures of data in this process: rows, nulls, extremes, distinct values, computed directly.

Floor 7. Stands on: errors.

pandas, Polars and Arrow go through narwhals (extra `quality`): one pass of the library's own code
for all figures of a call. A list of dicts needs nothing but Python. What is null is what the
library says: NaN is null in pandas, and a value in Polars and Arrow. A figure that the data do not
give (a pattern on numbers) costs the others nothing: it is not known, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timezone
from difflib import get_close_matches
from functools import partial
from typing import Any, NamedTuple

from laketrace.errors import ConfigError, need

_MISSING = ("NAType", "NaTType")  # pandas: NA cannot even be compared with itself


class Own:
    """An expression of the caller's, equal to itself alone: a Column of Spark has no plain `==`."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __str__(self) -> str:
        return str(getattr(self.value, "__name__", self.value))[:200]


class Figure(NamedTuple):
    """One figure: `rows`, or of a column `nulls`, `min`, `max`, `distinct`, `repeated` (values
    that came before), `outside` (of a set), `unmatched` (by a pattern, which is to match the whole
    text), `newest` (time, in Unix seconds); nulls are no values. `argument` is the set (a tuple)
    or the pattern. Of an `Own` expression: `broken` (rows for which it is false), `own` (its
    value, under `column` as its name). `sample`: some rows that offend, of an `Offence`.
    """

    kind: str
    column: str | None = None
    argument: Any = None


class Offence(NamedTuple):
    """Rows to be shown, `most` of them: `kind` is that of a figure, or `below`, `above`."""

    kind: str
    argument: Any
    most: int


NAMED = ("own", "broken")  # figures whose name, if any, is no column's


class NotKnown(Exception):
    """A figure could not be known; the text says why."""


class Data:
    """Data under a name, with their figures as they are asked for.

    It holds the data themselves. Raises `ConfigError` for data of another kind.

    >>> orders = Data("orders", [{"id": 1}, {"id": None}, {"id": 1}])
    >>> [orders.figure(Figure(kind, "id")) for kind in ("rows", "nulls", "max", "repeated")]
    [3, 1, 1, 1]
    """

    basis = "computed"

    def __init__(self, name: str, data: Any) -> None:
        self.name = name
        self._known: dict[Figure, Any] = {}
        self._columns, self._types, self._compute = _opened(data)

    def prepare(self, figures: Iterable[Figure]) -> None:
        """Compute figures together. Raises `ConfigError` for columns that are not there."""
        wanted = [figure for figure in dict.fromkeys(figures) if figure not in self._known]
        self._refuse({item.column for item in wanted if item.column and item.kind not in NAMED})
        if not wanted:
            return
        try:
            values = self._compute(wanted)
        except Exception:  # one of them: each for itself then
            values = [self._alone(figure) for figure in wanted]
        self._known.update(zip(wanted, map(_plain, values), strict=True))

    def figure(self, figure: Figure) -> Any:
        """One figure; raises `NotKnown`."""
        if figure not in self._known:
            self.prepare([figure])
        value = self._known[figure]
        if isinstance(value, NotKnown):
            raise value
        if figure.kind == "newest" and value is not None:
            return unix_seconds(value)
        return value

    def _alone(self, figure: Figure) -> Any:
        try:
            return self._compute([figure])[0]
        except Exception as error:
            text = str(error).partition("\n")[0]
            where = figure.column or figure.argument
            return NotKnown(f"{figure.kind} of {where}: {type(error).__name__}: {text}")

    @property
    def schema(self) -> list[tuple[str, str | None]]:
        """The columns with their types; of a list of dicts nobody knows the types."""
        return [(name, self._types.get(name)) for name in self._columns or ()]

    def _refuse(self, columns: set[str]) -> None:
        if self._columns is not None:
            refuse_unknown(self.name, columns, self._columns)


def refuse_unknown(name: str, columns: Iterable[str], there: Sequence[str]) -> None:
    """Raise `ConfigError` for columns that data have not."""
    problems = []
    names = [str(name) for name in there]  # pandas has columns that are numbered
    for column in sorted(set(columns) - set(there)):
        near = get_close_matches(column, names, 1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(names)}."
        problems.append(f"column={column!r}: {name} has no such column. {hint}"[:500])
    if problems:
        raise ConfigError(problems)


_Opened = tuple["Sequence[str] | None", "dict[str, str]", "Callable[[Sequence[Figure]], list[Any]]"]


def _opened(data: Any) -> _Opened:
    """The columns of data with their types, as far as known, and what computes their figures."""
    if isinstance(data, (list, tuple)):
        if all(isinstance(row, Mapping) for row in data):
            columns = list(dict.fromkeys(key for row in data for key in row))
            return columns or None, {}, lambda wanted: [_of_rows(data, each) for each in wanted]
        raise _refused(data, "its items are not dicts")
    nw = need("narwhals", "quality", "stage.observe of a table")
    try:
        frame = nw.from_native(data)
    except TypeError:
        raise _refused(data, "it is no table that is known") from None
    schema = frame.collect_schema()
    types = {name: str(kind) for name, kind in schema.items()}
    return schema.names(), types, partial(_of_frame, nw, frame)


def _refused(data: Any, why: str) -> ConfigError:
    return ConfigError(
        [
            f"observe: data of type {type(data).__name__}: {why}. Use a DataFrame of Spark, pandas "
            "or Polars, an Arrow table, or a list of dicts."
        ]
    )


# -- tables, by narwhals ------------------------------------------------------------------------


def _of_frame(nw: Any, frame: Any, wanted: Sequence[Figure]) -> list[Any]:
    """The figures of a table, all but samples in one select."""
    plain = [figure for figure in wanted if figure.kind != "sample"]
    values: dict[Figure, Any] = {}
    if plain:
        named = [_expression(nw, item).alias(f"figure{index}") for index, item in enumerate(plain)]
        row = _collected(frame.select(*named)).rows()[0]
        values = dict(zip(plain, row, strict=True))
    return [
        _sample(nw, frame, figure) if figure.kind == "sample" else values[figure]
        for figure in wanted
    ]


def _collected(frame: Any) -> Any:
    return frame.collect() if hasattr(frame, "collect") else frame  # a lazy table of Polars


def _expression(nw: Any, figure: Figure) -> Any:
    if figure.kind == "rows":
        return nw.len()
    if figure.kind == "own":
        return _own(nw, figure.argument)
    if figure.kind == "broken":
        return (~_own(nw, figure.argument)).sum()
    column = nw.col(figure.column)
    if figure.kind == "nulls":
        return column.null_count()
    if figure.kind in ("min", "max", "newest"):
        return getattr(column.drop_nulls(), figure.kind.replace("newest", "max"))()
    if figure.kind == "distinct":
        return column.drop_nulls().n_unique()
    if figure.kind == "repeated":
        return column.count() - column.drop_nulls().n_unique()
    if figure.kind == "outside":
        return (~column.is_in(list(figure.argument)) & ~column.is_null()).sum()
    return (~column.drop_nulls().str.contains(f"^(?:{figure.argument})$")).sum()


def _own(nw: Any, own: Own) -> Any:
    if not isinstance(own.value, nw.Expr):
        raise TypeError("for a table it is an expression of narwhals, e.g. narwhals.col('n') > 0")
    return own.value


def _sample(nw: Any, frame: Any, figure: Figure) -> list[dict[str, Any]]:
    """The first rows that offend."""
    kind, argument, most = figure.argument
    column = nw.col(figure.column or "")
    if kind == "nulls":
        found = frame.filter(column.is_null())
    elif kind == "broken":
        found = frame.filter(~_own(nw, argument))
    else:
        found = frame.filter(~column.is_null())
        if kind == "outside":
            found = found.filter(~column.is_in(list(argument)))
        elif kind == "unmatched":
            found = found.filter(~column.str.contains(f"^(?:{argument})$"))
        elif kind == "repeated":
            found = found.filter(column.is_duplicated())
        else:
            found = found.filter(column < argument if kind == "below" else column > argument)
    rows = _collected(found.head(most)).rows(named=True)
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


# -- lists of dicts -----------------------------------------------------------------------------


def _of_rows(rows: Sequence[Mapping[str, Any]], figure: Figure) -> Any:
    """A figure of a list of dicts, where None and a key that is not there are null."""
    if figure.kind == "rows":
        return len(rows)
    if figure.kind == "own":
        return figure.argument.value(rows)
    if figure.kind == "sample":
        kind, argument, most = figure.argument
        return [dict(row) for row in _offenders(rows, kind, figure.column, argument)[:most]]
    if figure.kind in ("nulls", "broken", "outside", "unmatched", "repeated"):
        return len(_offenders(rows, figure.kind, figure.column, figure.argument))
    values = [value for row in rows if (value := row.get(figure.column or "")) is not None]
    if figure.kind == "distinct":
        return len(set(values))
    pick: Callable[..., Any] = min if figure.kind == "min" else max
    return pick((value for value in values if value == value), default=None)


def _offenders(
    rows: Sequence[Mapping[str, Any]], kind: str, column: str | None, argument: Any
) -> list[Mapping[str, Any]]:
    if kind == "broken":
        return [row for row in rows if (found := argument.value(row)) is not None and not found]
    name = column or ""
    if kind == "nulls":
        return [row for row in rows if row.get(name) is None]
    seen: set[Any] = set()
    whole = re.compile(argument).fullmatch if kind == "unmatched" else None

    def offends(value: Any) -> bool:
        if kind == "outside":
            return value not in argument
        if whole is not None:
            return whole(value) is None
        if kind == "below":
            return bool(value < argument)
        if kind == "above":
            return bool(value > argument)
        again = value in seen
        seen.add(value)
        return again

    return [row for row in rows if (value := row.get(name)) is not None and offends(value)]


def unix_seconds(value: Any) -> float:
    """A time as Unix seconds; one without a time zone is in UTC. Raises `NotKnown` for no time.

    >>> from datetime import date
    >>> unix_seconds(date(1970, 1, 2))
    86400.0
    """
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        raise NotKnown(f"{type(value).__name__} is no time")
    return (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).timestamp()


def _plain(value: Any) -> Any:
    """A value of a library as one of Python, and what stands for nothing as None."""
    if hasattr(value, "as_py"):
        value = value.as_py()
    elif hasattr(value, "item") and type(value).__module__ == "numpy":
        value = value.item()
    if type(value).__name__ in _MISSING or (isinstance(value, float) and value != value):
        return None
    return value
