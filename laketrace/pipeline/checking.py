"""What a stage observed and expects, from the first `observe` to the end of the stage.

Floor 7. Stands on: errors, pipeline.figures, pipeline.metrics, pipeline.observed, pipeline.quality,
spark.streams.

Figures of data in this process are computed and logged where `observe` is called, and checked where
`expect` is; the data are held until the stage ends. Figures of a Spark DataFrame are logged and
checked when the stage ends, as far as they are known then. Threads: any; what is told of one
observation is told once.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from laketrace.errors import ConfigError
from laketrace.pipeline.figures import Data, Figure, NotKnown, Own
from laketrace.pipeline.metrics import write_metric
from laketrace.pipeline.observed import Observed, is_spark
from laketrace.pipeline.quality import Expectation, Result, percent
from laketrace.spark.streams import watch_streams

if TYPE_CHECKING:
    from laketrace.core.logger import Logger
    from laketrace.pipeline.lastrun import Rows
    from laketrace.pipeline.quality import Source


class Dataset(NamedTuple):
    """What a stage reads or writes; `data` is the name of the observation that belongs to it."""

    uri: str
    data: str | None = None


class Seen:
    """What was told of data: for events of lineage."""

    def __init__(self, schema: list[tuple[str, str | None]]) -> None:
        self.schema = schema
        self.rows: int | None = None
        self.columns: dict[str, dict[str, Any]] = {}
        self.results: list[tuple[Expectation, Result]] = []


class _Unread(NamedTuple):
    """Data of Spark whose figures come with the end of the stage."""

    source: Observed
    figures: Sequence[Figure]
    expected: list[Expectation]


class Checking:
    """The observations and expectations of one attempt at a stage.

    `metrics` gets the row counts, `rows` too, which knows those of the last good run. `seen` is
    what became known, by the name of the data.
    """

    def __init__(self, log: Logger, stage: str, metrics: dict[str, float], rows: Rows) -> None:
        self._log = log
        self._stage = stage
        self._metrics = metrics
        self._rows = rows
        self._sources: list[Source] = []
        self._waiting: list[Expectation] = []
        self._unread: list[_Unread] = []
        self._failures: list[str] = []
        self._lock = threading.RLock()
        self.seen: dict[str, Seen] = {}

    def observe(self, data: Any, name: str, figures: Sequence[Figure]) -> Any:
        """Log the figures of data, and check what is expected of them; gives the data back.

        Those of Spark come back as another DataFrame, and their figures when the stage ends.
        """
        with self._lock:
            mine = [item for item in self._waiting if item.name in (None, name)]
            wanted = [*figures, *(each for item in mine for each in item.figures())]
            if is_spark(data):
                observed = Observed(name, data, wanted)
                if data.isStreaming:
                    watch_streams(self._log, data.sparkSession)
                self._take(mine, observed)
                self._unread.append(_Unread(observed, figures, mine))
                return observed.frame
            source = Data(name, data)
            source.prepare(wanted)
            self._take(mine, source)
            self._report(source, figures)
            for item in mine:
                self._check(item, source)
        return data

    def _take(self, mine: list[Expectation], source: Source) -> None:
        """The source is there; what waited for it does not any longer."""
        self._sources.append(source)
        self._waiting = [item for item in self._waiting if not any(item is each for each in mine)]

    def expect(self, item: Expectation) -> None:
        """Check what is expected of the data observed last, or of those named; or wait for them."""
        with self._lock:
            source = self._source(item.name)
            if isinstance(source, Data):
                source.prepare(item.figures())
                self._check(item, source)
            elif source is None:
                self._waiting.append(item)
            else:
                next(each for each in self._unread if each.source is source).expected.append(item)

    def finish(self, failed: bool) -> list[str]:
        """Tell and check what still waits; a line for each expectation that is to stop the stage.

        Of a stage that `failed` already, expectations without known data are left alone.
        """
        with self._lock:
            for source, figures, expected in self._unread:
                source.read()
                for item in expected:
                    if item.second_pass and not failed and item.column is not None:
                        source.count_repeated(item.column)
                self._report(source, figures)
                for item in expected if not failed or source.known else ():
                    self._check(item, source)
            for item in () if failed else self._waiting:
                self._check(item, None)
            failures, self._failures = self._failures, []
            self._sources, self._waiting, self._unread = [], [], []
        return failures

    def _source(self, name: str | None) -> Source | None:
        found = [source for source in self._sources if name in (None, source.name)]
        return found[-1] if found else None

    # -- records ------------------------------------------------------------------------------

    def _report(self, source: Source, figures: Sequence[Figure]) -> None:
        seen = self.seen[source.name] = Seen(source.schema)
        rows = self._count(source)
        seen.rows = rows
        for figure in figures:
            if figure.kind == "rows":
                continue
            label, unit = _label(source.name, figure)
            dims = {"column": figure.column} if figure.kind != "own" else None
            try:
                value = source.figure(figure)
            except NotKnown as reason:
                self._unknown(source, label, dims, str(reason))
                continue
            if figure.column is not None and figure.kind != "own":
                seen.columns.setdefault(figure.column, {})[figure.kind] = value
            if figure.kind == "nulls":
                value = percent(value, rows or 0)
            if value is None:
                why = "there is no value" if rows else "there are no rows"
                self._unknown(source, label, dims, why)
            else:
                self._metric("data_quality_metric", label, value, dims, unit, source.basis)

    def _count(self, source: Source) -> int | None:
        name = f"pipeline.{self._stage}.{source.name}.row_count"
        try:
            rows: int = source.figure(Figure("rows"))
        except NotKnown as reason:
            self._unknown(source, name, None, str(reason))
            return None
        self._metrics[f"{source.name}.row_count"] = rows
        self._rows.note(f"{self._stage}.{source.name}", rows)
        self._metric("pipeline_metric", name, rows, None, "rows", source.basis)
        return rows

    def _metric(
        self, event: str, name: str, value: Any, dims: Any, unit: str | None, basis: str
    ) -> None:
        if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
            number = float(value) if isinstance(value, Decimal) else value
            write_metric(self._log, event, name, number, dims, "gauge", unit, basis)
            return
        fields = {"dims": dims} if dims else {}  # extremes of texts and times are no numbers
        self._log.info(
            name, event=event, metric_name=name, metric_text=str(value), basis=basis, **fields
        )

    def _unknown(self, source: Source, name: str, dims: Any, reason: str) -> None:
        fields: dict[str, Any] = {"dims": dims} if dims else {}
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
            results = item.check(source, self._rows.before(f"{self._stage}.{source.name}"))
        for result in results:
            fields: dict[str, Any] = {"data": name, "column": item.column, "reason": result.reason}
            if source is not None:
                fields["basis"] = source.basis
                if source.name in self.seen:
                    self.seen[source.name].results.append((item, result))
                if result.passed is False:
                    fields["sample"] = item.offenders(source, result)
            self._tell(item, result, name, fields)
            if result.passed is not True and not result.first and item.on_fail == "error":
                self._failures.append(item.failure(result, name))

    def _tell(
        self, item: Expectation, result: Result, name: str | None, fields: dict[str, Any]
    ) -> None:
        if result.passed:
            level, text = "INFO", f"expectation met: {item.description}"
        else:
            level = "ERROR" if item.on_fail == "error" else "WARNING"
            text = f"expectation failed: {item.failure(result, name)}"
            if result.passed is None:
                text = f"expectation not checked: {item.failure(result, name)}"
        self._log.log(
            "INFO" if result.first else level, text, event="expectation",
            expectation=item.description, rule=result.rule, limit=result.limit,
            observed=result.observed, passed=result.passed,
            **{key: value for key, value in fields.items() if value is not None},
        )  # fmt: skip


def _label(name: str, figure: Figure) -> tuple[str, str | None]:
    """The name of a figure's metric, and its unit."""
    if figure.kind == "nulls":
        return f"dq.{name}.null_percent", "percent"
    return f"dq.{name}.{figure.column if figure.kind == 'own' else figure.kind}", None


def figures_of(
    name: str,
    nulls: Sequence[str],
    min_max: Sequence[str],
    distinct: Sequence[str],
    expressions: Mapping[str, Any] | None = None,
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
    if not isinstance(expressions or {}, Mapping):
        problems.append("expressions=...: they have names. Use e.g. {'revenue': 'sum(amount)'}.")
    if problems:
        raise ConfigError(problems)
    return [
        Figure("rows"),
        *(Figure("nulls", column) for column in nulls),
        *(Figure(kind, column) for column in min_max for kind in ("min", "max")),
        *(Figure("distinct", column) for column in distinct),
        *(Figure("own", label, Own(value)) for label, value in (expressions or {}).items()),
    ]
