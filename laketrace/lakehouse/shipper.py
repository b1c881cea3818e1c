"""A logger's uploads in the background: at start, every few minutes, at close and at exit.

Floor 7. Stands on: core.notice, lakehouse.options, lakehouse.report, lakehouse.retry,
lakehouse.shipping, lakehouse.uploader, runtime.

A `Shipper` is one daemon thread a logger, only where a destination is set. It first sends what
earlier, dead runs left; then, at each interval, what the logger, its second processes and its
forked children have finished. After three failures in a row it waits for 1, 2, 4 ... 15 minutes.
At close and exit the thread ships a last time, and who closes waits for that at most 30 seconds,
also where the store or a mount never answers: an upload that is at work then gets half of them.
Where nothing is to be shipped then, it is stopped, and waited for too.
Nothing here raises into the job or makes a log call wait; what fails is said once. On executors
there is no shipper, nor in a forked child: the parent's takes what the child has finished.
"""

from __future__ import annotations

import os
import threading
import time
from importlib import import_module
from typing import Any, NamedTuple

from laketrace.core.notice import forget, say
from laketrace.lakehouse.options import Options
from laketrace.lakehouse.report import UploadReport
from laketrace.lakehouse.retry import Circuit, Deadline
from laketrace.lakehouse.shipping import (
    finish_file,
    note_destinations,
    options_of,
    send,
    ship,
    spool_target,
    tell,
)
from laketrace.lakehouse.uploader import run_upload
from laketrace.runtime import is_executor

_SPOOL_SECONDS = 60.0
_AT_CLOSE_SECONDS = 30.0
_MARGIN = 0.9  # of the seconds at close, for the upload itself
# A thread that comes back from native code while the interpreter is taken down crashes the process.
# So a request of the background is over before the exit stops waiting for it.
_REQUEST_SECONDS = 20.0


class Wish(NamedTuple):
    """What the settings of a logger ask for; `every` in seconds, None for no interval."""

    order: Options
    every: float | None
    at_close: bool
    log_dir: str


class _Last(NamedTuple):
    """The upload at the end: until when, what was emitted when the file was finished."""

    end: float
    mark: int | None


class Shipper:
    """The background uploads of one logger."""

    def __init__(self, log: Any, wish: Wish) -> None:
        self._log = log
        self._wish = wish
        self._left: dict[str, Options] = {}  # directories of earlier settings, and their orders
        self._circuit = Circuit()
        self._deadline = Deadline(0)  # of the upload at work
        self._due = self._next()
        self._wake = threading.Event()
        self._last: _Last | None = None
        self._over = False
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"laketrace-shipper-{log.name}", daemon=True
        )

    def start(self) -> None:
        """Begin; where no thread can be had, only the upload at close is left."""
        if self._wish.order.table is not None:
            # Arrow needs it, and it cannot be imported any more when the exit has begun.
            import_module("concurrent.futures.thread")
        self._log.at_close(self.close)
        try:
            self._thread.start()
        except RuntimeError:
            pass

    def follow(self, wish: Wish | None) -> None:
        """Go on by other settings; None: with nothing any more."""
        if wish is None:
            self._over = True
            self._wake.set()
            return
        before, self._wish = self._wish, wish
        if before.log_dir != wish.log_dir:
            self._left[before.log_dir] = before.order
        if before.every != wish.every:
            self._due = self._next()
        self._wake.set()

    def _next(self) -> float:
        every = self._wish.every
        return time.monotonic() + every if every is not None else float("inf")

    # -- in the thread -------------------------------------------------------------------------

    def _run(self) -> None:
        self.tick(finish=False)
        while not self._over:
            self._wake.wait(min(max(0.0, self._due - time.monotonic()), threading.TIMEOUT_MAX))
            self._wake.clear()
            if not self._over and time.monotonic() >= self._due:
                self.tick()
                self._due = self._next()
        self._end()

    def _end(self) -> None:
        if self._last is not None and not self._ended.is_set():
            self._ship_last(self._last)
        self._ended.set()

    def tick(self, finish: bool = True) -> None:
        """One background upload, unless the circuit is open."""
        order = self._wish.order
        self._deadline = Deadline(order.timeout)
        if self._circuit.is_open() or self._over:
            return
        try:
            self._judge(ship(self._log, order, self._deadline, finish=finish))
            for log_dir in list(self._left):
                report = run_upload(log_dir, self._left[log_dir], None, self._deadline)
                if report.ok:
                    del self._left[log_dir]
                self._judge(report)
        except Exception as error:
            self._failed(str(error))

    def _judge(self, report: UploadReport) -> None:
        if report.ok:
            self._circuit.succeeded()
            forget(self._key)
        elif self._last is not None or not self._over:  # and was not just told to stop
            what, reason = report.failed[0]
            self._failed(f"{what}: {reason}")

    def _failed(self, reason: str) -> None:
        self._circuit.failed()
        say(f"upload of {self._log.name} failed: {reason}. Its files are kept.", key=self._key)

    @property
    def _key(self) -> str:
        return f"upload {self._log.name}"

    # -- at the end ----------------------------------------------------------------------------

    def close(self, seconds: float) -> None:
        """Ship what is left, for at most `seconds` and 30 seconds; the logger is closing."""
        if _shippers.get(self._log.name) is self:
            del _shippers[self._log.name]
        left = min(seconds, _AT_CLOSE_SECONDS)
        wanted = self._wish.at_close and left > 0 and self._log.log_file_path is not None
        if wanted and not self._over:
            # Here, because a log call that this thread has interrupted may hold the file's lock.
            self._last = _Last(time.monotonic() + left, finish_file(self._log))
        self._stop(left / 2 if self._last is not None else 0.0)
        if self._thread.ident is None:
            self._end()
        elif not self._ended.wait(left):
            self._failed("it took longer than the end of the program may wait")

    def _stop(self, seconds: float) -> None:
        """Let an upload that is at work begin nothing new after `seconds`, and none follow it."""
        self._over = True  # first: an upload that has just begun then sees it, or is shortened
        self._deadline.shorten(seconds)
        self._wake.set()

    def _ship_last(self, last: _Last) -> None:
        seconds = (last.end - time.monotonic()) * _MARGIN
        order = self._wish.order
        if seconds <= 0:
            return
        try:
            request = min(order.request_timeout, max(0.1, seconds / 3))
            hasty = order._replace(request_timeout=request)
            report = send(self._log, hasty, Deadline(min(order.timeout, seconds)))
            tell(self._log, report, last.mark)
            self._judge(report)
        except Exception as error:  # a missing extra, and what nobody has thought of
            self._failed(str(error))


_shippers: dict[str, Shipper] = {}

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shippers.clear)


def start_shipper(log: Any) -> Shipper | None:
    """Give a logger the background uploads that its settings ask for, or let them follow those.

    None where they ask for none, and on executors. Raises `ConfigError` for a destination that
    cannot be meant; nothing is changed then.
    """
    if is_executor():
        return None
    wish = _wish_of(log)
    if wish is not None:
        note_destinations(log)
    shipper = _shippers.get(log.name)
    if shipper is not None:
        shipper.follow(wish)
        if wish is None:
            del _shippers[log.name]
    elif wish is not None:
        shipper = _shippers[log.name] = Shipper(log, wish)
        shipper.start()
    return shipper if wish is not None else None


def _wish_of(log: Any) -> Wish | None:
    order = options_of(log)
    path = log.log_file_path
    if order is not None and path is None:
        say(f"{log.name} writes no file, so nothing of it is uploaded. Set log_dir.")
    if order is None or path is None:
        return None
    order = order._replace(request_timeout=min(order.request_timeout, _REQUEST_SECONDS))
    every = log.config.checked("upload_every")
    if spool_target(log) is not None:
        every = min(every or _SPOOL_SECONDS, _SPOOL_SECONDS)
    return Wish(order, every, log.config.checked("upload_at_exit"), os.path.dirname(path))
