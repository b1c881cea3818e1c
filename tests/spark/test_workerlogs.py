"""What Python workers logged is in the driver's log, each record once and as it was logged."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from laketrace import Logger
from laketrace.spark import collect_worker_logs, stage
from laketrace.spark.workerlogs import CONF
from laketrace.testing import Records

TASK = ("stage_id", "partition_id", "task_attempt_id")


@pytest.fixture
def logging_session(session: Any) -> Iterator[Any]:
    """A session with worker logging on, from which all earlier records were taken."""
    from laketrace import get_logger

    session.conf.set(CONF, "true")
    sink = get_logger("earlier", log_dir=None, stdout=False)
    collect_worker_logs(session, sink)
    yield session
    collect_worker_logs(session, sink)
    session.conf.set(CONF, "false")


def use(session: Any, function: Any, kind: str = "long") -> None:
    from pyspark.sql import functions as F

    session.range(0, 2, 1, 1).select(F.udf(function, kind)("id")).collect()


@pytest.mark.spark("4.1")
def test_udf_records_come_as_they_were_logged(
    logging_session: Any, log: Logger, records: Records
) -> None:
    """Level, message, fields with their types, and the task: INFO too, each once."""
    bound = log.bind(table="orders")

    def check(x: int) -> int:
        bound.info("row %d", x, rows=x, ratio=0.5, text="3", tags={"a": [1, None]})
        return x

    use(logging_session, check)
    brought = collect_worker_logs(logging_session, log)
    again = collect_worker_logs(logging_session, log)

    assert (brought, again) == (2, 0)
    assert [(record.level, record.message) for record in records] == [
        ("INFO", "row 0"), ("INFO", "row 1")
    ]  # fmt: skip
    told = dict(records[1].extra)
    assert {name: type(told.pop(name)) for name in TASK} == dict.fromkeys(TASK, int)
    assert told.pop("worker_time").endswith("+00:00")
    assert isinstance(told.pop("worker_pid"), int) and told.pop("worker_host")
    assert told == {
        "executor": True, "udf": "check", "table": "orders",
        "rows": 1, "ratio": 0.5, "text": "3", "tags": {"a": [1, None]},
    }  # fmt: skip
    assert records[1].run_id == log.run_id


@pytest.mark.spark("4.1")
def test_exceptions_come_as_they_were_logged(
    logging_session: Any, log: Logger, records: Records
) -> None:
    """Type, cause, traceback and place are the worker's, not those of the collecting call."""

    def check(x: int) -> int:
        try:
            raise ValueError("bad row") from KeyError("order_id")
        except ValueError:
            log.exception("failed", row=x)
        return x

    use(logging_session, check)
    collect_worker_logs(logging_session, log)

    record = records.at("ERROR")[0]
    assert record.exception is not None
    assert (record.exception["type"], record.exception["value"]) == ("ValueError", "bad row")
    assert record.exception["cause"]["type"] == "KeyError"
    assert "Traceback" in record.exception["traceback"]
    assert (record.function, record.extra["row"]) == ("check", 0)
    assert str(record.file).endswith("test_workerlogs.py")


@pytest.mark.spark("4.1")
def test_pandas_functions_are_brought_too(
    logging_session: Any, log: Logger, records: Records
) -> None:
    """`mapInPandas` and pandas UDFs log in the same way."""

    def each(frames: Any) -> Any:
        for frame in frames:
            log.info("frame", rows=len(frame))
            yield frame

    def times(frames: Any) -> Any:
        for ids in frames:
            log.info("series", rows=len(ids))
            yield ids * 2

    from pyspark.sql import functions as F

    logging_session.range(0, 3, 1, 1).mapInPandas(each, "id long").collect()
    kind = F.PandasUDFType.SCALAR_ITER
    f = F.pandas_udf(times, "long", kind)  # type: ignore[call-overload]
    logging_session.range(0, 3, 1, 1).select(f("id")).collect()
    collect_worker_logs(logging_session, log)

    assert records.having(udf="each").messages == ["frame"]
    assert records.having(udf="times", rows=3).messages == ["series"]


@pytest.mark.spark("4.1")
def test_stage_of_a_worker_record_is_where_it_ran(
    logging_session: Any, log: Logger, records: Records
) -> None:
    """A record bears the stage of the worker, also when it is collected in another one."""

    def check(x: int) -> int:
        log.info("checked")
        return x

    with stage(log, "bronze", spark=logging_session):
        use(logging_session, check)
    with stage(log, "report", spark=logging_session):
        collect_worker_logs(logging_session, log)

    assert {record.extra["stage"] for record in records.having(executor=True)} == {"bronze"}


@pytest.mark.spark("4.1")
def test_equal_records_are_not_taken_for_one(
    logging_session: Any, log: Logger, records: Records
) -> None:
    """Ten equal records of a worker are ten, of LakeTrace as of `logging`."""

    def check(x: int) -> int:
        for _ in range(5):
            log.info("same")
            logging.getLogger("theirs").warning("theirs")
        return x

    use(logging_session, check)
    first = collect_worker_logs(logging_session, log)
    use(logging_session, check)
    second = collect_worker_logs(logging_session, log)

    assert (first, second) == (20, 20)
    assert records.messages.count("same") == 20
    theirs = records.having(worker_logger="theirs", executor=True)
    assert (len(theirs), theirs[0].level, theirs[0].extra["udf"]) == (20, "WARNING", "check")


@pytest.mark.spark("4.1")
def test_prints_and_exceptions_of_logging_come_too(
    logging_session: Any, log: Logger, records: Records
) -> None:
    """What a worker prints, and exceptions that `logging` reported, have a record each."""

    def check(x: int) -> int:
        print(f"seen {x}")
        try:
            return 1 // x
        except ZeroDivisionError:
            logging.getLogger("theirs").exception("failed")
            return 0

    use(logging_session, check)
    collect_worker_logs(logging_session, log)

    assert records.having(worker_logger="stdout").messages == ["seen 0", "seen 1"]
    (failed,) = records.having(worker_logger="theirs")
    assert failed.exception is not None
    assert failed.exception["type"] == "ZeroDivisionError"
    assert "in check" in failed.exception["traceback"]


@pytest.mark.spark("4.1")
def test_end_of_a_run_brings_what_its_workers_logged(
    logging_session: Any, log: Logger, records: Records
) -> None:
    """Nobody has to ask: before a run ends, worker logs are in the log."""

    def check(x: int) -> int:
        log.info("checked")
        return x

    with log.run("daily") as run, run.stage("bronze"):
        use(logging_session, check)

    assert records.having(executor=True, stage="bronze").messages == ["checked"] * 2
    assert records[-1].extra["event"] == "run_end"


def test_end_of_a_run_without_worker_logging_says_nothing(
    session: Any, log: Logger, records: Records
) -> None:
    """Who has not switched it on is not told at each run that it is off."""
    with log.run("daily"):
        session.range(1).count()

    assert len(records.having(event="worker_logs_missing")) == 0


# --- what is missing --------------------------------------------------------------------------


def test_off_or_too_old_is_said_once(session: Any, log: Logger, records: Records) -> None:
    """Without worker logging one record says what is missing, and nothing happens."""
    if session.conf.get(CONF, "false") == "true":
        session.conf.set(CONF, "false")
    from laketrace.spark import workerlogs

    workerlogs._told.clear()

    assert [collect_worker_logs(session, log) for _ in range(2)] == [0, 0]

    (missing,) = records.having(event="worker_logs_missing")
    assert missing.level == "WARNING"
    assert "Spark 4.1" in missing.message or CONF in missing.message


def test_older_spark_is_named(log: Logger, records: Records) -> None:
    """Below 4.1 the record names the version that is there."""
    old = SimpleNamespace(
        version="3.5.5", _jsparkSession=SimpleNamespace(sessionUUID=lambda: "old")
    )

    assert collect_worker_logs(old, log) == 0

    assert records.messages == ["worker logs need Spark 4.1 or newer; this is 3.5.5"]


def test_session_that_fails_is_survived(log: Logger, records: Records) -> None:
    """A stopped or broken session costs a warning, never an exception."""
    broken = SimpleNamespace()

    assert collect_worker_logs(broken, log) == 0

    assert records.messages == ["worker logs were not collected"]
