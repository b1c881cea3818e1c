"""The file of a log over its life: opened, mended, found again, rotated, left.

Floor 2. Stands on: core.notice, core.stats, files.active, files.holding, files.janitor,
files.recovery, files.segment, files.upkeep.

Everything here happens in a turn: under the lock, one thread at a time, while other threads may
go on writing to the file that is open. Where nobody must write, `_keep_out` puts a file in its
place that no fast path can write to, so that writers come to the lock, and waits for those who
are still in the old one.
Fullness: a file that cannot be opened or rotated is tried again a second later; meanwhile writing
goes on in the old one, if there is one. After a fork the child has no file yet.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from laketrace.core.notice import cause, forget, say
from laketrace.core.stats import Accounts
from laketrace.files import janitor
from laketrace.files.active import ActiveFile, no_file
from laketrace.files.holding import Holding
from laketrace.files.recovery import Finding
from laketrace.files.segment import Segment
from laketrace.files.upkeep import Upkeep

if TYPE_CHECKING:
    from laketrace.files.rotation import Rotation

CHECK_NS = 5_000_000_000  # how often the path is compared with the open file
_ENDLESS = 1 << 62  # bytes of room where no size is set
PATIENCE = 1.0  # seconds for other threads to leave a file that is to be repaired
_REST = 1.0  # seconds after which an opening or a rotation that failed is tried again
_DRAIN_SECONDS = 30.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


class LogFile:
    """The state of the file that `FileSink` writes to."""

    def __init__(
        self,
        holding: Holding,
        upkeep: Upkeep,
        rotation: Rotation | None,
        clock: Callable[[], int],
    ) -> None:
        self.accounts = Accounts()
        self._holding = holding
        self._upkeep = upkeep
        self._rotation = rotation
        self._limit = rotation.size if rotation is not None else None
        self._asks = rotation.callables if rotation is not None else ()
        self._clock = clock
        self._closed = False
        self._begin_empty()

    def _begin_empty(self) -> None:
        """Without a file, also in a forked child."""
        self._lock = threading.RLock()
        self._turning = False
        self._file = no_file()
        self._aside: ActiveFile | None = None  # the file, while all writers are kept out
        self._retired: list[ActiveFile] = []
        self._past = (0, 0)  # records that began and ended in files that are closed by now
        self._fault: OSError | None = None
        self._retry_at = 0.0

    @property
    def path(self) -> str:
        """The path of the active file."""
        return self._holding.path

    @property
    def asks_user(self) -> bool:
        """Whether a function of the user's is asked before each line."""
        return bool(self._asks)

    # -- before a line is written -------------------------------------------------------------

    def _attend(self, line: bytes, ns: int, ask: bool) -> None:
        """See to the file: mend, open, reopen, rotate. Raises `OSError` where there is none.

        `ask` is whether a rotation callable of the user is asked: not for what it logs itself.
        """
        if self._aside is not None:  # left by an interrupt
            self._let_in(self._aside)
        if self._file.torn:
            self._mend()
        file = self._file
        if file.descriptor < 0:
            self._open(ns)
        elif file.since <= ns < file.until and len(line) <= file.room:
            return
        elif file.state() != "here":
            self._reopen(ns)
        if self._is_new_file_due(line, ns, ask):
            self._rotate(ns)
        self._set_window(ns)

    def _is_new_file_due(self, line: bytes, ns: int, ask: bool) -> bool:
        file = self._file
        size = file.size()
        if ns < file.began:  # the clock was moved back
            self._set_began(file, ns)
        due = file.due is not None and ns >= file.due
        if size == 0:
            if due:  # it has waited for its first record, and begins with it
                self._set_began(file, ns)
            return False
        full = self._limit is not None and size + len(line) > self._limit
        wanted = full or due or (ask and self._is_asked_for(line))
        return wanted and time.monotonic() >= self._retry_at

    def _is_asked_for(self, line: bytes) -> bool:
        """Whether a rotation callable of the user wants a new file before this line."""
        if not self._asks:
            return False
        text = line.decode("utf-8", "backslashreplace")
        for ask in self._asks:
            try:
                with open(self._file.path, encoding="utf-8", errors="replace") as handle:
                    handle.seek(0, os.SEEK_END)
                    if ask(text, handle):
                        return True
            except Exception as error:
                say(f"rotation callable failed: {cause(error)}", key=f"rotation {self.path}")
        return False

    def _set_began(self, file: ActiveFile, ns: int) -> None:
        file.began = ns
        file.due = self._rotation.next_due(ns) if self._rotation is not None else None

    def _set_window(self, ns: int) -> None:
        """Until when, and for how many bytes, the fast path need not ask again."""
        file = self._file
        file.room = self._limit - file.size() if self._limit is not None else _ENDLESS
        until = ns + CHECK_NS
        if file.due is not None:
            until = min(until, max(file.due, ns))
        file.since, file.until = (ns, until) if not self._asks else (0, 0)

    # -- nobody writes ------------------------------------------------------------------------

    def _keep_out(self) -> None:
        """Send all writers to the lock, and wait for those who are in the file."""
        closed, file = no_file(), self._file
        self._aside, self._file = file, closed
        file.wait_until_empty(PATIENCE)

    def _let_in(self, file: ActiveFile) -> None:
        if not self._closed:
            self._go_on(file)
        elif file not in self._retired:  # closed by a signal handler, meanwhile
            file.close()

    def _go_on(self, file: ActiveFile) -> None:
        """Let writers into `file`. The one before is left, when its last writer has left it.

        Its records change books in the same statement, which no interrupt can divide.
        """
        old = self._aside or self._file
        left = [] if old is file or old.descriptor < 0 else [old]
        self._retired, self._file, self._aside = [*self._retired, *left], file, None
        self._settle_retired()

    def _files(self) -> list[ActiveFile]:
        """All files that somebody may be writing to."""
        return [*self._retired, self._file, *([self._aside] if self._aside else [])]

    def _mend(self) -> None:
        """Take torn pieces of lines out of the file; if that fails, the next turn tries again."""
        file = self._file
        try:
            self._keep_out()
            if file.in_flight == 0:
                file.mend()
        except OSError as error:
            say(f"cannot cut a torn line out of {file.path}: {error}", key=f"cut {file.path}")
        finally:
            self._let_in(file)

    # -- opening ------------------------------------------------------------------------------

    def _open_or_wait(self) -> None:
        """Open the file; on a full disk later. Raises `OSError` where it can never be opened."""
        try:
            self._open(self._clock())
        except OSError as error:
            if error.errno not in _FULL:
                self._holding.release()
                raise
            text = f"cannot open {self.path}: {error}. Records are counted as failed."
            say(text, key=f"write {self.path}")

    def _open(self, ns: int) -> None:
        self._let_in(self._opened(ns))
        self._set_window(ns)

    def _opened(self, ns: int) -> ActiveFile:
        """The active file, opened; after a failure it is not tried again for a second."""
        if self._fault is not None and time.monotonic() < self._retry_at:
            raise OSError(self._fault.errno, self._fault.strerror, self._fault.filename)
        try:
            file = self._holding.open(ns)
        except OSError as error:
            self._retry_at = time.monotonic() + _REST
            self._fault = error.with_traceback(None)
            raise
        self._fault = None
        self._set_began(file, file.began)
        forget(f"write {file.path}")
        return file

    def _reopen(self, ns: int) -> None:
        """The path no longer leads to the open file: someone moved, replaced or deleted it."""
        file = self._file
        state = file.state()
        restored = 0
        file.until = file.since  # no fast path before this is settled
        try:
            self._keep_out()
            new = self._opened(ns)
            try:
                if state == "deleted":
                    file.mend()
                    restored = file.copy_to(new)
            except BaseException:
                new.close()
                raise
            if not self._closed:  # by a signal handler, meanwhile
                self._retired, self._aside = [*self._retired, file], new
        except OSError:
            if state == "deleted":  # what is written there is lost, so records fail
                raise
        finally:
            self._let_in(self._aside or file)
        if self._file is not file:
            fields = {"path": file.path, "state": state, "restored_bytes": restored}
            found = Finding("file_reopened", f"the active file was {state}", fields)
            self._holding.findings.append(found)

    def restore(self) -> None:
        """Save what a deleted file holds, at the end of a process that does not close its logs.

        Where its directory is gone too, somebody has tidied up, and the end brings nothing back.
        """
        taken = False
        try:
            taken = self._lock.acquire(timeout=PATIENCE)
            is_there = os.path.isdir(os.path.dirname(self.path))
            if taken and is_there and not self._turning and not self._closed:
                self._restore()
        except OSError as error:
            say(f"cannot restore {self.path}: {error}", key=f"write {self.path}")
        finally:
            if taken:
                self._lock.release()

    def _restore(self) -> None:
        if self._file.descriptor >= 0 and self._file.state() == "deleted":
            self._reopen(self._clock())

    # -- rotation -----------------------------------------------------------------------------

    def _rotate(self, ns: int) -> Segment | None:
        """Make a segment of the file and go on with a new one; None when the disk refuses."""
        old = self._file
        segment = self._holding.next_segment(ns)
        try:
            os.rename(old.path, segment.path)
            try:
                new = self._opened(ns)
            except BaseException:
                os.rename(segment.path, old.path)
                raise
        except OSError as error:
            self._retry_at = time.monotonic() + _REST
            text = f"cannot rotate {old.path}: {error}. Writing goes on there."
            say(text, key=f"rotate {old.path}")
            return None
        self._holding.last = segment.key
        self._let_in(new)
        if self._retired or self._upkeep.is_wanted:
            janitor.submit(self._holding.log_dir, lambda: self._finish(old, segment))
            self._upkeep.ask_to_retain()
        return segment

    def _settle_retired(self) -> None:
        with self._lock:
            for file in [file for file in self._retired if file.in_flight == 0]:
                try:
                    file.mend()
                except OSError as error:
                    say(f"cannot cut a torn line out of {file.path}: {error}")
                file.close()
                begun, ended = self._past
                past = begun + file.begun.value - file.handed.value, ended + file.ended.value
                left = [other for other in self._retired if other is not file]
                self._past, self._retired = past, left

    def _finish(self, old: ActiveFile, segment: Segment) -> None:
        """In the background: wait for the last writer, compress."""
        if old.wait_until_empty(_DRAIN_SECONDS):
            self._settle_retired()
            self._upkeep.finish(segment)
