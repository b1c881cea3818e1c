"""Figures of a Spark DataFrame, taken as its rows flow by: no second pass, and no waiting.

Floor 7. Stands on: pipeline.aggregates, pipeline.figures, runtime.session, runtime.signals.

`DataFrame.observe` sits directly on the data, under the write. An `Observation` of Spark blocks
before an action, says zeros after a failed one, and counts what flowed, which under a `limit` is
more than its rows. So classic Spark is asked first, by the list of executions behind its own pages,
whether the first action that ended had success; a Connect client hears figures of successful
actions alone. Each question has a bounded wait. What is not known keeps the reason.

The private parts of pyspark that are read: `_jsparkSession` and `_jsc` on classic, the
observation's `_result` and `_error` on Connect. Where they are others, nothing is known.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

from laketrace.pipeline.aggregates import REPEATED, aggregate, alias, column_of, plain
from laketrace.pipeline.figures import NAMED, Figure, NotKnown, refuse_unknown
from laketrace.runtime.session import is_connect
from laketrace.runtime.signals import PATIENCE, fetch, within

_PAGE = 50  # executions asked for at a time, the newest first
_BUS_MS = 500  # how long the pages may take to hear of the last action
_SETTLED_SECONDS = 0.4  # and how long until they have noted its end
_LOOK_SECONDS = 0.01
_NO_ACTION = "no action of Spark on the observed DataFrame ended in this stage"
_FAILED = "the first action on the observed DataFrame failed"
_NO_ANSWER = f"Spark did not answer within {PATIENCE:g} s"
_STREAM = (
    "a stream has no end at which its figures are there; those of each micro-batch are in "
    "`observed` of the records stream_progress"
)


def is_spark(data: Any) -> bool:
    """Whether data are a DataFrame of Spark, classic or Connect; pyspark is not imported."""
    kind = type(data)
    return kind.__name__ == "DataFrame" and kind.__module__.startswith("pyspark.sql")


class Observed:
    """The figures of a DataFrame under a name; `frame` is the one to go on with.

    Raises `ConfigError` for columns that it has not. What Spark refuses to observe is not known,
    and costs neither the other figures nor the action.
    """

    basis = "observed"

    def __init__(self, name: str, data: Any, figures: Iterable[Figure]) -> None:
        self.name = name
        self.frame = self._data = data
        self._id = f"laketrace_{uuid.uuid4().hex}"
        self._spark = data.sparkSession
        self._connect = is_connect(self._spark)
        self._known: dict[Figure, Any] = {}
        self._observation: Any = None
        self._asked: list[Figure] = []
        self._why = _NO_ACTION
        self._after = -1
        wanted = list(dict.fromkeys(figures))
        columns = {item.column for item in wanted if item.column and item.kind not in NAMED}
        refuse_unknown(name, columns, data.columns)
        self._kinds: dict[str, str] = {}
        self.schema: list[tuple[str, str | None]] = []
        self._attach(data, wanted)

    def figure(self, figure: Figure) -> Any:
        """One figure, as far as `read` found it; raises `NotKnown`."""
        if figure not in self._known:
            if figure in self._asked or self._observation is None:
                raise NotKnown(self._why)
            if figure.kind == "repeated":
                raise NotKnown(f"{REPEATED} ({figure.column})")
            where = figure.column or figure.argument
            raise NotKnown(f"{figure.kind} of {where} was not observed: expect it before observe")
        value = self._known[figure]
        if isinstance(value, NotKnown):
            raise value
        return value

    def read(self) -> None:
        """Take the figures that are there by now, if the action is known to have had success."""
        if self._observation is None:
            return
        if self._connect:
            values = self._read_connect()
        else:
            found: list[Any] = []
            self._why = _NO_ANSWER
            within("observation", lambda: found.append(self._read_classic()))
            values = found[0] if found else None
        if values:
            for index, figure in enumerate(self._asked):
                try:
                    self._known[figure] = plain(figure, values[f"f{index}"], self._kinds)
                except Exception as error:  # a Spark that gives it in another form
                    self._known[figure] = NotKnown(_first_line(error))

    def count_repeated(self, column: str) -> None:
        """Find `repeated` of a column in a pass of its own, if the action had success."""
        figure = Figure("repeated", column)
        if not self.known:
            self._known[figure] = NotKnown(self._why)
            return
        try:
            functions = _maker(self._connect).functions
            each = column_of(functions, column)
            groups = self._data.where(each.isNotNull()).groupBy(each).count()
            found = groups.agg(functions.sum(functions.col("count") - 1)).collect()[0][0]
            self._known[figure] = found or 0
        except Exception as error:
            self._known[figure] = NotKnown(f"the second pass failed: {_first_line(error)}")

    @property
    def known(self) -> bool:
        """Whether an action is known to have had success."""
        return Figure("rows") in self._known

    # -- before the action --------------------------------------------------------------------

    def _attach(self, data: Any, wanted: Sequence[Figure]) -> None:
        """Put the observation on the data."""
        try:
            make = _maker(self._connect)
            fields = data.schema.fields
            self.schema = [(field.name, field.dataType.simpleString()) for field in fields]
            self._kinds = {field.name: field.dataType.typeName() for field in fields}
            expressions = {}
            for figure in wanted:
                try:
                    expressions[figure] = aggregate(make.functions, figure, self._kinds)
                except NotKnown as why:
                    self._known[figure] = why
            if data.isStreaming:
                self._attach_to_stream(data, expressions)
                return
            if not self._try(data, make, expressions):
                for figure, expression in list(expressions.items()):
                    if not self._try(data, make, {figure: expression}):
                        where = figure.column or figure.argument or "data"
                        self._known[figure] = NotKnown(
                            f"Spark cannot observe {figure.kind} of {where}: {self._why}"
                        )
                        del expressions[figure]
                self._try(data, make, expressions)
            if not self._connect:
                self._after = _newest(self._executions())
        except Exception as error:  # a Spark that observes nothing: the job goes on without
            self.frame, self._observation = data, None
            self._why = f"Spark cannot observe: {_first_line(error)}"

    def _attach_to_stream(self, data: Any, expressions: dict[Figure, Any]) -> None:
        """Figures of each micro-batch: Spark puts them into the progress of the query."""
        self._why = _STREAM
        named = [expression.alias(alias(figure)) for figure, expression in expressions.items()]
        self.frame = data.observe(self.name, *named)
        self.frame.select("*").schema  # noqa: B018 - here and not where the query starts

    def _try(self, data: Any, make: _Maker, expressions: dict[Figure, Any]) -> bool:
        """Observe these; whether Spark can, which it is asked now and not under the write."""
        self._asked = list(expressions)
        named = [each.alias(f"f{index}") for index, each in enumerate(expressions.values())]
        try:
            observation = make.observation(self._id)
            frame = data.observe(observation, *named)
            if self._connect:
                frame.select("*").schema  # noqa: B018 - a wrong expression is found no earlier
                observation._result = _First()
        except Exception as error:
            self._why = _first_line(error)
            return False
        self.frame, self._observation, self._why = frame, observation, _NO_ACTION
        return True

    # -- after it -----------------------------------------------------------------------------

    def _read_connect(self) -> Any:
        values = getattr(self._observation, "_result", None)
        if not values and getattr(self._observation, "_error", None) is not None:
            self._why = _FAILED
        return values

    def _read_classic(self) -> Any:
        bus = self._spark._jsc.sc().listenerBus()
        fetch("observation listener bus", partial(bus.waitUntilEmpty, _BUS_MS))
        self._why = _outcome(_settled(lambda: _ours(self._executions(), self._id, self._after)))
        if self._why:
            return None
        self._why = _NO_ANSWER
        return self._observation.get

    def _executions(self) -> Any:
        return self._spark._jsparkSession.sharedState().statusStore()


class _First(dict[str, Any]):
    """Takes the figures of the first action; a Connect client would put the last one's over it."""

    def update(self, *args: Any, **kwargs: Any) -> None:
        if not self:
            super().update(*args, **kwargs)


class _Maker(NamedTuple):
    """What observes: of classic Spark, or of its Connect client."""

    observation: Any
    functions: Any


def _maker(connect: bool) -> _Maker:
    base = "pyspark.sql.connect" if connect else "pyspark.sql"
    observation = import_module(f"{base}.observation").Observation
    return _Maker(observation, import_module(f"{base}.functions"))


class _Execution(NamedTuple):
    """An execution of Spark SQL: `ended` in Unix ms, None while it runs; `ok` once it has."""

    root: int
    ended: int | None
    ok: bool


def _ours(store: Any, name: str, after: int) -> list[_Execution]:
    """The executions newer than `after` whose plan has the observation `name`."""
    found: list[_Execution] = []
    end = store.executionsCount()
    while end > 0:
        begin = max(0, end - _PAGE)
        page = store.executionsList(begin, end - begin)
        for index in range(page.size() - 1, -1, -1):
            item = page.apply(index)
            if item.executionId() <= after:
                return found
            if name in item.physicalPlanDescription():
                moment, error = item.completionTime(), item.errorMessage()
                ended = moment.get().getTime() if moment.isDefined() else None
                # Spark 3.4 and later: an empty text for success; none was told by those before.
                ok = error.isDefined() and error.get() == ""
                found.append(_Execution(item.rootExecutionId(), ended, ok))
        end = begin
    return found


def _settled(look: Callable[[], list[_Execution]]) -> list[_Execution]:
    """The executions once all have ended, or as they are after a moment.

    Spark notes an end behind its own back, when it has added up the metrics: a moment after the
    event (`SQLAppStatusListener.onExecutionEnd`). Who has none does not wait.

    >>> looks = iter([[_Execution(1, None, False)], [_Execution(1, 1_700_000_000_000, True)]])
    >>> _settled(lambda: next(looks))
    [_Execution(root=1, ended=1700000000000, ok=True)]
    """
    end = time.monotonic() + _SETTLED_SECONDS
    found = look()
    while any(item.ended is None for item in found) and time.monotonic() < end:
        time.sleep(_LOOK_SECONDS)
        found = look()
    return found


def _newest(store: Any) -> int:
    """The number of the newest execution, -1 without any."""
    count = store.executionsCount()
    if not count:
        return -1
    return int(store.executionsList(count - 1, 1).apply(0).executionId())


def _outcome(found: Sequence[_Execution]) -> str:
    """Why the figures are not known; an empty text if the first action to end had success.

    An action may be several executions with one root, as a write of Delta is: all count. With
    two that ended in the same millisecond nobody can say which was the first: both count.
    """
    ended = [item for item in found if item.ended is not None]
    if not ended:
        return _NO_ACTION
    first = min(item.ended for item in ended if item.ended is not None)
    roots = {item.root for item in ended if item.ended == first}
    group = [item for item in found if item.root in roots]
    if any(item.ended is None for item in group):
        return _NO_ACTION
    return "" if all(item.ok for item in group) else _FAILED


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:300]
