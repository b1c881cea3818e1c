"""Records of the `logging` module come into a LakeTrace logger.

Floor 6. Stands on: core.levels, core.logger, core.notice, core.record, core.stdlib.

A `LogRecord` keeps what it has: its level (own ones by name too), message and arguments, time,
place in the source, thread, exception, stack and `extra`; the name of its logger is the field
`logger`. What LakeTrace handed out to `logging` is not taken in again.
Threads: any; `logging` calls one at a time. A record logged while another one is being taken in
(an enricher that uses `logging`) is taken in as well, `MOST_NESTED` deep; a deeper one is refused
and counted in `refused`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from laketrace.core.levels import Level, get_level
from laketrace.core.logger import Logger
from laketrace.core.notice import say
from laketrace.core.record import Record
from laketrace.core.stdlib import MARK

MOST_NESTED = 4

# What every LogRecord has, or gets from a Formatter; anything else came with `extra=`.
_USUAL = frozenset(
    {*vars(logging.LogRecord("", 0, "", 0, "", None, None)), "message", "asctime", "taskName"}
)


class _Depth(threading.local):
    """How many records this thread is taking in, one inside the other."""

    now = 0


class LakeTraceHandler(logging.Handler):
    """A handler of `logging` that logs to a LakeTrace logger.

    `log` is the logger, also a bound one, whose fields then stand on every record; `level` is the
    least level that is taken, besides the logger's own.

    >>> import laketrace
    >>> log = laketrace.get_logger("interop", log_dir=None, stdout=False)
    >>> seen = []
    >>> _ = log.add(lambda text: seen.append(text.record), level="DEBUG")
    >>> library = logging.getLogger("doctest.library")
    >>> library.addHandler(LakeTraceHandler(log))
    >>> library.warning("%d rows", 3, extra={"table": "orders"})
    >>> seen[0].message, seen[0].extra
    ('3 rows', {'table': 'orders', 'logger': 'doctest.library'})
    >>> log.close()
    """

    def __init__(self, log: Logger, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self.log = log
        self.refused = 0
        self._depth = _Depth()

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record in."""
        if MARK in record.__dict__:
            return
        if self._depth.now >= MOST_NESTED:
            self.refused += 1
            say(
                f"records of logging that are logged while one is taken in are refused from "
                f"{MOST_NESTED} deep; the last was of {record.name!r}",
                key="laketrace.interop nested",
            )
            return
        self._depth.now += 1
        try:
            take_in(self.log, record)
        except Exception:
            self.handleError(record)
        finally:
            self._depth.now -= 1


def take_in(log: Logger, record: logging.LogRecord) -> None:
    """Log `record` to `log`, with everything that it has."""

    def as_it_was(made: Record) -> Mapping[str, Any]:
        made.timestamp_ns = round(record.created * 1e6) * 1000
        made._timestamp = None  # another enricher may have asked for it already
        if made.file is not None:
            made.file, made.line = record.pathname, record.lineno
            made.function, made.module = record.funcName, record.module
        made.thread_id = record.thread or 0
        made.thread_name = record.threadName or ""
        made.process_name = record.processName or ""
        return {}

    # One dict as the only argument gives its items by name: "%(rows)d rows", {"rows": 3}.
    args = (record.args,) if isinstance(record.args, Mapping) else tuple(record.args or ())
    log.patch(as_it_was).log(level_of(record), record.msg, *args, **_fields(record))


def level_of(record: logging.LogRecord) -> Level:
    """LakeTrace's level for a record: the five that both have by number, others as they are.

    >>> made = logging.makeLogRecord
    >>> level_of(made({"levelno": 30, "levelname": "WARN"}))
    'WARNING'
    >>> level_of(made({"levelno": 25, "levelname": "NOTICE"})).no
    25
    """
    number, name = record.levelno, record.levelname
    if number in (10, 20, 30, 40, 50) or name == f"Level {number}" or not isinstance(name, str):
        return get_level(max(0, min(number, 100)))
    return Level(name, number)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = {name: value for name, value in record.__dict__.items() if name not in _USUAL}
    fields["logger"] = record.name
    if record.exc_info:
        fields["exc_info"] = record.exc_info
    elif record.exc_text:  # a QueueHandler has made text of it
        fields["exc_text"] = record.exc_text
    if record.stack_info:
        fields["stack_info"] = record.stack_info
    return fields
