"""A process is killed in the middle of its work, and the next one finds all that it was told."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from pathlib import Path

import pytest

from tests.faults.proof import (
    assert_tidy,
    numbers_of,
    program,
    run_program,
    start_again,
)

# Says a number on stdout when its record is logged. Every 25th is an ERROR; "queue" enqueues.
WRITER = """
import os, sys
from laketrace import get_logger
folder, mode, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
log = get_logger("proof", log_dir=folder, stdout=False, rotation="20 KB", compression="gz",
                 retention="100000 files", enqueue=mode == "queue", queue_size=500,
                 overflow_timeout=120)
while True:
    (log.error if number % 25 == 0 else log.info)("row", n=number, pad="." * 50)
    os.write(1, b"%d\\n" % number)
    number += 1
"""
QUEUE = 500 + 500  # what waits, and the batch in the hand of the writer thread


def acknowledged(process: subprocess.Popen[bytes], at_least: int) -> list[int]:
    """Kill a writer once it has logged so many records; the numbers that it said."""
    assert process.stdout is not None
    said = [int(process.stdout.readline()) for _ in range(at_least)]
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().splitlines(keepends=True)
    return said + [int(line) for line in rest if line.endswith(b"\n")]


kills = pytest.mark.parametrize(
    "times", [2, pytest.param(40, marks=pytest.mark.slow)], ids=lambda times: f"{times}-kills"
)


@kills
def test_no_acknowledged_record_is_lost_to_a_sigkill(tmp_path: Path, times: int) -> None:
    """What `info` returned from is in the files, once, and no line is torn after the next start."""
    chance = random.Random(times)
    said: list[int] = []
    for _ in range(times):
        first = said[-1] + 2 if said else 0
        with program(WRITER, tmp_path, "sync", first) as writer:
            said += acknowledged(writer, chance.randrange(50, 800))

    start_again(tmp_path, compression="gz")

    found = numbers_of(tmp_path)
    assert set(said) <= set(found)
    assert len(found) == len(set(found)) <= len(said) + times  # those whose call was cut off
    assert_tidy(tmp_path)


@kills
def test_a_sigkill_costs_a_queue_at_most_what_waits_and_no_error(
    tmp_path: Path, times: int
) -> None:
    """With `enqueue` no ERROR that returned is lost, and of the others not more than the queue."""
    chance = random.Random(times)
    runs: list[list[int]] = []
    for run in range(times):
        with program(WRITER, tmp_path, "queue", run * 1_000_000) as writer:
            runs.append(acknowledged(writer, chance.randrange(50, 2000)))

    start_again(tmp_path, compression="gz")

    found = numbers_of(tmp_path)
    assert len(found) == len(set(found))
    for said in runs:
        lost = set(said) - set(found)
        assert len(lost) <= QUEUE
        assert not [number for number in lost if number % 25 == 0]
    assert_tidy(tmp_path)


@pytest.mark.parametrize("mode", ["sync", "queue"])
def test_sigterm_costs_no_more_than_sigkill(tmp_path: Path, mode: str) -> None:
    """LakeTrace has no handler for SIGTERM: what was acknowledged is on disk all the same."""
    with program(WRITER, tmp_path, mode, 0) as writer:
        assert writer.stdout is not None
        said = [int(writer.stdout.readline()) for _ in range(500)]
        writer.terminate()
        said += [int(line) for line in writer.stdout.read().splitlines(True) if b"\n" in line]

    start_again(tmp_path, compression="gz")

    lost = set(said) - set(numbers_of(tmp_path))
    assert writer.wait() == -signal.SIGTERM
    assert len(lost) <= (QUEUE if mode == "queue" else 0)
    assert not [number for number in lost if number % 25 == 0]


ENDING = """
import os, signal, sys
from laketrace import get_logger
folder, mode, end = sys.argv[1:]
log = get_logger("proof", log_dir=folder, stdout=False, enqueue=mode == "queue",
                 close_timeout=120)
for number in range(1000):
    log.info("row", n=number)
if end == "handler":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    signal.raise_signal(signal.SIGTERM)
if end == "exception":
    raise RuntimeError("not caught")
if end == "_exit":
    log.error("last", n=1000)
    log.info("after it", n=1001)
    os._exit(3)
"""


@pytest.mark.parametrize("mode", ["sync", "queue"])
@pytest.mark.parametrize(("end", "code"), [("exit", 0), ("handler", 3), ("exception", 1)])
def test_an_orderly_end_writes_everything(tmp_path: Path, mode: str, end: str, code: int) -> None:
    """The end of the program, `sys.exit` in a signal handler and an uncaught exception drain."""
    exit_code, _, _ = run_program(ENDING, tmp_path, mode, end)

    assert exit_code == code
    assert numbers_of(tmp_path) == list(range(1000))


FINALIZING = """
import builtins, sys
from laketrace import get_logger
folder, mode = sys.argv[1:]
log = get_logger("proof", log_dir=folder, stdout=False, enqueue=mode == "queue")
class Connection:
    def __del__(self, log=log):
        try:
            raise OSError("gone")
        except OSError:
            log.exception("not closed", n=0)
        log.log_structured("closed", data={"by": "bob@example.com", "n": 1})
builtins.kept = Connection()  # until nothing can be imported any more
"""


@pytest.mark.parametrize("mode", ["sync", "queue"])
def test_the_last_finalizers_of_an_interpreter_can_log(tmp_path: Path, mode: str) -> None:
    """Where no module loads any more, an exception is logged in short and what is masked whole."""
    _, _, said = run_program(FINALIZING, tmp_path, mode)

    lines = (tmp_path / "proof.log").read_text("utf-8").splitlines()
    failed, closed = map(json.loads, lines)
    assert (failed["exception"]["type"], failed["exception"]["value"]) == ("OSError", "gone")
    assert failed["n"] == 0 and closed["by"] == "[REDACTED]"
    assert said == ""


@pytest.mark.parametrize("mode", ["sync", "queue"])
def test_os_exit_loses_nothing_before_the_last_error(tmp_path: Path, mode: str) -> None:
    """`os._exit` runs no clean-up: without a queue nothing is lost, with one what came last."""
    exit_code, _, _ = run_program(ENDING, tmp_path, mode, "_exit")

    found = numbers_of(tmp_path)
    assert exit_code == 3
    assert found[:1001] == list(range(1001))
    assert mode == "queue" or found[-1] == 1001


def test_a_file_size_limit_is_met_like_a_full_disk(tmp_path: Path) -> None:
    """Where RLIMIT_FSIZE ends a file, records fail and are counted; the file stays whole."""
    code = """
import json, resource, signal, sys
from laketrace import get_logger
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
log = get_logger("proof", log_dir=sys.argv[1], stdout=False)
for number in range(500):
    log.info("row", n=number)
log.close()
print(json.dumps(log.stats()[:5]))
"""
    _, out, _ = run_program(code, tmp_path)

    emitted, written, dropped, failed, queued = json.loads(out)
    assert (emitted, dropped, queued) == (500, {}, 0)
    assert failed == emitted - written > 0
    assert numbers_of(tmp_path) == list(range(written))


QUEUED = """
import atexit, json, sys
def report():
    print(json.dumps(log.stats()[:5]))
atexit.register(report)  # before LakeTrace, so it runs after it
from laketrace import get_logger
log = get_logger("proof", log_dir=sys.argv[1], stdout=False, enqueue=True, queue_size=400_000,
                 rotation="1 GB", close_timeout=120)
queue = log.handlers[1].queue
with queue._draining:  # no writer gets at the queue
    for number in range(300_000):
        log.info("row", n=number)
    assert len(queue._items) > 290_000
"""


def test_an_exit_with_300_000_queued_writes_them_all(tmp_path: Path) -> None:
    """The end of the program drains the queue, in its own thread, within its time."""
    exit_code, out, said = run_program(QUEUED, tmp_path)

    assert (exit_code, said) == (0, "")
    assert json.loads(out) == [300_000, 300_000, {}, 0, 0]
    assert numbers_of(tmp_path) == list(range(300_000))


STUCK = """
import atexit, json, sys, threading
def report():
    print(json.dumps(log.stats()[:5]))
atexit.register(report)
from laketrace import get_logger
log = get_logger("proof", log_dir=None, stdout=False, close_timeout=3)
stuck = threading.Event()
log.add(lambda text: stuck.wait(), enqueue=True, queue_size=400_000)
log.add(sys.argv[1] + "/proof.log", enqueue=True, queue_size=400_000)
for number in range(300_000):
    log.info("row", n=number)
"""


def test_an_exit_with_300_000_before_a_sink_that_hangs_is_bounded(tmp_path: Path) -> None:
    """The program ends; what could not be written is counted, and files do not suffer by it."""
    exit_code, out, _ = run_program(STUCK, tmp_path)

    emitted, written, dropped, failed, queued = json.loads(out)
    found = len(numbers_of(tmp_path))
    assert exit_code == 0
    assert emitted == 600_000 == written + sum(dropped.values()) + failed + queued
    assert written == found == 300_000
    assert set(dropped) == {"exit"}
