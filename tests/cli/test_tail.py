"""`laketrace tail`: the last records, which of them, and what comes, over rotations."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from laketrace import get_logger, read
from laketrace.cli.following import LogReader
from laketrace.files.compression import parse_compression
from laketrace.files.segment import Segment, find_segments
from tests.support.processes import ROOT

from .conftest import Cli, write_logs

ROWS = [*range(59), -1]


def rows_of(out: str) -> list[Any]:
    """The field `rows` of each JSON line."""
    return [json.loads(line)["rows"] for line in out.splitlines()]


# -- what is there --------------------------------------------------------------------------------


def test_the_last_records_come_from_the_active_file_and_the_archives(cli: Cli, logs: Path) -> None:
    """-n reaches back over rotations, 20 without it, and everything with 'all'."""
    assert rows_of(cli("tail", "--json", logs).out) == ROWS[-20:]
    assert rows_of(cli("tail", "--json", "-n", 45, logs).out) == ROWS[-45:]
    assert rows_of(cli("tail", "--json", "-n", "all", logs).out) == ROWS
    assert cli("tail", "-n", 0, logs).out == ""


def test_people_see_a_line_a_record(cli: Cli, logs: Path) -> None:
    """Time, level, logger, message and fields; no colour codes in a pipe."""
    said = cli("tail", "-n", 2, logs)

    last = said.out.splitlines()[-1]
    assert said.code == 0 and "\x1b" not in said.out
    assert "| ERROR    | orders | load failed" in last and last.endswith("rows=-1")


def test_json_lines_are_the_lines_of_the_file(cli: Cli, logs: Path) -> None:
    """--json gives each record byte by byte as it stands in the log."""
    with open(logs / "orders.log", encoding="utf-8") as file:
        last = file.read().splitlines()[-1]

    assert cli("tail", "--json", "-n", 1, logs).out == last + "\n"


@pytest.mark.parametrize("place", ["directory", "file", "name", "settings"])
def test_a_log_is_named_by_its_place_or_its_name(
    cli: Cli, logs: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PATH is a directory or a file, NAME a logger of this machine; without one, the settings."""
    monkeypatch.setenv("LAKETRACE_LOG_DIR", str(logs))
    words = {
        "directory": [logs], "file": [logs / "orders.log"], "name": ["orders"], "settings": [],
    }[place]  # fmt: skip

    assert rows_of(cli("tail", "--json", "-n", "all", *words).out) == ROWS


def test_a_finished_segment_is_a_log_too(cli: Cli, logs: Path) -> None:
    """Its own records are shown, but it does not grow: to follow it is wrong usage."""
    first = find_segments(str(logs))[0].path

    found = rows_of(cli("tail", "--json", "-n", "all", first).out)
    followed = cli("tail", "-f", first)

    assert found == ROWS[: len(found)] and 1 < len(found) < len(ROWS)
    assert followed.code == 2 and "does not grow" in followed.err


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--level", "WARNING"], [9, 19, 29, 39, 49, -1]),
        (["--level", "40"], [-1]),
        (["--where", "stage=silver", "-n", "3"], [52, 55, 58]),
        (["--where", "order.id=7"], [7]),
        (["--where", "rows=7"], [7]),
        (["--where", "stage=gold", "--level", "warning"], [29]),
        (["--where", "stage=gold", "--where", "order.id=8"], [8]),
        (["--where", "stage=tin"], []),
        (["--since", "1 hour"], ROWS),
        (["--since", "2100-01-01"], []),
    ],
    ids=str,
)
def test_conditions_choose_records(
    cli: Cli, logs: Path, words: list[str], wanted: list[int]
) -> None:
    """Level, fields (nested ones by dots) and time; all conditions hold together."""
    said = cli("tail", "--json", *words, logs)

    assert said.code == 0 and rows_of(said.out) == wanted


def test_since_is_to_the_record(cli: Cli, logs: Path) -> None:
    """--since takes the records from that microsecond on, in UTC or with an offset."""
    records = list(read(logs))
    moment = datetime.fromisoformat(records[30]["timestamp"])
    wanted = [
        record["rows"] for record in records
        if datetime.fromisoformat(record["timestamp"]) >= moment
    ]  # fmt: skip
    tokyo = moment.astimezone(timezone(timedelta(hours=9)))

    for text in (moment.replace(tzinfo=None).isoformat(" "), tokyo.isoformat()):
        assert rows_of(cli("tail", "--json", "--since", text, logs).out) == wanted


def test_several_logs_are_shown_in_time_order(cli: Cli, tmp_path: Path) -> None:
    """The records of all loggers of a directory, by their timestamps."""
    write_logs(tmp_path / "logs", "first")
    write_logs(tmp_path / "logs", "second")

    lines = cli("tail", "--json", "-n", "all", tmp_path / "logs").out.splitlines()

    times = [json.loads(line)["timestamp"] for line in lines]
    assert len(times) == 120 and times == sorted(times)


def test_lines_that_are_no_records_are_shown_as_they_are_and_harmless(
    cli: Cli, tmp_path: Path
) -> None:
    """A torn or foreign line can drive no terminal; with --json it says where it lies."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "orders.log").write_bytes(b'{"a":1}\nforeign \x1b[2J\xff\n{"times')

    text = cli("tail", tmp_path / "logs").out
    lines = [json.loads(line) for line in cli("tail", "--json", tmp_path / "logs").out.splitlines()]

    assert "\x1b" not in text and r"foreign \x1b[2J\xff" in text
    assert lines[0] == {"a": 1}
    assert [line["offset"] for line in lines[1:]] == [8, 22] and lines[2]["raw"] == '{"times'


# -- what comes -----------------------------------------------------------------------------------


class Follower:
    """`laketrace tail -f --json` as a program; gives the rows as they come."""

    def __init__(self, *words: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "laketrace", "tail", "-f", "--json", *map(str, words)],
            env={**os.environ, "PYTHONPATH": ROOT},
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._pump, daemon=True).start()

    def _pump(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def rows(self, number: int) -> list[Any]:
        """The next `number` rows; fails when they do not come."""
        return [json.loads(self._lines.get(timeout=120))["rows"] for _ in range(number)]

    def end(self) -> tuple[int, list[Any]]:
        """Interrupt it as Ctrl-C does; its exit code, and the rows that nobody asked for."""
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(timeout=120)
        return code, rows_of("".join(self._lines.queue))


@pytest.fixture
def follow() -> Iterator[Callable[..., Follower]]:
    """Start followers, and end those that a test has left."""
    started: list[Follower] = []

    def start(*words: object) -> Follower:
        started.append(Follower(*words))
        return started[-1]

    yield start
    for follower in started:
        follower._process.kill()
        follower._process.wait()
        follower._process.stdout.close()  # type: ignore[union-attr]


def test_a_segment_compressed_between_two_looks_at_it_comes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is listed as it was; a moment later it is an archive, and still the file that was read."""
    log = get_logger("orders", log_dir=tmp_path, stdout=False)
    reader = LogReader(str(tmp_path), "orders")
    log.info("table loaded", rows=1)
    first = list(reader.new_lines())

    def listed(*arguments: Any) -> list[Segment]:
        found = find_segments(*arguments)
        for segment in found:
            if not segment.suffix:
                parse_compression("gz").compress(segment.path)
        return found

    log.finish_segment()
    monkeypatch.setattr("laketrace.cli.following.find_segments", listed)
    again = list(reader.new_lines())
    reader.close()
    log.close()

    assert (len(first), again) == (1, [])


def test_following_goes_over_rotations(follow: Callable[..., Follower], tmp_path: Path) -> None:
    """Each record comes once and in order while files rotate and are compressed."""
    log = get_logger(
        "orders", log_dir=tmp_path, stdout=False, rotation="2 KB", retention_files=None,
        compression="gz",
    )  # fmt: skip
    log.info("first", rows=-1)
    follower = follow(tmp_path)
    assert follower.rows(1) == [-1]

    for at, number in ((0, 3), (3, 150), (153, 1), (154, 246)):
        for row in range(at, at + number):
            log.info("table loaded", rows=row)
        assert follower.rows(number) == list(range(at, at + number))
    log.close()

    assert follower.end() == (0, [])
    assert len(list(tmp_path.glob("*.gz"))) > 20


def test_following_takes_up_new_logs(follow: Callable[..., Follower], tmp_path: Path) -> None:
    """A log that appears in the directory is followed too, from its first record."""
    follower = follow("-n", 1, tmp_path)
    first = get_logger("first", log_dir=tmp_path, stdout=False)
    first.info("here", rows=1)
    assert follower.rows(1) == [1]

    second = get_logger("second", log_dir=tmp_path, stdout=False)
    second.info("new", rows=2)
    assert follower.rows(1) == [2]
    first.info("still here", rows=3)
    assert follower.rows(1) == [3]

    first.close()
    second.close()
    assert follower.end() == (0, [])


def test_following_shows_what_is_wanted_only(
    follow: Callable[..., Follower], tmp_path: Path
) -> None:
    """Conditions hold for what comes as well."""
    log = get_logger("orders", log_dir=tmp_path, stdout=False)
    log.warning("here", rows=0, stage="gold")
    follower = follow("--where", "stage=gold", "--level", "WARNING", tmp_path)
    assert follower.rows(1) == [0]

    log.warning("another stage", rows=1, stage="bronze")
    log.info("another level", rows=2, stage="gold")
    log.error("wanted", rows=3, stage="gold")

    assert follower.rows(1) == [3]
    log.close()
