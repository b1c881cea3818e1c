"""A call becomes a record: message, fields, caller, exception, enrichers, redaction.

Floor 1. Stands on: core.context, core.encode, core.levels, core.record, core.redact,
core.secretnames, core.stats, core.tracebacks, core.values.

This is the way of every call that needs a record object. Whatever a user's value, enricher or
lazy argument does, the record is made; what went wrong is said in one of its fields.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, NamedTuple

from laketrace.core.context import context_fields
from laketrace.core.encode import FreeNames, NameRule
from laketrace.core.levels import Level
from laketrace.core.record import RESERVED, Record, Source, free_name
from laketrace.core.secretnames import MASK
from laketrace.core.stats import Counter
from laketrace.core.values import as_text, shown

Patch = Callable[[Record], Any]
_started = time.perf_counter()


class Options(NamedTuple):
    """What `opt` and `patch` changed for one logger object."""

    depth: int = 0
    exception: Any = None
    lazy: bool = False
    patches: tuple[Patch, ...] = ()
    run_id: str | None = None
    """The run that a record is about, where that is not the present one."""


PLAIN = Options()


class Absent(str):
    """The message of a call without one. It may be the field `message`, which 1.x called it."""

    __slots__ = ()


ABSENT = Absent()


class Call(NamedTuple):
    """What a user passed to a log method, and what was bound to the logger."""

    level: Level
    message: object
    args: tuple[Any, ...]
    fields: Mapping[str, Any]
    bound: Mapping[str, Any]
    options: Options


def make_record(
    call: Call,
    source: Source,
    now_ns: int,
    locate: bool,
    patch_failures: Counter,
    redactor: NameRule | None = None,
) -> Record:
    """The record of a call, with the caller's place where `locate` says so.

    `redactor` scrubs the exception here, because its texts are cut, and half a secret is not known
    for one; the rest is for `redact`.
    """
    if call.options.run_id is not None:
        source = source._replace(run_id=call.options.run_id)
    fields = dict(call.fields)
    exc_info = fields.pop("exc_info", call.options.exception)
    message = call.message if call.message is not ABSENT else fields.pop("message", "")
    args = call.args
    if call.options.lazy:
        args = tuple(_called(arg) for arg in args)
        fields = {key: _called(value) for key, value in fields.items()}
    extra = merge(call.bound, context_fields(), fields)
    text = as_text(message)
    if args:
        text = _formatted(text, args, extra)
    record = Record(source, call.level, text, now_ns, extra)
    record.elapsed = round(time.perf_counter() - _started, 6)
    record.thread_id = threading.get_ident()
    record.thread_name = threading.current_thread().name
    record.process_name = _process_name()
    if locate:
        _locate(record, call.options.depth)
    exc = _exception(exc_info)
    if exc is not None:
        record.exc = exc
        record.exception = _described(exc, redactor)
    for patch in call.options.patches:
        _enrich(record, patch, patch_failures)
    return record


def _described(exc: BaseException, redactor: NameRule | None) -> dict[str, Any]:
    """The `exception` object; little of it where the interpreter is ending and loads no module."""
    try:
        from laketrace.core.tracebacks import describe
    except ImportError:
        kind, value = type(exc).__name__, as_text(exc)
        return {"type": kind, "value": value, "traceback": f"{kind}: {value}"}
    rule = redactor if redactor is not None and redactor.scrubs else None
    return describe(exc, scrub=None if rule is None else rule.scrub)


def redact(record: Record, redactor: NameRule) -> None:
    """Take secrets out before a filter, formatter or sink of the user sees the record.

    With `mask_pii` the exception itself is taken away too: who prints it would print its text.
    """
    record.extra = redacted(record.extra, redactor)
    if redactor.scrubs:
        record.message = redactor.scrub(record.message)
        record.exception = redactor.redacted(record.exception)
        record.exc = None


def masked(fields: dict[str, Any]) -> dict[str, Any]:
    """A copy with personal data masked; all of it where the interpreter loads no module any more.

    >>> masked({"by": "bob@example.com", "rows": 3})
    {'by': '[REDACTED]', 'rows': 3}
    """
    try:
        from laketrace.core import redact
    except ImportError:
        return dict.fromkeys(fields, MASK)
    return redact.masked(fields)


def redacted(fields: Mapping[str, Any], redactor: NameRule) -> dict[str, Any]:
    """A copy of fields without secrets, by name and, where that is asked for, by form."""
    names = FreeNames()
    copy: dict[str, Any] = {}
    for key, value in fields.items():
        name = names.take(redactor.scrub(key) if redactor.scrubs else key)
        copy[name] = _redacted(key, value, redactor)
    return copy


def _redacted(key: str, value: Any, redactor: NameRule) -> Any:
    if redactor.is_secret(key):
        return MASK
    try:
        return redactor.redacted(value)
    except Exception as error:  # a container of the user's that does not let itself be read
        return f"<unprintable {type(value).__name__}: {type(error).__name__}>"


def merge(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Fields in the order of strength, the last one wins; reserved names become `extra_<name>`.

    >>> merge({"stage": "bronze", "rows": 1}, {"level": "x"}, {"rows": 2})
    {'stage': 'bronze', 'rows': 2, 'extra_level': 'x'}
    """
    merged: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            name = key if type(key) is str else as_text(key)
            merged[free_name(name, part) if name in RESERVED else name] = value
    return merged


def _enrich(record: Record, patch: Patch, failures: Counter) -> None:
    before = record.extra
    try:
        added = patch(record)
        # What it has put there itself may replace nothing of ours either.
        record.extra = merge(record.extra, added if isinstance(added, Mapping) else {})
    except Exception as error:
        failures.tick()
        name = getattr(patch, "__qualname__", None) or shown(patch)
        said = {"patch_error": f"{name}: {type(error).__name__}: {as_text(error)}"}
        record.extra = merge(record.extra if isinstance(record.extra, dict) else before, said)
    if type(record.message) is not str:
        record.message = as_text(record.message)


def _called(value: Any) -> Any:
    """A lazy argument's value; one that raises shows that, and costs nothing else."""
    if not callable(value):
        return value
    try:
        return value()
    except Exception as error:
        return f"<{getattr(value, '__name__', 'callable')} raised {type(error).__name__}>"


def _formatted(text: str, args: tuple[Any, ...], extra: dict[str, Any]) -> str:
    """The message with its %-arguments, as in `logging`; what does not fit stays visible."""
    try:
        if len(args) == 1 and isinstance(args[0], Mapping) and args[0]:
            return text % args[0]
        return text % args
    except Exception as error:
        extra["message_args"] = list(args)
        way_out = ". Arguments are %-style; {} is none: use %s, or fields" if "{" in text else ""
        extra["message_error"] = f"{type(error).__name__}: {as_text(error)}{way_out}"
        return text


def _exception(exc_info: Any) -> BaseException | None:
    """The exception that `exc_info` stands for: True, an exception or a tuple of `sys.exc_info`."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple) and len(exc_info) == 3:
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    return sys.exc_info()[1] if exc_info else None


def _process_name() -> str:
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is None:
        return "MainProcess"
    return str(multiprocessing.current_process().name)


def _locate(record: Record, depth: int) -> None:
    """Find who called: the first frame that is not of this package, then `depth` frames up."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    for _ in range(depth):
        frame = frame.f_back if frame is not None and frame.f_back is not None else frame
    if frame is None:
        return
    record.file = frame.f_code.co_filename
    record.line = frame.f_lineno
    record.function = frame.f_code.co_name
    record.module = str(frame.f_globals.get("__name__", ""))


def _is_ours(frame: FrameType) -> bool:
    name = frame.f_globals.get("__name__", "")
    return isinstance(name, str) and (name.startswith("laketrace.") or name == "contextlib")
