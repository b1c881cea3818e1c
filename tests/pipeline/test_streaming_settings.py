"""The settings of guarded streams: all problems at once, and no Spark needed to find them."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laketrace import ConfigError, get_logger
from laketrace.pipeline import create_dlq_handler, validate_streaming_config, with_dlq
from laketrace.pipeline.streaming import places
from laketrace.pipeline.streaming.intervals import parse_trigger, parse_watermark
from laketrace.pipeline.streaming.settings import checked

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def section(**changes: Any) -> dict[str, Any]:
    """A right section, with changes."""
    return {"streaming": {"checkpoint": "/lake/c/orders", "dlq_path": "/lake/d/orders", **changes}}


@pytest.fixture
def live() -> Iterator[list[Any]]:
    """The queries that count as live in this process."""
    kept, places._live[:] = list(places._live), []
    yield places._live
    places._live[:] = kept


def problems(cfg: Any, **given: Any) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        checked(cfg, **given)
    return list(raised.value.problems)


def test_all_problems_come_at_once() -> None:
    """Unknown names with the nearest known one, wrong values, missing places: one ConfigError."""
    with pytest.raises(ConfigError) as raised:
        validate_streaming_config(
            {
                "streaming": {
                    "chekpoint": "/lake/c",
                    "watermark": "soon",
                    "max_files_per_trigger": 0,
                    "max_bad_percent": 101,
                    "trigger_interval": "1 month",
                    "failOnDataLoss": "false",
                    "write_options": {"txnAppId": "x"},
                }
            }
        )

    said = list(raised.value.problems)
    assert isinstance(raised.value, ValueError)
    assert [text.partition("=")[0].partition(":")[0] for text in said] == [
        "watermark",
        "trigger_interval",
        "max_files_per_trigger",
        "max_bad_percent",
        "chekpoint",
        "checkpoint",
        "dlq_path",
        "fail_on_data_loss",
        "write_options['txnAppId']",
    ]
    assert "Did you mean 'checkpoint'?" in said[4]


def test_checked_settings_are_a_mapping_that_can_be_checked_again() -> None:
    """What came out goes in again, as attributes and by name; it pickles and does not change."""
    first = validate_streaming_config(section(watermark="10 minutes", max_bytes_per_trigger="1 GB"))
    again = validate_streaming_config(pickle.loads(pickle.dumps(first)))

    assert (again.watermark, again["max_bytes_per_trigger"]) == ("10 minutes", 1 << 30)
    assert again == first
    with pytest.raises(AttributeError):
        again.watermark = "1 day"  # type: ignore[misc]


def guard_of(cfg: Any) -> Any:
    log = get_logger("settings", log_dir=None, stdout=False)
    guard = with_dlq(lambda rows: rows, cfg, "main.orders", log=log)
    log.close()
    return guard


def test_letter_case_of_a_format_does_not_matter() -> None:
    """`Delta` is Delta, with its transactions; the class of a source is a class."""
    mine = validate_streaming_config(section(format="Delta", dlq_format="org.acme.Source"))
    guard = guard_of(mine)

    assert (mine.format, mine.dlq_format) == ("delta", "org.acme.Source")
    assert guard._table.exactly_once


@pytest.mark.parametrize("name", ["mergeSchema", "mergeschema"])
def test_letter_case_of_an_option_does_not_matter(name: str) -> None:
    """As Spark reads options; here, that the table may get new columns."""
    assert guard_of(section(write_options={name: True}))._grows


@pytest.mark.parametrize("cfg", [{}, None, {"streaming": None}, {"checkpoint": "/c"}, 7])
def test_a_missing_section_is_said(cfg: Any) -> None:
    """The settings of a stream are a section of their own."""
    assert "section of their own" in problems(cfg)[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"dlq_path": "file:///lake/c//orders/"},
        {"table": "/lake/d/orders"},
        {"table": "/lake/d"},
        {"dlq_path": "/lake/c/orders/dlq"},
        {"checkpoint": "s3://b/x", "table": "S3://B/x/"},
        {"checkpoint": "dbfs:/x/c", "dlq_path": "/dbfs/x/c"},
    ],
)
def test_places_that_meet_are_refused(changes: dict[str, str]) -> None:
    """Checkpoint, dead letters and output differ, however their paths are written."""
    (problem,) = problems(section(**changes))
    assert "Use a place of its own for each." in problem


def test_a_hidden_folder_of_the_table_may_hold_the_checkpoint() -> None:
    """`<table>/_checkpoints` is where many checkpoints lie; Delta does not look into it."""
    cfg = section(table="/lake/orders", checkpoint="/lake/orders/_checkpoints/etl")
    assert validate_streaming_config(cfg).checkpoint == "/lake/orders/_checkpoints/etl"


def test_argument_and_section_must_agree() -> None:
    """A checkpoint or table that is given twice is given the same, or refused."""
    assert checked(section(), checkpoint="/lake/c/orders", table="t").table == "t"
    assert "Give it once" in problems(section(), checkpoint="/lake/other")[0]
    assert "Give it once" in problems(section(table="a.b"), table="a.c")[0]
    assert create_dlq_handler({"streaming": {"dlq_path": "/d"}}, "/c").settings.checkpoint == "/c"


@pytest.mark.parametrize(
    "changes",
    [{"fail_on_data_loss": False}, {"failOnDataLoss": "false"},
     {"read_options": {"failondataloss": False}}],
)  # fmt: skip
def test_losing_data_is_asked_for_by_name(changes: dict[str, Any]) -> None:
    """failOnDataLoss=false, wherever it stands, needs allow_data_loss=True beside it."""
    assert "allow_data_loss=True" in problems(section(**changes))[0]
    allowed = validate_streaming_config(section(**changes, allow_data_loss=True))
    assert allowed.fail_on_data_loss is False


def test_a_live_query_keeps_its_places(live: list[Any]) -> None:
    """Dead letters of a live query are refused to others, not to itself, and free afterwards."""
    query = SimpleNamespace(isActive=True)
    claim = places.claim_of("/lake/c/orders", "/lake/d/orders", "main.orders")
    places.note_live(query, "orders", claim)

    validate_streaming_config(section(table="main.orders"))
    assert "live query orders" in problems(section(checkpoint="/lake/c/2"))[0]
    assert "live query orders" in problems(section(table="main.other"))[0]
    query.isActive = False
    validate_streaming_config(section(checkpoint="/lake/c/2"))
    assert live == []


def test_a_recorded_query_keeps_its_places(tmp_path: Path) -> None:
    """What a killed query has recorded at its places holds for the next process."""
    names = {name: str(tmp_path / name) for name in ("checkpoint", "dlq_path")}
    claim = places.claim_of(**names, table="main.orders")
    for path in names.values():
        os.makedirs(f"{path}/{places.RECORD}")
        Path(f"{path}/{places.RECORD}/part-00000.txt").write_text(json.dumps(claim._asdict()))

    validate_streaming_config({"streaming": {**names, "table": "main.orders"}})
    other = {**names, "checkpoint": f"{tmp_path}/checkpoint2"}
    assert "belongs to another query" in problems({"streaming": other})[0]
    assert "belongs to another query" in problems({"streaming": {**names, "table": "b"}})[0]


def test_each_batch_is_added_so_complete_is_refused() -> None:
    """With a transform every batch adds rows; the output mode `complete` would add all again."""
    assert "complete" in problems(section(output_mode="complete"), foreach=True)[0]


# --- intervals, against Spark's own parser --------------------------------------------------------

_UNITS = ("year", "month", "week", "day", "hour", "minute", "second", "millisecond", "nanosecond")
_WORDS = st.sampled_from(
    [*_UNITS, "interval", "days", "seconds", "microseconds", "minutess", "'", "-", "+", "1", "2",
     "12", "0", "1.5", ".5", "5.", "1.1234567891", "x"]
)  # fmt: skip
_TEXTS = st.one_of(
    st.lists(_WORDS, max_size=6).map(" ".join),
    st.lists(st.tuples(st.sampled_from(["", "-", "+", "- "]), st.integers(0, 99), st.sampled_from(
        ["year", "months", "WEEK", "days", "hour", "Minutes", "seconds", "milliseconds"])),
        min_size=1, max_size=3).map(lambda parts: "  ".join(f"{a}{b} {c}" for a, b, c in parts)),
    st.text("0123456789 .'-+hourminutesday\t", max_size=20),
)  # fmt: skip


@pytest.mark.extra("pyspark", "py4j")
def test_intervals_are_read_as_spark_reads_them(spark: SparkSession) -> None:
    """What Spark takes as watermark and trigger we take, with the same length, and nothing else."""
    utils = spark._jvm.org.apache.spark.sql.catalyst.util.IntervalUtils
    text8 = spark._jvm.org.apache.spark.unsafe.types.UTF8String

    def ours(parse: Any, text: str) -> Any:
        try:
            return tuple(parse(text))
        except ValueError:
            return None

    def theirs(read: Any, good: Any) -> Any:
        from py4j.java_gateway import get_field

        try:
            value = read()
        except Exception:  # Py4J's own, or what pyspark makes of it
            return None
        found = tuple(get_field(value, name) for name in ("months", "days", "microseconds"))
        return found if good(found) else None

    def waits(found: tuple[int, int, int]) -> bool:
        months, days, microseconds = found
        return (months * 31 + days) * 86_400_000_000 + microseconds >= 0

    @settings(
        max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(_TEXTS)
    def check(text: str) -> None:
        plain = text.strip().lower().startswith("interval")
        trigger = theirs(
            lambda: utils.stringToInterval(text8.fromString(text)),
            lambda found: not found[0] and waits(found),
        )
        assert ours(parse_trigger, text) == trigger, text
        if not plain:
            watermark = theirs(lambda: utils.fromIntervalString(text), waits)
            assert ours(parse_watermark, text) == watermark, text

    check()


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("interval 5 minutes", 300_000), ("INTERVAL '5' MINUTES", 300_000), ("0 seconds", 0),
     ("interval '1 day 2 hours'", 93_600_000), (".5 seconds", 500), ("1 month", 31 * 86_400_000)],
)  # fmt: skip
def test_watermarks_of_sql_are_read(text: str, milliseconds: int) -> None:
    """A watermark may be an interval of SQL."""
    assert parse_watermark(text).milliseconds == milliseconds


@pytest.mark.parametrize(
    "text", ["10m", "5minutes", "1.5 hours", "-1 seconds", "", "soon", "5", 5, "5 nanoseconds"]
)
def test_what_spark_refuses_is_refused_with_a_way_out(text: Any) -> None:
    """A wrong watermark is said before Spark is started."""
    (problem,) = problems(section(watermark=text))
    assert problem.startswith(f"watermark={text!r}: ")
    assert "'10 minutes'" in problem or "only seconds" in problem


def test_an_interval_from_unit_to_unit_is_said_in_units() -> None:
    """Spark reads it, we do not; the way out is a form that both read."""
    (problem,) = problems(section(watermark="INTERVAL '10:20' HOUR TO MINUTE"))

    assert "'10 hours 20 minutes'" in problem and "no interval" not in problem
