"""One call takes in what a program says elsewhere: logging, warnings, uncaught exceptions.

Floor 6. Stands on: core.levels, core.logger, core.record, errors, interop.logging_in.

Each hook does its work and then calls the one that was there before, so that everything is still
shown where it was (but `logging` no longer prints on stderr for want of a handler). `capture` for
a logger that has one already replaces it: a notebook cell may run again. Closing puts back what is
still ours; a hook that somebody else has put on top of ours stays, and ours below it only passes
on. No hook ever raises.
Threads: hooks may run in any; `capture` and `close` take a lock. A forked child keeps the hooks.
"""

from __future__ import annotations

import logging as logging_module
import sys
import threading
import warnings as warnings_module
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TextIO

from laketrace.core.levels import get_level
from laketrace.core.logger import Logger
from laketrace.core.record import Record
from laketrace.errors import checked
from laketrace.interop.logging_in import LakeTraceHandler

_lock = threading.RLock()
_captures: dict[str, Capture] = {}


def capture(
    log: Logger,
    *,
    logging: bool = True,
    warnings: bool = True,
    excepthook: bool = True,
    threads: bool = True,
    unraisable: bool = True,
    ipython: bool = True,
    level: str | int | None = None,
) -> Capture:
    """Log to `log` what `logging`, `warnings` and uncaught exceptions say, until it is closed.

    Each argument turns one source on or off: the root logger of `logging`; `warnings.warn`;
    exceptions that end the program (`sys.excepthook`), end a thread, cannot be raised
    (`sys.unraisablehook`), or end a notebook cell, where an IPython shell is running. `level`, by
    default that of `log`, is what the root logger of `logging` lets through at least; its other
    handlers show what they showed before, and py4j stays at WARNING unless it was given a level.

    Returns a handle with `close()`, also a context manager. Called again for the same logger it
    replaces the first one. Raises `ConfigError` for an unknown level.

    >>> import laketrace
    >>> log = laketrace.get_logger("captured", log_dir=None, stdout=False)
    >>> seen = []
    >>> _ = log.add(lambda text: seen.append(text.record.message))
    >>> with capture(log, warnings=False):
    ...     logging_module.getLogger("some.library").info("connected")
    >>> seen
    ['connected']
    >>> log.close()
    """
    least = checked("level", log.config["level"] if level is None else level, get_level).no
    with _lock:
        former = _captures.pop(log.name, None)
        if former is not None:
            former.close()
        made = _captures[log.name] = Capture(log)
        if logging:
            made.undo.append(_take_logging(made, least))
        if warnings:
            hook = _WarningsHook(made, warnings_module, "showwarning", made.on_warning)
            made.undo.append(hook.undo)
        if excepthook:
            made.undo.append(_Hook(made, sys, "excepthook", made.on_exit).undo)
        if threads:
            made.undo.append(_Hook(made, threading, "excepthook", made.on_thread).undo)
        if unraisable:
            made.undo.append(_Hook(made, sys, "unraisablehook", made.on_unraisable).undo)
        if ipython:
            made.undo.append(_take_ipython(made))
        return made


class Capture:
    """What one call of `capture` has put in place; `close` takes it away again."""

    def __init__(self, log: Logger) -> None:
        self.log = log
        self.active = True
        self.undo: list[Callable[[], None]] = []
        self.warning = _Warning()

    def __repr__(self) -> str:
        state = "" if self.active else ", closed"
        return f"<Capture into {self.log.name}{state}>"

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Put everything back as it was; doing it twice does nothing."""
        with _lock:
            self.active = False
            while self.undo:
                self.undo.pop()()
            if _captures.get(self.log.name) is self:
                del _captures[self.log.name]

    # -- what the hooks log -------------------------------------------------------------------

    def on_exit(
        self, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """An exception that ends the program."""
        self._uncaught("uncaught exception", error, "CRITICAL", event="uncaught_exception")

    def on_thread(self, args: Any) -> None:
        """An exception that ends a thread."""
        if args.exc_type is SystemExit:
            return
        name = args.thread.name if args.thread is not None else "?"
        self._uncaught(
            f"uncaught exception in thread {name}",
            args.exc_value,
            "ERROR",
            event="uncaught_exception",
            thread=name,
        )

    def on_unraisable(self, args: Any) -> None:
        """An exception that cannot be raised: in `__del__`, in a callback of the collector."""
        # The text of the object, not the object: keeping it would bring it back to life.
        self._uncaught(
            args.err_msg or "exception ignored",
            args.exc_value,
            "ERROR",
            event="unraisable_exception",
            object=_shown(args.object),
        )

    def on_cell(self, result: Any) -> None:
        """A notebook cell has ended, perhaps by an exception."""
        error = getattr(result, "error_in_exec", None) or getattr(result, "error_before_exec", None)
        if error is not None and not isinstance(error, SystemExit):
            with _from_the_cell(error):
                self._uncaught(
                    "uncaught exception in a cell", error, "ERROR", event="uncaught_exception"
                )

    def _uncaught(
        self, message: str, error: BaseException | None, level: str, **fields: Any
    ) -> None:
        if isinstance(error, KeyboardInterrupt):
            message, level = "interrupted", "WARNING"
        least = get_level(self.log.config["caller_level"]).no

        def where(made: Record) -> Mapping[str, Any]:
            if made.level.no >= least:  # no call of the program's stands behind this record
                made.file, made.line, made.function, made.module = _raised_at(error)
            return {}

        self.log.patch(where).log(level, message, exc_info=error, **fields)

    def on_warning(
        self, message: Warning | str, category: type[Warning], file: str, line: int
    ) -> None:
        """A warning that the filters of `warnings` let through."""

        def where(made: Record) -> Mapping[str, Any]:
            if made.file is not None:
                made.file, made.line, made.function, made.module = file, line, "", ""
            return {}

        self.log.patch(where).warning(
            str(message), event="warning", category=getattr(category, "__name__", str(category))
        )


@contextmanager
def _from_the_cell(error: BaseException) -> Iterator[None]:
    """For the block, the traceback begins in the cell, without what IPython does around it."""
    whole = trace = error.__traceback__
    while trace and trace.tb_frame.f_globals.get("__name__", "").startswith("IPython."):
        trace = trace.tb_next
    error.__traceback__ = trace or whole
    try:
        yield
    finally:
        error.__traceback__ = whole


def _raised_at(error: BaseException | None) -> tuple[str | None, int | None, str | None, str]:
    """File, line, function and module in which the exception was raised; where code is wrong."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno, None, ""
    trace = error.__traceback__ if error is not None else None
    if trace is None:
        return None, None, None, ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    module = trace.tb_frame.f_globals.get("__name__", "")
    return code.co_filename, trace.tb_lineno, code.co_name, str(module)


def _shown(value: object) -> str | None:
    try:
        return None if value is None else repr(value)
    except Exception as error:
        return f"<{type(value).__name__}: repr raised {type(error).__name__}>"


class _Hook:
    """A hook in place of `owner.name`: logs while its capture is active, then calls the former."""

    def __init__(self, made: Capture, owner: Any, name: str, log: Callable[..., None]) -> None:
        self.made = made
        self.former: Any = getattr(owner, name)
        self._owner = owner
        self._name = name
        self._log = log
        setattr(owner, name, self)

    def __call__(self, *args: Any) -> None:
        if self.made.active:
            _never_raising(self._log, *args)
        self.former(*args)

    def undo(self) -> None:
        """Put the former hook back, or, where its capture is closed too, the one before that."""
        if getattr(self._owner, self._name) is self:
            former = self.former
            while isinstance(former, _Hook) and not former.made.active:
                former = former.former
            setattr(self._owner, self._name, former)


class _WarningsHook(_Hook):
    """The same for `warnings.showwarning`."""

    def __call__(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        made = self.made
        # With `file` somebody writes a warning to a place of their own.
        if not made.active or file is not None or made.warning.shown:
            self.former(message, category, filename, lineno, file, line)
            return
        made.warning.shown = True
        try:
            _never_raising(self._log, message, category, filename, lineno)
            # What `logging.captureWarnings` makes of it does not come in a second time.
            self.former(message, category, filename, lineno, file, line)
        finally:
            made.warning.shown = False


class _Warning(threading.local):
    """Whether this thread is showing a warning that is logged already."""

    shown = False


def _never_raising(log: Callable[..., None], *args: Any) -> None:
    try:
        log(*args)
    except Exception:  # the hook below still has to run
        pass


def _take_ipython(made: Capture) -> Callable[[], None]:
    ipython = sys.modules.get("IPython")
    get_ipython = getattr(ipython, "get_ipython", None)
    shell = get_ipython() if get_ipython is not None else None
    if shell is None:
        return lambda: None

    def after_cell(result: Any) -> None:
        if made.active:
            _never_raising(made.on_cell, result)

    shell.events.register("post_run_cell", after_cell)
    return lambda: shell.events.unregister("post_run_cell", after_cell)


def _take_logging(made: Capture, least: int) -> Callable[[], None]:
    """A handler on the root logger, whose level is lowered for it alone."""
    root = logging_module.getLogger()
    before = root.level
    handler = LakeTraceHandler(made.log)
    handler.addFilter(lambda record: record.name != "py.warnings" or not made.warning.shown)
    # A handler that had a stricter root above it goes on as if the root were still as strict.
    shield = _As(before)
    shielded = [other for other in root.handlers if not isinstance(other, LakeTraceHandler)]
    if before > least:
        for other in shielded:
            other.addFilter(shield)
        root.setLevel(least)
    py4j = logging_module.getLogger("py4j")
    quieted = py4j.level == logging_module.NOTSET and least < logging_module.WARNING
    if quieted:
        py4j.setLevel(logging_module.WARNING)
    root.addHandler(handler)

    def undo() -> None:
        root.removeHandler(handler)
        for other in shielded:
            other.removeFilter(shield)
        if before > least and root.level == least:
            root.setLevel(before)
        if quieted and py4j.level == logging_module.WARNING:
            py4j.setLevel(logging_module.NOTSET)

    return undo


class _As(logging_module.Filter):
    """Lets through what a root logger of level `level` would have let through."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self._level = level

    def filter(self, record: logging_module.LogRecord) -> bool:
        """Whether the record's own logger, or one between it and the root, has a level."""
        logger: Any = logging_module.getLogger(record.name)
        while logger is not None and logger.parent is not None:
            if logger.level:
                return True
            logger = logger.parent
        return record.levelno >= self._level
