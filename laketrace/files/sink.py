"""The active file: one write a record, rotation without a pause, nothing shared.

Floor 2. Stands on: core.fork, core.notice, core.stats, files.active, files.holding, files.janitor,
files.logfile, files.recovery, files.segment, files.upkeep.

A record is one `write` on an `O_APPEND` descriptor, by the thread that logs and without a lock:
what was logged before a SIGKILL is in the file, and threads do not queue behind each other. All
else (opening, rotating, repairing) happens in a turn, under the lock. The order on disk:

    1. rename <stem>.log to the segment's name, which no other segment ever had
    2. create the new <stem>.log and let writers see it
    3. when the last writer has left the old descriptor, close it
    4. compress the segment in the background: write <segment>.<suffix>.tmp, rename it to
       <segment>.<suffix>, unlink <segment>
    5. retain: unlink the oldest own segments

A crash after 1 leaves a finished segment and no active file, after 4's first step a `.tmp` that
`files.recovery` removes, after its second an archive beside its source, of which it keeps the
source. A writer counts itself in before it looks whether the file is still the current one, so a
rotation that has swapped files knows who may still write to the old one.
Fullness: a write that fails is counted as failed; what it left of a line is cut off. Threads:
any. Interrupts (see `core.stats`): a record whose call is ended by one is written, failed or was
never emitted. After a fork the child opens `<stem>.<pid>.log` with its first record.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from laketrace.core import fork
from laketrace.core.notice import cause, forget, say
from laketrace.core.stats import Accounts, Stats, count_all
from laketrace.files import janitor
from laketrace.files.active import ActiveFile, no_file
from laketrace.files.holding import Holding
from laketrace.files.logfile import PATIENCE, LogFile
from laketrace.files.recovery import Finding, LineMaker
from laketrace.files.segment import Segment
from laketrace.files.upkeep import Upkeep

if TYPE_CHECKING:
    from laketrace.files.compression import Compression
    from laketrace.files.retention import Retention
    from laketrace.files.rotation import Rotation

_write = os.write


class FileSink(LogFile):
    """Writes ready lines to `<log_dir>/<stem>.log` and turns full files into segments.

    Raises `OSError` where the file cannot be opened, unless the disk is full: then records are
    counted as failed until there is room. After that, nothing is raised. With a `predecessor`, the
    sink of the same logger under other settings, this one goes on where that stops, in the same
    file if the path is the same; what still comes there is written here.
    """

    fork_rank = 3
    local = True

    def __init__(
        self,
        log_dir: str,
        stem: str,
        *,
        logger_name: str = "",
        rotation: Rotation | None = None,
        retention: Retention | None = None,
        compression: Compression | None = None,
        private: bool = True,
        shipped: bool = False,
        clock: Callable[[], int] = time.time_ns,
        make_line: LineMaker,
        on_finding: Callable[[Finding], None] | None = None,
        predecessor: FileSink | None = None,
    ) -> None:
        mode = 0o600 if private else 0o644
        holding = Holding(log_dir, stem, logger_name, mode, shipped, make_line)
        upkeep = Upkeep(log_dir, stem, logger_name, retention, compression, shipped, clock)
        super().__init__(holding, upkeep, rotation, clock)
        self._on_finding = on_finding
        self._successor: FileSink | None = None
        self._failing = False
        if predecessor is not None:
            predecessor._give_way(self)
        else:
            self._open_or_wait()
        fork.register(self)

    def _begin_empty(self) -> None:
        super()._begin_empty()
        self._waiting: list[bytes] = []  # logged by who interrupts a turn: the turn writes them

    def begin(self) -> None:
        """Say what was found, and look after the segments that are there; once records can come."""
        self._tell()
        if self._upkeep.is_wanted and self._upkeep.has_segments():
            own, last = self._holding.own_stem, self._holding.last
            janitor.submit(self.log_dir, lambda: self._upkeep.sweep(own, last))
            self._upkeep.ask_to_retain()

    # -- the fast path ------------------------------------------------------------------------

    def append(self, line: bytes, ns: int) -> None:
        """Write one line that ends with a newline; `ns` is the time of its record.

        Unrolled because this is most of what a log call costs: count in, see that the file is
        current, that its window of time and its room are not used up, write, count out. An
        interrupt (Ctrl-C in a notebook) may come right after the write, which is why the
        counting out stands outside the `try` and `_interrupted` looks at the file.
        """
        file = self._file
        size = len(line)
        written = -1
        try:
            file.count_in()
            written = 0
            if file is self._file and file.since <= ns < file.until and size <= file.room:
                file.room -= size
                written = _write(file.descriptor, line)
        except OSError:
            pass
        except BaseException:
            self._interrupted(file, line, written)
            raise
        if written == size:
            file.count_out()
            return
        marks: list[int] = []
        try:
            self._append_slow(file, line, ns, written, marks)
        except BaseException:
            if not marks:
                self._interrupted(file, line, written)
            raise

    def _interrupted(self, file: ActiveFile, line: bytes, written: int) -> None:
        """Account for a line whose write an interrupt has followed or prevented."""
        if written == 0:
            written = file.written(line)
        if written == len(line):
            file.count_out()
            return
        if written > 0:
            file.torn.append(line[:written])
        file.hand_over()  # to nobody: the call that was to emit it raises

    # -- the slow way: turns ------------------------------------------------------------------

    def _append_slow(
        self, file: ActiveFile, line: bytes, ns: int, written: int, marks: list[int]
    ) -> None:
        """Write `line` in a turn; its record changes books, from the file's to the sink's.

        `marks` gets one when the file is done with it, and another when it is emitted here.
        """
        lines = [line]
        emitted = map(next, (self.accounts.emitted.ticks,))
        try:
            if written > 0:
                file.torn.append(line[:written])
            marks.extend(map(next, (file.handed.ticks,)))
            with self._lock:
                successor = self._successor
                if successor is None:
                    marks.extend(emitted)
                    self._turn(lines, ns, self.accounts)
        except BaseException as error:
            if len(marks) == 2 and lines:
                self.accounts.failed.tick()
            if not marks or not isinstance(error, Exception):
                raise
            say(f"writing {self.path} met {cause(error)}", key="a fault of ours")
            return
        if successor is not None:
            successor.append(line, ns)
        else:
            self._tell()

    def append_many(self, lines: list[bytes], ns: int, accounts: Accounts | None = None) -> None:
        """Write lines that a queue has counted, as many a write as the file has room for.

        Takes those out of the list that are accounted for, in `accounts` if given.
        """
        accounts = accounts or self.accounts
        with self._lock:
            successor = self._successor
            if successor is None and not self._turning:
                self._turn(lines, ns, accounts)
        if successor is not None:
            successor.append_many(lines, ns, accounts)
        else:
            self._tell()

    def _turn(self, lines: list[bytes], ns: int, accounts: Accounts) -> None:
        """See to the file and write `lines`, each of which leaves the list when it is counted."""
        if self._turning:  # a signal handler or a finaliser logs in the middle of a turn
            self._waiting += lines
            del lines[:]
            return
        most = len(lines) if not self._asks else 1
        try:
            self._turning = True
            while lines:
                try:
                    if not self._closed:
                        self._attend(lines[0], ns, lines is not self._waiting)
                    self._put(lines, most, accounts)
                except Exception as fault:
                    self._fail(lines, fault, accounts)
                    most = 1
            if self._file.torn:
                self._mend()
        finally:
            self._turning = False
        if self._waiting:
            self._turn(self._waiting, ns, self.accounts)

    def _put(self, lines: list[bytes], most: int, accounts: Accounts) -> None:
        """Write the first lines, as many as there is room for, with one call."""
        file = self._file
        if self._closed:
            tick = accounts.dropped("closed").tick
            del lines[0]
            tick()
            return
        number = min(most, len(lines))
        size = sum(map(len, lines[:number]))
        while size > file.room and number > 1:
            number -= 1
            size -= len(lines[number])
        file.room -= size
        result: list[int] = []
        write = map(_write, (file.descriptor,), (b"".join(lines[:number]),))
        ended = accounts.written.steps(number)
        try:
            result.extend(write)
        finally:
            if result and result[0] == size:
                del lines[:number]
                count_all(ended)
        if result[0] < size:
            self._put_part(file, lines, result[0], accounts)
        if self._failing:
            self._failing = False
            forget(f"write {self.path}")

    def _put_part(
        self, file: ActiveFile, lines: list[bytes], size: int, accounts: Accounts
    ) -> None:
        """Account for lines of which the disk took `size` bytes before it was full."""
        number = 0
        while size >= len(lines[number]):
            size -= len(lines[number])
            number += 1
        if size:
            file.torn.append(lines[number][:size])
        ended = accounts.written.steps(number)
        del lines[:number]
        count_all(ended)
        raise OSError(28, "No space left on device")

    def _fail(self, lines: list[bytes], fault: Exception, accounts: Accounts) -> None:
        self._failing = True
        key = f"write {self.path}"
        say(f"cannot write {self.path}: {fault}. Records are counted as failed.", key=key)
        self._upkeep.make_room(fault, self._on_finding)
        tick = accounts.failed.tick
        del lines[0]
        tick()

    # -- from outside --------------------------------------------------------------------------

    def rotate(self) -> Segment | None:
        """Finish the active file now; None when it is empty or the sink is closed."""
        segment = None
        with self._lock:
            if self._turning or self._closed or self._file.descriptor < 0:
                return None
            ns = self._clock()
            try:
                self._turning = True
                if self._file.torn:
                    self._mend()
                if self._file.state() != "here":
                    self._reopen(ns)
                if self._file.size() > 0:
                    segment = self._rotate(ns)
                self._set_window(ns)
            except OSError as fault:
                say(f"cannot rotate {self.path}: {fault}", key=f"rotate {self.path}")
            finally:
                self._turning = False
            if self._waiting:
                self._turn(self._waiting, ns, self.accounts)
        self._tell()
        return segment

    def settle(self, timeout: float) -> bool:
        """Wait until no thread is in the middle of a write; False when time ran out."""
        deadline = time.monotonic() + timeout
        if self._waiting:  # left behind by a turn that an interrupt ended
            with self._lock:
                self._turn([], self._clock(), self.accounts)
        while any(file.in_flight > 0 for file in self._files()):
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.0005)
        return True

    def close(self, timeout: float = 10.0) -> None:
        """Close the file, leave it in its place, wait (bounded) for running compressions."""
        deadline = time.monotonic() + timeout
        with self._lock:
            if not self._closed:
                self._leave()
        for file in self._retired:
            file.wait_until_empty(min(timeout, PATIENCE))
        self._settle_retired()
        if janitor.wait(self.log_dir, max(0.0, deadline - time.monotonic())):
            self._holding.release()
        else:  # nobody must tidy up among segments that are being compressed
            janitor.submit(self.log_dir, self._holding.release)

    def _leave(self) -> None:
        """Write what waits, save a deleted file, take no more."""
        file = self._aside or self._file  # aside, when a signal handler closes in mid-turn
        self._file, self._aside, self._turning = file, None, False
        try:
            self._turn([], self._clock(), self.accounts)
            self._restore()
        except OSError as error:
            say(f"cannot restore {self.path}: {error}", key=f"write {self.path}")
        self._go_on(no_file())
        self._closed = True

    def _give_way(self, successor: FileSink) -> None:
        """Let `successor` open its file and have all that comes from now on."""
        with self._lock:
            successor._holding.inherit(self._holding)
            try:
                successor._open_or_wait()
            except BaseException:
                self._holding.inherit(successor._holding)
                raise
            self._keep_out()
            self._successor = successor
            self._go_on(self._file)

    @property
    def log_dir(self) -> str:
        """The directory of the log."""
        return self._holding.log_dir

    def stats(self) -> Stats:
        """The accounts over the current file, files that are being left, and closed ones.

        Lines of a queue are emitted there: of them only the end is counted here.
        """
        with self._lock:
            files = self._files()
            # Ends before beginnings, as in `Accounts.stats`.
            ended = sum(file.ended.value for file in files)
            handed = sum(file.handed.value for file in files)
            own = self.accounts.stats()
            begun = sum(file.begun.value for file in files)
            past_begun, past_ended = self._past
        emitted = own.emitted + past_begun + begun - handed
        written = own.written + past_ended + ended
        queued = emitted - written - own.failed - sum(own.dropped.values())
        return Stats(emitted, written, own.dropped, own.failed, queued)

    def _tell(self) -> None:
        """Log what was found on disk; in no turn, because it is a record like any other."""
        findings = self._holding.findings
        while findings and self._on_finding is not None and not self._turning:
            self._on_finding(findings.pop(0))

    def hold(self) -> None:
        """Over a fork: no rotation is half done."""
        self._lock.acquire(timeout=1)

    def release(self) -> None:
        """After a fork, in the parent."""
        fork.give_back(self._lock)

    def renew(self) -> None:
        """In a forked child: give up the parent's file; the next record opens an own one."""
        for file in self._files():
            file.close()
        self.accounts.clear()
        self._begin_empty()
        self._holding.renew()
        self._upkeep.renew()
