"""Records of `logging` come into a LakeTrace logger."""

from __future__ import annotations

import json
import logging
import logging.handlers
import queue
import sys
from collections.abc import Iterator

import pytest

from laketrace import get_logger
from laketrace.core.logger import Logger
from laketrace.interop import LakeTraceHandler
from laketrace.interop.logging_in import MOST_NESTED


@pytest.fixture
def log() -> Iterator[Logger]:
    log = get_logger("interop", log_dir=None, stdout=False, level="TRACE", redact=False)
    yield log
    log.close()


@pytest.fixture
def library(log) -> logging.Logger:
    """A logger of some library, whose records go to LakeTrace only."""
    library = logging.Logger("some.library")
    library.addHandler(LakeTraceHandler(log))
    return library


def test_message_arguments_and_extra_arrive(library, records):
    """The message is formatted, `extra` becomes fields, the logger's name too."""
    library.warning("%d rows in %.1f s", 3, 0.2, extra={"table": "orders"})

    assert records.messages == ["3 rows in 0.2 s"]
    assert records[0].extra == {"table": "orders", "logger": "some.library"}


def test_a_dict_as_only_argument_gives_its_items_by_name(library, records):
    """`logging`'s "%(rows)d" form works."""
    library.info("%(rows)d rows", {"rows": 3})

    assert records.messages == ["3 rows"]


def test_arguments_that_do_not_fit_cost_nothing(library, records):
    """Where `logging` would print a traceback and lose the record, it is written."""
    library.info("%d rows", "many")

    assert records.messages == ["%d rows"]
    assert records[0].extra["message_args"] == ["many"]


def test_place_thread_and_time_are_those_of_the_call(library, records):
    """The record says where `logging` was called, not where LakeTrace took it in."""
    library.error("failed")
    line = sys._getframe().f_lineno - 1

    record = records[0]
    assert (record.file, record.line) == (__file__, line)
    assert record.function == "test_place_thread_and_time_are_those_of_the_call"
    assert record.thread_name == "MainThread"


def test_a_record_that_was_kept_back_has_its_own_time(log, records):
    """A MemoryHandler hands records on later; their time is that of the call."""
    made = logging.makeLogRecord({"created": 1_500_000_000.25, "levelno": 20, "msg": "old"})

    LakeTraceHandler(log).handle(made)

    assert records[0].timestamp.isoformat() == "2017-07-14T02:40:00.250000+00:00"


@pytest.mark.parametrize(
    ("number", "name", "level"),
    [
        (10, "DEBUG", ("DEBUG", 10)),
        (30, "WARN", ("WARNING", 30)),
        (50, "FATAL", ("CRITICAL", 50)),
        (25, "NOTICE", ("NOTICE", 25)),
        (25, "Level 25", ("SUCCESS", 25)),
        (5, "Level 5", ("TRACE", 5)),
        (33, "Level 33", ("Level 33", 33)),
        (1000, "Level 1000", ("Level 100", 100)),
    ],
)
def test_levels_are_mapped(log, records, number, name, level):
    """The five of `logging` are ours, own ones keep name and number."""
    LakeTraceHandler(log).handle(
        logging.makeLogRecord({"levelno": number, "levelname": name, "msg": "x"})
    )

    assert (records[0].level.name, records[0].level.no) == level


def test_exceptions_and_stacks_arrive(library, records):
    """`exc_info` becomes the exception object, `stack_info` a field."""
    try:
        raise ValueError("bad row")
    except ValueError:
        library.exception("failed", stack_info=True)

    assert records[0].exception is not None
    assert records[0].exception["type"] == "ValueError"
    assert records[0].extra["stack_info"].startswith("Stack (most recent call last)")


def test_a_record_from_a_queue_handler_keeps_its_traceback(log, records):
    """What a QueueHandler has turned into text is still there."""
    waiting: queue.Queue[logging.LogRecord] = queue.Queue()
    sender = logging.getLogger("queued")
    sender.propagate = False
    sender.addHandler(logging.handlers.QueueHandler(waiting))
    try:
        raise ValueError("bad row")
    except ValueError:
        sender.exception("failed")

    LakeTraceHandler(log).handle(waiting.get_nowait())

    assert "ValueError: bad row" in records.messages[0] + str(records[0].extra.get("exc_text"))


def test_reserved_names_in_extra_forge_nothing(library, records):
    """A field called like one of the record's own is kept beside it."""
    library.info("x", extra={"level": "CRITICAL", "timestamp": 0, "self": 1})

    assert records[0].level == "INFO"
    assert records[0].extra["extra_level"] == "CRITICAL"
    assert records[0].extra["self"] == 1


def test_bound_fields_stand_on_every_record(log, records):
    """A bound logger gives its fields to what comes in."""
    handler = LakeTraceHandler(log.bind(stage="bronze"), level="WARNING")
    library = logging.getLogger("bound.library")
    library.addHandler(handler)

    library.info("below the handler's level")
    library.warning("seen")
    library.removeHandler(handler)

    assert records.messages == ["seen"]
    assert records[0].extra["stage"] == "bronze"


def test_records_below_the_loggers_level_are_not_emitted(log, records, library):
    """LakeTrace's level applies to what comes in."""
    log.set_level("ERROR")

    library.warning("quiet")
    library.error("loud")

    assert records.messages == ["loud"]


def test_what_was_handed_out_never_comes_back_in(log, records, library):
    """A logger that hands out to `logging`, which hands in to it, does not go round."""
    log.add(library)

    log.warning("once")

    assert records.messages == ["once"]


def test_an_enricher_that_uses_logging_comes_to_an_end(log, records, library, capsys):
    """Records logged while one is taken in are taken in as well, up to a depth, then counted."""

    def chatty(record: object) -> None:
        library.debug("from the enricher")

    handler = LakeTraceHandler(log.patch(chatty))
    library.handlers[:] = [handler]

    library.info("outer")

    assert len(records) == MOST_NESTED
    assert handler.refused == 1


def test_a_hostile_extra_costs_only_itself(library, log):
    """A value whose methods raise is a marker in a line of valid JSON."""

    class Hostile:
        __str__ = __repr__ = lambda self: 1 / 0  # type: ignore[assignment, return-value]

    lines: list[str] = []
    log.add(lines.append)

    library.warning(Hostile(), extra={"value": Hostile()})

    assert "unprintable Hostile" in json.loads(lines[0])["value"]
