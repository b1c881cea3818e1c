"""Figures and expectations of data in this process."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laketrace import ConfigError, LakeTraceError, Logger, get_logger
from laketrace.errors import MissingExtraError
from laketrace.pipeline import ExpectationFailed
from laketrace.pipeline.figures import Data, Figure, NotKnown

COLUMNS: dict[str, list[Any]] = {
    "id": [1, 2, None, 2],
    "amount": [1.5, -2.0, 8.0, 0.0],
    "currency": ["EUR", "USD", None, "eur"],
}
ROWS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]


def pandas_table(columns: dict[str, list[Any]]) -> Any:
    return pytest.importorskip("pandas").DataFrame(columns)


def polars_table(columns: dict[str, list[Any]]) -> Any:
    return pytest.importorskip("polars").DataFrame(columns)


def lazy_table(columns: dict[str, list[Any]]) -> Any:
    return polars_table(columns).lazy()


def arrow_table(columns: dict[str, list[Any]]) -> Any:
    return pytest.importorskip("pyarrow").table(columns)


def row_list(columns: dict[str, list[Any]]) -> Any:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


needs_narwhals = pytest.mark.extra("narwhals")
any_table = pytest.mark.parametrize(
    "table",
    [
        pytest.param(pandas_table, marks=[needs_narwhals, pytest.mark.extra("pandas")]),
        pytest.param(polars_table, marks=[needs_narwhals, pytest.mark.extra("polars")]),
        pytest.param(lazy_table, marks=[needs_narwhals, pytest.mark.extra("polars")]),
        pytest.param(arrow_table, marks=[needs_narwhals, pytest.mark.extra("pyarrow")]),
        row_list,
    ],
)
Table = Callable[[dict[str, list[Any]]], Any]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Logger]:
    logger = get_logger("quality", log_dir=tmp_path, stdout=False)
    yield logger
    logger.close()


def records(log: Logger, *events: str) -> list[dict[str, Any]]:
    """The records of these events, in order."""
    log.flush()
    found = map(json.loads, log.log_file_path.read_text().splitlines())
    return [record for record in found if record.get("event") in events]


def metrics(log: Logger) -> dict[tuple[str, str | None], Any]:
    """The values of the metrics that say how they were come by, by name and column."""
    return {
        (item["metric_name"], item.get("dims", {}).get("column")): item.get(
            "metric_value", item.get("metric_text")
        )
        for item in records(log, "pipeline_metric", "data_quality_metric")
        if item.get("basis") == "computed"
    }


@any_table
def test_figures_are_told_of_every_kind_of_table(log: Logger, table: Table) -> None:
    """Rows, null percentages, extremes and distinct values; the data come back as they were."""
    data = table(COLUMNS)

    with log.run("daily") as run, run.stage("bronze") as stage:
        given_back = stage.observe(
            data, name="orders", nulls=["id", "amount"], min_max=["amount", "currency"],
            distinct=["id"],
        )  # fmt: skip

    assert given_back is data
    assert metrics(log) == {
        ("pipeline.bronze.orders.row_count", None): 4,
        ("dq.orders.null_percent", "id"): 25.0,
        ("dq.orders.null_percent", "amount"): 0.0,
        ("dq.orders.min", "amount"): -2.0,
        ("dq.orders.max", "amount"): 8.0,
        ("dq.orders.min", "currency"): "EUR",
        ("dq.orders.max", "currency"): "eur",
        ("dq.orders.distinct", "id"): 2,
    }
    assert stage.metrics == {"orders.row_count": 4}


EXPECTED: list[tuple[dict[str, Any], Any, bool]] = [
    ({"column": "id", "max_null_percent": 25}, 25.0, True),
    ({"column": "id", "max_null_percent": 24.9}, 25.0, False),
    ({"column": "amount", "min": -2}, -2.0, True),
    ({"column": "amount", "min": 0}, -2.0, False),
    ({"column": "amount", "max": 8}, 8.0, True),
    ({"column": "amount", "max": 7}, 8.0, False),
    ({"column": "currency", "in_set": {"EUR", "USD", "eur"}}, 0, True),
    ({"column": "currency", "in_set": ["EUR", "USD"]}, 1, False),
    ({"column": "currency", "matches": "[A-Za-z]{3}"}, 0, True),
    ({"column": "currency", "matches": "EUR|US"}, 2, False),
    ({"column": "amount", "unique": True}, 0, True),
    ({"column": "id", "unique": True}, 1, False),
    ({"min_rows": 4, "max_rows": 4}, 4, True),
    ({"min_rows": 5}, 4, False),
    ({"max_rows": 3}, 4, False),
]


@any_table
@pytest.mark.parametrize(("settings", "observed", "passed"), EXPECTED)
def test_an_expectation_is_a_record_with_its_result(
    log: Logger, table: Table, settings: dict[str, Any], observed: Any, passed: bool
) -> None:
    """Rule, limit, observed value and result; what fails is a warning, and the stage goes on."""
    with log.run("daily") as run, run.stage("bronze") as stage:
        stage.observe(table(COLUMNS), name="orders")
        stage.expect("as agreed", **settings)

    for record in records(log, "expectation"):
        assert (record["observed"], record["passed"]) == (observed, passed)
        assert record["level"] == ("INFO" if passed else "WARNING")
        assert (record["data"], record["basis"]) == ("orders", "computed")
        assert record["rule"] in settings and record["limit"] is not None
    assert run.status == "ok"


def test_all_expectations_that_fail_stop_the_stage_at_once(log: Logger) -> None:
    """One error with every failure, at the end of the stage; it is logged once."""
    with (
        pytest.raises(ExpectationFailed) as caught,
        log.run("daily") as run,
        run.stage("bronze") as stage,
    ):
        stage.expect("id is there", column="id", max_null_percent=0, on_fail="error")
        stage.observe(ROWS, name="orders")
        stage.expect("many rows", min_rows=10, on_fail="error")
        stage.expect("ids are apart", column="id", unique=True)

    assert str(caught.value).splitlines() == [
        "2 expectations of stage bronze failed:",
        "  - id is there: orders.id: max_null_percent=0, but 25 % are null.",
        "  - many rows: orders: min_rows=10, but there are 4 rows.",
    ]
    assert run.failed_stage == "bronze" and run.status == "failed"
    stage_end, run_end = records(log, "stage_end", "run_end")
    assert stage_end["status"] == "failed"
    assert "exception" in stage_end and "exception" not in run_end


def test_a_stage_is_tried_again_after_expectations_failed(log: Logger) -> None:
    """Each attempt has expectations of its own."""
    batches = iter([[], [{"id": 1}]])

    with log.run("daily") as run:
        for expected in (pytest.raises(ExpectationFailed), nullcontext()):
            with expected, run.stage("bronze", retries=1) as stage:
                stage.observe(next(batches), name="orders")
                stage.expect("there are rows", min_rows=1, on_fail="error")

    assert [item.status for item in run.timings] == ["failed", "ok"]
    assert run.status == "ok"


def test_an_error_of_the_stage_itself_goes_on(log: Logger) -> None:
    """An expectation that failed as well does not take its place."""
    with pytest.raises(ZeroDivisionError), log.run("daily") as run, run.stage("bronze") as stage:
        stage.observe(ROWS, name="orders")
        stage.expect("many rows", min_rows=10, on_fail="error")
        raise ZeroDivisionError


def test_what_cannot_be_checked_stops_the_stage_with_the_reason(log: Logger) -> None:
    """Without data there is no result; nobody knows that the data are right."""
    with (
        pytest.raises(ExpectationFailed, match="nothing was observed in this stage"),
        log.run("daily") as run,
        run.stage("bronze") as stage,
    ):
        stage.expect("there are rows", min_rows=1, on_fail="error")

    (record,) = records(log, "expectation")
    assert record["passed"] is None and record["observed"] is None


@any_table
def test_a_check_that_the_data_do_not_allow_costs_the_others_nothing(
    log: Logger, table: Table
) -> None:
    """A pattern on numbers has no result, with the reason; the null share has one."""
    with log.run("daily") as run, run.stage("bronze") as stage:
        stage.expect("a code", column="amount", matches="[0-9]+", max_null_percent=0)
        stage.observe(table(COLUMNS), name="orders")

    results = {item["rule"]: item for item in records(log, "expectation")}
    assert results["matches"]["passed"] is None and "amount" in results["matches"]["reason"]
    assert results["max_null_percent"]["passed"] is True


@any_table
def test_of_no_rows_a_share_is_not_known(log: Logger, table: Table) -> None:
    """The figure is absent with the reason; that no row is null holds."""
    data = table(COLUMNS)
    data = data.slice(0, 0) if hasattr(data, "slice") else data[:0]

    with log.run("daily") as run, run.stage("bronze") as stage:
        stage.observe(data, name="orders", nulls=["id"])
        stage.expect("id is there", column="id", max_null_percent=0, min=0)

    assert metrics(log) == {("pipeline.bronze.orders.row_count", None): 0}
    (absent,) = records(log, "metric_not_known")
    assert (absent["metric_name"], absent["reason"]) == (
        "dq.orders.null_percent",
        "there are no rows",
    )
    assert all(item["passed"] for item in records(log, "expectation"))


def test_expectations_are_about_the_data_they_name(log: Logger) -> None:
    """Without a name: those observed last."""
    with log.run("daily") as run, run.stage("bronze") as stage:
        stage.observe(ROWS, name="orders")
        stage.observe(ROWS[:1], name="returns")
        stage.expect("few", max_rows=1)
        stage.expect("four", name="orders", min_rows=4)

    assert [(item["data"], item["passed"]) for item in records(log, "expectation")] == [
        ("returns", True),
        ("orders", True),
    ]


@any_table
def test_a_column_that_is_not_there_is_told_at_once(log: Logger, table: Table) -> None:
    """With the name that was likely meant."""
    with log.run("daily") as run:
        stage = run.stage("bronze")
        with stage, pytest.raises(ConfigError, match="Did you mean 'amount'"):
            stage.observe(table(COLUMNS), name="orders", nulls=["amuont"])


@needs_narwhals
def test_columns_that_are_numbered_are_told_too(log: Logger) -> None:
    """pandas numbers the columns that nobody named."""
    data = pytest.importorskip("pandas").DataFrame([[1, 2]])

    with (
        log.run("daily") as run,
        run.stage("bronze") as stage,
        pytest.raises(ConfigError, match=r"There are 0, 1\."),
    ):
        stage.observe(data, name="orders", nulls=["id"])


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "nothing is expected"),
        ({"min": 0}, "it is about a column"),
        ({"column": "id", "max_null_percent": 101}, "percent from 0 to 100"),
        ({"min_rows": -1}, "at least 0"),
        ({"column": "id", "in_set": "EUR"}, "a collection of values"),
        ({"column": "id", "in_set": []}, "neither nothing nor null"),
        ({"column": "id", "in_set": [[1]]}, "texts, numbers, dates"),
        ({"column": "id", "matches": "("}, "no regular expression"),
        ({"min_rows": 1, "on_fail": "stop"}, "Use 'warn' or 'error'"),
    ],
)
def test_wrong_settings_of_an_expectation_are_told(
    log: Logger, settings: dict[str, Any], text: str
) -> None:
    """Where it is written, before any data."""
    with log.run("daily") as run:
        stage = run.stage("bronze")
        with stage, pytest.raises(ConfigError, match=text):
            stage.expect("as agreed", **settings)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"nulls": "id"}, "it is a list"),
        ({"distinct": [1]}, "columns are texts"),
        ({"name": ""}, "data have a name"),
    ],
)
def test_wrong_settings_of_an_observation_are_told(
    log: Logger, settings: dict[str, Any], text: str
) -> None:
    """Before the data are looked at."""
    with log.run("daily") as run:
        stage = run.stage("bronze")
        with stage, pytest.raises(ConfigError, match=text):
            stage.observe(ROWS, **settings)


@pytest.mark.parametrize("data", [[1, 2], 7, "rows", iter(ROWS)])
def test_data_of_another_kind_are_refused(log: Logger, data: Any) -> None:
    """An iterator too, which would be used up."""
    with log.run("daily") as run:
        stage = run.stage("bronze")
        with stage, pytest.raises((ConfigError, MissingExtraError)):
            stage.observe(data, name="orders")


def test_the_error_pickles_and_is_one_of_ours() -> None:
    """It travels between processes."""
    error = ExpectationFailed("bronze", ["a", "b"])

    again = pickle.loads(pickle.dumps(error))

    assert isinstance(again, LakeTraceError) and isinstance(again, ValueError)
    assert (str(again), again.failures) == (str(error), ("a", "b"))


KINDS = ("rows", "nulls", "min", "max", "distinct", "repeated")
COLUMN = st.lists(st.none() | st.integers(-5, 5), min_size=1)


@pytest.mark.extra("narwhals", "pyarrow", "polars")
@given(COLUMN)
def test_every_kind_of_table_has_the_figures_of_the_list(values: list[int | None]) -> None:
    """pyarrow, Polars and plain Python agree."""
    import pyarrow as pa

    tables = [
        row_list({"n": values}),
        pa.table({"n": pa.array(values, pa.int64())}),
        polars_table({"n": values}).cast(pytest.importorskip("polars").Int64),
    ]
    wanted = [Figure(kind, "n") for kind in KINDS] + [Figure("outside", "n", (1, 2))]

    answers = []
    for table in tables:
        data = Data("n", table)
        data.prepare(wanted)
        answers.append([data.figure(figure) for figure in wanted])

    assert answers[0] == answers[1] == answers[2]


def test_a_figure_that_is_not_known_says_why() -> None:
    """Extremes of what cannot be compared."""
    data = Data("mixed", [{"n": 1}, {"n": "a"}])

    with pytest.raises(NotKnown, match="not supported between"):
        data.figure(Figure("min", "n"))


def narwhals_or_function(table: Table, column: str, limit: float) -> Any:
    """`column < limit` in the language of the data."""
    if table is row_list:
        return lambda row: row[column] < limit
    return pytest.importorskip("narwhals").col(column) < limit


@any_table
def test_an_own_expression_is_true_of_each_row(log: Logger, table: Table) -> None:
    """Rows for which it is false fail; a sample shows them."""
    with log.run("daily") as run, run.stage("bronze") as stage:
        stage.observe(table(COLUMNS), name="orders")
        cheap = narwhals_or_function(table, "amount", 1.0)
        stage.expect("cheap", expression=cheap, sample=1)

    (told,) = records(log, "expectation")
    assert (told["rule"], told["observed"], told["passed"]) == ("expression", 2, False)
    assert [row["amount"] for row in told["sample"]] == [1.5]


@any_table
def test_an_own_figure_is_told_under_its_name(log: Logger, table: Table) -> None:
    """An aggregate in the language of the data."""
    if table is row_list:
        revenue: Any = lambda rows: sum(row["amount"] for row in rows)  # noqa: E731
    else:
        revenue = pytest.importorskip("narwhals").col("amount").sum()

    with log.run("daily") as run, run.stage("bronze") as stage:
        stage.observe(table(COLUMNS), name="orders", expressions={"revenue": revenue})

    assert metrics(log)[("dq.orders.revenue", None)] == 7.5


@any_table
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"column": "id", "max_null_percent": 0}, [None]),
        ({"column": "amount", "min": 0}, [1]),
        ({"column": "amount", "max": 5}, [2]),
        ({"column": "currency", "in_set": ["EUR", "USD"]}, [3]),
        ({"column": "currency", "matches": "[A-Z]{3}"}, [3]),
    ],
)
def test_a_sample_shows_rows_that_offend(
    log: Logger, table: Table, settings: dict[str, Any], expected: list[Any]
) -> None:
    """Whole rows, as many as asked for."""
    with log.run("daily") as run, run.stage("bronze") as stage:
        stage.observe(table(COLUMNS), name="orders")
        stage.expect("as agreed", sample=5, **settings)

    (told,) = records(log, "expectation")
    places = [index if index is not None else 2 for index in expected]
    assert [row["amount"] for row in told["sample"]] == [COLUMNS["amount"][at] for at in places]


def test_secrets_in_a_sample_are_not_shown(log: Logger) -> None:
    """Values under names of secrets are redacted like in any record."""
    with log.run("daily") as run, run.stage("bronze") as stage:
        stage.observe([{"id": None, "password": "hunter2"}], name="users")
        stage.expect("ids", column="id", max_null_percent=0, sample=1)

    (told,) = records(log, "expectation")
    assert told["sample"] == [{"id": None, "password": "[REDACTED]"}]


@any_table
def test_data_are_as_fresh_as_their_newest_time(log: Logger, table: Table) -> None:
    """A time without a zone is in UTC; nulls are no times."""
    now = datetime.now(timezone.utc).replace(microsecond=0)
    data = {"at": [now - timedelta(hours=2), None], "naive": [None, now.replace(tzinfo=None)]}

    with log.run("daily") as run, run.stage("bronze") as stage:
        stage.observe(table(data), name="orders")
        stage.expect("fresh", column="at", max_age="1 hour")
        stage.expect("fresh", column="naive", max_age=timedelta(minutes=5))

    old, new = records(log, "expectation")
    assert old["passed"] is False and old["observed"] == pytest.approx(7200, abs=60)
    assert old["limit"] == 3600
    assert new["passed"] is True


def test_what_is_no_time_has_no_age(log: Logger) -> None:
    """The check has no result, with the reason."""
    with log.run("daily") as run, run.stage("bronze") as stage:
        stage.observe(ROWS, name="orders")
        stage.expect("fresh", column="amount", max_age="1 hour")

    (told,) = records(log, "expectation")
    assert told["passed"] is None and "is no time" in told["reason"]


def bronze(log: Logger, count: int, name: str = "daily", **settings: Any) -> dict[str, Any]:
    """A run with `count` rows; what came of the expectation about their change."""
    with log.run(name) as run, run.stage("bronze") as stage:
        stage.observe([{"id": 1}] * count, name="orders")
        stage.expect("steady", max_change_percent=50, on_fail="error", **settings)
    return records(log, "expectation")[-1]


def test_the_row_count_is_compared_with_the_last_good_run(log: Logger) -> None:
    """A first run has nothing to compare with, which is no failure; a failed one counts not."""
    first = bronze(log, 100)
    second = bronze(log, 140)
    with pytest.raises(ExpectationFailed, match=r"the rows changed by -85\.7143 %"):
        bronze(log, 20)
    after = bronze(log, 150)
    other = bronze(log, 3, name="hourly")

    assert (first["passed"], first["level"]) == (None, "INFO")
    assert "no earlier good run" in first["reason"]
    assert (second["observed"], second["passed"]) == (40.0, True)
    assert after["observed"] == pytest.approx(100 / 14)
    assert other["passed"] is None


def test_the_last_run_is_remembered_by_the_folder_of_the_log(log: Logger, tmp_path: Path) -> None:
    """Also by another process, which a new logger stands for; what is torn is as if it were not."""
    bronze(log, 100)
    log.close()
    again = get_logger("quality", log_dir=tmp_path, stdout=False)
    try:
        assert bronze(again, 100)["passed"] is True
        (tmp_path / ".laketrace" / "quality.rows").write_text('{"daily": ')
        assert bronze(again, 100)["passed"] is None
    finally:
        again.close()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"column": "at", "max_age": "1 fortnight"}, "fortnight"),
        ({"max_change_percent": -1}, "at least 0"),
        ({"min_rows": 1, "sample": 21}, "0 to 20"),
        ({"min_rows": 1, "sample": True}, "0 to 20"),
    ],
)
def test_wrong_settings_of_newer_expectations_are_told(
    log: Logger, settings: dict[str, Any], text: str
) -> None:
    """Where it is written, before any data."""
    with log.run("daily") as run:
        stage = run.stage("bronze")
        with stage, pytest.raises(ConfigError, match=text):
            stage.expect("as agreed", **settings)
