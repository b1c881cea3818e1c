"""What an upload does with a directory: copies, rows, manifests, reports, and what it leaves."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import json
import os
import signal
import subprocess
import sys

import pytest

import laketrace
from laketrace.files.segment import find_segments, parse_segment, read_done
from laketrace.lakehouse import copies, ledger, upload
from laketrace.lakehouse.columns import COLUMNS
from laketrace.lakehouse.source import SegmentFile, SegmentGone
from laketrace.lakehouse.stream import find_streams
from laketrace.lakehouse.tables import delta_rs
from tests.lakehouse.logs import (
    STREAM,
    LogDir,
    copies_in,
    expected,
    lines_in,
    manifested_in,
    record,
    rows_in,
)

pytestmark = pytest.mark.extra("deltalake", "pyarrow")


@pytest.fixture
def log(tmp_path):
    return LogDir(str(tmp_path / "logs"))


@pytest.fixture
def target(tmp_path):
    return str(tmp_path / "target")


@pytest.fixture
def table(tmp_path):
    return str(tmp_path / "table")


def test_segments_reach_target_and_table_once(log, target, table):
    """Each segment is one file, each line one row, and the report counts them."""
    log.fill(4)

    report = upload(log.path, target=target, table=table)

    assert report.ok and (report.segments, report.records) == (4, sum(log.lines.values()))
    assert report.bytes == sum(map(len, log.files.values()))
    assert copies_in(target) == log.files
    assert lines_in(rows_in(table)) == expected(log)
    assert sorted(os.listdir(f"{target}/orders/run-1"))[-1] == "_manifest.json"


def test_a_second_upload_finds_everything_there(log, target, table):
    """Nothing is sent twice, and the report says what was there."""
    upload(log.fill(3).path, target=target, table=table)
    version = delta_version(table)

    report = upload(log.path, target=target, table=table)

    assert report.did_nothing and report.skipped == 3
    assert delta_version(table) == version


def test_a_lost_ledger_costs_work_and_no_records(log, target, table):
    """Without the ledger, target and table are asked, and nothing is doubled."""
    upload(log.fill(3).path, target=target, table=table)
    for kind in ("ledger", "done"):
        os.unlink(os.path.join(log.path, ".laketrace", f"orders.{kind}"))

    report = upload(log.path, target=target, table=table)

    assert report.ok and report.skipped == 3 and not report.segments
    assert lines_in(rows_in(table)) == expected(log)
    assert copies_in(target) == log.files


def test_names_are_durable_before_anything_bears_them(log, target, table, monkeypatch):
    """A loss of power takes no name back: directory and journal are flushed before all else."""
    flushed, fsync = [], os.fsync

    def watched(descriptor):
        flushed.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    upload(log.fill(1).path, target=target, table=table)

    sidecars = os.path.join(log.path, ".laketrace")
    assert flushed[:3] == [os.path.join(sidecars, "orders.stream"), sidecars, log.path]
    assert flushed[3] == os.path.join(sidecars, "orders.ledger")


def test_new_segments_join_what_is_there(log, target, table):
    """A later upload takes what is new; the manifest names all."""
    upload(log.fill(2).path, target=target, table=table)
    log.add([record(99)])

    report = upload(log.path, target=target, table=table)

    assert (report.segments, report.skipped) == (1, 2)
    assert lines_in(rows_in(table)) == expected(log)
    assert set(manifested_in(target)) == set(log.files)


def test_the_manifest_proves_a_run_complete(log, target):
    """It names each copy with size, digest, records and the first and last time."""
    log.fill(2)

    upload(log.path, target=target)

    entries = manifested_in(target)
    first = entries[f"{STREAM}-orders.log.20261121_100001"]
    assert (first["records"], first["bytes"]) == (5, len(log.files[first["name"]]))
    assert first["first"] == "2026-11-21T10:00:00.000000+00:00"
    assert first["last"] == "2026-11-21T10:00:04.000000+00:00"
    assert sum(entry["records"] for entry in entries.values()) == sum(log.lines.values())


def test_two_streams_of_one_run_have_a_manifest_each(tmp_path, target):
    """Two machines that log for one run do not overwrite each other's manifest."""
    one = LogDir(str(tmp_path / "one")).fill(2)
    other = LogDir(str(tmp_path / "other"), stream="f" * 32).fill(2)

    for log in (one, other, one):
        upload(log.path, target=target)

    names = [name for name in os.listdir(f"{target}/orders/run-1") if name.startswith("_")]
    assert sorted(names) == ["_manifest.1.json", "_manifest.json"]
    assert set(manifested_in(target)) == {*one.files, *other.files}


def test_segments_are_done_only_when_both_places_have_them(log, target, table):
    """Retention and `delete_after` wait for both confirmations."""
    path = log.add([record(1)])
    os.makedirs(table)
    open(os.path.join(table, "_delta_log"), "w").close()  # a file in the way of the table's log

    report = upload(log.path, target=target, table=table, delete_after=True, retries=0)

    assert not report.ok and not report.segments
    assert read_done(log.path, "orders") == frozenset()
    assert os.path.exists(path)
    assert copies_in(target) == log.files


def test_local_segments_go_after_both_have_confirmed(log, target, table):
    """`delete_after` removes them, and what is done is noted before that."""
    log.fill(3)

    upload(log.path, target=target, table=table, delete_after=True)

    assert find_segments(log.path) == []
    assert len(read_done(log.path, "orders")) >= 3


def test_a_ledger_does_not_grow_for_ever(log, target, table, monkeypatch):
    """What it says of segments that are gone is forgotten; what it says of others stays."""
    monkeypatch.setattr(ledger, "_MANY", 3)
    for number in range(4):
        upload(log.fill(2).path, target=target, table=table, delete_after=number < 3)

    again = upload(log.path, target=target, table=table)

    with open(os.path.join(log.path, ".laketrace", "orders.ledger")) as file:
        events = [json.loads(line) for line in file if line.strip()]
    named = {event.get("plan") or event["sent"] for event in events}
    bases = {segment.base for segment in find_segments(log.path)}
    assert len(bases) == 2 and bases <= named and len(named) <= 5
    assert bases <= read_done(log.path, "orders")
    assert (again.ok, again.skipped, again.segments) == (True, 2, 0)
    assert lines_in(rows_in(table)) == expected(log)


def test_a_ledger_that_another_uploader_has_tidied_is_read_anew(log, monkeypatch):
    """Who has read more of it than is left goes on with what is there."""
    monkeypatch.setattr(ledger, "_MANY", 3)
    one, other = ledger.Ledger(log.path, "orders"), ledger.Ledger(log.path, "orders")
    for number in range(9):
        one.sent(f"gone {number}", "place")
    other.sent("gone 9", "place")

    one.tidy()
    other.sent("new", "place")

    assert other.is_sent("new", "place")


def test_a_segment_with_a_writer_waits_and_so_do_its_successors(log, table):
    """What somebody still writes to is not taken, nor is anything behind it."""
    log.add([record(1)])
    busy = log.add([record(2)])
    log.add([record(3)])
    with open(busy, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        report = upload(log.path, table=table)
        assert (report.segments, report.waiting) == (1, 2)

    report = upload(log.path, table=table)

    assert (report.segments, report.waiting) == (2, 0)
    assert lines_in(rows_in(table)) == expected(log)


def test_a_segment_compressed_between_two_tries_is_sent_as_planned(log, target, monkeypatch):
    """The form of a copy is decided once; a reader never finds a segment in two forms."""
    path = log.add([record(number) for number in range(50)])

    def broken(*arguments):
        raise ConnectionError("reset")

    with monkeypatch.context() as patch:
        patch.setattr("laketrace.lakehouse.targets.directory.DirectoryTarget.send", broken)
        assert not upload(log.path, target=target, retries=0).ok
    with open(path, "rb") as plain, gzip.open(f"{path}.gz", "wb") as packed:
        packed.write(plain.read())
    os.unlink(path)
    report = upload(log.path, target=target)

    assert report.ok, report
    assert copies_in(target) == log.files


def test_a_segment_compressed_since_it_was_listed_counts_with_its_bytes(log, target, monkeypatch):
    """The report has the bytes of the archive, not none."""
    path = log.add([record(number) for number in range(50)])

    def listed(*arguments, **options):
        found = find_streams(*arguments, **options)
        with open(path, "rb") as plain, gzip.open(f"{path}.gz", "wb") as packed:
            packed.write(plain.read())
        os.unlink(path)
        return found

    monkeypatch.setattr("laketrace.lakehouse.uploader.find_streams", listed)
    report = upload(log.path, target=target)

    assert (report.ok, report.records) == (True, 50)
    assert report.bytes == os.path.getsize(f"{path}.gz")


def test_a_foreign_file_under_the_name_is_left_alone(log, target):
    """Other content is refused and reported; the other segments are sent."""
    log.fill(3)
    name = next(iter(log.files))
    os.makedirs(f"{target}/orders/run-1")
    with open(f"{target}/orders/run-1/{name}", "wb") as file:
        file.write(b"something else that is longer" * 1000)

    report = upload(log.path, target=target)

    assert [failure.reason for failure in report.failed] == [
        f"SegmentError: orders/run-1/{name} is there with other content; it was left alone"
    ]
    assert report.segments == 2


def test_a_segment_edited_after_it_was_planned_is_refused(log, target, monkeypatch):
    """What was promised to be sent cannot be exchanged for something else."""
    path = log.add([record(1)])
    with monkeypatch.context() as patch:
        patch.setattr(copies.Copier, "_bring", lambda *arguments: (_ for _ in ()).throw(OSError()))
        upload(log.path, target=target, retries=0)
    with open(path, "ab") as file:
        file.write(b"{}\n")

    report = upload(log.path, target=target)

    assert "has changed since its upload began" in report.failed[0].reason


def test_a_damaged_archive_does_not_stop_its_stream(log, table):
    """What can be unpacked becomes rows, one more says that the rest cannot, the next follow."""
    path = log.add([record(number) for number in range(5000)], gz=True)
    log.add([record(5001)])
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) // 2)

    report = upload(log.path, table=table)

    rows = rows_in(table)
    assert report.ok and report.segments == 2
    assert 0 < len(rows) < 5001 and rows_in(table)[-1] is not None
    assert sum("the archive is damaged" in (row["raw"] or "") for row in rows) == 1
    assert {row["message"] for row in rows} >= {"table 0 loaded", "table 5001 loaded"}


def test_a_segment_larger_than_a_commit_arrives_in_several(log, table, monkeypatch):
    """Plain or compressed, it is divided at units, and each line is there once."""
    monkeypatch.setattr("laketrace.lakehouse.plan.UNIT_BYTES", 700)
    monkeypatch.setattr(delta_rs, "COMMIT_BYTES", 1500)
    for gz in (False, True):
        log.add([record(number) for number in range(40)], gz=gz)

    report = upload(log.path, table=table)

    assert report.ok and report.segments == 2
    assert lines_in(rows_in(table)) == expected(log)
    assert delta_version(table) > 10


def test_a_segment_compressed_after_its_ledger_was_lost_is_known_by_its_copy(log, target):
    """The copy that is there is confirmed, and one that a crash left half is made whole."""
    log.add([record(number) for number in range(50)])
    log.add([record(number) for number in range(50, 99)])
    upload(log.path, target=target)
    half = f"{target}/orders/run-1/{sorted(log.files)[1]}"
    os.truncate(half, os.path.getsize(half) // 2)
    os.unlink(os.path.join(log.path, ".laketrace", "orders.ledger"))
    for segment in find_segments(log.path):
        with open(segment.path, "rb") as plain, gzip.open(f"{segment.path}.gz", "wb") as packed:
            packed.write(plain.read())
        os.unlink(segment.path)

    report = upload(log.path, target=target)

    assert (report.ok, report.segments, report.skipped) == (True, 1, 1), report
    assert copies_in(target) == log.files


@pytest.mark.parametrize("fate", ["compressed", "removed"])
def test_a_segment_that_changes_between_its_commits_is_not_taken_for_whole(
    log, table, monkeypatch, fate
):
    """Compressed, the rest of it arrives all the same; removed, it is reported."""
    monkeypatch.setattr("laketrace.lakehouse.plan.UNIT_BYTES", 700)
    monkeypatch.setattr(delta_rs, "COMMIT_BYTES", 1500)
    path = log.add([record(number) for number in range(40)])

    def step(passed):
        if passed == "committed" and os.path.exists(path):
            with open(path, "rb") as plain, gzip.open(f"{path}.gz", "wb") as packed:
                packed.write(plain.read())
            os.unlink(path)
            if fate == "removed":
                os.unlink(f"{path}.gz")

    monkeypatch.setattr(delta_rs, "step", step)
    report = upload(log.path, table=table)

    if fate == "compressed":
        assert report.ok and (report.segments, report.records) == (1, 40)
        assert lines_in(rows_in(table)) == expected(log)
    else:
        assert "is gone" in report.failed[0].reason and not report.segments
        assert read_done(log.path, "orders") == frozenset()


def test_uploaders_with_other_commit_sizes_do_not_double_a_unit(log, table, monkeypatch):
    """Where a commit ends is no promise to the next uploader; the version is."""
    monkeypatch.setattr("laketrace.lakehouse.plan.UNIT_BYTES", 700)
    for number in range(3):
        log.add([record(number * 40 + line) for line in range(40)], gz=number == 1)
    for limit in (700, 2100, 90_000):
        monkeypatch.setattr(delta_rs, "COMMIT_BYTES", limit)
        with monkeypatch.context() as patch:
            patch.setattr(delta_rs, "step", stop_at("committed", 3))
            upload(log.path, table=table, retries=0)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(log.path, ".laketrace", "orders.ledger"))

    assert upload(log.path, table=table).ok
    assert lines_in(rows_in(table)) == expected(log)


def stop_at(name, number):
    left = [number]

    def step(passed):
        left[0] -= passed == name
        if not left[0]:
            raise PermissionError("enough")

    return step


def test_segments_without_a_journal_are_streams_of_their_own(log, target, table):
    """A directory of 1.x, or one copied without its sidecars, is uploaded once too."""
    log.fill(2)
    os.unlink(os.path.join(log.path, ".laketrace", "orders.stream"))

    first = upload(log.path, target=target, table=table)
    second = upload(log.path, target=target, table=table)

    assert (first.segments, second.skipped) == (2, 2)
    assert len(rows_in(table)) == sum(log.lines.values())
    assert len({row["segment"][:32] for row in rows_in(table)}) == 2


def test_copies_are_not_uploaded_again(log, target, table):
    """A folder of a target is no log directory: under other names its lines would be doubled."""
    upload(log.fill(2).path, target=target, table=table)

    report = upload(f"{target}/orders/run-1", table=table)

    assert not report.ok and "laketrace.spark.load" in report.failed[0].reason
    assert lines_in(rows_in(table)) == expected(log)


def test_a_dead_process_is_finished_and_uploaded(tmp_path, table):
    """What a killed process logged is in the table, its torn last line as a row that says so."""
    folder = str(tmp_path / "logs")
    code = (
        "import os, sys, laketrace; "
        f"log = laketrace.get_logger('etl', log_dir={folder!r}, stdout=False, run_id='r9'); "
        "[log.info('loaded %d', n, rows=n) for n in range(20)]; "
        "open(log.log_file_path, 'ab').write(b'{\"timestamp\":\"2026'); "
        "os.kill(os.getpid(), 9)"
    )
    died = subprocess.run([sys.executable, "-c", code], check=False)

    report = upload(folder, table=table)

    assert died.returncode == -signal.SIGKILL
    rows = rows_in(table)
    assert report.ok and report.segments == 1
    assert sum(row["message"].startswith("loaded") for row in rows) == 20
    torn = [json.loads(row["fields"]) for row in rows if "torn_line" in row["fields"]]
    assert [fields["fragment"] for fields in torn] == ['{"timestamp":"2026']
    assert not os.path.exists(os.path.join(folder, "etl.log"))


def test_a_living_process_keeps_its_file(tmp_path, table):
    """Only what is finished goes; the active file of a living logger is left to it."""
    folder = str(tmp_path / "logs")
    with laketrace.get_logger("alive", log_dir=folder, stdout=False) as log:
        log.info("first")
        segment = log.finish_segment()
        log.info("second")

        report = upload(folder, table=table)

        assert report.segments == 1
        assert os.path.exists(log.log_file_path)
    assert [row["message"] for row in rows_in(table) if row["level"] == "INFO"][-1] == "first"
    assert parse_segment(segment.path) == segment


def test_a_file_that_is_not_ours_is_not_touched(tmp_path, target):
    """An active file without a journal is nobody's to rename."""
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "syslog.log").write_text("a line\n")

    report = upload(folder, target=target)

    assert report.ok and report.did_nothing
    assert (folder / "syslog.log").read_text() == "a line\n"


def test_a_table_of_another_shape_is_refused_with_its_columns(log, table):
    """The report names what differs; nothing is written, every segment stays."""
    pa = pytest.importorskip("pyarrow")
    deltalake = pytest.importorskip("deltalake")
    schema = pa.schema([("level", pa.int64()), ("message", pa.string()), ("mine", pa.string())])
    deltalake.DeltaTable.create(table, schema)
    path = log.add([record(1)])

    report = upload(log.path, table=table)

    (failure,) = report.failed
    assert "level is long instead of string" in failure.reason
    assert "not ours: mine" in failure.reason and "missing: timestamp, date" in failure.reason
    assert delta_version(table) == 0 and os.path.exists(path)


@pytest.mark.parametrize("feature", ["rowTracking", "deletionVectors", "clustering"])
def test_a_table_that_deltalake_cannot_write_says_so(log, table, feature):
    """The feature is named, and what can write the table."""
    upload(LogDir(log.path + "2").fill(1).path, table=table)
    version = delta_version(table) + 1
    reader = [feature] if feature == "deletionVectors" else []
    features = {
        "minReaderVersion": 3 if reader else 1, "minWriterVersion": 7,
        "writerFeatures": [feature], **({"readerFeatures": reader} if reader else {}),
    }  # fmt: skip
    with open(f"{table}/_delta_log/{version:020d}.json", "w") as file:
        file.write(json.dumps({"protocol": features}) + "\n")
    log.fill(1)

    report = upload(log.path, table=table, retries=0)

    assert feature in report.failed[0].reason and "Spark session" in report.failed[0].reason


def test_the_table_has_the_columns_of_the_design_and_nothing_more(log, table):
    """Reader 1, writer 2, no features, UTC timestamps: every writer can append to it."""
    deltalake = pytest.importorskip("deltalake")
    upload(log.fill(1).path, table=table)

    made = deltalake.DeltaTable(table)

    fields = json.loads(made.schema().to_json())["fields"]
    assert [(field["name"], field["type"]) for field in fields] == [
        (column.name, column.type) for column in COLUMNS
    ]
    protocol = made.protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)


def test_statistics_find_a_segment_without_reading_the_others(log, table):
    """The log of the table says which file holds which segments and times."""
    deltalake = pytest.importorskip("deltalake")
    log.fill(2)
    upload(log.path, table=table)

    pa = pytest.importorskip("pyarrow")
    (add,) = pa.table(deltalake.DeltaTable(table).get_add_actions(flatten=True)).to_pylist()

    assert add["num_records"] == sum(log.lines.values())
    assert add["min.segment"] == f"{STREAM}-orders.log.20261121_100001"
    assert add["max.segment"] == f"{STREAM}-orders.log.20261121_100002"
    assert add["null_count.raw"] == add["num_records"] - 2


def test_a_directory_that_is_not_there_is_said_and_no_fault(tmp_path, target, capsys):
    """Nothing there, nothing done, nothing made; a misspelt one is seen on stderr."""
    (tmp_path / "empty").mkdir()

    for name in ("nothing", "empty"):
        report = upload(tmp_path / name, target=target)
        assert report.ok and report.did_nothing
    assert not os.path.exists(target)
    said = f"laketrace: nothing to upload: there is no directory {tmp_path / 'nothing'}\n"
    assert capsys.readouterr().err == said


def test_a_report_reads_well_and_escapes_what_it_shows():
    """As text it is a few lines, in a notebook a table, and no text becomes markup."""
    failed = (laketrace.lakehouse.Failure("<b>", "a & b"),)
    report = laketrace.lakehouse.UploadReport(2, 20, 4096, 0.5, 1, 3, failed, "/mnt", "t")

    assert str(report).splitlines() == [
        "uploaded 2 segments, 20 records, 4,096 bytes in 0.50 s",
        "  skipped  1 that were there already",
        "  waiting  3 that are still being written to",
        "  failed   <b>: a & b",
        "  target   /mnt",
        "  table    t",
    ]
    assert "&lt;b&gt;: a &amp; b" in report._repr_html_()
    assert laketrace.lakehouse.UploadReport.from_dict(report.to_dict()) == report


def test_a_segment_that_is_removed_meanwhile_is_gone_and_not_damaged(tmp_path):
    """Whatever archives this Python can read, no row says that something is damaged."""
    path = LogDir(str(tmp_path / "logs")).add([record(1)])
    [segment] = find_segments(str(tmp_path / "logs"))
    os.unlink(path)

    with pytest.raises(SegmentGone):
        SegmentFile(segment)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python has zst")
def test_an_archive_that_only_another_python_reads_stays_and_is_reported(tmp_path):
    """It is not damaged: its rows are not given up."""
    log = LogDir(str(tmp_path / "logs")).fill(1)
    os.rename(
        f"{log.path}/orders.log.20261121_100001", f"{log.path}/orders.log.20261121_100001.zst"
    )

    report = upload(log.path, table=str(tmp_path / "table"))

    assert "this Python has no zst" in report.failed[0].reason
    assert len(find_segments(log.path)) == 1


def delta_version(table: str) -> int:
    deltalake = pytest.importorskip("deltalake")
    return int(deltalake.DeltaTable(table).version())


AHEAD = """
import os, sys
from datetime import datetime, timezone
from laketrace import get_logger, upload
from laketrace.testing import ManualClock
log_dir, target, table = sys.argv[1:]
with ManualClock(datetime(2040, 1, 1, tzinfo=timezone.utc)):
    log = get_logger("orders", log_dir=log_dir, stdout=False, upload_at_exit=False)
log.info("row", n=1)
log.finish_segment()
assert upload(log_dir, target=target, table=table, delete_after=True).segments == 1
log.info("row", n=2)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("by", ["upload", "start"])
def test_what_a_dead_process_left_never_gets_the_name_of_a_segment_that_is_gone(
    tmp_path, target, table, by
):
    """Also where its clock was ahead: under an old name it would pass for uploaded, and be lost."""
    log_dir = str(tmp_path / "logs")
    subprocess.run([sys.executable, "-c", AHEAD, log_dir, target, table], timeout=240, check=False)
    if by == "start":
        settings = {"upload_target": target, "upload_at_exit": False}
        laketrace.get_logger("orders", log_dir=log_dir, stdout=False, **settings).close()

    report = upload(log_dir, target=target, table=table)

    assert report.ok
    rows = [row for row in rows_in(table) if row["message"] == "row"]
    assert sorted(json.loads(row["fields"])["n"] for row in rows) == [1, 2]
