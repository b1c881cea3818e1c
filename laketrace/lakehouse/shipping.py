"""One upload of what a logger has written: the active file is finished, all is sent, and told.

Floor 7. Stands on: core.notice, files.segment, lakehouse.ledger, lakehouse.options,
lakehouse.report, lakehouse.retry, lakehouse.uploader, runtime.

What an upload did is a record, and that record goes with the next upload. An active file that
holds nothing but such reports is not finished for them, so an idle log comes to rest. That is
known by the accounts of the file's handler, whatever the form of its lines. Threads: any; uploads
of one logger take turns, so that none takes from another what that one has just finished. A
forked child forgets its parent's turns.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from laketrace.core.notice import say
from laketrace.files.segment import own_stems, safe_stem
from laketrace.lakehouse.ledger import want
from laketrace.lakehouse.options import Options, make_options
from laketrace.lakehouse.report import Failure, UploadReport
from laketrace.lakehouse.retry import Deadline
from laketrace.lakehouse.uploader import run_upload
from laketrace.runtime import is_executor

EVENT = "upload"

_turns: WeakKeyDictionary[Any, threading.Lock] = WeakKeyDictionary()  # by engine
# By file handler: what it had emitted when its file held nothing but reports of uploads.
_at_rest: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_turns.clear)


def options_of(log: Any, target: Any = None, table: Any = None, **changed: Any) -> Options | None:
    """The order that a logger's settings give, with changes; None when they name no destination.

    Raises `ConfigError` for a destination that cannot be meant.
    """
    setting = log.config.checked
    if target is None and table is None:
        target, table = setting("upload_target"), setting("upload_table")
        if target is None:
            target = spool_target(log)
    if target is None and table is None:
        return None
    order = {
        "delete_after": setting("upload_delete_after"),
        "retries": setting("upload_retries"),
        "request_timeout": setting("upload_request_timeout"),
        "timeout": setting("upload_timeout"),
        "store": setting("upload_options"),
    }
    return make_options(target, table, **{**order, **changed})


def spool_target(log: Any) -> str | None:
    """The mount that a spooled log is meant for; None where the log lies in its `log_dir`."""
    path, wanted = log.log_file_path, log.config.checked("log_dir")
    if path is None or wanted is None:
        return None
    here = os.path.realpath(os.path.dirname(path))
    return None if here == os.path.realpath(wanted) else str(wanted)


def upload_log(log: Any, target: Any, table: Any, changed: dict[str, Any]) -> UploadReport:
    """`log.upload`: finish the active file and upload everything, now."""
    order = options_of(log, target, table, **changed)
    if order is None:
        order = make_options()  # raises: nowhere to upload to
    return ship(log, order, Deadline(order.timeout))


def upload_as_1x(log: Any, target: Any, max_retries: int) -> bool:
    """`log.upload_log_to_lakehouse` of 1.x: never raises."""
    try:
        return upload_log(log, target, None, {"retries": max(0, max_retries)}).ok
    except Exception as error:
        say(f"upload_log_to_lakehouse: {error}")
        return False


def ship(log: Any, order: Options, deadline: Deadline, *, finish: bool = True) -> UploadReport:
    """Upload what a logger has written, until `deadline`; what came of it is its next record.

    Without `finish` only what is finished already, as by runs that have ended.
    """
    if log.log_file_path is None or is_executor():
        reason = "this logger writes no file, so there is nothing to upload"
        return UploadReport(failed=(Failure(log.name, reason),))
    with _turn(log, order.timeout):
        mark = finish_file(log) if finish else None
        report = send(log, order, deadline)
        tell(log, report, mark)
    return report


@contextmanager
def _turn(log: Any, seconds: float) -> Iterator[None]:
    """Wait for the other uploads of a logger, but not for ever: the directory's lock decides."""
    lock = _turns.setdefault(log._engine, threading.Lock())
    held = lock.acquire(timeout=seconds)
    try:
        yield
    finally:
        if held:
            lock.release()


def finish_file(log: Any) -> int | None:
    """Finish the active file unless it is at rest; what its handler had emitted before."""
    handler = _file_handler(log)
    if handler is None:
        return None
    emitted: int = handler.stats().emitted
    if _at_rest.get(handler) != emitted:
        log.finish_segment()
    return emitted


def send(log: Any, order: Options, deadline: Deadline) -> UploadReport:
    """Upload the finished segments of a logger, its second processes and its earlier runs."""
    note_destinations(log)
    log_dir = os.path.dirname(log.log_file_path)
    stems = own_stems(log_dir, safe_stem(log.name), log.name)
    return run_upload(log_dir, order, stems, deadline)


def note_destinations(log: Any) -> None:
    """Let every upload, also of the directory, know where the segments of a logger have to go."""
    order = options_of(log)
    try:
        if order is not None:
            want(os.path.dirname(log.log_file_path), log.name, order.destinations)
    except OSError as error:  # a full disk
        say(f"{log.name}: where it is uploaded to cannot be noted: {error}", key=f"want {log.name}")


def tell(log: Any, report: UploadReport, mark: int | None) -> None:
    """Log what an upload did; the file is at rest if that is all since `mark`."""
    if not report.did_nothing:
        level, message = ("INFO", "log uploaded") if report.ok else ("WARNING", "upload failed")
        log.log(level, message, event=EVENT, **report.to_dict())
    handler = _file_handler(log)
    if handler is not None and mark is not None:
        emitted = handler.stats().emitted
        if emitted - mark <= (0 if report.did_nothing else 1):
            _at_rest[handler] = emitted


def _file_handler(log: Any) -> Any:
    """The handler of the logger's own file."""
    path = str(log.log_file_path)
    return next((item for item in log.handlers.values() if item.name == path), None)
