"""A stage of a run: what it took, what it observed, where it failed.

Floor 7. Stands on: core.context, errors, pipeline.checking, pipeline.metrics, pipeline.quality,
pipeline.spans, pipeline.summary, spark.jobs, spark.stages.

Its records are `stage_start` and `stage_end`; all that is logged inside carries `stage` and
`attempt`, whichever logger logs it. An exception is logged once, by the innermost stage that it
leaves, and goes on. What is no `Exception` (a notebook's exit, Ctrl-C, a cancelled task) stops a
stage and is no error.
Threads and tasks: each may have stages of its own; a stage that is opened in another thread than
its run still belongs to it. A forked child writes no end of its parent's stages. With an active
Spark session its jobs bear the stage's name, unless the stage is an `async with`.
"""

from __future__ import annotations

import functools
import inspect
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from contextvars import ContextVar
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from laketrace.core.context import contextualize
from laketrace.errors import ConfigError
from laketrace.pipeline.checking import Checking, Dataset, figures_of
from laketrace.pipeline.metrics import pipeline_metric
from laketrace.pipeline.quality import ExpectationFailed, expectation
from laketrace.pipeline.spans import Span, start_span
from laketrace.pipeline.summary import Timing
from laketrace.spark.jobs import JobNames
from laketrace.spark.stages import first_seen

if TYPE_CHECKING:
    from laketrace.core.logger import Logger
    from laketrace.pipeline.lastrun import Rows
    from laketrace.pipeline.lineage import Lineage

_stage_now: ContextVar[Stage | None] = ContextVar("laketrace_stage", default=None)


class Owner(Protocol):
    """The run that a stage belongs to, as far as a stage needs it: see `Run`."""

    log: Logger
    name: str
    rows: Rows
    began: float
    failed_stage: str | None
    lineage: Lineage | None
    span: Span | None

    def next_attempt(self, path: str) -> int:
        """Which attempt at a stage this is, from 1."""

    def note(self, timing: Timing) -> None:
        """Keep what a stage took."""

    def stage(self, name: str, retries: int = 0) -> Stage:
        """Another stage of the same run."""


class Stage:
    """A stage of a run; see `Run.stage`. Pickles by name, with its logger.

    A function of Spark that holds one so has metrics of its own: they are records of the worker,
    under the stage's name.
    """

    def __init__(self, run: Owner, name: str, retries: int = 0) -> None:
        problems = []
        if not isinstance(name, str) or not name:
            problems.append(f"name={name!r}: a stage has a name. Use e.g. 'bronze'.")
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            text = f"retries={retries!r}: it is a whole number, at least 0. Use e.g. retries=2."
            problems.append(text)
        if problems:
            raise ConfigError(problems)
        self.run = run
        self.name = name
        self.retries = retries
        self.path = name
        self.attempt = 0
        self.metrics: dict[str, float] = {}
        self.inputs: list[Dataset] = []
        self.outputs: list[Dataset] = []
        self._checking = Checking(run.log, name, self.metrics, run.rows)
        self._began = 0.0
        self._pid = 0
        self._span: Span | None = None
        self._jobs: JobNames | None = None
        self._stack = ExitStack()

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.run, self.name, self.retries, self.path, self.attempt)

    def __enter__(self) -> Stage:
        stage = self._enter()
        # Of an `async with` there may be several at once in a thread, whose jobs have one name.
        self._jobs = self._stack.enter_context(JobNames(self.path))
        return stage

    def _enter(self) -> Stage:
        outer = _stage_now.get()
        inside = outer is not None and outer.run is self.run
        self.path = f"{outer.path}/{self.name}" if outer is not None and inside else self.name
        self.attempt = self.run.next_attempt(self.path)
        self.metrics, self.inputs, self.outputs = {}, [], []
        self._checking = Checking(self.run.log, self.path, self.metrics, self.run.rows)
        self._stack = ExitStack()
        facts = {"laketrace.stage": self.path, "laketrace.attempt": self.attempt}
        self._span = start_span(self.path, facts, self.run.span)
        inside_of = {"run_name": self.run.name, "stage": self.path, "attempt": self.attempt}
        self._stack.enter_context(contextualize(**inside_of))
        self._pid = os.getpid()
        token = _stage_now.set(self)
        self._stack.callback(_leave, token)
        self._began = time.monotonic()
        self.run.log.info("stage started", event="stage_start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if os.getpid() != self._pid:
            return
        try:
            missed = self._checking.finish(failed=error is not None)
            if missed and error is None:
                error = ExpectationFailed(self.path, missed)
            self._tell_end(error, round(time.monotonic() - self._began, 6))
        finally:
            self._stack.close()
        if missed and error is not None and kind is None:
            raise error

    def _tell_end(self, error: BaseException | None, seconds: float) -> None:
        run, status = self.run, status_of(error)
        if status == "failed" and run.failed_stage is None:
            run.failed_stage = self.path
        elif status == "ok" and run.failed_stage == self.path:
            run.failed_stage = None  # an earlier attempt failed, this one did not
        pipeline_metric(run.log, self.path, "duration.seconds", seconds, unit="seconds")
        fields: dict[str, Any] = {"status": status, "duration_seconds": seconds}
        job_ids = self._jobs.job_ids() if self._jobs is not None else None
        if job_ids is not None:
            fields["job_ids"] = job_ids
        for key, datasets in (("inputs", self.inputs), ("outputs", self.outputs)):
            if datasets:
                fields[key] = [dataset.uri for dataset in datasets]
        first = status == "failed" and first_seen(error)
        if first:
            fields["exc_info"] = error
        level = "ERROR" if status == "failed" else "INFO"
        run.log.log(level, f"stage {status}", event="stage_end", **fields)
        if self._span is not None:
            self._span.end(status, error if first else None)
        begin = max(self._began - run.began, 0.0)
        run.note(Timing(self.path, self.attempt, status, begin, seconds, dict(self.metrics)))
        if run.lineage is not None:
            run.lineage.stage_ended(self.inputs, self.outputs, self._checking.seen)

    async def __aenter__(self) -> Stage:
        return self._enter()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)

    def metric(
        self,
        name: str,
        value: float,
        dims: Mapping[str, Any] | None = None,
        *,
        metric_type: str = "gauge",
        unit: str | None = None,
    ) -> None:
        """Log a metric of this stage, `pipeline.<stage>.<name>`; see `pipeline_metric`."""
        self.metrics[name] = value
        pipeline_metric(
            self.run.log, self.path, name, value, dims, metric_type=metric_type, unit=unit
        )

    def observe(
        self,
        data: Any,
        *,
        name: str = "data",
        nulls: Sequence[str] = (),
        min_max: Sequence[str] = (),
        distinct: Sequence[str] = (),
        expressions: Mapping[str, Any] | None = None,
    ) -> Any:
        """Log figures of data, and give them back: rows, and those of the columns that are named.

        `nulls`, `min_max`, `distinct`: columns whose share of nulls (percent, 0 to 100), extremes
        and number of distinct values are told. `expressions`: aggregates of your own by name, for
        Spark as SQL or as a Column, for tables as expressions of narwhals, for a list as functions
        of the list. Records: `pipeline.<stage>.<name>.row_count`, `dq.<name>.null_percent`, `.min`,
        `.max`, `.distinct` with `dims.column`, `dq.<name>.<your name>`.

        `basis` says how a figure was come by. `computed`: exactly, from data in this process
        (pandas, Polars, Arrow by the extra `quality`; lists of dicts). `observed`: of a Spark
        DataFrame, which comes back as another one to go on with: what flowed through it in its
        first action, if that is known to have had success, told at the end of the stage
        (https://spark.apache.org/docs/latest/api/python/reference/pyspark.sql/api/
        pyspark.sql.DataFrame.observe.html); `distinct` is an estimate there. What could not be
        known is a record `metric_not_known` with the reason.

        Raises `ConfigError` for other data, and for columns that they have not.

        >>> from laketrace import get_logger
        >>> log = get_logger("doctest.observe", log_dir=None, stdout=False)
        >>> with log.run("daily") as run, run.stage("bronze") as stage:
        ...     rows = stage.observe([{"id": 1}, {"id": None}], name="orders", nulls=["id"])
        ...     stage.expect("id is mostly there", column="id", max_null_percent=50)
        >>> stage.metrics
        {'orders.row_count': 2}
        >>> log.close()
        """
        figures = figures_of(name, nulls, min_max, distinct, expressions)
        return self._checking.observe(data, name, figures)

    def expect(
        self,
        description: str,
        *,
        column: str | None = None,
        name: str | None = None,
        max_null_percent: float | None = None,
        min: Any = None,
        max: Any = None,
        in_set: Collection[Any] | None = None,
        matches: str | None = None,
        unique: bool = False,
        max_age: str | timedelta | None = None,
        expression: Any = None,
        min_rows: int | None = None,
        max_rows: int | None = None,
        max_change_percent: float | None = None,
        sample: int = 0,
        second_pass: bool = False,
        on_fail: str = "warn",
    ) -> None:
        """Say what the data are to be like: those observed as `name`, or else those observed last.

        Before the first `observe` it waits for it. `max_null_percent` is 0 to 100; `min` and `max`
        are inclusive; `matches` is a regular expression for the whole text, in the language of the
        library that holds the data; `max_age` ("2 hours") is about the newest time of the column;
        nulls are left to `max_null_percent` by all the others. `expression` is true of each row:
        SQL or a Column for Spark, an expression of narwhals for tables, a function of a row for
        lists; null is no failure, as in a CHECK of SQL. `max_change_percent` compares the row count
        with the last good run of the same name, as far as the folder of the log remembers it.

        Of Spark, what is expected before `observe` is found in the same pass; afterwards only what
        was observed is known. Whether values are `unique` takes Spark a pass of its own over the
        data at the end of the stage, which `second_pass=True` allows. Each check is a record
        `expectation` with `rule`, `limit`, `observed`, `passed`, and `reason` where it could not be
        made; with `sample=5` also some of the rows that offend, secrets redacted. With
        `on_fail="error"` a check that fails, or cannot be made, fails the stage at its end, with
        `ExpectationFailed` for all of them; nothing to compare with yet is no failure.

        Raises `ConfigError` for wrong settings, and for a column that the data have not.
        """
        rules = {
            "max_null_percent": max_null_percent, "min": min, "max": max, "in_set": in_set,
            "matches": matches, "unique": unique, "max_age": max_age, "expression": expression,
            "min_rows": min_rows, "max_rows": max_rows, "max_change_percent": max_change_percent,
        }  # fmt: skip
        expected = expectation(description, column, on_fail, rules, sample)
        self._checking.expect(expected._replace(name=name, second_pass=second_pass))

    def reads(self, uri: str, data: str | None = None) -> None:
        """Say what this stage reads: a path, an address (`abfss://...`) or a table's name.

        `data` is the `name` of the observation that belongs to it. It is told in `stage_end`, and
        in events of lineage with schema and figures.
        """
        self.inputs.append(Dataset(uri, data))

    def writes(self, uri: str, data: str | None = None) -> None:
        """Say what this stage writes; see `reads`."""
        self.outputs.append(Dataset(uri, data))

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Make each call of `function` (or coroutine) a stage, tried again after a failure.

        Raises `ConfigError` for a generator, whose body would run when the stage is over.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            name = getattr(function, "__name__", "function")
            text = f"stage({self.name!r}): {name} is a generator. Use `with run.stage(...)` in it."
            raise ConfigError([text])
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def staged_coroutine(*args: Any, **kwargs: Any) -> Any:
                for left in range(self.retries, -1, -1):
                    try:
                        async with self.run.stage(self.name):
                            return await function(*args, **kwargs)
                    except Exception:
                        if not left:
                            raise
                raise AssertionError("unreachable")

            return staged_coroutine

        @functools.wraps(function)
        def staged(*args: Any, **kwargs: Any) -> Any:
            for left in range(self.retries, -1, -1):
                try:
                    with self.run.stage(self.name):
                        return function(*args, **kwargs)
                except Exception:
                    if not left:
                        raise
            raise AssertionError("unreachable")

        return staged


def _arrived(run: Owner, name: str, retries: int, path: str, attempt: int) -> Stage:
    """A pickled stage in another process."""
    stage = Stage(run, name, retries)
    stage.path, stage.attempt = path, attempt
    stage._checking = Checking(run.log, path, stage.metrics, run.rows)
    return stage


def _leave(token: Any) -> None:
    try:
        _stage_now.reset(token)
    except ValueError:  # left in another context than entered, as generators may
        _stage_now.set(None)


def status_of(error: BaseException | None) -> str:
    """How a run or a stage ended: `ok`, `failed`, or `stopped` by what is no `Exception`.

    >>> status_of(None), status_of(ValueError()), status_of(SystemExit())
    ('ok', 'failed', 'stopped')
    """
    if error is None:
        return "ok"
    return "failed" if isinstance(error, Exception) else "stopped"
