"""`laketrace.spark.load`: files of a target become rows, once, whoever else brings them."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from laketrace.errors import ConfigError
from laketrace.lakehouse import loader, tables, upload
from laketrace.lakehouse.tables.spark import SparkTable
from laketrace.spark import load
from tests.lakehouse.logs import LogDir, expected, lines_in, record, rows_in

pytestmark = pytest.mark.extra("deltalake", "pyarrow")


@pytest.fixture
def by_delta_rs(monkeypatch):
    """Single uploaders without Spark."""
    monkeypatch.setattr(tables, "active_session", lambda: None)


def places(tmp_path: Any) -> tuple[str, str, str]:
    return str(tmp_path / "target"), str(tmp_path / "table"), str(tmp_path / "checkpoint")


def ordered(table: str) -> list[dict[str, Any]]:
    return sorted(rows_in(table), key=lambda row: (row["segment"], row["offset"]))


def test_rows_are_those_of_an_uploader(any_spark, tmp_path, by_delta_rs):
    """Plain files and archives, torn, foreign and damaged: equal in every column, visible."""
    target, table, checkpoint = places(tmp_path)
    log = LogDir(str(tmp_path / "logs")).fill(4)
    log.add([record(1, level="OTHER"), b"", b"\xff torn", record(2, x="\u00e4\ud83d\ude00\ud800")])
    broken = log.add([record(n) for number in range(5000) if (n := number)], gz=True)
    with open(broken, "r+b") as archive:
        archive.truncate(os.path.getsize(broken) // 2)
    upload(log.path, target, str(tmp_path / "uploaded"))

    load(any_spark, target, table, checkpoint)

    rows = ordered(table)
    assert rows == ordered(str(tmp_path / "uploaded"))
    assert "the archive is damaged" in rows[-1]["raw"]


def test_each_load_brings_what_is_new(any_spark, tmp_path):
    """Batches of a few files; a second load goes on, also when its checkpoint was lost."""
    target, table, checkpoint = places(tmp_path)
    log = LogDir(str(tmp_path / "logs")).fill(3)
    upload(log.path, target)

    load(any_spark, target, table, checkpoint, files=2)
    first = lines_in(rows_in(table))
    log.fill(2)
    upload(log.path, target)
    shutil.rmtree(checkpoint)
    load(any_spark, target, table, checkpoint)

    assert sum(first.values()) == 18
    assert lines_in(rows_in(table)) == expected(log)


@pytest.mark.parametrize("spark_uploads", [True, False])
def test_rows_of_single_uploaders_are_counted_in(any_spark, tmp_path, monkeypatch, spark_uploads):
    """What uploaders have put there before a load, and what they try to put there after it."""
    if not spark_uploads:
        monkeypatch.setattr(tables, "active_session", lambda: None)
    target, table, checkpoint = places(tmp_path)
    before = LogDir(str(tmp_path / "before")).fill(3)
    after = LogDir(str(tmp_path / "after"), stream="a" * 32).fill(3)

    reports = [upload(before.path, target, table)]
    before.fill(2)
    reports += [upload(before.path, target), upload(after.path, target)]
    load(any_spark, target, table, checkpoint)
    before.fill(2)
    after.fill(2)
    reports += [upload(log.path, target, table) for log in (before, after)]
    load(any_spark, target, table, checkpoint)

    assert all(report.ok for report in reports), reports
    assert lines_in(rows_in(table)) == expected(before, after)


def test_an_upload_during_the_commit_of_a_load_doubles_nothing(
    spark, tmp_path, monkeypatch, by_delta_rs
):
    """Between the making of a batch and its commit, an uploader brings the same rows.

    Classic only: on Connect this happens in the server's process, out of a test's reach.
    """
    target, table, checkpoint = places(tmp_path)
    log = LogDir(str(tmp_path / "logs")).fill(3)
    upload(log.path, target)
    write, races = SparkTable.write, []

    def race(self: Any, frame: Any, app_id: str, version: int, mark: str = "") -> None:
        if not races:
            races.append(upload(log.path, target, table))
        write(self, frame, app_id, version, mark)

    monkeypatch.setattr(SparkTable, "write", race)
    load(spark, target, table, checkpoint)

    assert races[0].ok, races
    assert lines_in(rows_in(table)) == expected(log)


def test_a_load_with_an_interval_goes_on(spark, tmp_path):
    """It takes what arrives until it is stopped."""
    target, table, checkpoint = places(tmp_path)
    log = LogDir(str(tmp_path / "logs")).fill(1)
    upload(log.path, target)

    query = load(spark, target, table, checkpoint, trigger="1 second")
    try:
        query.processAllAvailable()
        log.fill(1)
        upload(log.path, target)
        query.processAllAvailable()
    finally:
        query.stop()

    assert lines_in(rows_in(table)) == expected(log)


def test_a_segment_that_lies_there_in_two_forms_is_loaded_once(spark, tmp_path):
    """As it was written and as an archive, in one batch."""
    target, table, checkpoint = places(tmp_path)
    log = LogDir(str(tmp_path / "logs")).fill(1)
    upload(log.path, target)
    for plain in Path(target).rglob("*.log.*"):
        plain.with_name(f"{plain.name}.gz").write_bytes(gzip.compress(plain.read_bytes()))

    load(spark, target, table, checkpoint)

    assert lines_in(rows_in(table)) == expected(log)


def test_other_files_are_left_alone(spark, tmp_path):
    """Manifests and what else lies there are no segments."""
    target, table, checkpoint = places(tmp_path)
    upload(LogDir(str(tmp_path / "logs")).fill(1).path, target)
    with open(os.path.join(target, "notes.txt"), "w") as file:
        json.dump({}, file)

    load(spark, target, table, checkpoint)

    assert Counter(len(row["segment"]) for row in rows_in(table)) == Counter({59: 5})


def test_a_file_that_spark_cannot_hand_over_stops_nothing(spark, tmp_path, monkeypatch, capsys):
    """It is left out and said, the others are loaded, and an uploader may bring it."""
    monkeypatch.setattr(loader, "_LARGEST", 2000)
    target, table, checkpoint = places(tmp_path)
    log = LogDir(str(tmp_path / "logs")).fill(2)
    log.add([record(number) for number in range(100)])
    upload(log.path, target)

    load(spark, target, table, checkpoint)
    loaded = len(rows_in(table))
    report = upload(log.path, target, table)

    assert loaded == 13
    assert "was left out" in capsys.readouterr().err
    assert report.ok, report
    assert lines_in(rows_in(table)) == expected(log)


def test_a_wrong_place_is_said_before_anything_begins(tmp_path):
    """With the setting and the way out."""
    with pytest.raises(ConfigError, match=r"target: 's3a://\.\.\.' is not a form"):
        load(None, "s3a://bucket/logs", "main.ops.logs", str(tmp_path))
