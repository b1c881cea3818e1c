"""On a Spark worker: records go to Spark's own worker logging, or to the worker's stderr.

Floor 3. Stands on: core.handler, core.levels, core.queue, core.record, core.stdlib,
runtime.executor.

Spark 4.1 stores what Python workers log (`spark.sql.pyspark.worker.logging.enabled`): while a task
runs, its handler hangs on the root logger of `logging` (`pyspark/logger/worker_io.py`). There each
record is handed to `logging`, with all that it says as texts in `extra={"context": {...}}`; the
driver makes records of them again (`laketrace.spark.collect_worker_logs`). Elsewhere a record of
ERROR and above is one JSON line on the worker's stderr, and any other is counted as
`dropped["executor"]`. No file, thread or socket is opened, and each record has one way out.
Threads: as `core.handler.TextSink`. Forks: a child begins a stream of its own.
"""

from __future__ import annotations

import json
import os
import sys
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from laketrace.core.handler import TextSink
from laketrace.core.levels import ERROR
from laketrace.core.queue import Line
from laketrace.core.record import Message, Record
from laketrace.core.stdlib import to_log_record
from laketrace.runtime.executor import task, task_property

if TYPE_CHECKING:
    import logging
    from types import FrameType

STAGE_PROPERTY = "laketrace.stage"
"""Local property of Spark by which a task knows the stage (`laketrace.spark.stage`) it runs in."""

ENVELOPE = "laketrace"
"""Key of the context under which `Envelope` stands, as JSON."""

_SPARKS_MODULE = "pyspark.logger.worker_io"
# What Spark stores in columns of its own.
_COLUMNS = ("timestamp", "level", "message", "logger_name")


class Envelope(NamedTuple):
    """What the driver needs to make the record again: its id, and which texts are JSON."""

    id: str
    json: list[str]


class WorkerSink(TextSink):
    """The one sink of a logger on a Spark worker.

    With worker logging each record is written to it; else what is below ERROR is counted as
    `dropped["executor"]`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"worker logging of {name}", self._hand_out, wants_record=True)
        self._logger_name = name
        self._logger: logging.Logger | None = None
        self._start_stream()

    def refusal(self, line: Line) -> str | None:
        """`executor` for a record that nobody would store or read."""
        record = line.record if isinstance(line, Message) else None
        if record is None or (record.level.no < ERROR.no and not self._stored()):
            return "executor"
        return super().refusal(line)

    def renew(self) -> None:
        """In a forked child: as any sink, and with a stream of its own."""
        super().renew()
        self._start_stream()

    def _start_stream(self) -> None:
        self._stream = os.urandom(6).hex()
        self._numbers = count(1)

    def _hand_out(self, text: str) -> None:
        record = text.record if isinstance(text, Message) else None
        if record is None:
            return
        if not self._stored():
            sys.stderr.write(str.__str__(text))
            sys.stderr.flush()
            return
        made = to_log_record(record)
        said = json.loads(text)
        made.msg = said["message"]
        made.exc_info = _stand_in(record, said)
        made.__dict__["context"] = self._context(said)
        self._target().handle(made)

    def _context(self, said: dict[str, Any]) -> dict[str, str]:
        """Everything that a record says, as Spark stores it: a map from text to text."""
        for name, value in task_fields().items():
            said.setdefault(name, value)
        context = _function()
        as_json = []
        for name, value in said.items():
            if name in _COLUMNS:
                continue
            if not isinstance(value, str):
                as_json.append(name)
                value = json.dumps(value, ensure_ascii=False)
            context[name] = value
        envelope = Envelope(f"{self._stream}-{next(self._numbers)}", as_json)
        context[ENVELOPE] = json.dumps(envelope._asdict())
        return context

    def _stored(self) -> bool:
        """Whether Spark's handler would get the record: it is there while a task runs."""
        if _SPARKS_MODULE not in sys.modules:
            return False
        target = self._target()
        logger: logging.Logger | None = None if target.disabled else target
        while logger is not None:
            for handler in logger.handlers:
                if type(handler.formatter).__module__ == _SPARKS_MODULE:
                    return True
            logger = logger.parent if logger.propagate else None
        return False

    def _target(self) -> logging.Logger:
        """The logger of `logging` by our name. Its level is not asked: ours has decided."""
        if self._logger is None:
            import logging

            self._logger = logging.getLogger(self._logger_name)
        return self._logger


class NoFile(TextSink):
    """In place of a file that a program wants to open on a worker: what it would get is counted."""

    def __init__(self, path: str) -> None:
        super().__init__(path, len)

    def refusal(self, line: Line) -> str | None:
        """`executor`, always."""
        return "executor"


def task_fields() -> dict[str, Any]:
    """What the running task knows: `stage_id`, `partition_id`, `task_attempt_id`, and `stage`."""
    running = task()
    if running is None:
        return {}
    try:
        fields = {
            "stage_id": running.stageId(),
            "partition_id": running.partitionId(),
            "task_attempt_id": running.taskAttemptId(),
        }
    except Exception:  # a task that was torn down knows nothing
        return {}
    return {**fields, **stage_fields()}


def stage_fields() -> dict[str, str]:
    """The stage in which the running task was started, as the field `stage`, where it is known."""
    stage = task_property(STAGE_PROPERTY)
    return {} if stage is None else {"stage": stage}


def _function() -> dict[str, str]:
    """`func_name` and `class_name` of the function that Spark called, e.g. of a UDF.

    Spark's own search takes functions of the driver's `__main__` for a part of its worker, whose
    main module is `pyspark.daemon`, and would name a method of ours.
    """
    main = vars(sys.modules["__main__"])
    found: FrameType | None = None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__")
        is_sparks = frame.f_globals is main or str(name).startswith("pyspark.")
        if found is not None and is_sparks:
            break
        if not is_sparks and not str(name).startswith("laketrace."):
            found = frame
        frame = frame.f_back
    if found is None:
        return {}
    owner = found.f_locals.get("self")
    kind = found.f_locals.get("cls") if owner is None else type(owner)
    return {"func_name": found.f_code.co_name, "class_name": getattr(kind, "__name__", "")}


def _stand_in(record: Record, said: dict[str, Any]) -> Any:
    """What Spark shows of an exception: its name and place, with the text as it was redacted."""
    told = said.get("exception")
    if not isinstance(told, dict):
        return None
    kind = type(str(told.get("type", "")).rpartition(".")[2] or "Exception", (Exception,), {})
    trace = None if record.exc is None else record.exc.__traceback__
    return kind, kind(str(told.get("value", ""))), trace
