"""The logger as its users see it: records, fields, levels, handlers, accounts."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import laketrace
from laketrace import ConfigError, LakeTraceError, Logger, get_logger
from laketrace.core.levels import Level
from laketrace.interop import capture
from laketrace.security import SecurityConfig

STANDARD = [
    *("timestamp", "level", "message", "logger_name", "hostname", "pid"),
    *("platform", "runtime_type", "run_id"),
]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Logger]:
    """A logger that writes to a file of its own and nowhere else."""
    logger = get_logger("orders_etl", log_dir=tmp_path, stdout=False, level="TRACE")
    yield logger
    logger.close()


def lines(log: Logger) -> list[dict[str, Any]]:
    """The records in the log's file."""
    assert log.flush()
    return [json.loads(line) for line in log.log_file_path.read_text("utf-8").splitlines()]


def test_a_record_has_the_nine_fields_in_order_and_then_its_own(log: Logger) -> None:
    """The first nine fields are always there, in this order; bound and call fields follow."""
    log.bind(stage="bronze").info("table loaded", table="orders", rows=3)

    (record,) = lines(log)
    assert list(record) == [*STANDARD, "stage", "table", "rows"]
    assert record["message"] == "table loaded"
    assert record["level"] == "INFO"
    assert record["timestamp"].endswith("+00:00") and len(record["timestamp"]) == 32


@pytest.mark.parametrize(
    "level", ["trace", "debug", "info", "success", "warning", "error", "critical"]
)
def test_each_level_has_its_method(log: Logger, level: str) -> None:
    """The seven levels are methods, and `log` takes their names."""
    getattr(log, level)("x")
    log.log(level, "x")

    assert [record["level"] for record in lines(log)] == [level.upper()] * 2


def test_the_message_may_be_a_keyword_as_in_1x(log: Logger) -> None:
    """A call without a message has its field `message` for one; no form of a call raises."""
    log.info(message="table loaded", rows=3)
    log.bind(stage="bronze").error("read", message="kept")
    log.log("INFO", message={"rows": 3})
    log.info(rows=3)

    first, second, third, fourth = lines(log)
    assert (first["message"], first["rows"]) == ("table loaded", 3)
    assert (second["message"], second["extra_message"]) == ("read", "kept")
    assert third["message"] == "{'rows': 3}" and "extra_message" not in third
    assert (fourth["message"], fourth["rows"]) == ("", 3)


def test_a_level_of_ones_own_is_logged_by_name(log: Logger) -> None:
    """After `add_level`, `log.log` takes the new name."""
    laketrace.add_level("AUDIT", 35)

    log.log("AUDIT", "granted")
    log.log(35, "by number")

    assert [record["level"] for record in lines(log)] == ["AUDIT", "AUDIT"]


def test_an_unknown_level_name_does_not_cost_the_record(log: Logger) -> None:
    """A typo in a level never raises into the job: the record says so."""
    log.log("AUDITT", "granted")

    (record,) = lines(log)
    assert (record["level"], record["unknown_level"]) == ("INFO", "AUDITT")


def test_a_level_that_is_none_at_all_does_not_cost_the_record(log: Logger) -> None:
    """Not even where its text raises."""

    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    log.log(Hostile(), "x")  # type: ignore[arg-type]

    assert lines(log)[0]["unknown_level"] == "<unprintable Hostile: RuntimeError>"


def test_a_level_of_logging_with_a_name_of_ours_changes_nothing_for_ours(
    log: Logger, tmp_path: Path
) -> None:
    """Libraries have a TRACE of 8; a handler from 8 up takes that one, and not ours of 5."""
    log.add(str(tmp_path / "other.log"), level=8)

    log.log(Level("TRACE", 8), "theirs")
    log.trace("ours")

    assert [record["message"] for record in lines(log)] == ["theirs", "ours"]
    assert "theirs" in (tmp_path / "other.log").read_text()
    assert "ours" not in (tmp_path / "other.log").read_text()


def test_call_fields_win_over_context_and_context_over_bound(log: Logger) -> None:
    """The later and nearer field wins, and stands once."""
    bound = log.bind(a="bound", b="bound", c="bound")
    with log.contextualize(b="context", c="context"):
        bound.info("x", c="call")

    (record,) = lines(log)
    assert {key: record[key] for key in "abc"} == {"a": "bound", "b": "context", "c": "call"}


def test_reserved_names_are_kept_and_forge_nothing(log: Logger) -> None:
    """A field that bears a reserved name is kept as `extra_<name>`."""
    log.info("x", message="m", level="l", self="s", name="n", timestamp=0, pid=-1, file="f")

    (record,) = lines(log)
    assert record["message"] == "x" and record["level"] == "INFO" and record["pid"] > 0
    assert record["extra_message"] == "m" and record["extra_level"] == "l"
    assert record["extra_pid"] == -1 and record["extra_file"] == "f"
    assert record["self"] == "s" and record["name"] == "n"


def test_any_name_may_be_bound_or_stand_in_the_context(log: Logger) -> None:
    """`self`, `message`, `level` and `name` raise nothing, wherever they are given as fields."""
    bound = log.bind(self=1, message=2, level=3, name=4)
    with bound.contextualize(self=5, function=6):
        bound.info("x")
    with log.catch("y", level="INFO"):
        raise ValueError("x")

    record, _ = lines(log)
    fields = ("self", "extra_message", "extra_level", "name", "extra_function")
    assert [record[name] for name in fields] == [5, 2, 3, 4, 6]
    assert (record["message"], record["level"]) == ("x", "INFO")


def test_what_a_bound_logger_shows_of_itself_has_no_secret(log: Logger) -> None:
    """A notebook shows the last value of a cell: the fields stand there as in a record."""
    bound = log.bind(stage="bronze", api_key="hunter2", note="a\nb")

    assert repr(bound) == ('<Logger orders_etl stage=bronze api_key="[REDACTED]" note="a\\nb">')
    assert repr(log) == "<Logger orders_etl>"


def test_bind_returns_a_logger_that_can_do_everything(log: Logger) -> None:
    """A bound logger has every method of the first one, and leaves the first one alone."""
    bound = log.bind(stage="bronze").bind(part=1)

    bound.info("x")
    log.info("y")

    first, second = lines(log)
    assert (first["stage"], first["part"]) == ("bronze", 1)
    assert "stage" not in second
    assert isinstance(bound, Logger) and bound.stats() == log.stats()


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("%d rows in %.1f s", 3, 0.2), "3 rows in 0.2 s"),
        (("%(rows)d rows", {"rows": 3}), "3 rows"),
        (("100 %",), "100 %"),
        (("{rows}",), "{rows}"),
    ],
)
def test_messages_are_formatted_as_in_logging(
    log: Logger, args: tuple[Any, ...], expected: str
) -> None:
    """%-arguments are put in; a message without any stays as it is."""
    log.info(*args)

    assert lines(log)[0]["message"] == expected


def test_arguments_that_do_not_fit_stay_visible(log: Logger) -> None:
    """A wrong format string costs neither the record nor its arguments."""
    log.info("%d rows", "three", table="orders")

    (record,) = lines(log)
    assert record["message"] == "%d rows" and record["message_args"] == ["three"]
    assert record["table"] == "orders" and "TypeError" in record["message_error"]


def test_arguments_for_braces_are_told_what_is_meant(log: Logger) -> None:
    """Who comes from loguru or `str.format` reads in the record how it is written here."""
    log.info("{} rows", 3)

    (record,) = lines(log)
    assert record["message"] == "{} rows" and record["message_args"] == [3]
    assert record["message_error"].endswith("Arguments are %-style; {} is none: use %s, or fields")


def test_arguments_are_formatted_only_if_a_handler_takes_the_record(log: Logger) -> None:
    """Below the level neither `%` nor a lazy callable is run."""

    class Costly:
        def __str__(self) -> str:
            raise AssertionError("formatted")

    log.set_level("INFO")
    log.debug("%s", Costly())
    log.opt(lazy=True).debug("%s", lambda: pytest.fail("called"))

    assert log.stats().emitted == 0


def test_lazy_arguments_are_called_when_the_record_is_taken(log: Logger) -> None:
    """With `opt(lazy=True)`, arguments and fields that are callable are called."""
    log.opt(lazy=True).info("plan %s", lambda: "P", cost=lambda: 7)

    (record,) = lines(log)
    assert (record["message"], record["cost"]) == ("plan P", 7)


def test_the_caller_is_taken_from_warning_up(log: Logger) -> None:
    """Where it helps and is rare enough to be cheap, a record says where it was logged."""
    log.info("cheap")
    log.warning("helpful")

    cheap, helpful = lines(log)
    assert "file" not in cheap
    assert helpful["file"] == __file__
    assert helpful["function"] == "test_the_caller_is_taken_from_warning_up"


def test_depth_names_the_callers_caller(log: Logger) -> None:
    """`opt(depth=1)` lets a helper log in its caller's name."""

    def helper() -> None:
        log.opt(depth=1).warning("x")

    helper()

    assert lines(log)[0]["function"] == "test_depth_names_the_callers_caller"


def test_an_exception_is_an_object_with_its_cause(log: Logger) -> None:
    """`exception` has type, value, traceback, frames and the chain."""
    try:
        try:
            raise KeyError("id")
        except KeyError as error:
            raise ValueError("no such order") from error
    except ValueError:
        log.exception("failed", order=7)

    (record,) = lines(log)
    assert record["exception"]["type"] == "ValueError"
    assert record["exception"]["cause"]["type"] == "KeyError"
    assert record["exception"]["frames"][-1]["function"].startswith("test_an_exception")
    assert "raise ValueError" in record["exception"]["traceback"]


def test_exc_info_takes_an_exception_a_tuple_or_true(log: Logger) -> None:
    """`exc_info` is what it is in `logging`, and is no field."""
    error = ValueError("x")
    log.error("a", exc_info=error)
    log.error("b", exc_info=(ValueError, error, None))
    log.error("c", exc_info=True)

    first, second, third = lines(log)
    assert first["exception"]["value"] == second["exception"]["value"] == "x"
    assert "exception" not in third and "exc_info" not in third


def test_exception_outside_a_handler_makes_nothing_up(log: Logger) -> None:
    """Where no exception is being handled, the record has none."""
    log.exception("nothing happened")

    assert "exception" not in lines(log)[0]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_exceptions_that_end_programs_are_logged_like_others(
    log: Logger, kind: type[BaseException]
) -> None:
    """`exception` writes the record and lets nothing escape."""
    try:
        raise kind
    except BaseException:
        log.exception("stopped")

    assert lines(log)[0]["exception"]["type"] == kind.__name__


def test_patch_adds_fields_and_its_failure_is_named(log: Logger) -> None:
    """An enricher adds fields; one that raises is counted, and the record says which it was."""

    def broken(record: Any) -> None:
        raise LookupError("no cluster")

    log.patch(lambda record: {"cluster": "c1"}).info("x")
    log.patch(lambda record: record.extra.update(cluster="c2")).info("x")
    log.patch(broken).info("x")

    first, second, third = lines(log)
    assert (first["cluster"], second["cluster"]) == ("c1", "c2")
    assert "broken: LookupError: no cluster" in third["patch_error"]
    assert log.stats().patch_failures == 1 and log.stats().written == 3


def test_an_enricher_forges_nothing_and_never_costs_the_record(log: Logger) -> None:
    """What it puts into `extra` itself is kept apart too; what it breaks is mended."""

    class Enricher:
        def __init__(self, spoil: Any) -> None:
            self.spoil = spoil

        def __call__(self, record: Any) -> None:
            self.spoil(record)

        def __repr__(self) -> str:
            raise RuntimeError("no")

    def forge(record: Any) -> None:
        record.extra.update(level="CRITICAL", timestamp=0)

    def spoil(record: Any) -> None:
        record.message = ["no text"]
        record.extra = None

    log.patch(forge).info("x", rows=3)
    log.patch(Enricher(spoil)).info("x", rows=3)

    first, second = lines(log)
    assert (first["level"], first["extra_level"], first["extra_timestamp"]) == (
        "INFO",
        "CRITICAL",
        0,
    )
    assert (second["message"], second["rows"]) == ("['no text']", 3)
    assert "<unprintable Enricher: RuntimeError>" in second["patch_error"]


def test_serialize_adds_thread_process_and_caller(tmp_path: Path) -> None:
    """`serialize=True` adds what 1.1 had, at every level."""
    log = get_logger("serialized", log_dir=tmp_path, stdout=False, serialize=True)
    log.info("x", module="a field of my own", extra_module="another")
    log.close()

    (record,) = [json.loads(line) for line in (tmp_path / "serialized.log").open()]
    added = "thread_id thread_name process_id process_name module file line function elapsed"
    assert set(added.split()) <= set(record)
    assert record["process_id"] == record["pid"] and record["function"].startswith("test_serial")
    assert record["extra_module"] == "a field of my own" and record["extra_module_2"] == "another"


def test_context_is_kept_apart_between_threads_and_tasks(log: Logger) -> None:
    """A thread starts without the context of another; asyncio tasks do not mix theirs."""

    async def task(number: int) -> None:
        with log.contextualize(task=number):
            await asyncio.sleep(0)
            log.info("x", number=number)

    async def all_tasks() -> None:
        await asyncio.gather(*(task(number) for number in range(5)))

    with log.contextualize(batch=1):
        thread = threading.Thread(target=log.info, args=("thread",))
        thread.start()
        thread.join()
        asyncio.run(all_tasks())

    thread_record, *tasks = lines(log)
    assert "batch" not in thread_record
    assert all(record["task"] == record["number"] and record["batch"] == 1 for record in tasks)


class TestCatch:
    """`log.catch` in all its places."""

    def test_it_swallows_and_logs_in_a_with_block(self, log: Logger) -> None:
        """The exception is logged with the message and goes no further."""
        with log.catch("load failed"):
            raise ValueError("x")

        (record,) = lines(log)
        assert (record["message"], record["level"]) == ("load failed", "ERROR")
        assert record["exception"]["type"] == "ValueError"

    def test_it_reraises_when_asked(self, log: Logger) -> None:
        """With `reraise` the exception is logged and goes on."""
        with pytest.raises(ValueError), log.catch("load failed", reraise=True):
            raise ValueError("x")

        assert len(lines(log)) == 1

    def test_it_decorates_bare_and_with_arguments(self, log: Logger) -> None:
        """As `@log.catch` and `@log.catch(...)`; `default` is returned instead."""

        @log.catch
        def bare() -> int:
            raise ValueError("x")

        @log.catch("failed", default=-1)
        def with_default() -> int:
            raise ValueError("x")

        assert bare() is None and with_default() == -1
        assert len(lines(log)) == 2

    def test_it_decorates_coroutines_and_generators(self, log: Logger) -> None:
        """Where the exception passes inside them, not where they are made."""

        @log.catch
        async def coroutine() -> None:
            raise ValueError("coroutine")

        @log.catch
        def generator() -> Iterator[int]:
            yield 1
            raise ValueError("generator")

        @log.catch
        async def async_generator() -> Any:
            yield 1
            raise ValueError("async generator")

        async def drive() -> list[int]:
            await coroutine()
            return [item async for item in async_generator()]

        assert list(generator()) == [1] and asyncio.run(drive()) == [1]
        values = [record["exception"]["value"] for record in lines(log)]
        assert values == ["generator", "coroutine", "async generator"]

    def test_what_is_thrown_into_an_asynchronous_generator_reaches_it(self, log: Logger) -> None:
        """`athrow`, and the context managers made of such generators, work as undecorated."""
        seen: list[str] = []

        @log.catch
        async def numbers() -> Any:
            try:
                yield 1
            except KeyError:
                seen.append("thrown")
                yield 2
            finally:
                seen.append("closed")

        @contextlib.asynccontextmanager
        @log.catch(reraise=True)
        async def resource() -> Any:
            try:
                yield
            except KeyError:
                seen.append("failed inside")
                raise

        async def drive() -> list[int]:
            generator = numbers()
            items = [await generator.asend(None), await generator.athrow(KeyError("k"))]
            await generator.aclose()
            with pytest.raises(KeyError):
                async with resource():
                    raise KeyError("in the block")
            return items

        assert asyncio.run(drive()) == [1, 2]
        assert seen == ["thrown", "closed", "failed inside"]
        assert [record["exception"]["value"] for record in lines(log)] == ["'in the block'"]

    def test_exclude_lets_an_exception_through_unlogged(self, log: Logger) -> None:
        """What is excluded is not caught."""
        with pytest.raises(KeyError), log.catch(exclude=KeyError):
            raise KeyError("x")

        assert lines(log) == []


def test_get_logger_returns_the_same_logger(log: Logger) -> None:
    """A name has one logger in a process; without settings nothing about it changes."""
    again = get_logger("orders_etl")

    assert again.log_file_path == log.log_file_path
    assert again.is_enabled_for("TRACE")


def test_other_settings_are_applied_to_the_living_logger(log: Logger, tmp_path: Path) -> None:
    """A re-run cell with other settings changes them, doubles no line and loses none."""
    log.debug("before")
    again = get_logger("orders_etl", log_dir=tmp_path, stdout=False, level="INFO", rotation="1 MB")
    log.debug("too low now")
    again.info("after")

    assert [record["message"] for record in lines(again)] == ["before", "after"]
    assert log.stats().written == 2
    assert sorted(path.name for path in tmp_path.glob("*.log")) == ["orders_etl.log"]


def test_what_waits_is_written_before_other_settings_hold(tmp_path: Path) -> None:
    """A record in the queue goes to the file and has the form that it was logged for."""
    with get_logger("moved", log_dir=tmp_path / "a", stdout=False, enqueue=True, json=False) as log:
        log.info("before")
        get_logger("moved", log_dir=tmp_path / "b", stdout=False, enqueue=True)
        log.info("after")

    assert "INFO     | moved | before" in (tmp_path / "a" / "moved.log").read_text("utf-8")
    (record,) = map(json.loads, (tmp_path / "b" / "moved.log").read_text("utf-8").splitlines())
    assert record["message"] == "after"


def test_a_callable_sink_gets_the_text_with_the_record(log: Logger) -> None:
    """A callable is called with a `str` whose `.record` is the record."""
    seen: list[Any] = []
    log.add(seen.append, level="ERROR")

    log.info("too low")
    log.error("failed", rows=3)

    (message,) = seen
    assert isinstance(message, str) and json.loads(message)["rows"] == 3
    record = message.record
    assert record["level"] == "ERROR" and record.level.no == record.level.value == 40
    assert record.name == record.logger_name == "orders_etl"
    assert record.process_id == record.pid and record.extra == {"rows": 3}


def test_a_formatter_gets_its_newline(log: Logger) -> None:
    """A formatter's text gets a newline if it has none."""
    stream = io.StringIO()
    log.add(stream, format=lambda record: record.message)
    log.add(stream, format="{level} {message}")

    log.info("x")

    assert stream.getvalue() == "x\nINFO x\n"


@pytest.mark.parametrize("settings", [{"formatter": "made"}, {"json": False, "format": "made"}])
@pytest.mark.parametrize("sanitize", [True, False])
def test_nothing_that_a_formatter_gets_forges_a_line(
    tmp_path: Path, settings: dict[str, Any], sanitize: bool
) -> None:
    """It has message and fields escaped, unless that is unwanted; sinks have them as they are."""

    def made(record: Any) -> str:
        return f"{record.level.name} {record.message} {record.extra['by']}\n\tand a line of its own"

    given = {key: made if value == "made" else value for key, value in settings.items()}
    seen: list[Any] = []
    with get_logger(
        "made", log_dir=tmp_path, stdout=False, sanitize_messages=sanitize, **given
    ) as log:
        log.add(lambda message: seen.append(message.record.message))
        log.info("login\nERROR forged", by="bob\x1b[2J")

    text = (tmp_path / "made.log").read_text("utf-8")
    assert ("\nERROR" in text, "\x1b" in text) == (not sanitize, not sanitize)
    assert text.endswith("\n\tand a line of its own\n")
    assert seen == ["login\nERROR forged"]


def test_two_handlers_are_two_deliveries(log: Logger) -> None:
    """A record that goes to two handlers counts as two, and as one for each."""
    number = log.add(io.StringIO(), level="WARNING")

    log.info("x")
    log.error("x")

    stats = log.stats()
    assert (stats.emitted, stats.written, stats.queued) == (3, 3, 0)
    assert stats.handlers[number].written == 1


def test_a_removed_handler_keeps_its_accounts(log: Logger) -> None:
    """The accounts stay readable and balanced after `remove` and `close`."""
    number = log.add(io.StringIO())
    log.info("x")
    log.remove(number)
    log.info("y")
    log.close()
    log.info("z")

    stats = log.stats()
    assert number not in log.handlers and stats.handlers[number].written == 1
    assert stats.emitted == stats.written + sum(stats.dropped.values()) + stats.failed
    assert stats.dropped == {"closed": 1}


def test_removing_a_handler_that_is_not_there_says_which_are(log: Logger) -> None:
    """The error names the id and the handlers that exist."""
    with pytest.raises(ValueError, match=r"there is no handler 99\. Handlers now: 1"):
        log.remove(99)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda log: log.set_level("loud"), "level='loud': 'loud' is not a level. Use one of"),
        (lambda log: log.is_enabled_for(1000), "level=1000: 1000 is not a level"),
        (lambda log: log.remove(99), "number=99: there is no handler 99. Handlers now: 1."),
        (lambda log: laketrace.add_level("INFO", 21), "name='INFO': INFO is already level 20."),
        (lambda log: laketrace.add_level("WARN", 30), "name='WARN': WARN already means WARNING."),
        (lambda log: laketrace.add_level("LOUD", 0), "no=0: not the number of a level."),
        (lambda log: laketrace.add_level("a b", 3), "name='a b': 'a b' is not the name of a level"),
        (lambda log: capture(log, level="loud"), "level='loud': 'loud' is not a level."),
        (lambda log: SecurityConfig(pii_patterns={"a": "("}), "is not a regular expression"),
    ],
)
def test_every_error_is_a_laketrace_error_and_the_one_expected(
    ask: Callable[[Logger], object], said: str, log: Logger
) -> None:
    """One `except LakeTraceError` catches all; `except ValueError` does what it did in 1.x."""
    with pytest.raises(LakeTraceError) as caught:
        ask(log)

    assert isinstance(caught.value, ValueError)
    assert said in str(caught.value)


def test_data_that_is_no_mapping_is_a_field(log: Logger) -> None:
    """A log call does not raise, whatever it is given."""
    log.log_structured("loaded", data=[1, 2])

    assert lines(log)[0]["data"] == [1, 2]


def test_a_sink_that_raises_is_counted_and_said_once(
    log: Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """The job sees nothing; the accounts do; stderr has one line."""

    def broken(text: str) -> None:
        raise ConnectionError("gone")

    number = log.add(broken)
    for _ in range(3):
        log.info("x")

    stats = log.stats()
    assert stats.handlers[number].failed == 3 and stats.written == 3
    assert capsys.readouterr().err.count("gone") == 1


def test_an_error_whose_text_raises_costs_one_delivery(
    log: Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a sink, a filter, a formatter or at the end: the job sees nothing, stderr has its name."""

    class Speechless(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    def broken(*args: Any) -> Any:
        raise Speechless

    log.add(broken)
    log.add(io.StringIO(), filter=broken)
    log.add(io.StringIO(), format=broken)
    log.at_close(broken)
    log.info("x")
    log.close()

    said = capsys.readouterr().err.splitlines()
    assert (log.stats().written, log.stats().failed) == (1, 3)
    assert [line.count("Speechless: <unprintable Speechless: RuntimeError>") for line in said] == [
        *(1, 1, 1, 1)
    ]


def test_each_sink_that_fails_is_said_once(log: Logger, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where it lies in memory where one lay that failed before."""
    for number in range(20):

        def broken(text: str, number: int = number) -> None:
            raise ValueError(f"gone {number}")

        handler = log.add(broken)
        log.info("x")
        log.info("x")
        log.remove(handler)

    assert capsys.readouterr().err.count("ValueError: gone") == 20


def test_what_is_said_of_an_error_is_one_harmless_line(
    log: Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """The text of an error may come from anywhere: on stderr it forges no line of ours."""

    def broken(text: str) -> None:
        raise ValueError("bad row\nlaketrace: all is well\x1b[2J")

    log.add(broken)
    log.info("x")

    (said,) = capsys.readouterr().err.splitlines()
    assert r"ValueError: bad row\nlaketrace: all is well\x1b[2J. Records" in said


@pytest.mark.parametrize("setting", ["filter", "format"])
def test_a_filter_or_formatter_that_raises_makes_the_delivery_failed(
    log: Logger, setting: str
) -> None:
    """One delivery is lost, counted, and the other handlers get theirs."""

    def broken(record: Any) -> Any:
        raise LookupError("x")

    number = log.add(io.StringIO(), **{setting: broken})
    log.info("x")

    assert log.stats().handlers[number].failed == 1
    assert len(lines(log)) == 1


def test_a_filter_decides_and_what_it_refuses_is_not_emitted(log: Logger) -> None:
    """Filters are callables, name prefixes or levels by name, as in loguru."""
    kept: list[str] = []
    log.add(kept.append, filter=lambda record: "rows" in record.extra)
    log.add(kept.append, filter="orders_etl")
    log.add(kept.append, filter="other")
    log.add(kept.append, filter={"": "TRACE", "orders_etl": "ERROR"})

    log.info("x")

    assert len(kept) == 1 and log.stats().emitted == 2


def test_a_sink_that_logs_does_not_recurse(log: Logger) -> None:
    """What a sink logs goes to the other handlers and is counted for its own."""
    number = log.add(lambda text: log.info("from the sink"))

    log.info("x")

    assert [record["message"] for record in lines(log)] == ["x", "from the sink"]
    assert log.stats().handlers[number].dropped == {"reentrant": 1}


def test_a_value_that_logs_in_its_repr_ends(log: Logger) -> None:
    """A `__repr__` that logs its own object is stopped, and every record is written."""

    class Chatty:
        def __repr__(self) -> str:
            log.info("repr", value=self)
            return "chatty"

    log.info("x", value=Chatty())

    assert lines(log)[-1]["message"] == "x" and len(lines(log)) < 10


def test_with_closes_the_logger(tmp_path: Path) -> None:
    """As a context manager a logger is closed at the end; later calls count as dropped."""
    with get_logger("closing", log_dir=tmp_path, stdout=False) as log:
        log.info("x")
    log.info("late")

    assert log.stats().written == 1 and log.stats().dropped == {"closed": 1}
    assert (tmp_path / "closing.log").exists()


def test_tail_prints_the_last_lines_over_a_rotation(
    log: Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """`tail(n)` prints n lines, also where the file has just been rotated; 0 prints nothing."""
    for number in range(5):
        log.info("x", number=number)
    assert log.finish_segment() is not None
    log.info("x", number=5)

    log.tail(3)
    printed = capsys.readouterr().out
    log.tail(0)

    assert [f'"number":{number}' in printed for number in range(6)] == [False] * 3 + [True] * 3
    assert capsys.readouterr().out == ""


def test_tail_shows_what_others_have_written_harmlessly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A formatter of the user's may have left anything in the file: it drives no terminal."""
    log = get_logger("raw", log_dir=tmp_path, stdout=False, formatter=lambda record: record.message)
    log.info("title\x1b]0;owned\x07\u202e")
    log.tail(1)
    log.close()

    assert "title\\x1b]0;owned\\x07\\u202e" in capsys.readouterr().out


def test_log_structured_keeps_its_form(log: Logger) -> None:
    """The call of 1.x works, with its data as fields and secrets masked."""
    log.log_structured("x", level="WARNING", data={"rows": 3, "password": "hunter2"})

    (record,) = lines(log)
    assert record["level"] == "WARNING" and record["rows"] == 3
    assert "hunter2" not in json.dumps(record)


def test_wrong_handler_settings_are_all_said_at_once(log: Logger) -> None:
    """Nothing is opened; each problem has value, rule and remedy."""
    with pytest.raises(ConfigError) as caught:
        log.add(print, level="LOUD", rotation="1 MB", colour=True)

    text = str(caught.value)
    assert "3 settings are wrong" in text and "'LOUD' is not a level" in text
    assert "rotation: only a file has it" in text and "colour=True: no such setting" in text
    assert len(log.handlers) == 1


@pytest.mark.parametrize("path", ["", "errors/", Path("/"), "/tmp"])
def test_a_path_that_names_no_file_is_refused(log: Logger, path: Any) -> None:
    """Nothing is written beside a directory, or under no name."""
    with pytest.raises(ConfigError, match=r"no file\. Use a path like 'errors\.log'"):
        log.add(path)

    assert len(log.handlers) == 1


def test_a_record_over_the_limit_is_cut_with_a_marker(tmp_path: Path) -> None:
    """A record has a largest size; what is missing is counted in it."""
    log = get_logger("large", log_dir=tmp_path, stdout=False, max_record_size="10 KB")
    log.info("m" * 100_000, field="f" * 50_000, nested=[list(range(10_000))], small=1)
    log.close()

    (line,) = (tmp_path / "large.log").read_text().splitlines()
    assert len(line) <= 10 * 1024
    record = json.loads(line)
    assert record["small"] == 1 and "<cut: " in record["message"] and "<cut: " in record["field"]


FORMS: dict[str, dict[str, Any]] = {
    "json": {},
    "serialize": {"serialize": True},
    "schema": {"schema": "ecs"},
    "text": {"json": False},
    "formatter": {"formatter": lambda record: f"{record.message} {record.extra}"},
}


@pytest.mark.parametrize("form", FORMS)
def test_the_limit_of_a_record_holds_in_every_form_for_whatever_is_large(
    tmp_path: Path, form: str
) -> None:
    """A message, a value, a name, an exception, many fields; in bytes, not in characters."""
    log = get_logger(
        "large", log_dir=tmp_path, stdout=False, max_record_size="10 KB", **FORMS[form]
    )
    log.info("m" * 100_000)
    log.info("\U0001f600" * 9_000)
    log.info("x", **{"n" * 100_000: 1, "small": 1})
    log.info("x", **{f"field{number}": number for number in range(20_000)})
    log.warning("x", nested=[{"a": "b" * 1000}] * 1000)
    log.error("x", exc_info=ValueError("e" * 100_000), note="n" * 100_000)
    log.close()

    written = (tmp_path / "large.log").read_bytes()
    records = re.split(rb"\n(?! )", written.rstrip())
    assert len(records) == 6
    assert [len(record) <= 10 * 1024 for record in records] == [True] * 6
    assert written.count(b"<cut: ") >= 4 and written.count(b"fields_left_out") == 2
    assert b"left out ...]" in records[5] or form == "formatter"


def test_each_call_is_a_line_of_its_own_whatever_is_in_it(log: Logger) -> None:
    """Line breaks and control characters in messages and fields stay inside their record."""
    log.info('x\n{"level":"ERROR"}\r\x1b[2J\u2028', field="a\nb")

    assert len(log.log_file_path.read_text("utf-8").splitlines()) == 1
    assert lines(log)[0]["message"].endswith("\r\x1b[2J\u2028")


def test_secrets_reach_no_file_and_no_sink_of_the_user(log: Logger) -> None:
    """Values under secret names are masked at any depth, before filters and sinks see them."""
    seen: list[Any] = []
    log.add(seen.append)
    cycle: dict[str, Any] = {"password": "hunter2"}
    cycle["self"] = cycle

    log.bind(api_key="hunter2").info("x", db={"user": "bob", "password": "hunter2"}, c=cycle)

    (record,) = lines(log)
    assert record["db"] == {"user": "bob", "password": "[REDACTED]"}
    assert record["api_key"] == "[REDACTED]" and record["c"]["self"] == "<cycle>"
    assert "hunter2" not in repr(seen[0].record.extra) + seen[0]


def test_no_half_of_a_secret_stays_of_an_exception(tmp_path: Path) -> None:
    """Texts of exceptions are cut; what `mask_pii` finds goes before that, and its length too."""
    log = get_logger("masked", log_dir=tmp_path, stdout=False, mask_pii=True)

    def connect(password: str) -> None:
        raise ValueError("password=" + password * 5_000)

    try:
        connect(password="hunter2-")
    except ValueError:
        log.exception("x")
    log.close()

    (line,) = (tmp_path / "masked.log").read_text().splitlines()
    traceback = json.loads(line)["exception"]["traceback"]
    assert "hunter2" not in line and 'connect(password="[REDACTED]")' in traceback
    assert "^" not in traceback.partition("[REDACTED]")[2].partition("File")[0]


def test_a_field_that_cannot_be_looked_into_costs_only_itself(log: Logger) -> None:
    """A container whose methods raise is shown as a marker, also where a sink wants records."""

    class Hostile(dict):  # type: ignore[type-arg]
        def items(self) -> Any:
            raise RuntimeError("no")

    log.add(lambda text: None)
    log.info("x", bad=Hostile(a=1), good=1)

    (record,) = lines(log)
    assert record["good"] == 1 and record["bad"] == "<unprintable Hostile: RuntimeError>"
