"""An uploader that uses Spark is killed at every step, on Connect and classic; all arrives once.

A killed client of Connect leaves a server that may still commit what it was given, and the JVM of
a killed classic driver lives for a moment, too. So the next upload begins at once.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from laketrace.lakehouse import upload
from laketrace.spark import load
from tests.lakehouse.logs import LogDir, expected, lines_in, rows_in
from tests.support.spark import MODE

pytestmark = [pytest.mark.extra("deltalake", "pyarrow"), pytest.mark.slow]

STEPS = ("reading", "writing", "committed", "confirmed", "done")
CLASSIC = 'SparkSession.builder.master("local[2]").getOrCreate()'
UPLOAD = """
import json, sys
from pyspark.sql import SparkSession
spark = {session}
print("ready", flush=True)
from laketrace.lakehouse import upload
print(json.dumps(upload(sys.argv[1], table=sys.argv[2]).to_dict()), flush=True)
"""
LOAD = """
import sys
from pyspark.sql import SparkSession
spark = {session}
from laketrace.spark import load
load(spark, *sys.argv[1:])
"""
AT_EXIT = """
import sys
from pyspark.sql import SparkSession
spark = {session}
from laketrace import get_logger
log = get_logger("orders", log_dir=sys.argv[1], upload_table=sys.argv[2], stdout=False)
for number in range(20):
    log.info("table loaded", rows=number)
"""


def client_of(session: Any) -> str:
    """The code of a client with a session of its own on the server of `session`."""
    return f"SparkSession.builder.remote('sc://{session._client._builder.endpoint}').getOrCreate()"


def start(program: str, session: str, *arguments: str, crash_at: str = "") -> Any:
    environ = {name: value for name, value in os.environ.items() if name != MODE}
    return subprocess.Popen(
        [sys.executable, "-c", program.format(session=session), *arguments],
        env={**environ, "LAKETRACE_TEST_CRASH_AT": crash_at},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def two_commits(folder: str) -> LogDir:
    """A log whose upload takes two commits, each of several segments."""
    log = LogDir(folder).fill(2)
    log.add(lines(170, 100_000))
    return log.fill(2)


def lines(count: int, size: int) -> list[bytes]:
    """Lines that are foreign objects of some bytes."""
    return [b'{"a":%d,"text":"%s"}' % (number, b"x" * size) for number in range(count)]


def check(log: LogDir, table: str) -> None:
    assert lines_in(rows_in(table)) == expected(log)


@pytest.mark.parametrize("step", [*STEPS, "committed:2", "confirmed:3"])
def test_a_client_of_connect_killed_at_a_step(spark_connect, tmp_path, step):
    """The server lives on; the next client brings what is missing and nothing else."""
    log, table = two_commits(str(tmp_path / "logs")), str(tmp_path / "table")

    killed = start(UPLOAD, client_of(spark_connect), log.path, table, crash_at=step)
    said = killed.communicate()
    report = upload(log.path, table=table)

    assert killed.returncode == -signal.SIGKILL, said
    assert report.ok, report
    check(log, table)


def test_clients_of_connect_killed_while_the_server_writes(spark_connect, tmp_path):
    """Each is killed when its rows are in a file and the commit comes; what the server does with
    that meets the next upload, which begins at once."""
    moments = random.Random(6)
    log, table = LogDir(str(tmp_path / "logs")), str(tmp_path / "table")

    for _ in range(5):
        log.add(lines(3000, 1000))
        log.fill(2)
        victim = start(UPLOAD, client_of(spark_connect), log.path, table)
        kill_when_it_writes(victim, table, moments.random() * 0.1)
        report = upload(log.path, table=table)
        assert report.ok, report

    check(log, table)


def kill_when_it_writes(victim: Any, table: str, later: float = 0.0) -> None:
    """Kill a process as soon as there is a new file with rows, or some seconds `later`."""
    before, end = files_in(table), time.monotonic() + 120
    while not files_in(table) - before and victim.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    time.sleep(later)
    victim.kill()
    victim.communicate()


def files_in(table: str) -> set[str]:
    """The files with rows in a table's folder, committed or not."""
    try:
        with os.scandir(table) as found:
            return {
                item.name
                for item in found
                if item.name.endswith(".parquet") and item.stat().st_size > 5000
            }
    except OSError:
        return set()


@pytest.mark.parametrize("step", ["writing", "committed"])
def test_a_classic_driver_killed_at_a_step(spark, tmp_path, step):
    """Its JVM dies with it, sooner or later; another driver ends what it began."""
    log, table = two_commits(str(tmp_path / "logs")), str(tmp_path / "table")

    killed = start(UPLOAD, CLASSIC, log.path, table, crash_at=step)
    said = killed.communicate()
    report = upload(log.path, table=table)

    assert killed.returncode == -signal.SIGKILL, said
    assert report.ok, report
    check(log, table)


def test_a_classic_driver_killed_while_it_writes(spark, tmp_path):
    """SIGKILL when the rows are in a file and the commit comes."""
    log, table = two_commits(str(tmp_path / "logs")), str(tmp_path / "table")

    kill_when_it_writes(start(UPLOAD, CLASSIC, log.path, table), table)
    report = upload(log.path, table=table)

    assert report.ok, report
    check(log, table)


def test_a_load_killed_while_it_writes(spark, tmp_path):
    """The next load goes on from the checkpoint and from what the table has."""
    log, target = two_commits(str(tmp_path / "logs")), str(tmp_path / "target")
    table, checkpoint = str(tmp_path / "table"), str(tmp_path / "checkpoint")
    upload(log.path, target)

    kill_when_it_writes(start(LOAD, CLASSIC, target, table, checkpoint), table)
    load(spark, target, table, checkpoint)

    check(log, table)


@pytest.mark.parametrize("session", ["spark_connect", "spark"])
def test_a_process_that_uploads_ends_cleanly(request, tmp_path, session):
    """Exit status 0 and nothing on stderr of an abort; what it logged last is in the table."""
    own = request.getfixturevalue(session)
    code = client_of(own) if session == "spark_connect" else CLASSIC
    table = str(tmp_path / "table")

    process = start(AT_EXIT, code, str(tmp_path / "logs"), table)
    _, said = process.communicate(timeout=200)

    assert process.returncode == 0, said
    assert not [word for word in ("abort", "terminate called", "Traceback") if word in said], said
    assert [row["message"] for row in rows_in(table)].count("table loaded") == 20
