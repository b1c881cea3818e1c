"""What a stage observes of Spark: classic and Connect, and the traps of `Observation`."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

from laketrace import Logger, get_logger
from laketrace.pipeline import ExpectationFailed
from tests.support.spark import MODE


def spark_is_3() -> bool:
    """Whether this is Spark 3.5, whose Connect client has no `Observation`."""
    try:
        return version("pyspark").startswith("3.")
    except PackageNotFoundError:
        return False


SESSIONS = ["spark"] if spark_is_3() else ["spark", "spark_connect"]


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.spark) for name in SESSIONS])
def session(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A session of Spark that can observe, classic and Connect in turn."""
    monkeypatch.delenv(MODE, raising=False)
    session = request.getfixturevalue(request.param)  # a server that starts must not see the mode
    if request.param == "spark_connect":
        monkeypatch.setenv(MODE, "1")
    return session


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Logger]:
    logger = get_logger("observed", log_dir=tmp_path / "log", stdout=False)
    yield logger
    logger.close()


def records(log: Logger, *events: str) -> list[dict[str, Any]]:
    """The records of these events, in order."""
    log.flush()
    found = map(json.loads, log.log_file_path.read_text().splitlines())
    return [record for record in found if record.get("event") in events]


def figures(log: Logger) -> dict[tuple[str, str | None], Any]:
    """What was told as observed: the values by name and column."""
    return {
        (item["metric_name"], item.get("dims", {}).get("column")): item.get(
            "metric_value", item.get("metric_text")
        )
        for item in records(log, "pipeline_metric", "data_quality_metric")
        if item.get("basis") == "observed"
    }


def unknown(log: Logger) -> dict[str, str]:
    """What was not known, with the reasons."""
    return {item["metric_name"]: item["reason"] for item in records(log, "metric_not_known")}


ROWS = ("pipeline.bronze.orders.row_count", None)


def orders(session: Any) -> Any:
    """10 rows: `id` null in every fifth, `amount` from 0 to 9, `currency`, `at`."""
    return session.range(0, 10, 1, 2).selectExpr(
        "if(id % 5 = 0, null, id) AS id",
        "CAST(id AS double) AS amount",
        "if(id < 3, 'EUR', 'usd') AS currency",
        "timestamp'2026-11-20 12:00:00' AS at",
        "'s3cret' AS api_key",
    )


def test_figures_come_from_the_write_itself(session: Any, log: Logger, tmp_path: Path) -> None:
    """Rows, nulls, extremes, distinct and own figures, told as observed; Delta included."""
    with log.run("daily") as run, run.stage("bronze") as stage:
        observed = stage.observe(
            orders(session), name="orders", nulls=["id"], min_max=["amount", "currency", "at"],
            distinct=["currency"],
            expressions={"revenue": "sum(amount)"},
        )  # fmt: skip
        observed.write.format("delta").save(str(tmp_path / "orders"))

    assert figures(log) == {
        ROWS: 10,
        ("dq.orders.null_percent", "id"): 20.0,
        ("dq.orders.min", "amount"): 0.0,
        ("dq.orders.max", "amount"): 9.0,
        ("dq.orders.min", "currency"): "EUR",
        ("dq.orders.max", "currency"): "usd",
        ("dq.orders.min", "at"): "2026-11-20 12:00:00+00:00",
        ("dq.orders.max", "at"): "2026-11-20 12:00:00+00:00",
        ("dq.orders.distinct", "currency"): 2,
        ("dq.orders.revenue", None): 45.0,
    }
    assert stage.metrics["orders.row_count"] == 10
    assert unknown(log) == {}


def test_without_an_action_nothing_waits_and_nothing_is_told(session: Any, log: Logger) -> None:
    """`Observation.get` of classic Spark would block for ever."""
    with log.run("daily") as run, run.stage("bronze") as stage:
        stage.observe(orders(session), name="orders", nulls=["id"])
        began = time.monotonic()

    assert time.monotonic() - began < 60
    assert figures(log) == {}
    assert "no action" in unknown(log)["pipeline.bronze.orders.row_count"]


FAIL = "if(id = 9, raise_error('bad row'), id) AS id"


def test_a_failed_action_has_no_figures(session: Any, log: Logger) -> None:
    """Classic Spark gives zeros then; nothing is told, and Python's control flow is not asked."""
    with log.run("daily") as run, run.stage("bronze") as stage:
        observed = stage.observe(orders(session), name="orders", nulls=["id"])
        with pytest.raises(Exception, match="bad row"):
            observed.selectExpr(FAIL).write.format("noop").mode("overwrite").save()

    assert figures(log) == {}
    assert set(unknown(log)) == {"pipeline.bronze.orders.row_count", "dq.orders.null_percent"}


def test_a_caught_failure_before_the_observation_does_not_matter(
    session: Any, log: Logger, tmp_path: Path
) -> None:
    """Another action failed, ours had success."""
    with log.run("daily") as run, run.stage("bronze") as stage:
        observed = stage.observe(orders(session), name="orders")
        with pytest.raises(Exception, match="bad row"):
            session.range(10).selectExpr(FAIL).collect()
        observed.write.parquet(str(tmp_path / "orders"))

    assert figures(log) == {ROWS: 10}


def test_what_flowed_in_the_first_action_counts(session: Any, log: Logger, tmp_path: Path) -> None:
    """A second action on the same data changes nothing."""
    with log.run("daily") as run, run.stage("bronze") as stage:
        observed = stage.observe(orders(session), name="orders")
        observed.where("amount < 100").count()
        observed.unionAll(orders(session)).write.parquet(str(tmp_path / "orders"))
        observed.collect()

    assert figures(log) == {ROWS: 10}


def test_under_a_limit_the_record_says_that_it_is_what_flowed(session: Any, log: Logger) -> None:
    """More rows may flow than a limit lets through; `basis` says so."""
    with log.run("daily") as run, run.stage("bronze") as stage:
        stage.observe(session.range(0, 100, 1, 4), name="orders").limit(10).collect()

    (told,) = [one for one in records(log, "pipeline_metric") if one["metric_name"] == ROWS[0]]
    assert told["basis"] == "observed"
    assert 10 <= told["metric_value"] <= 100


def test_expectations_are_met_in_the_same_pass(session: Any, log: Logger, tmp_path: Path) -> None:
    """Each kind, found under the write; what offends is shown, its secrets are not."""
    with log.run("daily") as run, run.stage("bronze") as stage:
        stage.expect("ids", column="id", max_null_percent=10, sample=3)
        stage.expect("amounts", column="amount", min=0, max=8.0, sample=2)
        stage.expect("codes", column="currency", in_set=["EUR", "USD"], matches="[A-Z]{3}")
        stage.expect("fresh", column="at", max_age="1 day")
        stage.expect("cheap", expression="amount < 5", sample=20)
        stage.expect("some", min_rows=1, max_rows=9)
        stage.observe(orders(session), name="orders").write.parquet(str(tmp_path / "orders"))

    told = {item["rule"]: item for item in records(log, "expectation")}
    age = (
        datetime.now(timezone.utc) - datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
    ).total_seconds()
    assert {rule: (item["observed"], item["passed"]) for rule, item in told.items()} == {
        "max_null_percent": (20.0, False),
        "min": (0.0, True),
        "max": (9.0, False),
        "in_set": (7, False),
        "matches": (7, False),
        "max_age": (pytest.approx(age, abs=60), False),
        "expression": (5, False),
        "min_rows": (10, True),
        "max_rows": (10, False),
    }
    assert all(item["basis"] == "observed" for item in told.values())
    assert [row["amount"] for row in told["max"]["sample"]] == [9.0]
    assert 1 <= len(told["max_null_percent"]["sample"]) <= 2
    shown = told["expression"]["sample"]
    assert {row["amount"] for row in shown} <= {5.0, 6.0, 7.0, 8.0, 9.0} and shown
    assert {row["api_key"] for row in shown} == {"[REDACTED]"}


def test_all_that_fail_stop_the_stage_at_once(session: Any, log: Logger) -> None:
    """One error with every failure, after the action."""
    with (
        pytest.raises(ExpectationFailed) as caught,
        log.run("daily") as run,
        run.stage("bronze") as stage,
    ):
        observed = stage.observe(orders(session), name="orders", nulls=["id"])
        observed.collect()
        stage.expect("ids", column="id", max_null_percent=0, on_fail="error")
        stage.expect("few", max_rows=1, on_fail="error")

    assert len(caught.value.failures) == 2


def test_what_was_not_observed_is_not_known(session: Any, log: Logger) -> None:
    """An expectation behind the observation has only what was observed."""
    with log.run("daily") as run, run.stage("bronze") as stage:
        observed = stage.observe(orders(session), name="orders")
        stage.expect("amounts", column="amount", max=5)
        observed.collect()

    (told,) = records(log, "expectation")
    assert told["passed"] is None and "expect it before observe" in told["reason"]


@pytest.mark.parametrize("allowed", [False, True])
def test_whether_values_are_unique_takes_a_pass_that_is_allowed(
    session: Any, log: Logger, allowed: bool
) -> None:
    """Without it the check is not made; with it it is, after the action."""
    with log.run("daily") as run, run.stage("bronze") as stage:
        stage.observe(orders(session), name="orders").collect()
        stage.expect("apart", column="currency", unique=True, second_pass=allowed)

    (told,) = records(log, "expectation")
    if allowed:
        assert (told["observed"], told["passed"]) == (8, False)
    else:
        assert told["passed"] is None and "second_pass=True" in told["reason"]


def test_a_value_of_another_type_never_fails_the_action(session: Any, log: Logger) -> None:
    """In ANSI mode a cast of Spark's would; the check is not made, the write goes on."""
    with log.run("daily") as run, run.stage("bronze") as stage:
        stage.expect("codes", column="currency", in_set=[1, 2])
        stage.expect("codes", column="amount", matches="[0-9]")
        stage.expect("own", expression="no_such_column > 1")
        rows = stage.observe(orders(session), name="orders", nulls=["id"]).collect()

    assert len(rows) == 10 and figures(log)[ROWS] == 10
    assert [item["passed"] for item in records(log, "expectation")] == [None] * 3


def test_the_job_goes_on_where_spark_observes_nothing(session: Any, log: Logger) -> None:
    """A name that is there twice cannot be observed; the rows can."""
    twice = session.range(3).selectExpr("id AS a", "id AS a")

    with log.run("daily") as run, run.stage("bronze") as stage:
        rows = stage.observe(twice, name="orders", nulls=["a"]).collect()

    assert len(rows) == 3 and figures(log) == {ROWS: 3}
    assert "Spark cannot observe nulls of a" in unknown(log)["dq.orders.null_percent"]


def test_each_stage_on_a_thread_has_figures_of_its_own(session: Any, log: Logger) -> None:
    """Two writes side by side, and both wait until the other runs."""
    meet = threading.Barrier(2, timeout=240)

    def work(name: str, count: int) -> None:
        with run.stage(name) as stage:
            observed = stage.observe(session.range(count), name="orders")
            meet.wait()
            observed.collect()

    with log.run("daily") as run:
        threads = [threading.Thread(target=work, args=each) for each in (("a", 5), ("b", 7))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert figures(log) == {
        ("pipeline.a.orders.row_count", None): 5,
        ("pipeline.b.orders.row_count", None): 7,
    }


def test_a_stream_tells_the_figures_of_each_micro_batch(
    session: Any, log: Logger, tmp_path: Path
) -> None:
    """Its records of progress have them; the stage says that it has no figure of its own."""
    orders(session).write.parquet(str(tmp_path / "in"))
    stream = session.readStream.schema(orders(session).schema).parquet(str(tmp_path / "in"))

    with log.run("daily") as run, run.stage("bronze") as stage:
        observed = stage.observe(stream, name="orders", nulls=["id"])
        query = (
            observed.writeStream.format("parquet")
            .option("checkpointLocation", str(tmp_path / "checkpoint"))
            .trigger(availableNow=True)
            .start(str(tmp_path / "out"))
        )
        query.awaitTermination(240)
        ends = time.monotonic() + 120
        while time.monotonic() < ends and not records(log, "stream_progress"):
            time.sleep(0.05)

    told = [one["observed"] for one in records(log, "stream_progress") if "observed" in one]
    assert {"row_count": 10, "nulls_id": 2} in [one.get("orders") for one in told]
    assert figures(log) == {}
    assert "stream_progress" in unknown(log)["pipeline.bronze.orders.row_count"]


def test_a_connect_client_that_cannot_observe_says_so(spark_connect: Any, log: Logger) -> None:
    """That of Spark 3.5 has no `Observation`: the job goes on. Those of 4 know the figure."""
    with log.run("daily") as run, run.stage("bronze") as stage:
        rows = stage.observe(orders(spark_connect), name="orders").collect()

    assert len(rows) == 10
    if spark_is_3():
        assert figures(log) == {}
        assert "Spark cannot observe" in unknown(log)["pipeline.bronze.orders.row_count"]
    else:
        assert figures(log) == {ROWS: 10}


def test_the_newest_time_is_what_it_is_in_any_zone(session: Any, log: Logger) -> None:
    """Seconds of age do not depend on the time zones of the session or the machine."""
    now = datetime.now(timezone.utc) - timedelta(hours=2)
    data = session.sql(f"SELECT timestamp_seconds({now.timestamp():.0f}) AS at")

    with log.run("daily") as run, run.stage("bronze") as stage:
        stage.expect("fresh", column="at", max_age="3 hours")
        stage.observe(data, name="orders").collect()

    (told,) = records(log, "expectation")
    assert told["passed"] is True and told["observed"] == pytest.approx(7200, abs=60)


def test_extremes_of_times_are_times(session: Any, log: Logger) -> None:
    """Instants with their zone, local times without one, days; nothing of the JVM's own."""
    data = session.sql(
        "SELECT date'2026-11-20' AS day, timestamp_ntz'2026-11-20 12:00:00.5' AS local, "
        "timestamp_seconds(1700000000) AS at"
    )

    with log.run("daily") as run, run.stage("bronze") as stage:
        stage.expect("since", column="at", min=datetime(2023, 11, 14, tzinfo=timezone.utc))
        stage.expect("until", column="day", max=date(2026, 11, 19))
        stage.observe(data, name="orders", min_max=["day", "local", "at"]).collect()

    told = figures(log)
    assert told[("dq.orders.max", "day")] == "2026-11-20"
    assert told[("dq.orders.min", "local")] == "2026-11-20 12:00:00.500000"
    assert told[("dq.orders.min", "at")] == "2023-11-14 22:13:20+00:00"
    assert [item["passed"] for item in records(log, "expectation")] == [True, False]


def test_the_job_goes_on_with_a_server_that_cannot_observe(sail: Any, log: Logger) -> None:
    """Sail has no `CollectMetrics`; it is asked before the action, which then does without."""
    with log.run("daily") as run, run.stage("bronze") as stage:
        stage.expect("few", column="id", max=3)
        rows = stage.observe(sail.range(10), name="orders", nulls=["id"]).collect()

    assert len(rows) == 10 and figures(log) == {}
    assert "Spark cannot observe" in unknown(log)["pipeline.bronze.orders.row_count"]
    assert [item["passed"] for item in records(log, "expectation")] == [None]
