"""Spark writes the table: each line once, whoever else writes, and only where it can be trusted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from laketrace.lakehouse import commits, tables, upload
from laketrace.lakehouse.tables.spark import SparkTable
from tests.lakehouse.logs import LogDir, expected, lines_in, record, rows_in

pytestmark = pytest.mark.extra("deltalake", "pyarrow")


@pytest.fixture
def without_spark(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """A block in which no session is seen, so delta-rs writes."""

    @contextmanager
    def hidden() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(tables, "active_session", lambda: None)
            yield

    return hidden


def forget(log: LogDir) -> None:
    """Lose what the directory knows of its uploads, as on another machine with a copy of it."""
    for name in os.listdir(os.path.join(log.path, ".laketrace")):
        if name.endswith((".ledger", ".done")):
            os.unlink(os.path.join(log.path, ".laketrace", name))


def writers_of(table: str) -> set[str]:
    deltalake = __import__("deltalake")
    history = deltalake.DeltaTable(table).history()
    return {str(commit.get("engineInfo", ""))[:5] for commit in history}


def test_each_line_arrives_once_and_a_repeat_adds_nothing(any_spark, tmp_path):
    """Spark writes what the delta-rs way would; a second uploader without a ledger doubles none."""
    log = LogDir(str(tmp_path / "logs")).fill(4)
    table = str(tmp_path / "a table")

    first = upload(log.path, table=table)
    forget(log)
    again = upload(log.path, table=table)

    assert (first.ok, first.segments, first.records) == (True, 4, 23), first
    assert again.ok, again
    assert lines_in(rows_in(table)) == expected(log)
    assert writers_of(table) == {"Apach"}


def test_both_writers_make_the_same_rows_and_append_to_each_others_tables(
    any_spark, tmp_path, without_spark
):
    """A table that one has made takes the other's rows, and all values are equal."""
    log = LogDir(str(tmp_path / "logs")).fill(4)
    log.add([record(1, level="AUDIT"), b"", b"\xff torn", record(2, x="\u00e4\ud83d\ude00\ud800")])
    by_spark, by_delta_rs = str(tmp_path / "spark"), str(tmp_path / "delta-rs")
    place = lambda row: (row["segment"], row["offset"])  # noqa: E731

    upload(log.path, table=by_spark)
    with without_spark():
        upload(log.path, table=by_delta_rs)
        more = LogDir(str(tmp_path / "more"), stream="f" * 32).fill(1)
        crossed = [upload(more.path, table=by_spark)]
    forget(more)
    crossed += [upload(more.path, table=by_delta_rs)]

    assert all(report.ok for report in crossed), crossed
    rows = [sorted(rows_in(table), key=place) for table in (by_spark, by_delta_rs)]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 32


def test_writers_take_turns_on_one_stream(any_spark, tmp_path, without_spark, monkeypatch):
    """Whoever goes on, and with commits of whatever size, nothing is doubled or left out."""
    monkeypatch.setattr(commits, "UNIT_BYTES", 1000)
    monkeypatch.setattr("laketrace.lakehouse.plan.UNIT_BYTES", 1000)
    log = LogDir(str(tmp_path / "logs"))
    table = str(tmp_path / "table")

    reports = []
    for turn in range(5):
        log.add([record(turn * 7 + number) for number in range(7)], gz=turn % 3 == 1)
        if turn != 2:
            forget(log)
        if turn % 2:
            with without_spark():
                reports.append(upload(log.path, table=table))
        else:
            reports.append(upload(log.path, table=table))

    assert all(report.ok for report in reports), reports
    assert lines_in(rows_in(table)) == expected(log)
    assert len(writers_of(table)) == 2


@pytest.mark.parametrize("committed", [1, 3])
def test_what_another_uploader_commits_meanwhile_is_left_out(
    any_spark, tmp_path, without_spark, monkeypatch, committed
):
    """Between the making of a commit and the write, somebody else commits a part or all of it."""
    log = LogDir(str(tmp_path / "logs")).fill(3)
    copy, table = str(tmp_path / "copy"), str(tmp_path / "table")
    write, races = SparkTable.write, []

    def race(self: Any, frame: Any, app_id: str, version: int, mark: str = "") -> None:
        if version and not mark and not races:
            shutil.copytree(log.path, copy)
            for name in sorted(os.listdir(copy))[1 + committed :]:
                os.unlink(os.path.join(copy, name))
            with without_spark():
                races.append(upload(copy, table=table))
        write(self, frame, app_id, version, mark)

    monkeypatch.setattr(SparkTable, "write", race)
    report = upload(log.path, table=table)

    assert races[0].segments == committed
    assert report.ok, report
    assert lines_in(rows_in(table)) == expected(log)


def test_a_table_of_another_shape_is_refused_by_its_columns(any_spark, tmp_path):
    """Columns that differ are named, nothing is tried again, nothing is written."""
    table = str(tmp_path / "table")
    frame = any_spark.range(1).selectExpr("id AS offset", "1 AS level", "2 AS own")
    frame.write.format("delta").save(f"file:{table}")

    report = upload(LogDir(str(tmp_path / "logs")).fill(1).path, table=table)

    assert "level is integer instead of string" in report.failed[0].reason
    assert "not ours: own" in report.failed[0].reason
    assert len(rows_in(table)) == 1


def test_a_table_with_a_name_is_made_and_filled(any_spark, tmp_path):
    """`schema.table` in the session's catalog."""
    log = LogDir(str(tmp_path / "logs")).fill(3)
    name = f"default.logs_{type(any_spark).__module__.count('connect')}"
    any_spark.sql(f"DROP TABLE IF EXISTS {name}")

    report = upload(log.path, table=name)
    forget(log)
    again = upload(log.path, table=name)

    assert report.ok and again.ok, (report, again)
    rows = [row.asDict() for row in any_spark.table(name).collect()]
    any_spark.sql(f"DROP TABLE {name}")
    assert lines_in(rows) == expected(log)


def test_a_missing_schema_is_said_at_once(any_spark, tmp_path):
    """What will not get better is not tried again."""
    log = LogDir(str(tmp_path / "logs")).fill(1)

    report = upload(log.path, table="no_such_schema.logs")

    assert "no_such_schema" in report.failed[0].reason
    assert report.seconds < 20


def test_an_engine_that_ignores_transactions_does_not_write(any_spark, tmp_path, monkeypatch):
    """It is found out by an empty commit; the table is then written by delta-rs."""
    log = LogDir(str(tmp_path / "logs")).fill(3)
    table = str(tmp_path / "table")
    write = SparkTable.write

    def careless(self: Any, frame: Any, app_id: str, version: int, mark: str = "") -> None:
        write(self, frame, f"{app_id}{os.urandom(4).hex()}", version, mark)

    monkeypatch.setattr(SparkTable, "write", careless)
    report = upload(log.path, table=table)
    forget(log)
    again = upload(log.path, table=table)
    named = upload(LogDir(str(tmp_path / "other")).fill(1).path, table="default.never")
    any_spark.sql("DROP TABLE default.never")

    assert report.ok and again.ok, (report, again)
    assert lines_in(rows_in(table)) == expected(log)
    assert "ignores txnAppId" in named.failed[0].reason


def test_sail_does_not_write(sail, tmp_path, capsys):
    """Sail knows no DESCRIBE DETAIL and ignores transactions: delta-rs writes, and that is said."""
    log = LogDir(str(tmp_path / "logs")).fill(3)
    table = str(tmp_path / "table")

    report = upload(log.path, table=table)
    forget(log)
    again = upload(log.path, table=table)
    named = upload(LogDir(str(tmp_path / "other")).fill(1).path, table="default.logs")

    assert report.ok and again.ok, (report, again)
    assert lines_in(rows_in(table)) == expected(log)
    assert "has no Delta Lake" in capsys.readouterr().err
    assert "has no Delta Lake" in named.failed[0].reason
