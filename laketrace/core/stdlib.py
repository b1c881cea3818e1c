"""Records handed out to the `logging` module: to one of its handlers, or to a logger.

Floor 1. Stands on: core.handler, core.record.

`log.add(logging.StreamHandler())` and `log.add(logging.getLogger("app"))` end here. A record
becomes a `LogRecord` with the fields as attributes (as `extra=` makes them; `extra_<name>` where
`logging` has that name), the real time, place and exception. It carries a mark by which
LakeTrace's own handler for `logging` knows it and lets it pass: what was handed out never comes
back in. `logging` swallows what its handlers raise; here it is raised, so that it is counted.
Threads: the handler's own lock is taken, as `Handler.handle` does. `logging` is not imported by
this module: who has one of its handlers has it already.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn, cast

from laketrace.core.handler import TextSink
from laketrace.core.record import Message, Record

if TYPE_CHECKING:
    import logging

MARK = "_laketrace"


def is_stdlib(sink: object) -> bool:
    """Whether `sink` is a handler, a logger or a logger adapter of the `logging` module.

    >>> import logging
    >>> is_stdlib(logging.NullHandler()), is_stdlib(logging.getLogger("app")), is_stdlib(print)
    (True, True, False)
    """
    module = sys.modules.get("logging")
    return module is not None and isinstance(
        sink, (module.Handler, module.Logger, module.LoggerAdapter)
    )


class StdlibSink(TextSink):
    """A handler or logger of `logging` as a sink.

    It gets the message, which its own formatter puts into a line; with `formatted` it gets the
    text that a template or formatter of LakeTrace has made. Of a handler, its level, filters,
    formatter and lock apply; of a logger, also its handlers and those of its parents. `close`
    flushes a handler and leaves it open: it belongs to the user.
    """

    def __init__(self, target: Any, *, formatted: bool = False) -> None:
        self.name = repr(target)
        while hasattr(target, "logger"):  # an adapter, perhaps of an adapter
            target = target.logger
        self._target = target
        self._is_handler = hasattr(self._target, "emit")
        self._formatted = formatted
        super().__init__(self.name, self._hand_out, wants_record=True)

    def _hand_out(self, text: str) -> None:
        message = cast(Message, text)
        record = to_log_record(message.record, message if self._formatted else None)
        if self._is_handler:
            _to_handler(self._target, record)
        elif self._target.isEnabledFor(record.levelno):
            self._target.handle(record)

    def close(self, timeout: float) -> None:
        """Take no more, and let the handler write what it holds."""
        super().close(timeout)
        flush = getattr(self._target, "flush", None)
        if flush is not None:
            try:
                flush()
            except Exception:  # what it held was counted as written: it is the handler's to keep
                pass


def _to_handler(handler: logging.Handler, record: logging.LogRecord) -> None:
    """`Handler.handle`, with its level, and with its faults raised."""
    if record.levelno < handler.level:
        return
    allowed: Any = handler.filter(record)
    if not allowed:
        return
    if not isinstance(allowed, bool):  # since 3.12 a filter may give another record
        record = allowed
    handler.acquire()
    try:
        own = handler.__dict__.get("handleError")
        handler.handleError = _raise  # type: ignore[method-assign]
        try:
            handler.emit(record)
        finally:
            if own is None:
                del handler.__dict__["handleError"]
            else:
                handler.handleError = own  # type: ignore[method-assign]
    finally:
        handler.release()


def _raise(record: object) -> NoReturn:
    """In place of `handleError`, which is called while the handler's fault is being handled."""
    error = sys.exc_info()[1]
    raise error if error is not None else RuntimeError("the handler reported an error")


def to_log_record(record: Record, text: str | None = None) -> logging.LogRecord:
    """The `logging.LogRecord` of a record; `text` replaces its message.

    >>> from laketrace.core.levels import WARNING
    >>> from laketrace.core.record import Source
    >>> source = Source("etl", "node-1", 7, "local", "script", "run-1")
    >>> made = to_log_record(Record(source, WARNING, "late", 1_500_000_000, {"batch": 12}))
    >>> made.name, made.levelname, made.getMessage(), made.created, made.batch
    ('etl', 'WARNING', 'late', 1.5, 12)
    """
    import logging

    message = record.message if text is None else str.__str__(text).removesuffix("\n")
    exc = record.exc
    made = logging.LogRecord(
        record.logger_name,
        record.level.no,
        record.file or "",
        record.line or 0,
        message,
        None,
        None if exc is None else (type(exc), exc, exc.__traceback__),
        record.function,
    )
    if exc is None and record.exception:  # with `mask_pii` only the scrubbed text is left of it
        made.exc_text = str(record.exception.get("traceback", ""))
    late = made.created - record.timestamp_ns / 1e9
    made.created = record.timestamp_ns / 1e9
    made.msecs = float(record.timestamp_ns // 1_000_000 % 1000)
    made.relativeCreated -= late * 1000
    made.levelname = record.level.name
    made.process = record.pid
    made.processName = record.process_name
    made.thread = record.thread_id
    made.threadName = record.thread_name
    for name, value in record.extra.items():
        made.__dict__[f"extra_{name}" if name in made.__dict__ else name] = value
    made.__dict__[MARK] = record.logger_name
    return made
