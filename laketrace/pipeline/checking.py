"""What a stage observed and expects, from the first `observe` to the end of the stage.

Floor 7. Stands on: errors, pipeline.figures, pipeline.metrics, pipeline.observed, pipeline.quality.

Figures of data in this process are computed and logged where `observe` is called, and checked where
`expect` is; the data are held until the stage ends. Figures of a Spark DataFrame are logged and
checked when the stage ends, as far as they are known then. Threads: any; what is told of one observation
is told once.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from laketrace.errors import ConfigError
from laketrace.pipeline.figures import Data, Figure, NotKnown
from laketrace.pipeline.metrics import write_metric
from laketrace.pipeline.observed import Observed, is_spark
from laketrace.pipeline.quality import Expectation, Result, percent

if TYPE_CHECKING:
    from laketrace.core.logger import Logger
    from laketrace.pipeline.quality import Source


class Checking:
    """The observations and expectations of one attempt at a stage."""

    def __init__(self, log: Logger, stage: str, metrics: dict[str, float]) -> None:
        self._log = log
        self._stage = stage
        self._metrics = metrics
        self._sources: list[Source] = []
        self._waiting: list[Expectation] = []
        self._failures: list[str] = []
        self._lock = threading.RLock()

    def observe(self, data: Any, name: str, figures: Sequence[Figure]) -> Any:
        """Log the figures of data, and check what is expected of them; gives the data back.

        Those of Spark come back as another DataFrame, and their figures when the stage ends.
        """
        with self._lock:
            mine = [item for item in self._waiting if item.name in (None, name)]
            wanted = [*figures, *(each for item in mine for each in item.figures())]
            if is_spark(data):
                observed = Observed(name, data, wanted)
                self._bind(mine, observed)
                self._unread.append((observed, figures))
                return observed.frame
            source = Data(name, data)
            source.prepare(wanted)
            self._bind([], source)
            self._waiting = [pair for pair in self._waiting if pair not in mine]
            self._report(source, figures)
            for item in mine:
                self._check(item, source)
        return data

    def expect(self, item: Expectation) -> None:
        """Check what is expected of the data observed last, or of those named; or wait for them."""
        with self._lock:
            source = self._source(item.name)
            if isinstance(source, Data):
                source.prepare(item.figures())
                self._check(item, source)
            else:
                self._waiting.append(item)

    def finish(self, failed: bool) -> list[str]:
        """Check what still waits; a line for each expectation that is to stop the stage.

        Of a stage that `failed` already, what still waits is left alone.
        """
        with self._lock:
            for item in () if failed else self._waiting:
                self._check(item, self._source(item.name))
            failures, self._failures = self._failures, []
            self._sources, self._waiting = [], []
        return failures

    def _source(self, name: str | None) -> Source | None:
        found = [source for source in self._sources if name in (None, source.name)]
        return found[-1] if found else None

    # -- records ------------------------------------------------------------------------------

    def _report(self, source: Source, figures: Sequence[Figure]) -> None:
        rows = source.figure(Figure("rows"))
        self._metrics[f"{source.name}.row_count"] = rows
        name = f"pipeline.{self._stage}.{source.name}.row_count"
        self._metric("pipeline_metric", name, rows, None, "rows", source.basis)
        for figure in figures:
            if figure.kind == "rows":
                continue
            name = f"dq.{source.name}.{figure.kind}"
            unit = None
            try:
                value = source.figure(figure)
            except NotKnown as reason:
                self._unknown(source, name, figure.column, str(reason))
                continue
            if figure.kind == "nulls":
                name, unit = f"dq.{source.name}.null_percent", "percent"
                value = percent(value, rows)
            if value is None:
                why = "there is no value" if rows else "there are no rows"
                self._unknown(source, name, figure.column, why)
            else:
                dims = {"column": figure.column}
                self._metric("data_quality_metric", name, value, dims, unit, source.basis)

    def _metric(
        self, event: str, name: str, value: Any, dims: Any, unit: str | None, basis: str
    ) -> None:
        if isinstance(value, (str, bytes, bool, date)):  # extremes of texts and times: no numbers
            self._log.info(
                name, event=event, metric_name=name, metric_text=str(value), dims=dims, basis=basis
            )
        else:
            write_metric(self._log, event, name, value, dims, "gauge", unit, basis)

    def _unknown(self, source: Source, name: str, column: str | None, reason: str) -> None:
        fields: dict[str, Any] = {"dims": {"column": column}} if column is not None else {}
        self._log.info(
            f"{name} is not known", event="metric_not_known", metric_name=name, reason=reason,
            basis=source.basis, **fields,
        )  # fmt: skip

    def _check(self, item: Expectation, source: Source | None) -> None:
        name = item.name if source is None else source.name
        if source is None:
            which = "nothing" if name is None else f"no data of the name {name!r}"
            reason = f"{which} was observed in this stage"
            results = [Result(rule, limit, None, None, reason) for rule, limit in item.rules]
        else:
            results = item.check(source)
        for result in results:
            self._tell(item, result, name, None if source is None else source.basis)
            if result.passed is not True and item.on_fail == "error":
                self._failures.append(item.failure(result, name))

    def _tell(self, item: Expectation, result: Result, name: str | None, basis: str | None) -> None:
        fields = {
            "data": name, "column": item.column, "reason": result.reason, "basis": basis,
        }  # fmt: skip
        if result.passed:
            level, text = "INFO", f"expectation met: {item.description}"
        else:
            level = "ERROR" if item.on_fail == "error" else "WARNING"
            text = f"expectation failed: {item.failure(result, name)}"
            if result.passed is None:
                text = f"expectation not checked: {item.failure(result, name)}"
        self._log.log(
            level, text, event="expectation", expectation=item.description, rule=result.rule,
            limit=result.limit, observed=result.observed, passed=result.passed,
            **{key: value for key, value in fields.items() if value is not None},
        )  # fmt: skip


def figures_of(
    name: str, nulls: Sequence[str], min_max: Sequence[str], distinct: Sequence[str]
) -> list[Figure]:
    """The figures that `observe` is asked for; raises `ConfigError` for what names no columns.

    >>> [figure.kind for figure in figures_of("orders", ["id"], ["id"], [])]
    ['rows', 'nulls', 'min', 'max']
    """
    problems = []
    if not isinstance(name, str) or not name:
        problems.append(f"name={name!r}: data have a name. Use e.g. name='orders'.")
    given = {"nulls": nulls, "min_max": min_max, "distinct": distinct}
    for key, columns in given.items():
        if isinstance(columns, str):
            problems.append(f"{key}={columns!r}: it is a list. Use {key}=[{columns!r}].")
        elif not all(isinstance(column, str) for column in columns):
            problems.append(f"{key}={columns!r}: columns are texts. Use e.g. {key}=['id'].")
    if problems:
        raise ConfigError(problems)
    return [
        Figure("rows"),
        *(Figure("nulls", column) for column in nulls),
        *(Figure(kind, column) for column in min_max for kind in ("min", "max")),
        *(Figure("distinct", column) for column in distinct),
    ]
