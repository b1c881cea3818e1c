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
from difflib import get_close_matches
from functools import partial
from typing import Any, NamedTuple

from laketrace.errors import ConfigError, need

_MISSING = ("NAType", "NaTType")  # pandas: NA cannot even be compared with itself


class Figure(NamedTuple):
    """One figure: `rows`, or of a column `nulls`, `min`, `max`, `distinct`, `repeated` (values
    that came before), `outside` (of a set), `unmatched` (by a pattern, which is to match the whole
    text); nulls are no values. `argument` is the set (a tuple) or the pattern.
    """

    kind: str
    column: str | None = None
    argument: Any = None


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
        self._columns, self._compute = _opened(data)

    def prepare(self, figures: Iterable[Figure]) -> None:
        """Compute figures together. Raises `ConfigError` for columns that are not there."""
        wanted = [figure for figure in dict.fromkeys(figures) if figure not in self._known]
        self._refuse({figure.column for figure in wanted if figure.column is not None})
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
        return value

    def _alone(self, figure: Figure) -> Any:
        try:
            return self._compute([figure])[0]
        except Exception as error:
            text = str(error).partition("\n")[0]
            return NotKnown(f"{figure.kind} of {figure.column}: {type(error).__name__}: {text}")

    def _refuse(self, columns: set[str]) -> None:
        if self._columns is not None:
            refuse_unknown(self.name, columns, self._columns)


def refuse_unknown(name: str, columns: Iterable[str], there: Sequence[str]) -> None:
    """Raise `ConfigError` for columns that data have not."""
    problems = []
    for column in sorted(set(columns) - set(there)):
        near = get_close_matches(column, there, 1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(there)}."
        problems.append(f"column={column!r}: {name} has no such column. {hint}"[:500])
    if problems:
        raise ConfigError(problems)


_Opened = tuple[Sequence[str] | None, Callable[[Sequence[Figure]], list[Any]]]


def _opened(data: Any) -> _Opened:
    """The columns of data, where they are known, and what computes their figures."""
    if isinstance(data, (list, tuple)):
        if all(isinstance(row, Mapping) for row in data):
            columns = list(dict.fromkeys(key for row in data for key in row))
            return columns or None, lambda wanted: [_of_rows(data, each) for each in wanted]
        raise _refused(data, "its items are not dicts")
    nw = need("narwhals", "quality", "stage.observe of a table")
    try:
        frame = nw.from_native(data)
    except TypeError:
        raise _refused(data, "it is no table that is known") from None
    columns = frame.collect_schema().names()
    return columns, partial(_of_frame, nw, frame)


def _refused(data: Any, why: str) -> ConfigError:
    return ConfigError(
        [
            f"observe: data of type {type(data).__name__}: {why}. Use a DataFrame of Spark, pandas "
            "or Polars, an Arrow table, or a list of dicts."
        ]
    )


def _of_frame(nw: Any, frame: Any, wanted: Sequence[Figure]) -> list[Any]:
    """The figures of a table, in one select."""
    named = [_expression(nw, figure).alias(f"figure{index}") for index, figure in enumerate(wanted)]
    result = frame.select(*named)
    if hasattr(result, "collect"):  # a lazy table of Polars
        result = result.collect()
    return list(result.rows()[0])


def _expression(nw: Any, figure: Figure) -> Any:
    if figure.kind == "rows":
        return nw.len()
    column = nw.col(figure.column)
    if figure.kind == "nulls":
        return column.null_count()
    if figure.kind in ("min", "max"):
        return getattr(column.drop_nulls(), figure.kind)()
    if figure.kind == "distinct":
        return column.drop_nulls().n_unique()
    if figure.kind == "repeated":
        return column.count() - column.drop_nulls().n_unique()
    if figure.kind == "outside":
        return (~column.is_in(list(figure.argument)) & ~column.is_null()).sum()
    return (~column.drop_nulls().str.contains(f"^(?:{figure.argument})$")).sum()


def _of_rows(rows: Sequence[Mapping[str, Any]], figure: Figure) -> Any:
    """A figure of a list of dicts, where None and a key that is not there are null."""
    if figure.kind == "rows":
        return len(rows)
    values = [value for row in rows if (value := row.get(figure.column or "")) is not None]
    if figure.kind == "nulls":
        return len(rows) - len(values)
    if figure.kind in ("min", "max"):
        pick: Callable[..., Any] = min if figure.kind == "min" else max
        return pick((value for value in values if value == value), default=None)
    if figure.kind == "outside":
        return sum(value not in figure.argument for value in values)
    if figure.kind == "unmatched":
        whole = re.compile(figure.argument).fullmatch
        return sum(whole(value) is None for value in values)
    distinct = len(set(values))
    return distinct if figure.kind == "distinct" else len(values) - distinct


def _plain(value: Any) -> Any:
    """A value of a library as one of Python, and what stands for nothing as None."""
    if hasattr(value, "as_py"):
        value = value.as_py()
    elif hasattr(value, "item") and type(value).__module__ == "numpy":
        value = value.item()
    if type(value).__name__ in _MISSING or (isinstance(value, float) and value != value):
        return None
    return value
