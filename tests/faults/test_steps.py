"""A process dies between any two steps of a rotation, a compression or a recovery.

A step is something that Python tells its audit hooks: an open, a rename, a link, an unlink, a lock.
A child is killed right before its n-th step, for every n that there is, and the next start has to
find everything.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from laketrace.files import janitor
from tests.faults.proof import (
    assert_tidy,
    files_of,
    in_child,
    make_log,
    numbers_of,
    start_again,
)

STEPS = (
    "open", "os.rename", "os.remove", "os.link", "os.truncate", "os.chmod", "os.utime",
    "os.mkdir", "os.listdir", "fcntl.flock",
)  # fmt: skip
RECORDS = 60


def die_before_step(number: int, folder: Path) -> Callable[[], int]:
    """Let this process be killed before its n-th step in `folder`; what counts the steps."""
    steps = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal steps
        if event in STEPS and (event == "fcntl.flock" or str(folder) in str(arguments[0])):
            steps += 1
            if steps == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return lambda: steps


def work(folder: Path, acknowledge: Callable[[int], object]) -> None:
    """Log with rotation and gz, a compression after each rotation, so that steps have an order."""
    log = make_log(folder, rotation="2 KB", compression="gz")
    for number in range(RECORDS):
        log.info("row", n=number)
        acknowledge(number)
        janitor.wait(None, 120)
    log.close()


def steps_of(folder: Path, job: Callable[[Path], object]) -> int:
    """How many steps a job has when nothing goes wrong."""
    read, write = os.pipe()

    def counted() -> None:
        steps = die_before_step(0, folder)
        job(folder)
        os.write(write, b"%d" % steps())

    try:
        assert in_child(counted) == 0
        return int(os.read(read, 20))
    finally:
        os.close(read)
        os.close(write)


def killed_before(number: int, folder: Path) -> list[int]:
    """Work until the n-th step; the numbers that were acknowledged."""
    read, write = os.pipe()

    def dying() -> None:
        die_before_step(number, folder)
        work(folder, lambda n: os.write(write, b"%d\n" % n))

    try:
        assert in_child(dying) in (-signal.SIGKILL, 0)
        os.close(write)
        with os.fdopen(read) as said:
            return [int(line) for line in said]
    except BaseException:
        os.close(write)
        raise


@pytest.mark.parametrize(
    "every", [17, pytest.param(1, marks=pytest.mark.slow)], ids=["some-steps", "every-step"]
)
def test_a_kill_between_any_two_steps_loses_nothing(tmp_path: Path, every: int) -> None:
    """Whatever step comes last, what was logged is found, once, and nothing half-made is left."""
    steps = steps_of(tmp_path / "whole", lambda folder: work(folder, lambda n: None))
    assert steps > 100

    for number in range(1, steps + 1, every):
        folder = tmp_path / str(number)
        said = killed_before(number, folder)

        start_again(folder, compression="gz")

        found = numbers_of(folder)
        assert found == sorted(set(found)), f"step {number}"
        assert set(said) <= set(found), f"step {number}"
        assert_tidy(folder)
        shutil.rmtree(folder)


def make_ruins(folder: Path) -> None:
    """What three processes that died at bad moments leave: every kind of ruin at once."""
    folder.mkdir()
    make_log(folder, rotation="2 KB").close()
    log = make_log(folder, rotation="2 KB")
    for number in range(RECORDS):
        log.info("row", n=number)
    janitor.wait(None, 120)
    log.close()
    segment = next(path for path in files_of(folder) if not path.endswith(".log"))
    Path(segment + ".gz").write_bytes(b"\x1f\x8b half an archive")
    Path(segment + ".gz.tmp").write_bytes(b"")
    with open(folder / "proof.log", "ab") as active:
        active.write(b'{"timestamp":"2026-11-21T10:00:00.000000+00:00","lev')
    dead = "proof.4000000"
    shutil.copy(folder / "proof.log", folder / f"{dead}.log")
    shutil.copy(folder / ".laketrace/proof.stream", folder / f".laketrace/{dead}.stream")


@pytest.mark.parametrize(
    "every", [11, pytest.param(1, marks=pytest.mark.slow)], ids=["some-steps", "every-step"]
)
def test_a_kill_between_any_two_steps_of_a_recovery_is_recovered(
    tmp_path: Path, every: int
) -> None:
    """A start that dies while it tidies up leaves the rest to the next one."""
    make_ruins(tmp_path / "whole")
    steps = steps_of(tmp_path / "whole", lambda folder: start_again(folder, compression="gz"))
    expected = sorted(numbers_of(tmp_path / "whole"))
    assert steps > 30

    for number in range(1, steps + 1, every):
        folder = tmp_path / str(number)
        make_ruins(folder)

        def dying(folder: Path = folder, number: int = number) -> None:
            die_before_step(number, folder)
            start_again(folder, compression="gz")

        assert in_child(dying) == -signal.SIGKILL
        start_again(folder, compression="gz")

        assert sorted(numbers_of(folder)) == expected, f"step {number}"
        assert_tidy(folder)
        shutil.rmtree(folder)
