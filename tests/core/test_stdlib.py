"""Records handed out to the `logging` module."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from laketrace import get_logger
from laketrace.core.levels import Level, get_level
from laketrace.core.record import Message, Record, Source
from laketrace.core.stdlib import MARK, StdlibSink, is_stdlib, to_log_record

AT = 1_795_000_000_123_456_789


def make_record(level: str = "WARNING", **extra: object) -> Record:
    record = Record(
        Source("etl", "host", 7, "local", "script", "run"), get_level(level), "late", AT, extra
    )
    record.file, record.line, record.function = "/app/etl.py", 42, "load"
    record.thread_id, record.thread_name, record.process_name = 5, "worker", "Main"
    return record


def deliver(sink: StdlibSink, record: Record, text: str = "TEXT\n") -> None:
    sink.append(Message(text, record), record.timestamp_ns)  # type: ignore[arg-type]


class Kept(logging.Handler):
    """Keeps the records that it is asked to emit."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Failing(logging.Handler):
    """Meets a fault in `emit` and reports it the way logging's own handlers do."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            raise OSError(28, "No space left on device")
        except OSError:
            self.handleError(record)


def test_a_handler_gets_time_place_and_fields():
    """The LogRecord says when, where and what, and its own formatter makes the line."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        logging.Formatter(
            "%(created)f %(msecs)03d %(name)s %(levelname)s %(pathname)s:%(lineno)d %(funcName)s "
            "%(process)d %(threadName)s %(message)s %(table)s"
        )
    )

    deliver(StdlibSink(handler), make_record(table="orders"))

    assert stream.getvalue() == (
        "1795000000.123457 123 etl WARNING /app/etl.py:42 load 7 worker late orders\n"
    )


def test_formatted_text_is_handed_on_where_it_was_asked_for():
    """With a template of LakeTrace, its text is the message, without the newline."""
    handler = Kept()

    deliver(StdlibSink(handler, formatted=True), make_record(), "WARNING late 100 %\n")

    assert handler.records[0].getMessage() == "WARNING late 100 %"


def test_fields_never_replace_what_logging_has_under_that_name():
    """A field `args` or `msg` is kept beside the attribute, so that the message survives."""
    made = to_log_record(make_record(args=1, msg="forged", asctime="x"))

    assert made.getMessage() == "late"
    assert (made.__dict__["extra_args"], made.__dict__["extra_msg"]) == (1, "forged")


def test_exceptions_reach_the_handler():
    """A handler prints the traceback from the exception itself."""
    stream = io.StringIO()
    record = make_record()
    try:
        raise ValueError("bad row")
    except ValueError as error:
        record.exc = error

    deliver(StdlibSink(logging.StreamHandler(stream)), record)

    assert "Traceback (most recent call last)" in stream.getvalue()
    assert "ValueError: bad row" in stream.getvalue()


def test_a_redacted_exception_reaches_the_handler_as_text(tmp_path):
    """With `mask_pii` a handler of `logging` still prints the traceback, without the secret."""
    stream = io.StringIO()
    log = get_logger("masked", log_dir=tmp_path, stdout=False, mask_pii=True)
    log.add(logging.StreamHandler(stream))

    try:
        raise ValueError("mail to bob@example.com failed")
    except ValueError:
        log.exception("not sent")
    log.close()

    assert "Traceback (most recent call last)" in stream.getvalue()
    assert "ValueError: mail to [REDACTED] failed" in stream.getvalue()


def test_own_levels_keep_their_names():
    """TRACE, SUCCESS and registered levels are named, though logging does not know them."""
    record = make_record()
    record.level = Level("AUDIT", 35)

    made = to_log_record(record)

    assert (made.levelname, made.levelno) == ("AUDIT", 35)


def test_level_and_filters_of_the_handler_apply():
    """What the handler refuses is not emitted by it."""
    handler = Kept()
    handler.setLevel(logging.ERROR)
    handler.addFilter(lambda record: record.__dict__.get("table") != "secret")
    sink = StdlibSink(handler)

    deliver(sink, make_record("WARNING"))
    deliver(sink, make_record("ERROR", table="secret"))
    deliver(sink, make_record("ERROR"))

    assert [record.levelname for record in handler.records] == ["ERROR"]


@pytest.mark.python("3.12")
def test_a_filter_may_replace_the_record():
    """The record that a filter returns is the one that is emitted."""
    handler = Kept()
    other = logging.LogRecord("other", 30, "", 0, "other", None, None)
    handler.addFilter(lambda record: other)

    deliver(StdlibSink(handler), make_record())

    assert handler.records == [other]


def test_a_fault_that_logging_would_swallow_is_counted(capsys):
    """A handler that reports its fault to `handleError` makes the delivery failed."""
    handler = Failing()
    sink = StdlibSink(handler)

    deliver(sink, make_record())

    stats = sink.stats()
    assert (stats.emitted, stats.written, stats.failed) == (1, 0, 1)
    assert "No space left on device" in capsys.readouterr().err
    assert "handleError" not in vars(handler)


def test_a_handlers_own_way_with_faults_is_left_to_it():
    """A `handleError` set on the handler is there again after a delivery."""
    handler = Failing()
    mine = handler.__dict__["handleError"] = lambda record: None

    deliver(StdlibSink(handler), make_record())

    assert vars(handler)["handleError"] is mine


def test_a_logger_hands_on_to_its_handlers_and_parents():
    """A logger, or an adapter of one, is a sink with all that hangs on it."""
    logger = logging.getLogger("test_stdlib.parent.child")
    handler = Kept()
    logging.getLogger("test_stdlib.parent").addHandler(handler)
    logger.setLevel(logging.WARNING)

    for target in (logger, logging.LoggerAdapter(logger, {})):
        sink = StdlibSink(target)
        deliver(sink, make_record("INFO"))
        deliver(sink, make_record("ERROR"))

    assert [record.levelname for record in handler.records] == ["ERROR", "ERROR"]
    assert all(record.__dict__[MARK] == "etl" for record in handler.records)


def test_closing_flushes_the_handler_and_leaves_it_open():
    """What the handler holds is written; it can still be used by its owner."""
    kept = Kept()
    from logging.handlers import MemoryHandler

    memory = MemoryHandler(100, target=kept)
    sink = StdlibSink(memory)
    deliver(sink, make_record())

    sink.close(1.0)
    deliver(sink, make_record())

    assert len(kept.records) == 1
    assert sink.stats().dropped == {"closed": 1}


def test_without_logging_nothing_is_of_it(monkeypatch):
    """A program that has not imported `logging` has none of its handlers."""
    monkeypatch.delitem(sys.modules, "logging")

    assert not is_stdlib(print)
