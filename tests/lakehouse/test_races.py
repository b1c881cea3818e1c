"""Many uploaders at once: of one directory, of copies of it, into one table."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

import laketrace
from laketrace.lakehouse import ledger, upload, uploader
from laketrace.lakehouse.options import make_options
from laketrace.lakehouse.retry import Deadline
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


def test_two_processes_with_one_directory_take_turns(tmp_path):
    """Both end well, one of them with nothing left to do."""
    log = LogDir(str(tmp_path / "logs")).fill(8)
    places = {"target": str(tmp_path / "target"), "table": str(tmp_path / "table")}

    racers = [upload_elsewhere(log.path, wait=False, **places) for _ in range(2)]
    outputs = [racer.communicate() for racer in racers]

    assert [racer.returncode for racer in racers] == [0, 0], outputs
    assert all('"failed": []' in output for output, _ in outputs), outputs
    assert lines_in(rows_in(places["table"])) == expected(log)
    assert copies_in(places["target"]) == log.files


def test_two_machines_with_copies_of_a_directory_double_nothing(tmp_path):
    """No lock in common, other ledgers: the table and the names in the target decide."""
    log = LogDir(str(tmp_path / "logs")).fill(8)
    copy = str(tmp_path / "copy")
    shutil.copytree(log.path, copy)
    places = {"target": str(tmp_path / "target"), "table": str(tmp_path / "table")}

    racers = [upload_elsewhere(path, wait=False, **places) for path in (log.path, copy)]
    outputs = [racer.communicate() for racer in racers]

    assert all('"failed": []' in output for output, _ in outputs), outputs
    assert lines_in(rows_in(places["table"])) == expected(log)
    assert copies_in(places["target"]) == log.files
    assert set(manifested_in(places["target"])) == set(log.files)


@pytest.mark.parametrize("first", ["copy", "original"])
def test_a_copy_of_a_log_that_goes_on_takes_nothing_from_it(tmp_path, first):
    """What was active when a directory was copied has a stream of its own there."""
    table = str(tmp_path / "table")
    here, there = str(tmp_path / "here"), str(tmp_path / "there")
    log = laketrace.get_logger("copied", log_dir=here, stdout=False)
    log.info("before", n=1)
    shutil.copytree(here, there)
    log.info("after", n=2)
    log.finish_segment()
    upload(there, target=str(tmp_path / "target"))  # finishes what is active in the copy

    for folder in (there, here) if first == "copy" else (here, there):
        assert upload(folder, table=table).ok
    log.close()

    rows = rows_in(table)
    streams = {row["segment"][:32]: [] for row in rows}
    for row in sorted(rows, key=lambda row: row["offset"]):
        streams[row["segment"][:32]].append(row["message"])
    assert sorted(streams.values()) == [["before"], ["before", "after"]]


def test_without_locks_uploaders_of_one_directory_double_nothing(tmp_path, monkeypatch):
    """Where the file system knows no locks, only work is lost."""
    monkeypatch.setattr(ledger, "_try_lock", lambda descriptor: True)
    log = LogDir(str(tmp_path / "logs")).fill(10)
    target, table = str(tmp_path / "target"), str(tmp_path / "table")

    with ThreadPoolExecutor(4) as pool:
        racers = [pool.submit(upload, log.path, target, table) for _ in range(4)]
        reports = [racer.result() for racer in racers]

    assert all(report.ok for report in reports), reports
    assert lines_in(rows_in(table)) == expected(log)
    assert copies_in(target) == log.files


def test_a_busy_directory_is_said_to_be_busy(tmp_path):
    """Who does not want to wait for another upload gets a report that says so."""
    log = LogDir(str(tmp_path / "logs")).fill(1)
    order = make_options(target=str(tmp_path / "target"))
    with ledger.upload_lock(log.path, Deadline(0)):
        report = uploader.run_upload(log.path, order, deadline=Deadline(0))

    assert report.failed[0].reason == "another upload of this directory is at work"


def test_fifty_uploaders_fill_one_table(tmp_path):
    """The table is made in the race, every stream lands, and nobody gives up."""
    table = str(tmp_path / "table")
    logs = [LogDir(str(tmp_path / f"logs{n}"), stream=f"{n:032x}").fill(2) for n in range(50)]

    with ThreadPoolExecutor(50) as pool:
        reports = list(pool.map(lambda log: upload(log.path, table=table), logs))

    assert [report for report in reports if not report.ok] == []
    assert lines_in(rows_in(table)) == expected(*logs)
