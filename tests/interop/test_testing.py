"""Records as objects, a clock that the test holds, an examiner of sinks."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any, ClassVar

import pytest

from laketrace import get_logger
from laketrace.core.logger import Logger
from laketrace.testing import ManualClock, Records, SinkError, examine_sink


@pytest.fixture
def log() -> Iterator[Logger]:
    log = get_logger("tested", log_dir=None, stdout=False)
    yield log
    log.close()


def test_records_can_be_asked(log):
    """Messages, levels and fields of what was logged are at hand, also unhashable values."""
    records = Records()
    log.add(records)

    log.info("loaded", table="orders", parts=[1, 2])
    log.error("failed", table="orders")

    assert records.messages == ["loaded", "failed"]
    assert records.at("error").messages == ["failed"]
    assert records.having(table="orders", parts=[1, 2]).messages == ["loaded"]
    assert records.having(rows=3) == []


def test_the_clock_moves_only_when_told(log):
    """Records carry the time that the test has set, forwards and backwards."""
    with ManualClock(datetime(2026, 11, 21, 9, tzinfo=timezone.utc)) as clock:
        clocked = get_logger("clocked", log_dir=None, stdout=False)
    records = Records()
    clocked.add(records)

    clocked.info("now")
    clock.advance(1.5)
    clocked.info("later")
    clock.advance(hours=-2)
    clocked.info("before")
    clocked.close()

    assert [f"{record.timestamp:%H:%M:%S.%f}" for record in records] == [
        "09:00:00.000000", "09:00:01.500000", "07:00:01.500000",
    ]  # fmt: skip


def test_a_clock_without_a_time_zone_is_refused():
    """A naive datetime would mean another instant on another machine."""
    with pytest.raises(ValueError, match="has no time zone"):
        ManualClock(datetime(2026, 11, 21))


# -- the examiner finds what is broken ---------------------------------------------------------


class Kept:
    """A sink that keeps texts; the base of those that are broken."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.broken = False

    def __call__(self, text: str) -> None:
        if self.broken:
            raise OSError(28, "No space left on device")
        self.keep(text)

    def keep(self, text: str) -> None:
        self.texts.append(str(text))

    def read(self) -> str:
        return "".join(self.texts)

    def spoil(self) -> None:
        self.broken = True

    @classmethod
    def make(cls) -> tuple[Any, Callable[[], str]]:
        sink = cls()
        return sink, sink.read


class Doubling(Kept):
    """Writes the tenth record twice."""

    def keep(self, text: str) -> None:
        self.texts += [text] * (2 if len(self.texts) == 10 else 1)


class Losing(Kept):
    """Loses long records, in silence."""

    def keep(self, text: str) -> None:
        if len(text) < 65536:
            self.texts.append(text)


class Cutting(Kept):
    """Cuts long records, in silence."""

    def keep(self, text: str) -> None:
        self.texts.append(text if len(text) < 65536 else text[:65535] + "\n")


class Holding(Kept):
    """Holds what it gets until there are seven."""

    def read(self) -> str:
        return "".join(self.texts[: len(self.texts) // 7 * 7])


class Reordering(Kept):
    """The newest first."""

    def keep(self, text: str) -> None:
        self.texts.insert(0, text)


class Sharing(Kept):
    """All of them write to one place."""

    everything: ClassVar[list[str]] = []

    def keep(self, text: str) -> None:
        self.everything.append(text)

    def read(self) -> str:
        return "".join(self.everything)


class Swallowing(Kept):
    """Meets a fault and tells nobody."""

    def __call__(self, text: str) -> None:
        try:
            super().__call__(text)
        except OSError:
            pass


class Glueing(Kept):
    """Leaves the newline out now and then."""

    def keep(self, text: str) -> None:
        self.texts.append(text.rstrip("\n") if len(self.texts) % 5 == 4 else text)


def test_a_good_sink_passes():
    """A sink that keeps the contract is examined without complaint, faults included."""
    examine_sink(Kept.make, spoil=Kept.spoil)


@pytest.mark.parametrize(
    ("sink", "rule"),
    [
        (Doubling, "once: record 10 arrived 2 times"),
        (Losing, "whole: record 1 arrived 0 times"),
        (Cutting, "whole: a record of 1 MB did not arrive whole"),
        (Holding, "once: "),
        (Reordering, "arrived before one that was logged earlier"),
        (Sharing, "apart: a record arrived at another sink"),
        (Swallowing, "failing: of 3 records that met a fault 0 are counted as failed"),
        (Glueing, "shares its line with another one"),
    ],
)
def test_a_broken_sink_is_found_out(sink, rule):
    """Each fault is told by the rule that it breaks."""
    with pytest.raises(SinkError) as caught:
        examine_sink(sink.make, spoil=sink.spoil, records=50)

    assert any(rule in problem for problem in caught.value.problems), caught.value


def test_every_problem_is_told_at_once():
    """One examination tells all rules that are broken, each with and without a queue."""
    with pytest.raises(SinkError) as caught:
        examine_sink(Sharing.make, records=20)

    text = str(caught.value)
    assert text.startswith("the sink does not keep the contract:\n  - once: ")
    assert "(without a queue)" in text and "(with a queue before it)" in text


def test_a_sink_that_cannot_be_made_is_a_problem_too():
    """A factory that raises is told like a rule that is broken."""

    def make() -> Any:
        raise OSError("no such device")

    with pytest.raises(SinkError, match="once: OSError: no such device"):
        examine_sink(make)


# -- our own sinks keep the contract -----------------------------------------------------------


def make_stream() -> tuple[Any, Callable[[], str]]:
    stream = io.StringIO()
    return stream, stream.getvalue


def make_logging_handler() -> tuple[Any, Callable[[], str]]:
    stream = io.StringIO()
    return logging.StreamHandler(stream), stream.getvalue


@pytest.mark.parametrize("make", [make_stream, make_logging_handler])
def test_our_sinks_keep_the_contract(make):
    """Streams and handlers of `logging` pass the examination."""
    examine_sink(make, format="{message}")


def test_a_file_keeps_the_contract(tmp_path):
    """A log file passes the examination."""
    names = iter(range(10_000))

    def make() -> tuple[Any, Callable[[], str]]:
        path = tmp_path / f"examined_{next(names)}.log"
        return str(path), lambda: path.read_text() if path.exists() else ""

    examine_sink(make)


# -- the fixture -------------------------------------------------------------------------------

PROGRAM = """
from laketrace import get_logger

early = get_logger("early", log_dir=None, stdout=False)


def test_records_of_old_and_new_loggers_are_kept(log_records):
    early.info("one", table="orders")
    late = get_logger("late", log_dir=None, stdout=False)
    late.warning("two")
    late.close()
    assert log_records.messages == ["one", "two"]
    assert log_records.having(table="orders")[0].level == "INFO"


def test_nothing_is_left_of_an_earlier_test(log_records):
    assert log_records == [] and len(early.handlers) == 1
    early.debug("below the level")
    assert log_records == []


def test_without_the_fixture_nothing_is_there():
    assert len(early.handlers) == 0
"""


def test_the_fixture_keeps_records_and_restores_state(tmp_path):
    """The plugin runs in a pytest of its own, as it does for a user."""
    (tmp_path / "test_program.py").write_text(PROGRAM)

    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null",
            "--rootdir", str(tmp_path), "-p", "laketrace.interop.pytest_plugin", str(tmp_path),
        ],
        capture_output=True, text=True, timeout=240, check=False,
        env={
            "PYTHONPATH": ":".join(sys.path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PATH": "/usr/bin:/bin", "HOME": str(tmp_path),
        },
    )  # fmt: skip

    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_the_plugin_loads_nothing_until_it_is_used():
    """Every run of pytest on a machine with LakeTrace imports the plugin; it stays cheap."""
    code = (
        "import sys, laketrace.interop.pytest_plugin\n"
        "print(sorted(name for name in sys.modules if name.startswith('laketrace')))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip

    assert shown.stdout.strip() == (
        "['laketrace', 'laketrace.interop', 'laketrace.interop.pytest_plugin']"
    )


def test_records_are_kept_from_threads(log):
    """A sink that keeps records may be filled from several threads."""
    records = Records()
    log.add(records)
    workers = [
        threading.Thread(target=lambda: [log.info("x") for _ in range(100)]) for _ in range(2)
    ]

    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert len(records) == 200
