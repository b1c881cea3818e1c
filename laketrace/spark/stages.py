"""A stage of a job: the same name in the log and in Spark's own pages.

Floor 7. Stands on: core.context, core.logger, spark.jobs.

Inside a stage each record bears the field `stage`, and Spark's jobs its name. Threads: a stage
belongs to the thread that enters it.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from laketrace.core.context import contextualize
from laketrace.core.logger import Logger
from laketrace.spark.jobs import JobNames

_LOGGED = "_laketrace_logged"


def stage(log: Logger, name: str, *, spark: Any = None) -> Stage:
    """A block of the job under a name, for a `with` statement.

        with stage(log, "bronze") as bronze:
            df.write.saveAsTable("bronze.orders")

    A record says that it began, and one how it ended: `status` (`ok`, `failed`), `duration` in
    seconds, and on classic Spark `job_ids`, the jobs that ran under it. An exception passes
    through; the innermost stage logs it. `spark` is by default the active session, if there is one.

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
        self._jobs = JobNames(name, spark)
        self._began = 0.0

    def __repr__(self) -> str:
        return f"<Stage {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Stage, (self.log, self.name)

    def __enter__(self) -> Stage:
        self._began = time.perf_counter()
        self._stack.enter_context(contextualize(stage=self.name))
        self._stack.enter_context(self._jobs)
        self.log.info(f"stage {self.name} started", event="stage_started")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        fields: dict[str, Any] = {"duration": round(time.perf_counter() - self._began, 6)}
        ids = self._jobs.job_ids()
        if ids is not None:
            self.job_ids = fields["job_ids"] = ids
        try:
            self._tell(error, fields)
        finally:
            self._stack.close()

    def _tell(self, error: BaseException | None, fields: dict[str, Any]) -> None:
        if isinstance(error, Exception):
            fields["status"] = "failed"
            if first_seen(error):
                fields["exc_info"] = error
            self.log.error(f"stage {self.name} failed", event="stage_ended", **fields)
        else:  # also a notebook's exit or Ctrl-C, which are no failures of the stage
            status = "ok" if error is None else "stopped"
            self.log.info(f"stage {self.name} ended", event="stage_ended", status=status, **fields)


def first_seen(error: BaseException | None) -> bool:
    """Whether an exception was not logged yet by a stage further in; it is marked as logged."""
    if error is None or getattr(error, _LOGGED, False):
        return False
    try:
        setattr(error, _LOGGED, True)
    except Exception:  # an exception with slots cannot be marked, and is logged again
        pass
    return True
