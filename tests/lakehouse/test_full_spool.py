"""A full disk and segments that wait for their upload: what is given up, and that it is told."""

from __future__ import annotations

import time

import pytest

import laketrace
from laketrace.files import janitor, upkeep
from laketrace.files.read import read
from laketrace.files.segment import find_segments, read_done
from laketrace.lakehouse import upload
from tests.lakehouse.logs import LogDir, copies_in, rows_in
from tests.support.faults import FullDisk

SETTINGS = {"stdout": False, "rotation": "16 KB", "upload_at_exit": False}


@pytest.fixture
def disk(full_disk: FullDisk) -> FullDisk:
    """A tmpfs of 256 KB, empty to begin with."""
    full_disk.make_room()
    return full_disk


def log_until_full(log: laketrace.Logger) -> int:
    """Log until records fail; how many were logged."""
    number = 0
    while log.stats().failed == 0:
        log.info("x" * 400, id=number)
        number += 1
    return number


def wait_for(condition) -> bool:
    end = time.monotonic() + 120
    while not condition() and time.monotonic() < end:
        janitor.wait(None, 1)
        time.sleep(0.01)
    return bool(condition())


def told(log_dir: str) -> list[dict[str, object]]:
    return [item for item in read(log_dir) if item.get("event") == "unsent_removed"]


def test_a_full_spool_is_held_to_the_size_of_retention_and_says_so(disk, tmp_path, capfd):
    """Nothing that waits is deleted before; then the oldest, counted in a record at ERROR."""
    log_dir = f"{disk}/logs"
    (tmp_path / "file").write_text("in the way")
    with laketrace.get_logger(
        "spooled", log_dir=log_dir, upload_target=str(tmp_path / "file"), upload_retries=0,
        retention="64 KB", **SETTINGS,
    ) as log:  # fmt: skip
        number = log_until_full(log)
        assert wait_for(lambda: told(log_dir))
        log.info("after", id=number)

        # Each record is in the files, or counted by the record about the removal.
        [record] = told(log_dir)
        assert wait_for(lambda: len(list(read(log_dir))) + record["records"] == log.stats().written)
        left = {item.get("id") for item in read(log_dir)}
        segments = find_segments(log_dir)

    assert record["level"] == "ERROR"
    assert sum(segment.size for segment in segments) <= 64 << 10
    assert number in left, "there is room again"
    assert "segments were removed before their upload" in capfd.readouterr().err


def test_without_a_size_what_waits_is_kept_and_new_records_fail(disk, tmp_path):
    """A number of files or an age gives nothing up that waits for its upload."""
    log_dir = f"{disk}/logs"
    (tmp_path / "file").write_text("in the way")
    with laketrace.get_logger(
        "kept", log_dir=log_dir, upload_target=str(tmp_path / "file"), upload_retries=0,
        retention=[1, "1 second"], **SETTINGS,
    ) as log:  # fmt: skip
        log_until_full(log)
        janitor.wait(None, 120)

        assert wait_for(lambda: len(list(read(log_dir))) == log.stats().written)
        assert not told(log_dir)


@pytest.mark.extra("deltalake", "pyarrow")
def test_a_spool_that_is_full_is_shipped_when_its_destination_is_well_again(
    disk, tmp_path, monkeypatch
):
    """There is room in reserve to note what is uploaded, so that retention can delete it."""
    monkeypatch.setattr(upkeep, "_ROOM_PAUSE_NS", 0)
    log_dir, blocked = f"{disk}/logs", tmp_path / "file"
    blocked.write_text("in the way")
    places = {"upload_target": str(blocked / "x"), "upload_table": str(tmp_path / "table")}
    with laketrace.get_logger(
        "stuck", log_dir=log_dir, upload_retries=0, retention=1, **places,
        **{**SETTINGS, "rotation": "4 KB"},
    ) as log:  # fmt: skip
        kept = log_until_full(log) - log.stats().failed
        blocked.unlink()

        reports = []
        while len(reports) < 20 and not (reports and reports[-1].ok):
            reports.append(log.upload())
            log.info("after")  # fails at first, which asks for room
            janitor.wait(None, 120)
        failed = log.stats().failed
        log.info("last")

    rows = rows_in(places["upload_table"])
    assert reports[-1].ok and log.stats().failed == failed
    assert [row["message"] for row in rows].count("x" * 400) == kept


def test_on_a_full_disk_no_more_is_begun_than_can_be_noted(disk, tmp_path):
    """The rest is left for the next upload, and the report says so."""
    log = LogDir(f"{disk}/logs").fill(15)
    upload(log.path, target=str(tmp_path / "earlier"))
    disk.fill()

    reports = [upload(log.path, target=str(tmp_path / "target")) for _ in range(2)]

    assert [report.segments for report in reports] == [10, 5]
    assert "5 segments are left for the next upload" in reports[0].failed[0].reason
    assert copies_in(str(tmp_path / "target")) == log.files


def test_what_is_uploaded_goes_first(disk, tmp_path):
    """Nothing that waits is given up while there is something that the destination has."""
    log_dir = f"{disk}/logs"
    with laketrace.get_logger(
        "sent", log_dir=log_dir, upload_target=str(tmp_path / "target"), retention="100 KB",
        **SETTINGS,
    ) as log:  # fmt: skip
        for number in range(100):
            log.info("x" * 400, id=number)
        assert log.upload().ok
        uploaded = read_done(log_dir, "sent")
        log_until_full(log)
        assert wait_for(lambda: told(log_dir))
        [record] = told(log_dir)
        left = {segment.base for segment in find_segments(log_dir)}

    assert uploaded
    assert not left & uploaded
    assert record["first"] > max(uploaded)


def test_a_callable_of_retention_is_shown_only_what_is_uploaded(tmp_path):
    """It may delete what it gets, so what waits is not among it."""
    shown: list[list[str]] = []
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with laketrace.get_logger(
        "asked", log_dir=str(tmp_path / "logs"), upload_target=str(blocked / "x"),
        upload_retries=0, retention=shown.append, **SETTINGS,
    ) as log:  # fmt: skip
        log.info("one")
        log.finish_segment()
        janitor.wait(None, 120)
        before = shown[-1]
        blocked.unlink()
        log.upload()
        log.info("two")
        log.finish_segment()
        janitor.wait(None, 120)

    assert before == []
    assert shown[-1]


def test_a_file_that_is_added_waits_for_no_upload(tmp_path):
    """It holds records that the logger's own file has, so only that is uploaded."""
    with laketrace.get_logger(
        "two_files", log_dir=str(tmp_path / "logs"), upload_target=str(tmp_path / "file" / "x"),
        **SETTINGS,
    ) as log:  # fmt: skip
        log.add("errors.log", level="ERROR", rotation="2 KB", retention=1)
        for _ in range(50):
            log.error("x" * 400)
        janitor.wait(None, 120)

        assert wait_for(lambda: len(find_segments(str(tmp_path / "logs"), "errors")) == 1)
        assert len(find_segments(str(tmp_path / "logs"), "two_files")) > 1
