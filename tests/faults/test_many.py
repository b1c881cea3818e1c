"""Many threads, tasks, processes and forks write at once, and each record is found once."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
import threading
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from laketrace import Logger, get_logger
from laketrace.core import fork
from laketrace.files import janitor
from laketrace.files.segment import active_files
from tests.faults.proof import (
    assert_account,
    assert_tidy,
    in_child,
    is_balanced,
    make_log,
    numbers_of,
    program,
    records_of,
    run_program,
    start_again,
    until,
)


def log_from_threads(log: Logger, threads: int, each: int) -> None:
    """Log `each` records in each of some threads, numbered 0, 1, ... over all."""
    start = threading.Barrier(threads)

    def work(first: int) -> None:
        start.wait()
        for number in range(first, first + each):
            log.info("row", n=number)

    running = [threading.Thread(target=work, args=(n * each,)) for n in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


@pytest.mark.parametrize("enqueue", [False, True], ids=["sync", "queue"])
def test_60_000_records_of_8_threads_over_a_rotation_every_few_ms(
    tmp_path: Path, enqueue: bool
) -> None:
    """Hundreds of rotations under 8 threads: each record once, each thread's in order."""
    log = make_log(tmp_path, rotation="24 KB", enqueue=enqueue)

    log_from_threads(log, threads=8, each=7500)

    assert log.flush(120)
    numbers = numbers_of(tmp_path)
    assert sorted(numbers) == list(range(60_000))
    assert_account(log.stats(), tmp_path)
    assert len(os.listdir(tmp_path)) > 300
    if not enqueue:  # a thread that met a rotation may write behind one that came after it
        return
    for first in range(0, 60_000, 7500):
        own = [number for number in numbers if first <= number < first + 7500]
        assert own == sorted(own)


def test_archives_of_a_storm_of_rotations_hold_everything(tmp_path: Path) -> None:
    """Rotation and gz at once: when the background is done, no source is left beside an archive."""
    log = make_log(tmp_path, rotation="40 KB", compression="gz")

    log_from_threads(log, threads=4, each=5000)

    assert janitor.wait(None, 120)
    assert sorted(numbers_of(tmp_path)) == list(range(20_000))
    assert_account(log.stats(), tmp_path)
    assert_tidy(tmp_path)
    plain = [name for name in os.listdir(tmp_path) if ".log." in name and name[-3:] != ".gz"]
    assert plain == []


def test_retention_under_a_storm_of_rotations_keeps_the_newest(tmp_path: Path) -> None:
    """With hundreds of rotations in a row, what is left are the newest files, without a gap."""
    log = make_log(tmp_path, rotation="4 KB", retention="5 files")

    for number in range(10_000):
        log.info("row", n=number)

    assert janitor.wait(None, 120)
    numbers = numbers_of(tmp_path)
    assert len(os.listdir(tmp_path)) <= 5 + 1 + 1
    assert numbers == list(range(numbers[0], 10_000))


@pytest.mark.parametrize("enqueue", [False, True], ids=["sync", "queue"])
def test_asyncio_tasks_keep_their_records_and_fields_apart(tmp_path: Path, enqueue: bool) -> None:
    """200 tasks that take turns: each record once, with the context of its own task."""
    log = make_log(tmp_path, rotation="50 KB", enqueue=enqueue)

    async def task(number: int) -> None:
        with log.contextualize(task=number):
            for turn in range(20):
                log.info("row", n=number * 20 + turn)
                await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*map(task, range(200)))

    asyncio.run(main())

    assert log.flush(120)
    records = records_of(tmp_path)
    assert sorted(record["n"] for record in records) == list(range(4000))
    assert all(record["task"] == record["n"] // 20 for record in records)
    assert_account(log.stats(), tmp_path)


PROCESS = """
import json, sys
from laketrace import get_logger
from laketrace.files import janitor
folder, first, enqueue = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "queue"
log = get_logger("proof", log_dir=folder, stdout=False, rotation="30 KB", compression="gz",
                 retention="100000 files", enqueue=enqueue, close_timeout=120)
print("ready", flush=True)
sys.stdin.readline()
for number in range(first, first + 2000):
    log.info("row", n=number)
janitor.wait(None, 120)
log.close()
print(json.dumps(log.stats()[:5]))
"""


@pytest.mark.parametrize("mode", ["sync", "queue"])
def test_4_processes_of_one_name_share_no_file(tmp_path: Path, mode: str) -> None:
    """4 programs at once, with rotation and gz: each has files of its own, nothing is doubled."""
    with (
        program(PROCESS, tmp_path, 0, mode) as one,
        program(PROCESS, tmp_path, 2000, mode) as two,
        program(PROCESS, tmp_path, 4000, mode) as three,
        program(PROCESS, tmp_path, 6000, mode) as four,
    ):
        processes = [one, two, three, four]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        assert len(active_files(str(tmp_path))) == 4
        said = [process.communicate(b"\n", timeout=240) for process in processes]

    accounts = [json.loads(out) for out, _ in said]
    start_again(tmp_path, compression="gz")

    assert [err for _, err in said] == [b""] * 4
    assert [account[:2] for account in accounts] == [[2000, 2000]] * 4
    assert sorted(numbers_of(tmp_path)) == list(range(8000))
    assert_tidy(tmp_path)


def test_40_forks_while_another_thread_logs(tmp_path: Path) -> None:
    """No child hangs; each writes a file of its own and starts its account at zero."""
    log = make_log(tmp_path, rotation="20 KB", enqueue=True)
    stop = threading.Event()
    logged = 0

    def keep_logging() -> None:
        nonlocal logged
        while not stop.is_set():
            (log.info if logged % 7 else log.error)("parent", p=logged)
            logged += 1

    def child() -> None:
        before = log.stats()
        for number in range(20):
            log.info("child", n=number)
        log.close()
        stats = log.stats()
        assert (before.emitted, stats.emitted, stats.written) == (0, 20, 20)
        assert log.log_file_path is None or str(os.getpid()) in str(log.log_file_path)

    thread = threading.Thread(target=keep_logging)
    thread.start()
    until(lambda: logged > 50)
    codes = [in_child(child) for _ in range(40)]
    stop.set()
    thread.join()

    assert log.flush(120)
    records = records_of(tmp_path)
    found = Counter(record["n"] for record in records if "n" in record)
    of_parent = [record["p"] for record in records if "p" in record]
    assert codes == [0] * 40
    assert found == dict.fromkeys(range(20), 40)
    assert sorted(of_parent) == list(range(logged))
    assert is_balanced(log.stats()) and log.stats().written == logged


class Owner:
    """Something with a lock, which notes what is done to it over a fork."""

    def __init__(self, rank: int, notes: list[tuple[str, int]]) -> None:
        self.fork_rank = rank
        self.notes = notes

    def hold(self) -> None:
        self.notes.append(("hold", self.fork_rank))

    def release(self) -> None:
        self.notes.append(("release", self.fork_rank))

    def renew(self) -> None:
        self.notes.append(("renew", self.fork_rank))


def test_locks_are_taken_over_a_fork_in_a_fixed_order() -> None:
    """By rank, whoever came first; given back in the opposite order; made anew in the child."""
    notes: list[tuple[str, int]] = []
    owners = [Owner(rank, notes) for rank in (3, 0, 4, 2, 1)]
    for owner in owners:
        fork.register(owner)

    def child() -> None:
        assert [rank for what, rank in notes if what == "renew"] == [0, 1, 2, 3, 4]

    assert in_child(child) == 0
    assert [rank for what, rank in notes if what == "hold"] == [0, 1, 2, 3, 4]
    assert [rank for what, rank in notes if what == "release"] == [4, 3, 2, 1, 0]


def test_a_fork_waits_for_a_rotation_in_another_thread(tmp_path: Path) -> None:
    """The child never sees half a rotation: the lock of the file is taken before the fork."""
    asked, go = threading.Event(), threading.Event()

    def rule(text: str, file: object) -> bool:
        asked.set()
        go.wait(0.2)
        return False

    log = make_log(tmp_path, rotation=rule)
    log.info("row", n=0)
    asked.clear()  # for this one the rule may have been asked too
    thread = threading.Thread(target=lambda: log.info("row", n=1))
    thread.start()
    assert asked.wait(120)

    code = in_child(lambda: log.info("row", n=2) if numbers_of(tmp_path) == [0, 1] else os._exit(9))

    thread.join()
    assert code == 0
    assert sorted(numbers_of(tmp_path)) == [0, 1, 2]


def test_a_segment_is_not_compressed_before_its_last_writer_has_left_it(tmp_path: Path) -> None:
    """A thread that was about to write when the file was rotated writes, and it is archived."""
    log = make_log(tmp_path, compression="gz")
    log.info("row", n=0)
    sink = log.handlers[1].sink
    file = sink._file  # type: ignore[attr-defined]
    line = log.log_file_path.read_bytes().replace(b'"n":0', b'"n":1')
    file.count_in()

    sink.rotate()  # type: ignore[attr-defined]
    early = janitor.wait(None, 0.2)
    os.write(file.descriptor, line)
    file.count_out()

    assert not early and janitor.wait(None, 120)
    assert numbers_of(tmp_path) == [0, 1]
    assert_account(log.stats(), tmp_path)
    assert_tidy(tmp_path)


def work(log: Logger, first: int) -> tuple[int, int, int]:
    """What a child process does; its pid and its account."""
    for number in range(first, first + 50):
        log.info("row", n=number)
    log.error("done", n=first + 50)
    stats = log.stats()
    return os.getpid(), stats.emitted, stats.written


def work_by_name(folder: str, first: int) -> tuple[int, int, int]:
    """The same with a logger that the child gets by its name."""
    return work(get_logger("proof", log_dir=folder, stdout=False), first)


@pytest.mark.parametrize("first", [True, False], ids=["after its first record", "before it"])
def test_other_settings_leave_a_forked_child_its_file(tmp_path: Path, first: bool) -> None:
    """A child that calls `get_logger` with other settings goes on in its own file."""
    log = make_log(tmp_path)
    log.info("parent", n=0)

    def child() -> None:
        if first:
            log.info("child", n=1)
        make_log(tmp_path, level="DEBUG").debug("child", n=2)

    assert in_child(child) == 0
    (own,) = (path for path in tmp_path.glob("proof.*.log"))
    assert own.read_text("utf-8").count('"child"') == (2 if first else 1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("enqueue", [False, True], ids=["sync", "queue"])
def test_children_of_multiprocessing_write_files_of_their_own(
    tmp_path: Path, method: str, enqueue: bool
) -> None:
    """A logger given to `Process` works in the child; what it queued is written at its end."""
    context = multiprocessing.get_context(method)
    log = make_log(tmp_path, enqueue=enqueue)
    log.info("parent", n=0)

    children = [context.Process(target=work, args=(log, first)) for first in (1, 101)]
    for child in children:
        child.start()
    for child in children:
        child.join(240)

    assert [child.exitcode for child in children] == [0, 0]
    assert log.flush(120)
    assert log.stats().written == 1
    assert sorted(numbers_of(tmp_path)) == [0, *range(1, 52), *range(101, 152)]
    own = {record["pid"] for record in records_of(tmp_path)}
    assert own == {os.getpid(), *(child.pid for child in children)}


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("given", ["the logger", "its name"])
def test_a_pool_of_processes_logs_without_hanging(tmp_path: Path, method: str, given: str) -> None:
    """`ProcessPoolExecutor`: 12 tasks in 3 processes, while the parent's writer thread runs."""
    log = make_log(tmp_path, enqueue=True)
    for number in range(1000, 1100):
        log.info("parent", n=number)

    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(3, mp_context=context) as pool:
        function, first_argument = (
            (work, log) if given == "the logger" else (work_by_name, str(tmp_path))
        )
        tasks = [pool.submit(function, first_argument, n * 51) for n in range(12)]
        said = [task.result(240) for task in tasks]

    assert log.flush(120)
    assert sorted(numbers_of(tmp_path)) == [*range(612), *range(1000, 1100)]
    assert os.getpid() not in {pid for pid, _, _ in said}
    assert all(emitted == written for _, emitted, written in said)


LIVES = """
import gc, json, os, sys, threading
from laketrace import get_logger

def life(number):
    log = get_logger(f"log{number % 25}", log_dir=sys.argv[1], stdout=False, rotation="1 MB",
                     compression="gz", retention="100000 files", enqueue=number % 2 == 0)
    log.info("row", n=number)
    log.close()
    assert log.stats().written == 1

def left():
    gc.collect()
    with open("/proc/self/statm") as file:
        memory = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return memory, len(os.listdir("/proc/self/fd")), threading.active_count()

for number in range(500):
    life(number)
before = left()
for number in range(500, 5000):
    life(number)
print(json.dumps([before, left()]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts in /proc")
@pytest.mark.slow
def test_5_000_loggers_leave_nothing_behind(tmp_path: Path) -> None:
    """Opened and closed 5,000 times: no memory, no descriptor, no thread is left."""
    exit_code, out, said = run_program(LIVES, tmp_path)

    assert exit_code == 0, said
    before, after = json.loads(out)
    assert after[0] - before[0] < 2 << 20, f"{after[0] - before[0]} bytes more"
    assert after[1:] == before[1:]
    assert sorted(numbers_of(tmp_path)) == list(range(5000))
