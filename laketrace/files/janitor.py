"""One background thread for the whole process: it compresses, and deletes what expired.

Floor 2. Stands on: core.notice.

Jobs run one after the other in the order in which they came, so those of one key do too. A job
that raises is said once on stderr and the next one follows. The thread is started with the first
job, sleeps while there is none, and ends with the process without being waited for: who needs
its work done calls `wait`. Where no thread can be started, as in an exiting interpreter, `wait`
runs the jobs itself; those that time does not suffice for are left, and a later start of the
program finds their segments.
Fullness: the list of jobs has no bound; each stands for a segment on disk and has some hundred
bytes. Threads: any may call, also from a signal handler or a `__del__`. After a fork the child
starts empty, with a thread of its own once it has a job.
"""

from __future__ import annotations

import os
import threading
from _thread import start_new_thread
from collections.abc import Callable
from queue import Empty, SimpleQueue
from time import monotonic

from laketrace.core.notice import say


class _Job:
    """What to do, for whom, and whether it is done."""

    __slots__ = ("_unfinished", "key", "work")

    def __init__(self, key: str, work: Callable[[], None]) -> None:
        self.key = key
        self.work = work
        # Held until the work is done. Not an `Event`: in waiting for one, a thread takes a lock
        # that a signal handler which waits too would never get.
        self._unfinished = threading.Lock()
        self._unfinished.acquire()

    def finish(self) -> None:
        self._unfinished.release()

    def wait(self, deadline: float) -> bool:
        done = self._unfinished.acquire(timeout=_seconds_to(deadline))
        if done:
            self._unfinished.release()
        return done


def _seconds_to(deadline: float) -> float:
    return min(max(0.0, deadline - monotonic()), threading.TIMEOUT_MAX)


class _Janitor:
    """The jobs of one process, and its thread."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.deadline: float | None = None  # of the `wait` that runs the present job, if one does
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._last: dict[str, _Job] = {}  # the youngest unfinished job of each key
        self._lock = threading.RLock()  # a signal handler may come back to the thread that has it
        self._stand_in = threading.Lock()  # held by who runs jobs where there is no thread
        self._started = threading.Lock()  # held for ever once the thread is started
        self._thread = 0

    def submit(self, key: str, work: Callable[[], None]) -> None:
        job = _Job(key, work)
        with self._lock:
            self._last[key] = job  # nothing, not even an interrupt, comes between this line
            self._jobs.put(job)  # and the call in this one
        self._start()

    def wait(self, key: str | None, timeout: float) -> bool:
        deadline = monotonic() + timeout
        with self._lock:
            waited = [job for job in self._last.values() if key in (None, job.key)]
        if waited and threading.get_ident() == self._thread:
            return False  # a job cannot wait for itself
        if waited and not self._start():
            self._run_until(deadline, waited)
        return all(job.wait(deadline) for job in waited)

    def _start(self) -> bool:
        """See to it that the thread runs; False where the interpreter starts no more threads."""
        if self._started.acquire(blocking=False):
            # Not `threading.Thread`: its `start` takes a lock of that module and waits for the
            # thread to run, which a log call in a signal handler must do neither of.
            try:
                start_new_thread(self._work, ())
            except RuntimeError:
                self._started.release()
                return False
        return True

    def _work(self) -> None:
        self._thread = threading.get_ident()
        threading.current_thread().name = "laketrace-janitor"
        while True:
            self._run(self._jobs.get())

    def _run_until(self, deadline: float, waited: list[_Job]) -> None:
        if not self._stand_in.acquire(timeout=_seconds_to(deadline)):
            return
        try:
            self.deadline = deadline
            while monotonic() < deadline and not all(job.wait(0) for job in waited):
                self._run(self._jobs.get_nowait())
        except Empty:
            pass
        finally:
            self.deadline = None
            self._stand_in.release()

    def _run(self, job: _Job) -> None:
        try:
            job.work()
        except KeyboardInterrupt:  # it is meant for the thread that waits; others see none
            if threading.get_ident() != self._thread:
                raise
        except BaseException as error:  # also a SystemExit of a user's callable ends nothing here
            _complain(job.key, error)
        finally:
            with self._lock:
                if self._last.get(job.key) is job:
                    del self._last[job.key]
            job.finish()


def _complain(key: str, error: BaseException) -> None:
    kind = type(error).__name__
    try:
        text = f"{kind}: {error}"
    except Exception:  # the text of a user's exception may fail too
        text = kind
    say(f"work on the segments in {key} failed: {text}", key=f"janitor {key} {kind}")


_janitor = _Janitor()


def _current() -> _Janitor:
    # Asked by process id and not told by a fork handler, so that it does not matter which of
    # the handlers of a forked child comes first.
    global _janitor
    if _janitor.pid != os.getpid():
        _janitor = _Janitor()
    return _janitor


def submit(key: str, job: Callable[[], None]) -> None:
    """Let the background thread run `job` after those that are there; never waits or raises.

    `key` is whose job it is, for `wait` and for what is said if it raises: a directory's path.

    >>> submit("/tmp/logs", lambda: None)
    """
    _current().submit(key, job)


def wait(key: str | None, timeout: float) -> bool:
    """Wait until the jobs of `key` (None: all) that are there now are done, `timeout` seconds.

    Returns whether they are. Within a job it is False at once, because that one is not.

    >>> submit("/tmp/logs", lambda: None)
    >>> wait("/tmp/logs", timeout=10)
    True
    """
    return _current().wait(key, timeout)


def out_of_time() -> bool:
    """Whether the present job is run by a `wait` whose time is over, and should be left.

    Long jobs ask it now and then. It is never so in the background thread, which nobody waits
    for longer than he likes.

    >>> out_of_time()
    False
    """
    deadline = _current().deadline
    return deadline is not None and monotonic() >= deadline
