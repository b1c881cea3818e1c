"""A stage of a job: the same name in the log and in Spark's own pages.

Floor 7. Stands on: core.context, core.logger, runtime, runtime.session, runtime.signals,
runtime.worker.

Inside a stage each record bears the field `stage`. On classic Spark the jobs get it as job group
and description, on Spark Connect as the settings that stand for them; both get a tag where the
version has tags (Connect 3.5, classic 4.0: `SparkSession.addTag`). Afterwards everything is as it
was. What Spark refuses (a serverless session refuses most settings) is left out; `findings()` of
`laketrace.runtime` says so. Threads: a stage belongs to the thread that enters it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any

from laketrace.core.context import contextualize
from laketrace.core.logger import Logger
from laketrace.runtime import active_session, is_executor
from laketrace.runtime.session import is_connect
from laketrace.runtime.signals import fetch, within
from laketrace.runtime.worker import STAGE_PROPERTY

GROUP = "spark.jobGroup.id"
DESCRIPTION = "spark.job.description"
# Databricks' notes for Spark Connect name these for what setJobGroup and setJobDescription do.
_SETTINGS_OF_CONNECT = ("spark.job.group.id", DESCRIPTION)
_BUS_MS = 500  # how long a closing record waits for Spark's status pages to hear of the last job


def stage(log: Logger, name: str, *, spark: Any = None) -> Stage:
    """A block of the job under a name, for a `with` statement.

        with stage(log, "bronze") as bronze:
            df.write.saveAsTable("bronze.orders")

    A record says that it began, and one how it ended: `status` (`ok`, `failed`), `duration` in
    seconds, and on classic Spark `job_ids`, the jobs that ran under it. An exception passes
    through, after it was logged. `spark` is by default the session that is active, if one is.

    >>> from laketrace import get_logger
    >>> log = get_logger("stages", log_dir=None, stdout=False)
    >>> shown = log.add(lambda text: print(text.record.message, text.record.extra["stage"]))
    >>> with stage(log, "bronze"):
    ...     log.info("loading")
    stage bronze started bronze
    loading bronze
    stage bronze ended bronze
    >>> log.close()
    """
    return Stage(log, name, spark)


class Stage:
    """A stage of a job; see `stage`. Pickles by name, with its logger.

    `log` is the logger with the field `stage`; `job_ids` are the jobs that ran, once it has ended.
    """

    def __init__(self, log: Logger, name: str, spark: Any = None) -> None:
        self.name = name
        self.log = log.bind(stage=name)
        self.job_ids: list[int] = []
        self._stack = ExitStack()
        self._given = spark
        self._spark: Any = None
        self._began = 0.0
        self._jobs_before: set[int] = set()

    def __repr__(self) -> str:
        return f"<Stage {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Stage, (self.log, self.name)

    def __enter__(self) -> Stage:
        self._began = time.perf_counter()
        self._stack.enter_context(contextualize(stage=self.name))
        if not is_executor():
            self._spark = active_session() if self._given is None else self._given
        if self._spark is not None:
            self._name_jobs(self._spark)
        self.log.info(f"stage {self.name} started", event="stage_started")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        fields: dict[str, Any] = {"duration": round(time.perf_counter() - self._began, 6)}
        ids = self._jobs() if self._spark is not None else None
        if ids is not None:
            self.job_ids = fields["job_ids"] = sorted(ids - self._jobs_before)
        try:
            self._tell(error, fields)
        finally:
            self._spark = None
            self._stack.close()

    def _tell(self, error: BaseException | None, fields: dict[str, Any]) -> None:
        if isinstance(error, Exception):
            fields.update(status="failed", exc_info=error)
            self.log.error(f"stage {self.name} failed", event="stage_ended", **fields)
        else:  # also a notebook's exit or Ctrl-C, which are no failures of the stage
            status = "ok" if error is None else "stopped"
            self.log.info(f"stage {self.name} ended", event="stage_ended", status=status, **fields)

    # -- what Spark is told -------------------------------------------------------------------

    def _name_jobs(self, spark: Any) -> None:
        self._tag(spark)
        if is_connect(spark):
            # A call to a server each: in a helper thread, which is given up after a second.
            within("stage settings", lambda: self._set_all(_Settings(spark.conf)))
        else:
            context = fetch("stage sparkContext", lambda: spark.sparkContext)
            if context is not None:
                self._jobs_before = self._jobs() or set()
                self._set_all(_Properties(context))

    def _set_all(self, names: _Settings | _Properties) -> None:
        for key in names.keys:
            before = fetch(f"stage get {key}", partial(names.get, key))
            if fetch(f"stage set {key}", partial(_done, names.set, key, self.name)):
                self._stack.callback(_restore, names, key, before)

    def _tag(self, spark: Any) -> None:
        tag = self.name.replace(",", "_")  # a comma would be two tags
        tags = fetch("stage getTags", lambda: spark.getTags())
        if tags is None or not tag or tag in tags:
            return
        if fetch("stage addTag", partial(_done, spark.addTag, tag)):
            self._stack.callback(fetch, "stage removeTag", partial(spark.removeTag, tag))

    def _jobs(self) -> set[int] | None:
        """The jobs that ran under the name, or None where Spark does not tell."""
        if is_connect(self._spark):
            return None
        context = fetch("stage sparkContext", lambda: self._spark.sparkContext)
        if context is None:
            return None
        # The pages hear of a job a moment after it began; this is Spark's own way to wait for them.
        fetch("stage listener bus", lambda: context._jsc.sc().listenerBus().waitUntilEmpty(_BUS_MS))
        ids = fetch("stage jobs", lambda: context.statusTracker().getJobIdsForGroup(self.name))
        return None if ids is None else {int(number) for number in ids}


class _Properties:
    """The local properties of classic Spark: of a thread, and of the jobs that it starts."""

    keys = (GROUP, DESCRIPTION, STAGE_PROPERTY)

    def __init__(self, context: Any) -> None:
        self.get: Callable[[str], Any] = context.getLocalProperty
        self.set: Callable[[str, Any], None] = context.setLocalProperty
        self.unset: Callable[[str], None] = lambda key: context.setLocalProperty(key, None)


class _Settings:
    """The settings of a Connect session."""

    keys = _SETTINGS_OF_CONNECT

    def __init__(self, conf: Any) -> None:
        self.get: Callable[[str], Any] = lambda key: conf.get(key, None)
        self.set: Callable[[str, Any], None] = conf.set
        self.unset: Callable[[str], None] = conf.unset


def _done(change: Callable[..., object], *args: Any) -> bool:
    """Make a change in Spark; True, so that a failed one (None) can be told from it."""
    change(*args)
    return True


def _restore(names: _Settings | _Properties, key: str, before: Any) -> None:
    def put_back() -> None:
        if before is None:
            names.unset(key)
        else:
            names.set(key, before)

    if isinstance(names, _Settings):
        within(f"stage restore {key}", put_back)
    else:
        fetch(f"stage restore {key}", put_back)
