"""Rows become DataFrames of a Spark session: by Arrow where it takes that, else one by one.

Floor 7. Stands on: lakehouse.columns, lakehouse.rows, lakehouse.source.

`SparkSession.createDataFrame` takes Arrow tables since Spark 4.0, on Connect and classic; before,
or without pyarrow, it takes rows of Python values. Both ways give the same rows. No Spark job
runs here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Protocol

from laketrace.lakehouse.columns import NAMES, ddl
from laketrace.lakehouse.rows import Place, Row, rows_of
from laketrace.lakehouse.source import Block

_SEGMENT = NAMES.index("segment")


class Frames(Protocol):
    """How rows reach a session."""

    def make(self, place: Place) -> Callable[[Block], Iterable[Any]]:
        """What turns the blocks of a segment into batches."""
        ...

    def frame(self, batches: list[Any]) -> Any:
        """A DataFrame of these batches."""
        ...

    def rows_by_segment(self, batches: list[Any]) -> dict[str, int]:
        """How many rows there are of each segment."""
        ...

    def count(self, batches: list[Any]) -> int:
        """How many rows there are."""
        ...


def frame_maker(session: Any) -> Frames:
    """The best way for a session."""
    if hasattr(type(session.range(0)), "toArrow"):  # new together with Arrow tables as a source
        try:
            return _ArrowFrames(session)
        except ImportError:  # classic Spark runs without pyarrow, or asks for a newer one
            pass
    return _RowFrames(session)


class _ArrowFrames:
    """Record batches."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._fast = import_module("laketrace.lakehouse.fast_rows")
        self._table = import_module("pyarrow").Table
        self.frame([self._fast.batch_of([(None,) * len(NAMES)])])  # an older pyarrow raises here

    def make(self, place: Place) -> Callable[[Block], Iterable[Any]]:
        made: Callable[[Block], Iterable[Any]] = self._fast.Transformer(place).batches
        return made

    def frame(self, batches: list[Any]) -> Any:
        if not batches:
            return self._session.createDataFrame([], ddl())
        return self._session.createDataFrame(self._table.from_batches(batches, self._fast.SCHEMA))

    def rows_by_segment(self, batches: list[Any]) -> dict[str, int]:
        found: Counter[str] = Counter()
        for batch in batches:  # each is of one segment
            if batch.num_rows:
                found[batch.column("segment")[0].as_py()] += batch.num_rows
        return dict(found)

    def count(self, batches: list[Any]) -> int:
        return sum(batch.num_rows for batch in batches)


class _RowFrames:
    """Tuples of Python values."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def make(self, place: Place) -> Callable[[Block], Iterable[Any]]:
        return lambda block: rows_of(block, place)

    def frame(self, batches: list[Row]) -> Any:
        return self._session.createDataFrame(batches, ddl())

    def rows_by_segment(self, batches: list[Row]) -> dict[str, int]:
        return dict(Counter(row[_SEGMENT] for row in batches))

    def count(self, batches: list[Row]) -> int:
        return len(batches)
