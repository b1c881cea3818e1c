"""An uploader is killed at every step; what it began, another one ends, exactly once."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from laketrace.lakehouse import upload
from laketrace.lakehouse.ledger import read_done
from laketrace.lakehouse.steps import STEPS
from tests.lakehouse.logs import (
    LogDir,
    copies_in,
    expected,
    lines_in,
    manifested_in,
    rows_in,
    upload_elsewhere,
)

pytestmark = pytest.mark.extra("deltalake", "pyarrow")


def check(log: LogDir, target: str, table: str) -> None:
    assert lines_in(rows_in(table)) == expected(log)
    assert copies_in(target) == log.files
    named = manifested_in(target)
    assert set(named) == set(log.files)
    assert sum(item["records"] for item in named.values()) == sum(log.lines.values())


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("time", [1, 3])
def test_killed_at_any_step_everything_arrives_once(tmp_path, step, time):
    """After SIGKILL at a step and a second upload, table and target hold each line once."""
    log = LogDir(str(tmp_path / "logs")).fill(4)
    target, table = str(tmp_path / "target"), str(tmp_path / "table")
    places = {"target": target, "table": table, "delete_after": True}

    killed = upload_elsewhere(log.path, f"{step}:{time}", **places)
    report = upload(log.path, **places)

    assert killed.returncode in (0, -signal.SIGKILL), killed.communicate()
    assert time > 1 or killed.returncode == -signal.SIGKILL
    assert report.ok, report
    check(log, target, table)
    assert not [name for name in os.listdir(log.path) if ".log." in name]


def test_killed_over_and_over_at_random_everything_arrives_once(tmp_path):
    """Uploads that are killed at random moments still get everything there, once."""
    log = LogDir(str(tmp_path / "logs")).fill(12, records=40)
    target, table = str(tmp_path / "target"), str(tmp_path / "table")
    moments = random.Random(6)

    for _ in range(6):
        process = upload_elsewhere(log.path, wait=False, target=target, table=table)
        time.sleep(0.4 + moments.random())  # a moment, not a condition: the kill may come too late
        process.kill()
        process.communicate()
    report = upload(log.path, target=target, table=table)

    assert report.ok, report
    check(log, target, table)
    bases = {name.partition("-")[2].removesuffix(".gz") for name in log.files}
    assert bases <= read_done(log.path, log.stem)
