"""Guarded streams on real Spark: what goes to the table, what to the dead letters, how often."""

from __future__ import annotations

import glob
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from laketrace import ConfigError, Logger, get_logger
from laketrace.pipeline import (
    create_dlq_handler,
    read_stream,
    replay_dlq,
    with_dlq,
    write_stream,
)
from laketrace.testing import Records
from tests.support.spark import MODE

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.extra("pyspark", "py4j")

ANSI = "spark.sql.ansi.enabled"
SCHEMA = "id int, event_time timestamp, amount string"


@pytest.fixture
def log(request: pytest.FixtureRequest) -> Iterator[Logger]:
    """A logger without file and console, by the name of the test."""
    made = get_logger(f"streams.{request.node.name}", log_dir=None, stdout=False)
    yield made
    made.close()


@pytest.fixture
def records(log: Logger) -> Records:
    """What `log` has logged."""
    kept = Records()
    log.add(kept)
    return kept


@pytest.fixture(
    params=[
        pytest.param("spark", marks=pytest.mark.spark),
        pytest.param("spark_connect", marks=pytest.mark.spark),
    ]
)
def session(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A session of Spark, classic and Connect in turn."""
    monkeypatch.delenv(MODE, raising=False)
    session = request.getfixturevalue(request.param)  # a server that starts must not see the mode
    if request.param == "spark_connect":
        monkeypatch.setenv(MODE, "1")
    return session


@contextmanager
def strict(session: Any) -> Iterator[None]:
    """Casts fail, also on Spark 3.5."""
    before = session.conf.get(ANSI)
    session.conf.set(ANSI, "true")
    try:
        yield
    finally:
        session.conf.set(ANSI, before)


class Lake:
    """The places of one stream, and what they hold."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.source, self.table, self.dlq = (str(folder / name) for name in ("src", "out", "dlq"))
        os.makedirs(self.source, exist_ok=True)
        self.cfg = {
            "streaming": {
                "checkpoint": str(folder / "checkpoint"),
                "dlq_path": self.dlq,
                "schema": SCHEMA,
                "trigger_interval": "available now",
                "max_files_per_trigger": 1,
                **settings,
            }
        }
        self._files = 0

    def add(self, *rows: Any) -> None:
        """A file of the source; a text is a line as it is."""
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path = f"{self.source}/{self._files:03}.json"
        self._files += 1
        Path(path).write_text("\n".join(lines))
        os.utime(path, (self._files, self._files))  # Spark takes the oldest first

    def run(self, session: Any, log: Logger, transform: Any, **kwargs: Any) -> Any:
        """Start the stream and wait until it has done what there is; casts fail as in Spark 4."""
        with strict(session):
            df = read_stream(session, self.cfg, self.source, "json")
            query = write_stream(df, self.cfg, self.table, transform=transform, log=log, **kwargs)
            query.awaitTermination(240)
        return query

    def good(self, session: Any) -> list[int]:
        """The ids in the table, in order."""
        return sorted(row.id for row in session.read.format("delta").load(self.table).collect())

    def bad(self, session: Any) -> list[Any]:
        """The dead letters, by batch and id."""
        rows = session.read.format("delta").load(self.dlq).collect()
        return sorted(rows, key=lambda row: (row.batch_id or 0, row.id or 0, str(row.batch_id)))


def as_number(df: Any) -> Any:
    """The transform of the tests: `amount` as a number, which it may not be."""
    from pyspark.sql import functions as F

    return df.withColumn("amount", F.expr("cast(amount as double)"))


def row(number: int, amount: str = "1.5", at: str = "12:00:00") -> dict[str, Any]:
    """One row of the source."""
    return {"id": number, "event_time": f"2026-01-01T{at}Z", "amount": amount}


def test_bad_rows_go_aside_and_the_stream_lives(
    session: Any, log: Logger, records: Records, tmp_path: Path
) -> None:
    """Corrupt, uncastable and late rows are dead letters with their reasons; the rest arrives."""
    lake = Lake(tmp_path, watermark="10 minutes")
    lake.add(row(1), '{"id": 2, "amount"', row(3, "three"), row(4))
    lake.add(row(6, at="10:00:00"), row(7, at="12:30:00"))

    lake.run(session, log, as_number)

    assert lake.good(session) == [1, 4, 7]
    corrupt, three, late = lake.bad(session)
    assert corrupt._corrupt_record == '{"id": 2, "amount"'
    assert [(x.error_class, x.batch_id) for x in (corrupt, three, late)] == [
        ("CORRUPT_RECORD", 0),
        ("CAST_INVALID_INPUT", 0),
        ("LATE", 1),
    ]
    assert (three.id, three.amount, late.id) == (3, "three", 6)
    assert "three" in three.error_reason and "older than the watermark" in late.error_reason
    assert all(letter.dlq_timestamp is not None for letter in (corrupt, three, late))


@pytest.mark.slow
def test_a_transform_that_raises_sets_the_batch_aside_and_a_replay_brings_it_back_once(
    session: Any, log: Logger, records: Records, tmp_path: Path
) -> None:
    """A broken transform costs no row: all are dead letters, and come back once by replay_dlq."""

    def broken(df: Any) -> Any:
        raise KeyError("amount")

    lake = Lake(tmp_path)
    lake.add(row(1), row(2))
    lake.run(session, log, broken)
    letters = lake.bad(session)
    assert [(x.id, x.error_class) for x in letters] == [
        (1, "TRANSFORM_RAISED"),
        (2, "TRANSFORM_RAISED"),
    ]

    lake.add(row(3), row(4, "four"))
    lake.run(session, log, as_number)
    with strict(session):
        replays = [
            tuple(replay_dlq(session, lake.cfg, lake.table, repair, log=log))
            for repair in (as_number, as_number, four_is_4, four_is_4)
        ]

    assert replays == [(3, 1), (1, 1), (1, 0), (0, 0)]
    assert lake.good(session) == [1, 2, 3, 4]


def four_is_4(df: Any) -> Any:
    """A repair of what `as_number` cannot take."""
    from pyspark.sql import functions as F

    return as_number(df.withColumn("amount", F.expr("replace(amount, 'four', '4')")))


@pytest.mark.slow
def test_columns_of_the_source_keep_what_they_say(
    spark: SparkSession, log: Logger, tmp_path: Path
) -> None:
    """A source may have a `batch_id` of its own: it stands beside ours, and a replay brings it."""
    lake = Lake(tmp_path, schema="id int, batch_id string, Error_Reason string, amount string")
    lake.add({"id": 1, "batch_id": "theirs", "Error_Reason": "none", "amount": "x"})

    lake.run(spark, log, as_number)
    (letter,) = lake.bad(spark)
    with strict(spark):
        replayed = replay_dlq(
            spark, lake.cfg, lake.table, lambda df: as_number(df.replace("x", "4")), log=log
        )

    assert (letter.batch_id, letter.source_batch_id) == (0, "theirs")
    assert (letter.error_class, letter.source_Error_Reason) == ("CAST_INVALID_INPUT", "none")
    assert tuple(replayed) == (1, 0)
    (arrived,) = spark.read.format("delta").load(lake.table).collect()
    assert (arrived.batch_id, arrived.Error_Reason, arrived.amount) == ("theirs", "none", 4.0)


@pytest.mark.slow
def test_rows_that_raise_in_a_udf_are_found(
    spark: SparkSession, log: Logger, tmp_path: Path
) -> None:
    """Of a batch whose UDF raises for some rows, those go aside, and the rest is written."""
    from pyspark.sql.functions import udf

    def refuse(number: int) -> int:
        if number % 10 == 3:
            raise ValueError(f"no such order: {number}")
        return number

    lake = Lake(tmp_path)
    lake.add(*(row(number) for number in range(20)), row(3))

    lake.run(spark, log, lambda df: df.withColumn("checked", udf(refuse, "int")("id")))

    assert lake.good(spark) == [number for number in range(20) if number % 10 != 3]
    assert [x.id for x in lake.bad(spark)] == [3, 3, 13]
    assert "no such order: 13" in lake.bad(spark)[2].error_reason


@pytest.mark.slow
@pytest.mark.parametrize(
    ("which", "where"), [("dlq", "after"), ("out", "before"), ("out", "after")]
)
def test_a_batch_that_runs_again_counts_once(
    spark: SparkSession,
    log: Logger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    which: str,
    where: str,
) -> None:
    """Whatever write a batch dies at, each row is there once."""
    from laketrace.pipeline.streaming.sinks import Sink

    lake = Lake(tmp_path)
    lake.add(row(1), '{"id":', row(2, "two"), row(3))
    put = Sink.put

    def dying(self: Sink, frame: Any, writer: str, batch_id: int) -> None:
        if where == "after" or not self.place.endswith(which):
            put(self, frame, writer, batch_id)
        if self.place.endswith(which):
            raise RuntimeError("[SPARK_JOB_CANCELLED] the machine goes")

    with monkeypatch.context() as patch:
        patch.setattr(Sink, "put", dying)
        with pytest.raises(Exception, match="the machine goes"):
            lake.run(spark, log, as_number)
    lake.run(spark, log, as_number)

    assert lake.good(spark) == [1, 3]
    assert [x.id for x in lake.bad(spark)] == [None, 2]


@pytest.mark.slow
def test_too_many_bad_rows_stop_the_stream_and_cost_nothing(
    spark: SparkSession, log: Logger, records: Records, tmp_path: Path
) -> None:
    """Above `max_bad_percent` the query fails; after the repair it goes on, each row once."""
    lake = Lake(tmp_path, max_bad_percent=40)
    lake.add(row(1), row(2, "two"))
    lake.add(row(3))

    with pytest.raises(Exception, match="1 of 2 rows are bad"):
        lake.run(spark, log, as_number)
    told = records.having(event="dead_letters")[0].extra
    lake.cfg["streaming"]["max_bad_percent"] = 50
    lake.run(spark, log, lambda df: as_number(df.replace("two", "2")))

    assert (told["rows"], told["bad_rows"], told["bad_percent"]) == (2, 1, 50.0)
    assert told["by_class"] == {"CAST_INVALID_INPUT": 1}
    assert lake.good(spark) == [1, 3]
    assert [x.id for x in lake.bad(spark)] == [2]


def test_what_does_not_fit_the_table_goes_aside(
    spark: SparkSession, log: Logger, tmp_path: Path
) -> None:
    """The table's types decide: a value that is none of them is a dead letter, others are cast."""
    lake = Lake(tmp_path)
    spark.sql(f"CREATE TABLE delta.`{lake.table}` (id BIGINT NOT NULL, amount DOUBLE) USING delta")
    lake.add(row(1, "1"), row(2, "x"), {"amount": "2"})

    lake.run(spark, log, lambda df: df.select("id", "amount"))
    lake.add(row(3))
    lake.run(spark, log, lambda df: df)

    assert lake.good(spark) == [1]
    null, wrong, more = lake.bad(spark)
    assert (null.id, null.error_class) == (None, "SCHEMA_MISMATCH")
    assert (wrong.id, wrong.error_class) == (2, "CAST_INVALID")
    assert wrong.error_reason == "amount: 'x' is no double"
    assert (more.id, more.error_class) == (3, "SCHEMA_MISMATCH")
    assert "event_time" in more.error_reason


def test_a_batch_is_read_from_its_source_once(
    spark: SparkSession, log: Logger, tmp_path: Path
) -> None:
    """Splitting, counting and both writes share one reading; what was rescued goes aside."""
    from pyspark.sql import functions as F

    seen = tmp_path / "seen"

    def note(number: int | None) -> int | None:
        with seen.open("a") as file:
            file.write("x")
        return number

    lake = Lake(tmp_path)
    lake.add(row(1), '{"id":', row(2), row(3))
    source = read_stream(spark, lake.cfg, lake.source, "json")
    noted = F.udf(note, "int").asNondeterministic()
    df = source.withColumn("id", noted("id")).withColumn(
        "_rescued_data", F.expr("if(event_time IS NOT NULL AND id = 3, '{}', NULL)")
    )

    write_stream(df, lake.cfg, lake.table, transform=as_number, log=log).awaitTermination(120)

    assert lake.good(spark) == [1, 2]
    assert [(x.id, x.error_class) for x in lake.bad(spark)] == [
        (None, "CORRUPT_RECORD"),
        (3, "SCHEMA_MISMATCH"),
    ]
    assert seen.read_text() == "xxxx"


@pytest.mark.slow
def test_parquet_counts_once_too(spark: SparkSession, log: Logger, tmp_path: Path) -> None:
    """Files of a format without transactions get a folder a batch, which a repetition replaces."""
    lake = Lake(tmp_path, format="parquet", dlq_format="parquet")
    lake.add(row(1), row(2, "two"))
    lake.run(spark, log, as_number)
    for name in ("commits/0", "commits/.0.crc"):
        os.remove(f"{tmp_path}/checkpoint/{name}")

    lake.run(spark, log, as_number)

    assert [x.id for x in spark.read.parquet(lake.table).collect()] == [1]
    assert [x.id for x in spark.read.parquet(lake.dlq).collect()] == [2]


def test_spark_s_own_sinks_are_guarded(
    spark: SparkSession, log: Logger, records: Records, tmp_path: Path
) -> None:
    """Without a transform Spark's sink writes; the query has its name, its limits, a listener."""
    lake = Lake(tmp_path, format="parquet", max_records_per_file=1)
    lake.add(row(1), row(2))
    lake.add(row(3))

    query = lake.run(spark, log, None)

    assert query.name == "out"
    assert len(query.recentProgress) == 2  # max_files_per_trigger
    assert spark.read.parquet(lake.table).count() == 3
    assert len(glob.glob(f"{lake.table}/*.parquet")) == 3
    ends = time.monotonic() + 200
    while not records.having(event="stream_ended", query_id=str(query.id)):
        assert time.monotonic() < ends, "the event did not come"
        time.sleep(0.02)


def test_a_sink_without_a_place_is_guarded(session: Any, log: Logger, tmp_path: Path) -> None:
    """Any sink of Spark: here its memory, where the name of the query is that of a view."""
    lake = Lake(tmp_path, format="memory", name="orders_in_memory")
    lake.add(row(1), row(2))

    lake.run(session, log, None)

    assert session.table("orders_in_memory").count() == 2


def test_a_source_that_may_lose_data_is_refused(session: Any, log: Logger, tmp_path: Path) -> None:
    """A stream read with failOnDataLoss=false does not start, unless that was asked for by name."""
    lake = Lake(tmp_path)
    session.range(3).write.format("delta").save(f"{tmp_path}/from")
    lossy = (
        session.readStream.option("failOnDataLoss", "false")
        .format("delta")
        .load(f"{tmp_path}/from")
    )

    with pytest.raises(ConfigError, match="failOnDataLoss=false"):
        write_stream(lossy.filter("id > 0"), lake.cfg, lake.table, log=log)
    assert not os.path.exists(lake.dlq)
    lake.cfg["streaming"]["allow_data_loss"] = True
    write_stream(lossy, lake.cfg, lake.table, log=log).awaitTermination(120)

    assert lake.good(session) == [0, 1, 2]


def test_places_of_another_query_are_refused(
    spark: SparkSession, log: Logger, tmp_path: Path
) -> None:
    """A live query keeps its checkpoint; dead letters and checkpoint stay with their owners."""
    lake = Lake(tmp_path)
    lake.cfg["streaming"]["trigger_interval"] = "1 hour"
    df = read_stream(spark, lake.cfg, lake.source, "json")
    query = write_stream(df, lake.cfg, lake.table, transform=as_number, log=log)
    try:
        with pytest.raises(ConfigError, match="query out is running"):
            write_stream(df, lake.cfg, lake.table, transform=as_number, log=log)
    finally:
        query.stop()
    other = {"streaming": {**lake.cfg["streaming"], "checkpoint": f"{tmp_path}/other"}}

    with pytest.raises(ConfigError, match=r"dlq_path=.*belongs to another query"):
        write_stream(df, other, f"{tmp_path}/out2", transform=as_number, log=log)
    with pytest.raises(ConfigError, match=r"checkpoint=.*belongs to another query"):
        write_stream(df, lake.cfg, f"{tmp_path}/out2", transform=as_number, log=log)


@pytest.mark.parametrize("gone", ["data", "log"])
def test_lost_source_files_fail_loudly(
    spark: SparkSession, log: Logger, records: Records, tmp_path: Path, gone: str
) -> None:
    """Where files of the source are deleted, the query fails; nothing becomes a dead letter."""
    origin = f"{tmp_path}/from"
    lake = Lake(tmp_path)
    del lake.cfg["streaming"]["schema"]
    for number in range(3):
        spark.range(number, number + 1).coalesce(1).write.format("delta").mode("append").save(
            origin
        )

    def start() -> None:
        df = read_stream(spark, lake.cfg, origin)
        query = write_stream(df, lake.cfg, lake.table, transform=lambda df: df, log=log)
        query.awaitTermination(120)

    start()
    before = lake.good(spark)
    for number in range(3, 6):
        spark.range(number, number + 1).coalesce(1).write.format("delta").mode("append").save(
            origin
        )
    if gone == "data":
        for path in sorted(glob.glob(f"{origin}/*.parquet"), key=os.path.getmtime)[-3:]:
            os.remove(path)
    else:
        for number in (3, 4):
            os.remove(f"{origin}/_delta_log/{number:020}.json")

    with pytest.raises(Exception, match=r"FILE_NOT_EXIST|FileNotFound|DELTA_"):
        start()

    assert before == [0, 1, 2] == lake.good(spark)
    assert not os.path.exists(f"{lake.dlq}/_delta_log")


@pytest.mark.slow
def test_a_handler_of_ones_own_counts_once_a_batch(
    session: Any, log: Logger, tmp_path: Path
) -> None:
    """create_dlq_handler in a foreachBatch: a batch that runs again adds nothing."""
    lake = Lake(tmp_path)
    lake.add(row(1), row(2))
    handler = create_dlq_handler(lake.cfg)

    def split(batch: Any, batch_id: int) -> None:
        for _ in range(2):  # as if the batch ran twice
            handler(batch.filter("id > 1"), "too high", batch_id)
        handler(batch.filter("id > 1"), "no batch: added each time")

    df = read_stream(session, lake.cfg, lake.source, "json")
    start = df.writeStream.foreachBatch(split).trigger(availableNow=True)
    start.option(
        "checkpointLocation", lake.cfg["streaming"]["checkpoint"]
    ).start().awaitTermination()

    lake.cfg["streaming"]["checkpoint"] = f"{tmp_path}/none"
    outside = create_dlq_handler(lake.cfg)
    for _ in range(2):
        outside(session.createDataFrame([(3,)], "id int"), "outside of a query", 7)

    assert Counter((x.id, x.error_reason, x.batch_id) for x in lake.bad(session)) == {
        (2, "too high", 0): 1,
        (3, "outside of a query", 7): 1,
        (2, "no batch: added each time", None): 1,
    }


@pytest.mark.slow
def test_a_checkpoint_elsewhere_is_said(spark: SparkSession, log: Logger, tmp_path: Path) -> None:
    """with_dlq in a query whose checkpoint is another one stops it, and says what to do."""
    lake = Lake(tmp_path)
    lake.add(row(1))
    guard = with_dlq(as_number, lake.cfg, lake.table, log=log)
    df = read_stream(spark, lake.cfg, lake.source, "json")
    query = df.writeStream.foreachBatch(guard).trigger(availableNow=True)

    with pytest.raises(Exception, match="the running query has its checkpoint elsewhere"):
        query.option("checkpointLocation", f"{tmp_path}/elsewhere").start().awaitTermination()
