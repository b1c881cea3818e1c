"""What the proofs have in common: programs that may die, and the reckoning afterwards.

A proof logs numbered records (`n=0`, `n=1`, ...), lets a fault happen, and then counts: what is in
the files, byte by byte, against what the account says and what the program had been told.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from laketrace import Logger, get_logger
from laketrace.core.stats import Stats
from laketrace.files import janitor
from laketrace.files.compression import open_archive
from laketrace.files.segment import active_files, find_segments

ROOT = Path(__file__).resolve().parents[2]
# A queue on a machine that stands still for seconds waits; that it gives up is not what is proved.
PATIENT = {"overflow_timeout": 120, "close_timeout": 120}
KEEP_ALL = {"stdout": False, "retention": "100000 files", **PATIENT}


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come true within {seconds} s"
        time.sleep(0.002)


def make_log(folder: object, name: str = "proof", **settings: Any) -> Logger:
    """A logger that writes to files in `folder` (None: to no file) and keeps them all."""
    log_dir = None if folder is None else str(folder)
    return get_logger(name, log_dir=log_dir, **{**KEEP_ALL, **settings})


def files_of(folder: object) -> list[str]:
    """The log files in a folder: the segments in order, then the active files."""
    return [segment.path for segment in find_segments(str(folder))] + active_files(str(folder))


def lines_of(path: str) -> list[bytes]:
    """The lines of a log file or an archive, each with its newline."""
    with open_archive(path) as file:
        lines = file.read().splitlines(keepends=True)
    assert all(line.endswith(b"\n") for line in lines), f"{path} ends in a torn line"
    return lines


def records_of(folder: object) -> list[dict[str, Any]]:
    """Every record in the files of a folder; each line has to be one, read strictly."""
    return [record for path in files_of(folder) for record in records_in(path)]


def records_in(path: str) -> list[dict[str, Any]]:
    """The records in one file."""
    records = [json.loads(line, parse_constant=_refuse) for line in lines_of(path)]
    assert all(isinstance(record, dict) for record in records)
    return records


def _refuse(constant: str) -> float:
    raise AssertionError(f"{constant} is no JSON")


def numbers_of(folder: object) -> list[int]:
    """The numbers of the records in a folder, in the order of the files."""
    return [record["n"] for record in records_of(folder) if "n" in record]


def is_balanced(stats: Stats) -> bool:
    """Whether the account adds up."""
    ended = stats.written + sum(stats.dropped.values()) + stats.failed
    return stats.emitted == ended + stats.queued and stats.queued >= 0


def assert_account(stats: Stats, folder: object) -> None:
    """The account adds up, and says of the files what is in them."""
    assert is_balanced(stats), stats
    assert stats.written == len(records_of(folder)), stats


def assert_tidy(folder: object) -> None:
    """Nothing half-made is left: no temporary file, no archive beside its source."""
    names = set(os.listdir(str(folder)))
    assert not [name for name in names if name.endswith(".tmp")]
    assert not [name for name in names if name.endswith(".gz") and name[:-3] in names]


def start_again(folder: object, name: str = "proof", **settings: Any) -> Stats:
    """The next start of a program after a crash: it opens the log, tidies up and ends."""
    log = make_log(folder, name, **settings)
    assert janitor.wait(None, 120)
    log.close()
    return log.stats()


@contextmanager
def program(code: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """A fresh interpreter that runs `code`; killed at the end, if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run_program(code: str, *arguments: object, seconds: float = 240) -> tuple[int, str, str]:
    """Run `code` to its end; exit code, what it printed, and what it said on stderr."""
    with program(code, *arguments) as process:
        out, err = process.communicate(timeout=seconds)
    return process.returncode, out.decode(), err.decode()


def in_child(work: Callable[[], object], seconds: float = 120) -> int:
    """Fork, run `work` in the child; its exit code, or minus the signal that ended it.

    The child ends with `os._exit`: 0, or 70 when `work` raised.
    """
    child = os.fork()
    if child == 0:
        code = 70
        try:
            work()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    return wait_for(child, seconds)


def wait_for(child: int, seconds: float = 120) -> int:
    """Wait for the end of a child; one that hangs is killed and fails the test."""
    deadline = time.monotonic() + seconds
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os.waitpid(child, 0)
            raise AssertionError("the child hangs")
        time.sleep(0.001)
