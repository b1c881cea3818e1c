"""The jobs of a block bear a name in Spark's own pages: as group, description and tag.

Floor 7. Stands on: runtime, runtime.session, runtime.signals, runtime.worker.

On classic Spark group and description are properties of the thread, on Spark Connect settings of
the session that stand for them; both have tags where the version has them (Connect 3.5, classic
4.0: `SparkSession.addTag`). Afterwards everything is as it was. What Spark refuses (a serverless
session refuses most settings) is left out; `findings()` of `laketrace.runtime` says so. Without an
active session nothing is done. Threads: a name belongs to the thread that gives it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from laketrace.runtime import active_session, is_executor
from laketrace.runtime.session import is_connect
from laketrace.runtime.signals import fetch, within
from laketrace.runtime.worker import STAGE_PROPERTY

GROUP = "spark.jobGroup.id"
DESCRIPTION = "spark.job.description"
# Databricks' notes for Spark Connect name these for what setJobGroup and setJobDescription do.
_SETTINGS_OF_CONNECT = ("spark.job.group.id", DESCRIPTION)
_BUS_MS = 500  # how long the list of jobs waits for Spark's status pages to hear of the last one


class JobNames:
    """Names the Spark jobs that are started inside a `with` block.

    >>> with JobNames("bronze") as names:  # without Spark: nothing to name
    ...     names.job_ids()
    """

    def __init__(self, name: str, spark: Any = None) -> None:
        self.name = name
        self._given = spark
        self._spark: Any = None
        self._before: set[int] = set()
        self._stack = ExitStack()

    def __enter__(self) -> JobNames:
        spark = active_session() if self._given is None else self._given
        if spark is not None and not is_executor():
            self._spark = spark
            self._name_jobs(spark)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._spark = None
        self._stack.close()

    def job_ids(self) -> list[int] | None:
        """The jobs that ran under the name since the block began; None where Spark does not tell.

        Only classic Spark does, by its status tracker.
        """
        ids = None if self._spark is None else self._jobs(self._spark)
        return None if ids is None else sorted(ids - self._before)

    def _name_jobs(self, spark: Any) -> None:
        self._tag(spark)
        if is_connect(spark):
            # A call to a server each: in a helper thread, which is given up after a second.
            within("stage settings", lambda: self._set_all(_Settings(spark.conf)))
        else:
            context = fetch("stage sparkContext", lambda: spark.sparkContext)
            if context is not None:
                self._before = self._jobs(spark) or set()
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

    def _jobs(self, spark: Any) -> set[int] | None:
        """All jobs that ever ran under the name, or None where Spark does not tell."""
        if is_connect(spark):
            return None
        context = fetch("stage sparkContext", lambda: spark.sparkContext)
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
