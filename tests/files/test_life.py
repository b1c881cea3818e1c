"""A log file's life as a logger lives it: rotation, retention, restarts, and what is found then."""

from __future__ import annotations

import gzip
import json
import os
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

import laketrace
from laketrace import Logger, get_logger
from laketrace.files import janitor
from laketrace.files.segment import find_segments
from laketrace.testing import ManualClock

WEDNESDAY = datetime(2026, 7, 15, 10, 20, 30, tzinfo=timezone.utc)


def make(folder: Path, **settings: Any) -> Logger:
    given = {"stdout": False, "retention": "1000 files", "timezone": "UTC", **settings}
    return get_logger("life", log_dir=folder, **given)


def segments(folder: Path) -> list[str]:
    return [segment.base for segment in find_segments(str(folder))]


def messages(folder: Path) -> list[str]:
    return [record["message"] for record in laketrace.read(folder)]


def test_a_size_counts_bytes_as_written(tmp_path: Path) -> None:
    """No segment is larger than the setting, also with characters of several bytes."""
    with make(tmp_path, rotation="2 KB") as log:
        for _ in range(60):
            log.info("Übergröße 数据 🚀" * 3)

        sizes = [segment.size for segment in find_segments(str(tmp_path))]
        longest = max(map(len, log.log_file_path.read_bytes().splitlines(keepends=True)))

    assert len(sizes) > 5
    assert all(2048 - longest < size <= 2048 for size in sizes)


@pytest.mark.parametrize(
    ("rotation", "steps"),
    [
        ("1 hour", [("minutes", 59, 0), ("minutes", 1, 1)]),
        ("hourly", [("minutes", 39, 0), ("minutes", 1, 1)]),
        ("daily", [("hours", 13, 0), ("hours", 1, 1)]),
        ("12:00", [("minutes", 99, 0), ("minutes", 1, 1)]),
        ("weekly", [("days", 4, 0), ("hours", 14, 1)]),
        ("monday 12:00", [("days", 5, 0), ("hours", 2, 1)]),
        ("monthly", [("days", 16, 0), ("hours", 14, 1)]),
        ("yearly", [("days", 169, 0), ("days", 1, 1)]),
        ({"size": "500 MB", "time": "12:00"}, [("minutes", 99, 0), ("minutes", 1, 1)]),
        (["1 GB", "1 hour"], [("minutes", 59, 0), ("minutes", 1, 1)]),
    ],
    ids=str,
)
@pytest.mark.parametrize("restarts", [False, True], ids=["running", "restarted"])
def test_time_rotates_a_file_and_holds_over_restarts(
    tmp_path: Path, rotation: Any, steps: list[tuple[str, int, int]], restarts: bool
) -> None:
    """A file is rotated by its own age, by the first record that comes when it is due."""
    with ManualClock(WEDNESDAY) as clock:
        log = make(tmp_path, rotation=rotation)
        log.info("first")
        for unit, number, expected in steps:
            if restarts:
                log.close()
            clock.advance(**{unit: number})
            if restarts:
                log = make(tmp_path, rotation=rotation)
            log.info("next")
            assert len(segments(tmp_path)) == expected
        log.close()


def test_a_callable_is_asked_before_each_record(tmp_path: Path) -> None:
    """It gets the text and the open file, as in loguru."""
    with make(tmp_path, rotation=lambda text, file: "new file" in text) as log:
        for text in ("one", "two", "new file", "three"):
            log.info(text)

        counts = [path.read_text().count("\n") for path in sorted(tmp_path.glob("life.log*"))]

    assert counts == [2, 2]


@pytest.mark.parametrize(
    ("retention", "left"),
    [
        ("2 files", 2), (2, 2), ("29 minutes", 3), ({"count": 1, "age": "7 days"}, 1),
        ("400 B", 1), (["4 files", "29 minutes"], 3),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("when", ["at rotation", "at start"])
def test_retention_deletes_own_segments_only(
    tmp_path: Path, retention: Any, left: int, when: str
) -> None:
    """By number, age and total size; nothing of another logger or of anybody else is touched."""
    strangers = ["other.log", "other.log.20200101_000000", "life.log.old", "life.log.2020", "notes",
                 "life2.log.20200101_000000", "life.5.log.20200101_000000"]  # fmt: skip
    for name in strangers:
        (tmp_path / name).write_text('{"message":"not ours"}\n')
    with ManualClock(WEDNESDAY) as clock:
        log = make(tmp_path, retention=retention if when == "at rotation" else "1000 files")
        for number in range(6):
            log.info("row", n=number, pad="." * 30)
            clock.advance(minutes=10)
            if number < 5 or when == "at rotation":
                log.finish_segment()
        if when == "at start":
            log.close()
            log = make(tmp_path, retention=retention)
            log.finish_segment()
        assert janitor.wait(None, 120)

        found = [name for name in segments(tmp_path) if name.startswith("life.log.2026")]
        log.close()

    assert len(found) == left
    assert set(strangers) <= set(os.listdir(tmp_path))


def test_a_callable_of_retention_gets_the_paths_and_deletes_what_it_likes(tmp_path: Path) -> None:
    """Oldest first."""

    def all_but_the_last(paths: list[str]) -> None:
        for path in paths[:-1]:
            os.unlink(path)

    with make(tmp_path, retention=all_but_the_last) as log:
        for number in range(4):
            log.info(str(number))
            log.finish_segment()
        assert janitor.wait(None, 120)

        assert messages(tmp_path) == ["3"]


def test_a_log_call_never_waits_for_a_compression(tmp_path: Path) -> None:
    """While the background is stuck in a compression, records and rotations go on."""
    stuck = threading.Event()
    with make(tmp_path, rotation="1 KB", compression=lambda path: stuck.wait(600)) as log:
        for number in range(100):
            log.info(str(number))
        busy = not janitor.wait(None, 0)
        written = log.stats().written
        stuck.set()

        assert (busy, written) == (True, 100)
        assert janitor.wait(None, 120)


def test_one_thread_compresses_for_all_loggers(tmp_path: Path) -> None:
    """However many loggers rotate, the work is done in one thread of the process."""
    threads = set()

    def compression(path: str) -> None:
        threads.add(threading.get_ident())

    logs = [
        get_logger(f"life{n}", log_dir=tmp_path, stdout=False, compression=compression)
        for n in range(5)
    ]
    for log in logs:
        log.info("x")
        log.finish_segment()
    assert janitor.wait(None, 120)
    for log in logs:
        log.close()

    assert len(threads) == 1 and threads != {threading.get_ident()}


def test_reading_goes_over_archives_segments_and_the_active_file_in_order(tmp_path: Path) -> None:
    """And reports what is no record with its file, offset and bytes."""
    with make(tmp_path, rotation="1 KB", compression="gz") as log:
        for number in range(50):
            log.info(str(number))
        assert janitor.wait(None, 120)
    with open(tmp_path / "life.log", "ab") as file:
        offset = file.tell()
        file.write(b'{"torn": ')

    reading = laketrace.read(tmp_path)
    found = [record["message"] for record in reading]

    assert found == [str(number) for number in range(50)]
    assert list(reading.torn) == [(str(tmp_path / "life.log"), offset, b'{"torn": ')]


def ruin_the_active_file(folder: Path) -> None:
    with open(folder / "life.log", "ab") as file:
        file.write(b'{"timestamp":"2026-11-2')


def leave_half_an_archive(folder: Path) -> None:
    (folder / "life.log.20260101_000000").write_text('{"message":"kept"}\n')
    (folder / "life.log.20260101_000000.gz").write_bytes(gzip.compress(b"half")[:7])


def leave_a_temporary_file(folder: Path) -> None:
    (folder / "life.log.20260101_000000.gz.tmp").write_bytes(b"")


def leave_a_dead_process(folder: Path) -> None:
    journal = (folder / ".laketrace" / "life.stream").read_text()
    (folder / ".laketrace" / "life.4000000.stream").write_text(journal)
    (folder / "life.4000000.log").write_text('{"message":"of the dead"}\n')


@pytest.mark.parametrize(
    ("ruin", "event"),
    [
        (ruin_the_active_file, "torn_line_found"),
        (leave_half_an_archive, "half_archive"),
        (leave_a_temporary_file, "half_archive"),
        (leave_a_dead_process, "dead_process"),
    ],
)
def test_a_start_finds_repairs_and_logs_what_was_left(
    tmp_path: Path, ruin: Any, event: str
) -> None:
    """Every line is JSON, nothing half-made is there, and the log says what was found."""
    with make(tmp_path) as log:
        log.info("before")
    ruin(tmp_path)

    with make(tmp_path) as log:
        log.info("after")

    events = []
    for path in tmp_path.glob("life*.log*"):
        assert not path.name.endswith((".tmp", ".gz"))
        for line in path.read_text().splitlines():
            events.append(json.loads(line).get("event"))
    assert event in events
    assert {"before", "after"} <= set(messages(tmp_path))
    assert not (tmp_path / "life.4000000.log").exists()


def test_a_torn_line_of_brackets_is_repaired_as_any_other(tmp_path: Path) -> None:
    """A text form may tear in the middle of what somebody sent: the next start takes it."""
    (tmp_path / "life.log").write_bytes(b"[" * 200_000)

    with make(tmp_path) as log:
        log.info("after")

    first, *others = laketrace.read(tmp_path)
    assert (first["event"], first["bytes"]) == ("torn_line", 200_000)
    assert others[-1]["message"] == "after"


def test_a_damaged_note_of_the_last_key_names_no_segment(tmp_path: Path) -> None:
    """A lock file with anything in it, as after a loss of power, leaves segments that are found."""
    with make(tmp_path) as log:
        log.info("first")
        log.finish_segment()
    (tmp_path / ".laketrace" / "life.lock").write_bytes(b"~garbage/\0\xff")

    with make(tmp_path) as log:
        log.info("second")
        segment = log.finish_segment()

    assert segment is not None and segment.base in segments(tmp_path)
    assert messages(tmp_path) == ["first", "second"]


def test_close_leaves_the_file_in_its_place_and_the_next_start_goes_on(tmp_path: Path) -> None:
    """A program that starts again writes on in the same file."""
    for text in ("one", "two"):
        with make(tmp_path) as log:
            log.info(text)

    assert sorted(os.listdir(tmp_path)) == [".laketrace", "life.log"]
    assert messages(tmp_path) == ["one", "two"]
