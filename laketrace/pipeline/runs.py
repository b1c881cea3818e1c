"""Runs: who began what, how long it took, and where it failed.

Floor 7. Stands on: core.context, files.runs, pipeline.lastrun, pipeline.lineage, pipeline.metrics,
pipeline.spans, pipeline.stages, pipeline.summary, runtime, spark.stages, spark.workerlogs.

A run and its stages are ordinary records: `run_start`, `run_end`, `stage_start`, `stage_end`. All
that is logged inside carries `run_name` and `stage`, whichever logger logs it. A run that is killed
is known from a journal beside the log; the next start of the same logger writes its end. What
Spark's workers have logged (4.1, where their logging is on) is brought in before a run ends.
A forked child writes no end of its parent's run.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any

from laketrace.core.context import contextualize
from laketrace.files.runs import begin_run, end_run
from laketrace.pipeline.lastrun import Rows
from laketrace.pipeline.metrics import write_metric
from laketrace.pipeline.spans import Span, start_span
from laketrace.pipeline.stages import Stage, status_of
from laketrace.pipeline.summary import Summary, Timing
from laketrace.runtime import active_session, is_executor
from laketrace.spark.stages import first_seen
from laketrace.spark.workerlogs import collect_where_on

if TYPE_CHECKING:
    from laketrace.core.logger import Logger
    from laketrace.pipeline.lineage import Lineage


class Run:
    """One run of a job, as a context manager; made by `log.run(name, params=...)`.

    It pickles by name, with its logger, for functions that take it into another process.

    >>> from laketrace import get_logger
    >>> log = get_logger("doctest.run", log_dir=None, stdout=False)
    >>> with log.run("daily_orders") as run:
    ...     with run.stage("bronze") as stage:
    ...         stage.metric("files_read", 12)
    >>> run.status, [timing.path for timing in run.timings]
    ('ok', ['bronze'])
    >>> log.close()
    """

    def __init__(
        self,
        log: Logger,
        name: str,
        params: Mapping[str, Any] | None = None,
        lineage: Lineage | None = None,
    ) -> None:
        self.log = log
        self.name = name
        self.params = dict(params or {})
        self.status = "open"
        self.failed_stage: str | None = None
        self.duration = 0.0
        self.timings: list[Timing] = []
        self.began = time.monotonic()  # and again on entry; a run without `with` has times, too
        self.rows = Rows(log.log_file_path, name)
        self.lineage = lineage
        self.span: Span | None = None
        self._lock = threading.Lock()
        self._attempts: dict[str, int] = {}
        self._stack = ExitStack()
        self._journal: str | None = None
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"<Run {self.name}: {self.status}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Run, (self.log, self.name, self.params)

    def __enter__(self) -> Run:
        self._pid = os.getpid()
        self._stack.enter_context(contextualize(run_name=self.name))
        facts = {"laketrace.run_name": self.name, "laketrace.run_id": self.log.run_id}
        self.span = start_span(self.name, facts)
        fields: dict[str, Any] = {"params": self.params} if self.params else {}
        if self.lineage is not None:
            fields["lineage_run_id"] = self.lineage.run_id
        self.log.info("run started", event="run_start", **fields)
        self._journal = begin_run(self.log.log_file_path, self.name, self.log.run_id)
        self.began = time.monotonic()
        if self.lineage is not None:
            self.lineage.run_began()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if os.getpid() != self._pid:
            return
        spark = active_session()
        if spark is not None and not is_executor():
            collect_where_on(spark, self.log)
        self.duration = time.monotonic() - self.began
        self.status = status_of(error)
        seconds = round(self.duration, 6)
        self._metric("pipeline.total.duration.seconds", seconds)
        fields: dict[str, Any] = {"status": self.status, "duration_seconds": seconds}
        if self.failed_stage is not None:
            fields["failed_stage"] = self.failed_stage
        first = self.status == "failed" and first_seen(error)
        if first:
            fields["exc_info"] = error
        level = "ERROR" if self.status == "failed" else "INFO"
        self.log.log(level, f"run {self.status}", event="run_end", **fields)
        end_run(self.log.log_file_path, self._journal)
        if self.status == "ok":
            self.rows.keep()
        if self.lineage is not None:
            self.lineage.run_ended(self.status, error)
        if self.span is not None:
            self.span.end(self.status, error if first else None)
        self._stack.close()

    def _metric(self, name: str, seconds: float) -> None:
        write_metric(self.log, "pipeline_metric", name, seconds, None, "gauge", "seconds")

    def stage(self, name: str, retries: int = 0) -> Stage:
        """A stage of this run, for `with` or as a decorator; inside another one its path nests.

        As a decorator it calls the function again after a failure, at most `retries` times. A
        `with` block cannot be run again, so there `retries` changes nothing: write the loop, and
        each entry counts as one `attempt`.

        Raises `ConfigError` without a name, and for `retries` that are no whole number from 0 up.
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
        seconds = time.monotonic() - self.began if self.status == "open" else self.duration
        with self._lock:
            timings = sorted(self.timings, key=lambda timing: timing.began)
            return Summary(self.name, self.status, seconds, tuple(timings))

    def plot(self) -> Any:
        """The stages over time as a figure of matplotlib, which has to be installed."""
        return self.summary().plot()


def start_run(
    log: Logger, name: str, params: Mapping[str, Any] | None = None, lineage: Any = False
) -> Run:
    """`log.run(name, params=...)`: see `Run`.

    `lineage=True` sends OpenLineage events by the client of openlineage-python (extra `lineage`),
    which finds its settings as ever: `OPENLINEAGE_URL`, `openlineage.yml`
    (https://openlineage.io/docs/client/python). A dict is the client's own configuration, as
    `{"transport": {"type": "file", "log_file_path": "lineage.jsonl", "append": True}}`; a client
    of yours serves too.

    Raises `MissingExtraError` without the extra, `ConfigError` for a configuration that the client
    refuses.
    """
    if lineage is False or lineage is None:
        return Run(log, name, params)
    from laketrace.pipeline.lineage import start_lineage

    return Run(log, name, params, start_lineage(log, name, lineage))
