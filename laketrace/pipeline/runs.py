"""Runs and stages: who began what, how long it took, and where it failed.

Floor 7. Stands on: core.context, files.runs, pipeline.checking, pipeline.metrics, pipeline.quality,
pipeline.summary.

A run and its stages are ordinary records: `run_start`, `run_end`, `stage_start`, `stage_end`. All
that is logged inside carries `run_name` and `stage`, whichever logger logs it. An exception is
logged once, by the innermost stage that it leaves, and goes on. A run that is killed is known from
a journal beside the log; the next start of the same logger writes its end.
Threads and tasks: each may have stages of its own; a stage that is opened in another thread than
its run still belongs to it. A forked child writes no end of its parent's run.
"""

from __future__ import annotations

import functools
import inspect
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any

from laketrace.core.context import contextualize
from laketrace.files.runs import begin_run, end_run
from laketrace.pipeline.checking import Checking, figures_of
from laketrace.pipeline.metrics import pipeline_metric, write_metric
from laketrace.pipeline.quality import ExpectationFailed, expectation
from laketrace.pipeline.summary import Summary, Timing

if TYPE_CHECKING:
    from laketrace.core.logger import Logger

_stage_now: ContextVar[Stage | None] = ContextVar("laketrace_stage", default=None)
_LOGGED = "_laketrace_logged"


class Run:
    """One run of a job, as a context manager; made by `log.run(name, params=...)`.

    >>> from laketrace import get_logger
    >>> log = get_logger("doctest.run", log_dir=None, stdout=False)
    >>> with log.run("daily_orders") as run:
    ...     with run.stage("bronze") as stage:
    ...         stage.metric("files_read", 12)
    >>> run.status, [timing.path for timing in run.timings]
    ('ok', ['bronze'])
    >>> log.close()
    """

    def __init__(self, log: Logger, name: str, params: Mapping[str, Any] | None = None) -> None:
        self.log = log
        self.name = name
        self.params = dict(params or {})
        self.status = "open"
        self.failed_stage: str | None = None
        self.duration = 0.0
        self.timings: list[Timing] = []
        self.began = 0.0
        self._lock = threading.Lock()
        self._attempts: dict[str, int] = {}
        self._stack = ExitStack()
        self._journal: str | None = None
        self._pid = os.getpid()

    def __enter__(self) -> Run:
        self._pid = os.getpid()
        self._stack.enter_context(contextualize(run_name=self.name))
        fields = {"params": self.params} if self.params else {}
        self.log.info("run started", event="run_start", **fields)
        self._journal = begin_run(self.log.log_file_path, self.name, self.log.run_id)
        self.began = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if os.getpid() != self._pid:
            return
        self.duration = time.monotonic() - self.began
        self.status = "ok" if error is None else "failed"
        seconds = round(self.duration, 6)
        self._metric("pipeline.total.duration.seconds", seconds)
        fields: dict[str, Any] = {"status": self.status, "duration_seconds": seconds}
        if self.failed_stage is not None:
            fields["failed_stage"] = self.failed_stage
        level = "INFO" if error is None else "ERROR"
        exc_info = {"exc_info": error} if first_seen(error) else {}
        self.log.log(level, f"run {self.status}", event="run_end", **fields, **exc_info)
        end_run(self.log.log_file_path, self._journal)
        self._stack.close()

    def _metric(self, name: str, seconds: float) -> None:
        write_metric(self.log, "pipeline_metric", name, seconds, None, "gauge", "seconds")

    def stage(self, name: str, retries: int = 0) -> Stage:
        """A stage of this run, for `with` or as a decorator; inside another one its path nests.

        As a decorator it calls the function again after a failure, at most `retries` times. A
        `with` block cannot be run again: there `retries` says how many attempts of the same stage
        the run is prepared for, and each entry counts as one `attempt`.
        """
        return Stage(self, name, retries)

    def next_attempt(self, path: str) -> int:
        """Which attempt at a stage this is, from 1."""
        with self._lock:
            self._attempts[path] = self._attempts.get(path, 0) + 1
            return self._attempts[path]

    def note(self, timing: Timing) -> None:
        """Keep what a stage took, for the summary."""
        with self._lock:
            self.timings.append(timing)

    def summary(self) -> Summary:
        """The stages with their times and results: a table as text, HTML in a notebook."""
        return Summary(self.name, self.status, self.duration, tuple(self.timings))


class Stage:
    """A stage of a run; see `Run.stage`."""

    def __init__(self, run: Run, name: str, retries: int = 0) -> None:
        self.run = run
        self.name = name
        self.retries = retries
        self.path = name
        self.attempt = 0
        self.metrics: dict[str, float] = {}
        self._checking = Checking(run.log, name, self.metrics)
        self._began = 0.0
        self._stack = ExitStack()

    def __enter__(self) -> Stage:
        outer = _stage_now.get()
        inside = outer is not None and outer.run is self.run
        self.path = f"{outer.path}/{self.name}" if outer is not None and inside else self.name
        self.attempt = self.run.next_attempt(self.path)
        self._checking = Checking(self.run.log, self.path, self.metrics)
        self._stack = ExitStack()
        self._stack.enter_context(contextualize(run_name=self.run.name, stage=self.path))
        token = _stage_now.set(self)
        self._stack.callback(_leave, token)
        self._began = time.monotonic()
        self.run.log.info("stage started", event="stage_start", attempt=self.attempt)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        run = self.run
        missed = self._checking.finish(failed=error is not None)
        if missed and error is None:
            error = ExpectationFailed(self.path, missed)
        ended = time.monotonic()
        seconds = round(ended - self._began, 6)
        status = "ok" if error is None else "failed"
        if error is not None and run.failed_stage is None:
            run.failed_stage = self.path
        elif error is None and run.failed_stage == self.path:
            run.failed_stage = None  # an earlier attempt failed, this one did not
        pipeline_metric(run.log, self.path, "duration.seconds", seconds, unit="seconds")
        level = "INFO" if error is None else "ERROR"
        fields: dict[str, Any] = {"exc_info": error} if first_seen(error) else {}
        run.log.log(
            level, f"stage {status}", event="stage_end", status=status,
            duration_seconds=seconds, attempt=self.attempt, **fields,
        )  # fmt: skip
        begin = self._began - run.began
        kept = dict(self.metrics)
        run.note(Timing(self.path, self.attempt, status, max(begin, 0.0), seconds, kept))
        self._stack.close()
        if missed and error is not None and kind is None:
            raise error

    async def __aenter__(self) -> Stage:
        return self.__enter__()

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
    ) -> Any:
        """Log figures of data, and give them back: rows, and those of the columns that are named.

        `nulls`, `min_max`, `distinct`: columns whose share of nulls (percent, 0 to 100), extremes
        and number of distinct values are told. Records: `pipeline.<stage>.<name>.row_count`,
        `dq.<name>.null_percent`, `.min`, `.max`, `.distinct` with `dims.column`; `basis` says how
        a figure was come by: `computed` from data in this process (pandas, Polars, Arrow by the
        extra `quality`; lists of dicts), exactly.

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
        return self._checking.observe(data, name, figures_of(name, nulls, min_max, distinct))

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
        min_rows: int | None = None,
        max_rows: int | None = None,
        on_fail: str = "warn",
    ) -> None:
        """Say what the data are to be like: those observed as `name`, or else those observed last.

        Before the first `observe` it waits for it. `max_null_percent` is 0 to 100; `min` and `max`
        are inclusive; `matches` is a regular expression for the whole text, in the language of the
        library that holds the data; nulls are left to `max_null_percent` by all the others. Each
        check is a record `expectation` with `rule`, `limit`, `observed`, `passed`, and `reason`
        where it could not be made. With `on_fail="error"` a check that fails, or cannot be made,
        fails the stage at its end, with `ExpectationFailed` for all of them.

        Raises `ConfigError` for wrong settings, and for a column that the data have not.
        """
        rules = {
            "max_null_percent": max_null_percent, "min": min, "max": max, "in_set": in_set,
            "matches": matches, "unique": unique, "min_rows": min_rows, "max_rows": max_rows,
        }  # fmt: skip
        expected = expectation(description, column, on_fail, rules)
        self._checking.expect(expected._replace(name=name))

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Make each call of `function` (or coroutine) a stage, tried again after a failure."""
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


def _leave(token: Any) -> None:
    try:
        _stage_now.reset(token)
    except ValueError:  # left in another context than entered, as generators may
        _stage_now.set(None)


def first_seen(error: BaseException | None) -> bool:
    """Whether an exception was not logged yet by a stage further in; it is marked as logged."""
    if error is None or getattr(error, _LOGGED, False):
        return False
    try:
        setattr(error, _LOGGED, True)
    except Exception:  # an exception with slots cannot be marked, and is logged again
        pass
    return True


def start_run(log: Logger, name: str, params: Mapping[str, Any] | None = None) -> Run:
    """`log.run(name, params=...)`: see `Run`."""
    return Run(log, name, params)
