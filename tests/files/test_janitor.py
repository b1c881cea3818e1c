"""Background jobs are done in order by one thread that nothing kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from laketrace.core import notice
from laketrace.files import janitor


@pytest.fixture
def fresh(monkeypatch):
    """A janitor that has not started yet."""
    monkeypatch.setattr(janitor, "_janitor", janitor._Janitor())


@pytest.fixture
def no_threads(fresh, monkeypatch):
    """An interpreter that starts no more threads, as one that exits."""

    def refuse(function, arguments):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(janitor, "start_new_thread", refuse)


@pytest.fixture
def busy(fresh):
    """The thread is held up by a job until this event is set."""
    event = threading.Event()
    janitor.submit("busy", lambda: event.wait(600))
    yield event
    event.set()


def run(code: str, **options) -> subprocess.CompletedProcess[str]:
    """Run a program of its own and return what it printed."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=240,
        **options,
    )


def test_jobs_run_in_order_in_one_thread(fresh):
    """Whoever submits them, jobs run one after the other in one background thread."""
    ran: list[tuple[int, int]] = []
    for number in range(100):
        janitor.submit(
            f"/logs/{number % 3}", lambda n=number: ran.append((n, threading.get_ident()))
        )

    assert janitor.wait(None, timeout=240)

    assert [number for number, _ in ran] == list(range(100))
    assert len({thread for _, thread in ran}) == 1
    assert threading.get_ident() not in {thread for _, thread in ran}


def test_jobs_of_many_threads_are_all_done(fresh):
    """Threads that submit at the same time lose no job, and each one's jobs stay in order."""
    ran: list[tuple[int, int]] = []

    def submit(thread: int) -> None:
        for number in range(200):
            janitor.submit("/logs", lambda n=number: ran.append((thread, n)))

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert janitor.wait("/logs", timeout=240)
    assert len(ran) == 1600
    for thread in range(8):
        assert [number for owner, number in ran if owner == thread] == list(range(200))


def test_wait_is_bounded(busy):
    """Where a job takes longer than the time given, wait returns False before it is done."""
    assert not janitor.wait("busy", timeout=0.05)
    assert not janitor.wait(None, timeout=0)

    busy.set()
    assert janitor.wait("busy", timeout=240)


def test_wait_without_a_limit_is_possible(fresh):
    """An infinite time is the longest that the platform can wait."""
    janitor.submit("/logs", lambda: None)

    assert janitor.wait("/logs", timeout=float("inf"))


def test_wait_for_a_key_without_jobs_returns_at_once(busy):
    """Nobody waits for the jobs of another key."""
    assert janitor.wait("/other", timeout=0)


def test_job_cannot_wait_for_itself(fresh):
    """Within a job, waiting for it returns False at once instead of never."""
    answers = []
    janitor.submit("/logs", lambda: answers.append(janitor.wait("/logs", timeout=600)))

    assert janitor.wait("/logs", timeout=240)
    assert answers == [False]


@pytest.mark.parametrize("error", [OSError("disk full"), SystemExit(3), KeyboardInterrupt()])
def test_job_that_raises_is_said_once_and_kills_nothing(fresh, capsys, error):
    """An error of a job is one line on stderr; the jobs behind it run."""
    notice.forget(f"janitor /logs {type(error).__name__}")
    ran = []

    def fail():
        raise error

    for _ in range(3):
        janitor.submit("/logs", fail)
    janitor.submit("/logs", lambda: ran.append("next"))

    assert janitor.wait("/logs", timeout=240)
    assert ran == ["next"]
    said = capsys.readouterr().err
    if not isinstance(error, KeyboardInterrupt):
        assert said.count("\n") == 1
        assert "work on the segments in /logs failed" in said
        assert str(error) in said


def test_error_without_a_text_is_said_by_its_name(fresh, capsys):
    """An exception whose str raises is named by its type."""
    notice.forget("janitor /logs Mute")

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    def fail():
        raise Mute

    janitor.submit("/logs", fail)

    assert janitor.wait("/logs", timeout=240)
    assert capsys.readouterr().err == "laketrace: work on the segments in /logs failed: Mute\n"


def test_finished_jobs_are_forgotten(fresh):
    """Thousands of keys leave nothing behind."""
    for number in range(5000):
        janitor.submit(f"/logs/{number}", lambda: None)

    assert janitor.wait(None, timeout=240)
    assert janitor._janitor._last == {}


def test_no_thread_without_a_job_and_one_with_many():
    """Importing starts nothing; the first job starts the one thread."""
    result = run("""
        import os, threading
        from laketrace.files import janitor
        before = len(os.listdir("/proc/self/task"))
        for number in range(50):
            janitor.submit(str(number), lambda: None)
        janitor.wait(None, 120)
        print(before, len(os.listdir("/proc/self/task")))
        janitor.submit("name", lambda: print(threading.current_thread().name))
        janitor.wait(None, 120)
    """)

    assert (result.stdout, result.stderr) == ("1 2\nlaketrace-janitor\n", "")


def test_idle_thread_uses_no_cpu(fresh):
    """With nothing to do the thread sleeps in the operating system, without waking up."""
    native = []
    janitor.submit("/logs", lambda: native.append(threading.get_native_id()))
    assert janitor.wait("/logs", timeout=240)

    def switches() -> str:
        with open(f"/proc/self/task/{native[0]}/status") as status:
            return "".join(line for line in status if "ctxt_switches" in line)

    deadline = time.monotonic() + 120
    before = None
    while (now := switches()) != before and time.monotonic() < deadline:
        before = now
        time.sleep(0.3)

    assert now == before


# -- forks -----------------------------------------------------------------------------------------


def in_child(check) -> int:
    """Fork, return the exit code of a child that exits with `check()`."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = check()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_forked_child_starts_empty_with_a_thread_of_its_own(busy):
    """Jobs of the parent are not the child's; what the child submits is done there."""
    ran = []

    def check() -> int:
        empty = janitor.wait(None, timeout=0)
        janitor.submit("busy", lambda: ran.append(os.getpid()))
        done = janitor.wait("busy", timeout=240)
        return 0 if empty and done and ran == [os.getpid()] else 1

    assert in_child(check) == 0
    assert ran == []
    busy.set()
    assert janitor.wait("busy", timeout=240)


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_fork_while_a_lock_is_held_does_not_hang_the_child(fresh):
    """A child whose parent was just submitting in another thread submits all the same."""
    taken, free = threading.Event(), threading.Event()

    def hold() -> None:
        with janitor._janitor._lock:
            taken.set()
            free.wait(240)

    holder = threading.Thread(target=hold)
    holder.start()
    assert taken.wait(240)

    def check() -> int:
        signal.alarm(200)
        janitor.submit("/logs", lambda: None)
        return 0 if janitor.wait("/logs", timeout=120) else 1

    code = in_child(check)
    free.set()
    holder.join()
    assert code == 0


# -- the end of the interpreter --------------------------------------------------------------------


def test_exit_does_not_wait_for_a_job():
    """A program ends although a job would take an hour more."""
    result = run("""
        import threading
        from laketrace.files import janitor
        started = threading.Event()
        janitor.submit("/logs", lambda: (started.set(), threading.Event().wait(3600)))
        started.wait()
        print("end")
    """)

    assert (result.stdout, result.stderr, result.returncode) == ("end\n", "", 0)


@pytest.mark.parametrize("earlier", ["", "janitor.submit('/logs', lambda: None)"])
def test_jobs_submitted_at_exit_are_done_by_who_waits(earlier):
    """In an exit handler, with the thread running or none to be had, wait gets the jobs done."""
    result = run(f"""
        import atexit
        from laketrace.files import janitor
        {earlier}
        def at_exit():
            janitor.submit("/logs", lambda: print("compressed"))
            print(janitor.wait("/logs", 120))
        atexit.register(at_exit)
    """)

    assert (result.stdout, result.stderr, result.returncode) == ("compressed\nTrue\n", "", 0)


def test_without_a_thread_wait_runs_the_jobs(no_threads, capsys):
    """Where no thread can be started, the one that waits does the work, errors included."""
    notice.forget("janitor /logs ZeroDivisionError")
    ran = []
    janitor.submit("/other", lambda: ran.append(("other", threading.get_ident())))
    janitor.submit("/logs", lambda: 1 // 0)
    janitor.submit("/logs", lambda: ran.append(("mine", threading.get_ident())))
    assert ran == []

    assert janitor.wait("/logs", timeout=240)

    me = threading.get_ident()
    assert ran == [("other", me), ("mine", me)]
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_without_a_thread_a_long_job_learns_that_time_is_over(no_threads):
    """A job that asks stops when the time of the waiting caller is over; the rest is left."""
    ran = []

    def long_job() -> None:
        while not janitor.out_of_time():
            time.sleep(0.001)
        ran.append("gave up")

    janitor.submit("/logs", long_job)
    janitor.submit("/logs", lambda: ran.append("never"))

    assert not janitor.wait("/logs", timeout=0.05)

    assert ran == ["gave up"]
    assert not janitor.out_of_time()


def test_without_a_thread_ctrl_c_reaches_the_one_that_waits(no_threads):
    """An interrupt while the caller works is the caller's, and the janitor can be used again."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    ran = []
    janitor.submit("/logs", interrupted)
    janitor.submit("/logs", lambda: ran.append("next"))

    with pytest.raises(KeyboardInterrupt):
        janitor.wait("/logs", timeout=240)

    assert janitor.wait("/logs", timeout=240)
    assert ran == ["next"]


def test_thread_that_could_not_be_started_is_started_later(no_threads, monkeypatch):
    """A refusal is not remembered: the next job starts the thread and all are done."""
    ran = []
    janitor.submit("/logs", lambda: ran.append(1))
    monkeypatch.undo()
    current = janitor._janitor
    assert current is not None

    janitor.submit("/logs", lambda: ran.append(2))

    assert janitor.wait("/logs", timeout=240)
    assert ran[-1] == 2


def test_signal_handlers_that_submit_and_wait_never_hang():
    """A handler that comes at any moment of submit or wait gets through."""
    result = run("""
        import signal, time
        from laketrace.files import janitor
        calls, inside = 0, 0
        def handler(number, frame):
            global calls, inside
            calls += 1
            inside += 1
            if inside < 4:  # on a busy machine a timer that goes on would interrupt without end
                signal.setitimer(signal.ITIMER_REAL, 0.003)
            janitor.submit("/logs", lambda: None)
            janitor.wait("/logs", 0.001)
            inside -= 1
            signal.setitimer(signal.ITIMER_REAL, 0.003)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.003)
        end = time.monotonic() + 20
        while calls < 200 and time.monotonic() < end:
            janitor.submit("/logs", lambda: None)
            janitor.wait("/logs", 0.001)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        print(janitor.wait(None, 120), janitor._janitor._last)
    """)

    assert (result.stdout, result.stderr) == ("True {}\n", "")
