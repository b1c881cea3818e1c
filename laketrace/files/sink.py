"""The active file: one write a record, rotation without a pause, nothing shared.

Floor 2. Stands on: core.fork, core.notice, core.stats, files.active, files.janitor, files.lock,
files.read, files.recovery, files.segment.

A record is one `write` on an `O_APPEND` descriptor, by the thread that logs and without a lock:
what was logged before a SIGKILL is in the file, and threads do not queue behind each other. All
else (opening, rotating, repairing) happens in `_append_slow`, under the lock. The order on disk:

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
Fullness: a write that fails is counted as failed; what it left of a line is cut off. Threads: any.
After a fork the child opens `<stem>.<pid>.log` with its first record.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from laketrace.core import fork
from laketrace.core.notice import forget, say
from laketrace.core.stats import Accounts, Stats
from laketrace.files import janitor
from laketrace.files.active import ActiveFile, no_file, open_active
from laketrace.files.lock import Ownership, claim
from laketrace.files.read import first_timestamp
from laketrace.files.recovery import Finding, LineMaker, finish, last_key, repair, take_over
from laketrace.files.segment import (
    ARCHIVES,
    Key,
    Segment,
    find_segments,
    next_key,
    own_stems,
    read_done,
    segment_name,
)

if TYPE_CHECKING:
    from laketrace.core.queue import Line
    from laketrace.files.compression import Compression
    from laketrace.files.retention import Retention
    from laketrace.files.rotation import Rotation

_write = os.write
CHECK_NS = 5_000_000_000  # how often the path is compared with the open file
_DRAIN_SECONDS = 30.0


class FileSink:
    """Writes ready lines to `<log_dir>/<stem>.log` and turns full files into segments.

    Raises `OSError` when the file cannot be opened; after that, nothing.
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
        self.log_dir = log_dir
        self.accounts = Accounts()
        self.stem = stem
        self._name = logger_name
        self._rotation = rotation
        self._retention = retention
        self._compression = compression
        self._mode = 0o600 if private else 0o644
        self._shipped = shipped
        self._clock = clock
        self._make_line = make_line
        self._on_finding = on_finding
        self._held = False
        self._lock = threading.RLock()
        self._turning = False  # this thread is inside `_append_slow`: what comes now waits
        self._waiting: deque[bytes] = deque()
        self._retired: list[ActiveFile] = []
        self._owner: Ownership | None = None
        self._last: Key = ("", 0)
        self._asks = rotation.callables if rotation is not None else ()
        self._closed = False
        self._file = no_file()
        with self._lock:
            if predecessor is not None:  # other settings for a file that goes on
                self._owner, self._last = predecessor.give_up()
            self._open(clock())
        fork.register(self)
        self._tidy()

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
        try:
            file.count_in()
            if file is self._file and file.since <= ns < file.until and size <= file.room:
                file.room -= size
                written = _write(file.descriptor, line)
            else:
                written = 0
        except OSError:
            self._append_slow(file, line, ns, 0)
            return
        except BaseException:
            self._interrupted(file, line)
            raise
        if written == size:
            file.count_out()
        else:
            self._append_slow(file, line, ns, written)

    def append_many(self, lines: list[Line], ns: int) -> None:
        """Write lines in order, as many a write as the file has room for; for a queue's drain."""
        start = 0
        while start < len(lines):
            file = self._file
            room = file.room if file.since <= ns < file.until else 0
            end = start
            size = 0
            while end < len(lines) and size + len(lines[end]) <= room:
                size += len(lines[end])
                end += 1
            if end - start < 2:  # a new file is due, or one large line: the ordinary way
                self.append(lines[start], ns)  # type: ignore[arg-type]
                start += 1
                continue
            batch = lines[start:end]
            self._append_batch(file, batch, size, ns)  # type: ignore[arg-type]
            start = end

    def _append_batch(self, file: ActiveFile, batch: list[bytes], size: int, ns: int) -> None:
        file.begun.add(len(batch))
        if file is not self._file:
            written = 0
        else:
            file.room -= size
            try:
                written = _write(file.descriptor, b"".join(batch))
            except OSError:
                written = 0
        if written == size:
            file.ended.add(len(batch))
            return
        for line in batch:  # the disk filled up: account for each line on its own
            if written >= len(line):
                written -= len(line)
                file.count_out()
            else:
                self._append_slow(file, line, ns, written)
                written = 0

    # -- everything else ----------------------------------------------------------------------

    def _append_slow(self, file: ActiveFile, line: bytes, ns: int, written: int) -> None:
        """Write `line` after what stands in its way is dealt with; its record changes books."""
        self.accounts.emitted.tick()
        file.hand_over()
        with self._lock:
            if self._turning:  # a signal handler or a finaliser logs in mid-rotation
                self._waiting.append(line)
                return
            self._turning = True
            try:
                if written:
                    self._cut(file, line[:written])
                self._attend(line, ns)
                self._put(line)
                while self._waiting:
                    self._put(self._waiting.popleft())
            except Exception as fault:
                self._fail(fault)
            finally:
                self._turning = False

    def _put(self, line: bytes) -> None:
        """One write under the lock; a short one is taken back."""
        file = self._file
        if self._closed:
            self.accounts.drop("closed")
            return
        written = 0
        try:
            file.room -= len(line)
            written = _write(file.descriptor, line)
            if written < len(line):
                raise OSError(28, "No space left on device")
        except OSError as error:
            if written:
                self._cut(file, line[:written])
            self._fail(error)
            return
        self.accounts.written.tick()
        forget(f"write {file.path}")

    def _fail(self, error: Exception) -> None:
        self.accounts.failed.tick()
        path = self._file.path or os.path.join(self.log_dir, f"{self.stem}.log")
        say(f"cannot write {path}: {error}. Records are counted as failed.", key=f"write {path}")

    def _interrupted(self, file: ActiveFile, line: bytes) -> None:
        """Account for a line whose write an interrupt may have followed or prevented."""
        if file.holds(line):
            file.count_out()
        else:
            self.accounts.emitted.tick()
            self.accounts.failed.tick()
            file.hand_over()

    def _cut(self, file: ActiveFile, piece: bytes) -> None:
        """Take the torn piece of a line out of the file, when no one else is writing to it."""
        current, self._file = self._file, no_file()  # others come to the lock and wait
        try:
            file.wait_until_empty(1.0)
            file.cut(piece)
        except OSError as error:
            say(f"cannot cut a torn line out of {file.path}: {error}", key=f"cut {file.path}")
        finally:
            self._file = current

    def _attend(self, line: bytes, ns: int) -> None:
        """See to the file before a line is written to it: open, reopen, rotate."""
        if self._closed:
            return
        file = self._file
        if file.descriptor < 0:
            self._open(ns)
            file = self._file
        elif not file.since <= ns < file.until or len(line) > file.room or self._asks:
            state = file.state()
            if state != "here":
                self._reopen(file, state, ns)
                file = self._file
        limit = self._rotation.size if self._rotation is not None else None
        full = limit is not None and file.size() + len(line) > limit
        if (full or self._due(file, ns) or self._asked(line)) and file.size() > 0:
            self._rotate(ns)
            file = self._file
        self._set_window(file, ns)

    def _due(self, file: ActiveFile, ns: int) -> bool:
        return file.due is not None and ns >= file.due

    def _asked(self, line: bytes) -> bool:
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
                say(f"rotation callable failed: {type(error).__name__}: {error}", key=repr(ask))
        return False

    def _set_window(self, file: ActiveFile, ns: int) -> None:
        """Until when, and for how many bytes, the fast path need not ask again."""
        limit = self._rotation.size if self._rotation is not None else None
        file.room = limit - file.size() if limit is not None else 1 << 62
        until = ns + CHECK_NS
        if file.due is not None:
            until = min(until, max(file.due, ns))
        file.since, file.until = (ns, until) if not self._asks else (0, 0)

    # -- opening ------------------------------------------------------------------------------

    def _open(self, ns: int) -> None:
        """Claim a stem, repair what an earlier process left, open the active file."""
        if self._owner is not None and not self._owner.holds():
            self._owner.release()  # the directory was removed and with it the lock
            self._owner = None
        if self._owner is None:
            self._owner = self._claim()
            self._begin(self._owner, ns)
        file = open_active(self._owner.path, self._mode)
        file.began = self._began(file, ns)
        file.due = self._rotation.next_due(file.began) if self._rotation is not None else None
        self._file = file
        self._set_window(file, ns)

    def _began(self, file: ActiveFile, ns: int) -> int:
        """When the file began: its first record's time, else its predecessor's end, else now."""
        if file.size() == 0:
            return ns
        began = first_timestamp(file.path)
        if began is None and self._last[0]:
            began = Segment("", "", self._last[0], 0, "").time_ns
        if began is None and self._owner is not None:
            began = min((line.at for line in self._owner.journal()), default=ns)
        return ns if began is None else min(began, ns)

    def _claim(self) -> Ownership:
        pid = os.getpid()
        for stem in (self.stem, *(f"{self.stem}.{pid}{tail}" for tail in _tails())):
            owner = claim(self.log_dir, stem)
            if owner is not None:
                return owner
        raise OSError(11, "every name for this process is locked", self.log_dir)

    def _begin(self, owner: Ownership, ns: int) -> None:
        """Take over the stem: repair, finish what must be finished, draw a stream."""
        findings = repair(owner, self._make_line)
        self._last = last_key(owner)
        if self._shipped:  # an earlier run's file must not get records of this one
            self._last = finish(owner, ns, self._last)
        owner.begin_stream(self._last, ns, self._name)
        if owner.stem == self.stem:
            findings += take_over(self.log_dir, self.stem, ns, self._make_line)
        for finding in findings:
            self._tell(finding)

    def _tell(self, finding: Finding) -> None:
        """Log what was found, in the background: this thread may be in the middle of a write."""
        tell = self._on_finding
        if tell is not None:
            janitor.submit(f"tell {self.log_dir}", lambda: tell(finding))

    def _reopen(self, file: ActiveFile, state: str, ns: int) -> None:
        """The path no longer leads to the open file: someone moved, replaced or deleted it."""
        restored = 0
        self._open(ns)
        if state == "deleted":
            file.wait_until_empty(1.0)
            restored = file.copy_to(self._file)
        self._retire(file)
        fields = {"path": file.path, "state": state, "restored_bytes": restored}
        self._tell(Finding("file_reopened", f"the active file was {state}", fields))

    # -- rotation -----------------------------------------------------------------------------

    def rotate(self) -> Segment | None:
        """Finish the active file now; None when it is empty or the sink is closed."""
        with self._lock:
            if self._turning or self._closed or self._file.descriptor < 0:
                return None
            self._turning = True
            try:
                if (state := self._file.state()) != "here":
                    self._reopen(self._file, state, self._clock())
                segment = self._rotate(self._clock()) if self._file.size() > 0 else None
                self._set_window(self._file, self._clock())
                while self._waiting:
                    self._put(self._waiting.popleft())
                return segment
            except Exception as fault:
                say(f"cannot rotate {self._file.path}: {fault}", key=f"rotate {self._file.path}")
                return None
            finally:
                self._turning = False

    def _rotate(self, ns: int) -> Segment | None:
        old = self._file
        if self._owner is None:
            return None
        key = next_key(ns, self._last)
        path = os.path.join(self.log_dir, segment_name(self._owner.stem, key))
        while any(os.path.lexists(path + suffix) for suffix in ("", *ARCHIVES)):
            key = (key[0], key[1] + 1)
            path = os.path.join(self.log_dir, segment_name(self._owner.stem, key))
        try:
            os.rename(old.path, path)
            self._last, earlier = key, self._last
            try:
                self._open(ns)
            except OSError:
                os.rename(path, old.path)
                self._last = earlier
                raise
        except OSError as error:
            say(f"cannot rotate {old.path}: {error}. Writing goes on there.", key=f"rotate {old.path}")
            old.due = ns + CHECK_NS if old.due is not None else None
            return None
        segment = Segment(path, self._owner.stem, key[0], key[1], "")
        self._retire(old)
        if self._retired or self._compression is not None or self._retention is not None:
            janitor.submit(self.log_dir, lambda: self._finish(old, segment))
        return segment

    def _retire(self, old: ActiveFile) -> None:
        """Close a file that is no longer current, now or when its last writer has left."""
        self._retired.append(old)
        self._settle_retired()

    def _settle_retired(self) -> None:
        with self._lock:
            for file in [file for file in self._retired if file.in_flight == 0]:
                self._retired.remove(file)
                self.accounts.emitted.add(file.begun.value - file.handed.value)
                self.accounts.written.add(file.ended.value)
                file.close()

    def _finish(self, old: ActiveFile, segment: Segment) -> None:
        """In the background: wait for the last writer, compress, retain."""
        old.wait_until_empty(_DRAIN_SECONDS)
        self._settle_retired()
        self._compress(segment)
        self._retain()

    def _compress(self, segment: Segment) -> None:
        # Retention may have been faster: with small files and a small count it often is.
        if self._compression is not None and os.path.exists(segment.path):
            self._compression.compress(segment.path, janitor.out_of_time)

    def _tidy(self) -> None:
        """In the background, after a start: finish what was left and retain."""
        if self._retention is not None or self._compression is not None:
            janitor.submit(self.log_dir, self._sweep)

    def _sweep(self) -> None:
        for stem in own_stems(self.log_dir, self.stem):
            for segment in find_segments(self.log_dir, stem):
                if not segment.suffix:
                    self._compress(segment)
        self._retain()

    def _retain(self) -> None:
        retention = self._retention
        if retention is None:
            return
        stems = own_stems(self.log_dir, self.stem)
        segments = [item for stem in stems for item in find_segments(self.log_dir, stem)]
        segments.sort(key=lambda item: item.key)
        expired = retention.expired(segments, self._clock())
        if self._shipped:
            done = {stem: read_done(self.log_dir, stem) for stem in stems}
            expired = [item for item in expired if item.base in done[item.stem]]
        for item in expired:
            try:
                os.unlink(item.path)
            except FileNotFoundError:
                pass
        for choose in retention.callables:
            choose([item.path for item in segments if os.path.exists(item.path)])

    # -- the end ------------------------------------------------------------------------------

    def settle(self, timeout: float) -> bool:
        """Wait until no thread is in the middle of a write; False when time ran out."""
        deadline = time.monotonic() + timeout
        while self.stats().queued > 0:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.0005)
        return True

    def close(self, timeout: float = 10.0) -> None:
        """Close the file, leave it in its place, wait (bounded) for running compressions."""
        with self._lock:
            if self._closed:
                return
            file = self._file
            if file.descriptor >= 0 and file.state() == "deleted":
                self._reopen(file, "deleted", self._clock())
                file = self._file
            self._closed = True
            self._file = no_file()
            if file.descriptor >= 0:
                self._retire(file)
            owner, self._owner = self._owner, None
        file.wait_until_empty(min(timeout, 1.0))
        self._settle_retired()
        janitor.wait(self.log_dir, timeout)
        if owner is not None:
            owner.release()

    def give_up(self) -> tuple[Ownership | None, Key]:
        """Let a successor write the stem; this sink then only finishes what it has begun."""
        with self._lock:
            self._asks, self._rotation = (), None
            self._set_window(self._file, self._clock())
            owner, self._owner = self._owner, None
            return owner, self._last

    @property
    def path(self) -> str:
        """The path of the active file."""
        if self._owner is not None:
            return self._owner.path
        return os.path.join(self.log_dir, f"{self.stem}.log")

    def stats(self) -> Stats:
        """The accounts over the current file, files that are being left, and closed ones."""
        with self._lock:
            files = [*self._retired, self._file]
            # Ends before beginnings, as in `Accounts.stats`.
            written = sum(file.ended.value for file in files)
            handed = sum(file.handed.value for file in files)
            own = self.accounts.stats()
            begun = sum(file.begun.value for file in files)
        emitted = own.emitted + begun - handed
        written += own.written
        queued = emitted - written - own.failed - sum(own.dropped.values())
        return Stats(emitted, written, own.dropped, own.failed, queued)

    def hold(self) -> None:
        """Over a fork: no rotation is half done."""
        self._held = self._lock.acquire(timeout=1)

    def release(self) -> None:
        """After a fork, in the parent."""
        if self._held:
            self._lock.release()

    def renew(self) -> None:
        """In a forked child: give up the parent's file; the next record opens an own one."""
        self._lock = threading.RLock()
        self._turning = False
        self._waiting.clear()
        self.accounts.clear()
        for file in [*self._retired, self._file]:
            file.close()
        self._retired.clear()
        if self._owner is not None:
            self._owner.abandon()
            self._owner = None
        if not self._closed:
            self.stem = f"{self.stem}.{os.getpid()}"
            self._file = no_file()


def _tails() -> list[str]:
    return ["", *(f".{number}" for number in range(2, 1000))]
