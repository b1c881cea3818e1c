"""What Python workers logged comes into the driver's log, each record once.

Floor 7. Stands on: core.logger, core.record, core.timestamp, runtime.signals, runtime.worker,
spark.streams.

Spark 4.1 keeps it in a table function of the session, `spark.tvf.python_worker_logs()`, while
`spark.sql.pyspark.worker.logging.enabled` is true. Its rows have no key: records of LakeTrace bring
an id (`runtime.worker.Envelope`); of other rows (`logging`, `print`) equal ones are counted. What
was brought is remembered for the process, for each session. Threads: one at a time collects.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

from laketrace.core.logger import Logger
from laketrace.core.record import CALLER, Record
from laketrace.core.timestamp import iso
from laketrace.runtime.signals import within
from laketrace.runtime.worker import ENVELOPE
from laketrace.spark.streams import session_id

CONF = "spark.sql.pyspark.worker.logging.enabled"
_COLUMNS = ("unix_micros(ts) AS micros", "level", "msg", "context", "exception", "logger")
# What the worker says about itself, which on the driver's record would be said about the driver.
_RENAMED = {"hostname": "worker_host", "pid": "worker_pid", "func_name": "udf"}
_LEFT_OUT = ("class_name", "platform", "runtime_type", "run_id", ENVELOPE)


class _Brought:
    """What was brought of one session."""

    def __init__(self) -> None:
        self._ended: dict[str, int] = {}  # of a stream: all its records up to this number
        self._beyond: dict[str, set[int]] = {}
        self._others: Counter[int] = Counter()

    def is_new(self, identity: str) -> bool:
        """Whether the record of this id comes for the first time."""
        stream, _, digits = identity.rpartition("-")
        number = int(digits)
        ended = self._ended.get(stream, 0)
        beyond = self._beyond.setdefault(stream, set())
        if number <= ended or number in beyond:
            return False
        beyond.add(number)
        while ended + 1 in beyond:
            ended += 1
            beyond.remove(ended)
        self._ended[stream] = ended
        return True

    def is_another(self, row: Any, seen: Counter[int]) -> bool:
        """Whether more rows like this one have been `seen` now than were ever brought."""
        key = hash(repr(sorted(row.asDict(recursive=True).items(), key=str)))
        seen[key] += 1
        if seen[key] <= self._others[key]:
            return False
        self._others[key] += 1
        return True


_sessions: dict[str, _Brought] = {}
_told: set[tuple[str, str]] = set()
_lock = threading.Lock()


def collect_worker_logs(spark: Any, log: Logger) -> int:
    """Bring what the session's Python workers have logged into `log`; how many records it was.

    The records of UDFs, pandas UDFs, `mapInPandas` and their like come with level, message, fields
    and exception as they were logged, and with `executor` (true), `worker_time`, `udf` (the
    function) and, where a task ran, `stage_id`, `partition_id`, `task_attempt_id`. What a worker
    printed or logged with `logging` comes too; a logger of another name is in `worker_logger`.
    Each record is brought once, however often this is called.

    Needs Spark 4.1, and `spark.sql.pyspark.worker.logging.enabled` set to true before the workers
    log. Where one is missing, a record says so, once a session, and nothing else happens.
    """
    try:
        key = session_id(spark)
        missing = _missing(spark)
        if missing is not None:
            with _lock:
                first = (key, missing) not in _told
                _told.add((key, missing))
            if first:
                log.warning(missing, event="worker_logs_missing")
            return 0
        with _lock:
            brought = _sessions.setdefault(key, _Brought())
            return sum(_bring(log, row) for row in _new_rows(spark, brought))
    except Exception as error:
        log.warning("worker logs were not collected", event="worker_logs_failed", exc_info=error)
        return 0


def collect_where_on(spark: Any, log: Logger) -> int:
    """`collect_worker_logs` where the session says, within a second, that it keeps them."""
    answers: list[str] = []
    if hasattr(getattr(spark, "tvf", None), "python_worker_logs"):
        within("worker logs", lambda: answers.append(str(spark.conf.get(CONF, "false")).lower()))
    return collect_worker_logs(spark, log) if answers == ["true"] else 0


def _missing(spark: Any) -> str | None:
    if not hasattr(getattr(spark, "tvf", None), "python_worker_logs"):
        return f"worker logs need Spark 4.1 or newer; this is {getattr(spark, 'version', 'older')}"
    try:
        enabled = str(spark.conf.get(CONF, "false")).lower()
    except Exception:  # a serverless session knows only some settings; the table itself will tell
        return None
    if enabled != "true":
        return f"worker logs are off: spark.conf.set({CONF!r}, 'true') before the workers run"
    return None


def _new_rows(spark: Any, brought: _Brought) -> Iterator[Any]:
    """The rows that were not brought yet, in the order of time, one partition in memory."""
    rows = spark.tvf.python_worker_logs().selectExpr(*_COLUMNS)
    seen: Counter[int] = Counter()
    for row in rows.coalesce(1).sortWithinPartitions("micros").toLocalIterator():
        envelope = _envelope(row)
        if envelope is None:
            if brought.is_another(row, seen):
                yield row
        elif brought.is_new(envelope["id"]):
            yield row


def _envelope(row: Any) -> dict[str, Any] | None:
    """The envelope of a record of LakeTrace; None for a row of anything else."""
    try:
        envelope = json.loads((row.context or {}).get(ENVELOPE, ""))
        stream, _, number = envelope["id"].rpartition("-")
        return envelope if stream and int(number) and isinstance(envelope["json"], list) else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _bring(log: Logger, row: Any) -> int:
    said = _said(row)
    exact = ENVELOPE in (row.context or {})
    fields = {"executor": True, "worker_time": iso(row.micros * 1000)}
    if row.logger != log.name:
        fields["worker_logger"] = row.logger
    fields |= {
        _RENAMED.get(name, name): value
        for name, value in said.items()
        if name not in (*_LEFT_OUT, *CALLER, "exception")
    }

    def as_it_was(record: Record) -> None:
        record.extra = fields if exact else {**record.extra, **fields}
        if said.get("run_id") and said["run_id"] != record.run_id:
            record.source = record.source._replace(run_id=said["run_id"])
        record.file, record.line, record.function = (said.get(name) for name in CALLER)
        record.exception = said.get("exception")

    log.patch(as_it_was).log(row.level, row.msg)
    return 1


def _said(row: Any) -> dict[str, Any]:
    """The context of a row, with the values as they were before Spark made texts of them."""
    said: dict[str, Any] = dict(row.context or {})
    envelope = _envelope(row)
    for name in envelope["json"] if envelope else ():
        try:
            said[name] = json.loads(said[name])
        except (ValueError, TypeError, KeyError):
            continue
    if "exception" not in said and row.exception is not None:
        said["exception"] = _exception(row.exception)
    return said


def _exception(told: Any) -> dict[str, Any]:
    """An exception that another logger handed to Spark, in the form of a record's."""
    kind, value = told["class"] or "Exception", told["msg"] or ""
    frames = [
        {"file": at["file"], "line": int(at["line"] or 0), "function": at["method"]}
        for at in told["stacktrace"] or ()
    ]
    lines = [f'  File "{at["file"]}", line {at["line"]}, in {at["function"]}' for at in frames]
    text = "\n".join(["Traceback (most recent call last):", *lines, f"{kind}: {value}"])
    return {"type": kind, "value": value, "traceback": text, "frames": frames}
