"""A logger's own uploads: asked for, every few minutes in the background, at close and at exit.

Floor 7. Stands on: core.notice, files.segment, lakehouse.ledger, lakehouse.options,
lakehouse.report, lakehouse.retry, lakehouse.uploader, runtime.

`ship` finishes the active file and uploads what the logger, its second processes, its forked
children and its earlier, dead runs have finished. An active file that holds nothing but reports
of uploads is not finished for them, so an idle log comes to rest. A `Shipper` does that in one
daemon thread a logger, only where a destination is set; after three failures in a row it waits
for 1, 2, 4 ... 15 minutes. At close it ships a last time, at most 30 seconds, in the thread that
closes. Nothing here raises into the job or makes a log call wait. On executors and in forked
children there is no shipper: the parent's takes what they finish.
"""

from __future__ import annotations

import os
import threading
from importlib import import_module
from typing import Any

from laketrace.core.notice import forget, say
from laketrace.files.segment import own_stems, safe_stem
from laketrace.lakehouse.ledger import Ledger
from laketrace.lakehouse.options import Options, make_options
from laketrace.lakehouse.report import Failure, UploadReport
from laketrace.lakehouse.retry import Circuit
from laketrace.lakehouse.uploader import run_upload
from laketrace.runtime import is_executor

EVENT = "upload"
_SPOOL_SECONDS = 60.0
_AT_CLOSE_SECONDS = 30.0
_PIECE = 1 << 16


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


def ship(
    log: Any, order: Options, *, finish: bool = True, patience: float | None = None
) -> UploadReport:
    """Upload what a logger has written; what came of it is a record of the next upload."""
    path = log.log_file_path
    if path is None or is_executor():
        reason = "this logger writes no file, so there is nothing to upload"
        return UploadReport(failed=(Failure(log.name, reason),))
    log_dir = os.path.dirname(path)
    stems = own_stems(log_dir, safe_stem(log.name), log.name)
    own = options_of(log)
    for stem in stems:
        if own is not None:
            Ledger(log_dir, stem).want(own.destinations)
    if finish and not _holds_only_reports(str(path)):
        log.finish_segment()
    report = run_upload(log_dir, order, stems, patience=patience)
    if not report.did_nothing:
        level = "INFO" if report.ok else "WARNING"
        log.log(level, "log uploaded" if report.ok else "upload failed", event=EVENT,
                **report.to_dict())  # fmt: skip
    return report


def _holds_only_reports(path: str) -> bool:
    """Whether an active file is empty, or all its lines are reports of uploads."""
    try:
        with open(path, "rb") as file:
            return all(
                f'"event":"{EVENT}"'.encode() in line or f"event={EVENT}".encode() in line
                for line in file
            )
    except OSError:
        return True


class Shipper:
    """The background uploads of one logger.

    `every` is in seconds; None for no upload but at start, for what dead runs left, and at close.
    """

    def __init__(self, log: Any, order: Options, every: float | None, at_close: bool) -> None:
        self._log = log
        self._order = order
        self._every = every
        self._at_close = at_close
        self._circuit = Circuit()
        self._over = threading.Event()
        self._idle = threading.Lock()  # held while an upload is at work
        self._pid = os.getpid()
        self._thread = threading.Thread(
            target=self._run, name=f"laketrace-shipper-{log.name}", daemon=True
        )

    def start(self) -> None:
        """Begin; where no thread can be had, only the upload at close is left."""
        if self._order.table is not None:
            # Arrow needs it, and it cannot be imported any more when the exit has begun.
            import_module("concurrent.futures.thread")
        self._log.at_close(self.close)
        try:
            self._thread.start()
        except RuntimeError:
            pass

    def stop(self) -> None:
        """End the background uploads; one that is at work comes to its end."""
        self._over.set()
        self._at_close = False

    def _run(self) -> None:
        self.tick(finish=False)
        while self._every is not None and not self._over.wait(self._every):
            self.tick()

    def tick(self, finish: bool = True) -> None:
        """One background upload, unless the circuit is open."""
        if self._circuit.is_open():
            return
        with self._idle:
            self._ship(self._order, finish)

    def _ship(self, order: Options, finish: bool) -> None:
        key = f"upload {self._log.name}"
        try:
            report = ship(self._log, order, finish=finish, patience=0.0)
        except Exception as error:  # a missing extra, and what nobody has thought of
            self._circuit.failed()
            say(f"upload of {self._log.name}: {error}", key=key)
            return
        if report.ok:
            self._circuit.succeeded()
            forget(key)
        else:
            self._circuit.failed()
            what, reason = report.failed[0]
            say(f"upload of {self._log.name} to {what} failed: {reason}", key=key)

    def close(self, seconds: float) -> None:
        """Ship what is left, for at most `seconds` and 30 seconds; the logger is closing."""
        if self._over.is_set() or os.getpid() != self._pid:
            return
        self._over.set()
        _shippers.pop(self._log.name, None)
        left = min(seconds, _AT_CLOSE_SECONDS)
        if not self._at_close or left <= 0 or not self._idle.acquire(timeout=left / 2):
            return
        try:
            limit = min(self._order.timeout, left / 2)
            request = min(self._order.request_timeout, max(0.1, limit / 3))
            self._ship(self._order._replace(timeout=limit, request_timeout=request), finish=True)
        finally:
            self._idle.release()


_shippers: dict[str, Shipper] = {}


def start_shipper(log: Any) -> Shipper | None:
    """Give a logger the background uploads that its settings ask for, in place of earlier ones.

    None where they ask for none, and on executors. Raises `ConfigError` for a destination that
    cannot be meant; nothing is started then.
    """
    if is_executor():
        return None
    order = options_of(log)
    earlier = _shippers.pop(log.name, None)
    if earlier is not None:
        earlier.stop()
    if order is None:
        return None
    every = log.config.checked("upload_every")
    if spool_target(log) is not None:
        every = min(every or _SPOOL_SECONDS, _SPOOL_SECONDS)
    at_close = log.config.checked("upload_at_exit")
    shipper = _shippers[log.name] = Shipper(log, order, every, at_close)
    shipper.start()
    return shipper


def upload_log(log: Any, target: Any, table: Any, changed: dict[str, Any]) -> UploadReport:
    """`log.upload`: finish the active file and upload everything, now."""
    order = options_of(log, target, table, **changed)
    if order is None:
        order = make_options()  # raises: nowhere to upload to
    return ship(log, order)


def upload_as_1x(log: Any, target: Any, max_retries: int) -> bool:
    """`log.upload_log_to_lakehouse` of 1.x: never raises."""
    try:
        return upload_log(log, target, None, {"retries": max(0, max_retries)}).ok
    except Exception as error:
        say(f"upload_log_to_lakehouse: {error}")
        return False
