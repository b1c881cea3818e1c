"""Streaming queries are logged: real ones, and events that no listener expects."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from laketrace import Logger
from laketrace.spark import keep_context
from laketrace.testing import Records

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.extra("pyspark")


def wait_for(there: Callable[[], object], seconds: float = 200) -> None:
    """Events come in a thread of Spark's: wait until one is there, at most `seconds`."""
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "the event did not come"
        time.sleep(0.02)


def stop_watching(session: Any, listener: Any) -> None:
    from laketrace.spark import streams

    session.streams.removeListener(listener)
    streams._listeners.clear()


def test_queries_are_logged_from_start_to_end(
    session_4: Any, log: Logger, records: Records, tmp_path: Any
) -> None:
    """Start, progress with its figures, and end; each once, though the cell ran three times."""
    listeners = {id(log.watch_streams(session_4)) for _ in range(3)}
    listener = log.watch_streams(session_4)
    assert listener is not None
    try:
        stream = session_4.readStream.format("rate-micro-batch").option("rowsPerBatch", 3).load()
        query = (
            stream.writeStream.queryName("orders").format("noop")
            .option("checkpointLocation", str(tmp_path)).trigger(availableNow=True).start()
        )  # fmt: skip
        assert query.awaitTermination(120)
        wait_for(lambda: records.having(event="stream_ended", query_id=str(query.id)))
    finally:
        stop_watching(session_4, listener)

    assert len(listeners) == 1
    assert len(records.having(event="stream_started", query_name="orders")) == 1
    assert len(records.having(event="stream_ended", query_id=str(query.id))) == 1
    progress = records.having(event="stream_progress", query_name="orders")
    assert [record.extra["batch_id"] for record in progress] == list(range(len(progress)))
    first = progress[0].extra
    assert (first["batch_id"], first["rows"]) == (0, 3)
    assert first["durations_ms"]["triggerExecution"] >= 0
    assert first["sources"][0]["rows"] == 3
    assert "input_rows_per_second" in first and "processed_rows_per_second" in first


def test_listener_that_was_taken_away_comes_back(
    session_4: Any, log: Logger, records: Records
) -> None:
    """Who asks again after `removeListener` watches again, by one listener."""
    session_4.streams.removeListener(log.watch_streams(session_4))
    listener = log.watch_streams(session_4)
    try:
        stream = session_4.readStream.format("rate-micro-batch").option("rowsPerBatch", 3).load()
        query = stream.writeStream.format("noop").trigger(availableNow=True).start()
        assert query.awaitTermination(120)
        wait_for(lambda: records.having(event="stream_ended", query_id=str(query.id)))
    finally:
        stop_watching(session_4, listener)

    assert len(records.having(event="stream_started", query_id=str(query.id))) == 1


def test_failed_query_has_the_class_of_its_error(
    session_4: Any, log: Logger, records: Records
) -> None:
    """A query that fails ends with an ERROR that names the error's class."""
    from pyspark.sql import functions as F

    session_4.conf.set("spark.sql.ansi.enabled", "true")
    listener = log.watch_streams(session_4)
    assert listener is not None
    try:
        stream = session_4.readStream.format("rate-micro-batch").option("rowsPerBatch", 3).load()
        bad = stream.select(F.expr("1 / (value - 1)"))
        query = bad.writeStream.format("noop").trigger(availableNow=True).start()
        with pytest.raises(Exception, match="DIVIDE_BY_ZERO"):
            query.awaitTermination(120)
        wait_for(lambda: records.having(event="stream_failed", query_id=str(query.id)))
    finally:
        stop_watching(session_4, listener)
        session_4.conf.unset("spark.sql.ansi.enabled")

    (failed,) = records.having(event="stream_failed", query_id=str(query.id))
    assert failed.level == "ERROR"
    assert "Division by zero" in failed.extra["error"]
    assert failed.extra["error_class"] in ("DIVIDE_BY_ZERO", "STREAM_FAILED")


def test_state_and_watermark_are_told(spark: SparkSession, log: Logger, records: Records) -> None:
    """A query with state says how many rows it holds and where its watermark stands."""
    from pyspark.sql import functions as F

    listener = log.watch_streams(spark)
    try:
        stream = spark.readStream.format("rate-micro-batch").option("rowsPerBatch", 3).load()
        counts = stream.withWatermark("timestamp", "1 minute").groupBy(
            F.window("timestamp", "1 minute")
        ).count()  # fmt: skip
        query = counts.writeStream.format("noop").trigger(availableNow=True).start()
        assert query.awaitTermination(120)
        wait_for(lambda: records.having(event="stream_ended", query_id=str(query.id)))
    finally:
        stop_watching(spark, listener)

    told = records.having(event="stream_progress", query_id=str(query.id))[0].extra
    assert told["state_rows"] >= 1
    assert told["late_rows"] == 0
    assert "watermark" in told


def test_idle_query_is_told(session_4: Any, log: Logger, records: Records, tmp_path: Any) -> None:
    """A query without new data says that it waits."""
    interval = "spark.sql.streaming.noDataProgressEventInterval"
    before = session_4.conf.get(interval, None)
    session_4.conf.set(interval, "50ms")
    listener = log.watch_streams(session_4)
    try:
        stream = session_4.readStream.schema("id long").json(str(tmp_path))
        query = stream.writeStream.queryName("waiting").format("noop").start()
        mine = str(query.id)
        wait_for(lambda: records.having(event="stream_idle", query_id=mine))
        query.stop()
        wait_for(lambda: records.having(event="stream_ended", query_id=mine))
    finally:
        stop_watching(session_4, listener)
        session_4.conf.unset(interval) if before is None else session_4.conf.set(interval, before)


def test_listener_of_the_users_own_keeps_its_context(session_4: Any, log: Logger) -> None:
    """In the thread that calls a listener, bound, kept and contextual fields are on a record."""
    from pyspark.sql.streaming.listener import StreamingQueryListener

    told: list[dict[str, Any]] = []
    bound = log.bind(table="orders")
    log.add(lambda text: told.append(text.record.extra))

    class Mine(StreamingQueryListener):
        def onQueryStarted(self, event: Any) -> None:
            with bound.contextualize(event="mine"):
                say()

        def onQueryProgress(self, event: Any) -> None: ...

        def onQueryIdle(self, event: Any) -> None: ...

        def onQueryTerminated(self, event: Any) -> None: ...

    with log.contextualize(batch=12):
        say = keep_context(lambda: bound.info("started"))
    listener = Mine()
    session_4.streams.addListener(listener)
    try:
        stream = session_4.readStream.format("rate-micro-batch").option("rowsPerBatch", 3).load()
        query = stream.writeStream.format("noop").trigger(availableNow=True).start()
        assert query.awaitTermination(120)
        wait_for(lambda: told)
    finally:
        session_4.streams.removeListener(listener)

    assert told == [{"table": "orders", "event": "mine", "batch": 12}]


def test_connect_3_says_that_its_listeners_are_elsewhere(
    spark_connect: Any, log: Logger, records: Records
) -> None:
    """Spark Connect 3.5 runs listeners beside its server: the query runs, and the log says so."""
    import pyspark

    # The server of 3.5 gives a listener's process 10 s to start, which a busy machine may not make.
    listener = next(filter(None, (log.watch_streams(spark_connect) for _ in range(3))), None)
    assert listener is not None
    log.watch_streams(spark_connect)
    try:
        source = spark_connect.readStream.format("rate-micro-batch").option("rowsPerBatch", 10)
        query = source.load().writeStream.format("noop").trigger(availableNow=True).start()
        assert query.awaitTermination(120)
    finally:
        stop_watching(spark_connect, listener)

    told = len(records.having(event="streams_watched_elsewhere"))
    assert told == (1 if pyspark.__version__.startswith("3.") else 0)


@pytest.mark.filterwarnings("ignore:Failed to add the listener")
def test_server_that_takes_no_listeners_is_said(sail: Any, log: Logger, records: Records) -> None:
    """Sail takes none, of which pyspark only warns: the log says so, and the program goes on."""
    assert log.watch_streams(sail) is None

    assert records.at("WARNING").messages == ["streams cannot be watched"]


# --- without Spark ----------------------------------------------------------------------------


def progress_event(**changes: Any) -> Any:
    """An event with a progress, as pyspark makes it."""
    source = SimpleNamespace(
        description="KafkaV2[Subscribe[orders]]",
        numInputRows=3,
        inputRowsPerSecond=1.5,
        processedRowsPerSecond=float("nan"),
        metrics={"maxOffsetsBehindLatest": "2"},
        latestOffset='{"orders": {"0": 12, "1": 5}}',
        endOffset='{"orders": {"0": 10, "1": 5}}',
    )
    state = SimpleNamespace(numRowsTotal=7, memoryUsedBytes=1024, numRowsDroppedByWatermark=1)
    fields = {
        "id": "q-1", "runId": "r-1", "name": "orders", "batchId": 4, "numInputRows": 3,
        "inputRowsPerSecond": 1.5, "processedRowsPerSecond": 3.0, "batchDuration": 120,
        "durationMs": {"addBatch": 100, "triggerExecution": 120}, "stateOperators": [state],
        "eventTime": {"watermark": "2026-11-21T09:00:00.000Z"}, "sources": [source],
    }  # fmt: skip
    return SimpleNamespace(progress=SimpleNamespace(**{**fields, **changes}))


def test_progress_says_how_far_a_source_is_behind(log: Logger, records: Records) -> None:
    """The lag is what the source measures, and the offsets between it and the newest."""
    from laketrace.spark.listener import StreamListener

    StreamListener(log).onQueryProgress(progress_event())

    told = records[0].extra
    source = told["sources"][0]
    assert source["lag"] == {"maxOffsetsBehindLatest": "2"}
    assert (source["offsets_behind"], source["processed_rows_per_second"]) == (2, None)
    assert (told["state_rows"], told["state_bytes"], told["late_rows"]) == (7, 1024, 1)
    assert (told["batch_seconds"], told["watermark"]) == (0.12, "2026-11-21T09:00:00.000Z")


def test_idle_and_unnamed_queries_are_told(log: Logger, records: Records) -> None:
    """An idle event has no name; the ids say which query it is."""
    from laketrace.spark.listener import StreamListener

    StreamListener(log).onQueryIdle(SimpleNamespace(id="q-1", runId="r-1"))

    told = {**records[0].extra}
    assert (told["event"], told["query_id"], told["query_run_id"]) == ("stream_idle", "q-1", "r-1")


@pytest.mark.parametrize(
    "event", [None, SimpleNamespace(), SimpleNamespace(exception="x"), progress_event(sources=7)]
)
def test_events_of_another_spark_raise_nothing(
    log: Logger, event: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever an event looks like, the stream goes on."""
    from laketrace.spark.listener import StreamListener

    listener = StreamListener(log)

    for call in (listener.onQueryStarted, listener.onQueryProgress, listener.onQueryIdle):
        call(event)
    if event is not None:
        listener.onQueryTerminated(event)


def test_error_class_is_found_in_the_text_too(log: Logger, records: Records) -> None:
    """Where an event has no `errorClassOnException`, the class stands in its text, which is cut."""
    from laketrace.spark.listener import StreamListener

    text = "org.apache.spark.SparkException: [STREAM_FAILED] Query failed" + "x" * 100_000
    event = SimpleNamespace(id="q", runId="r", exception=text)

    StreamListener(log).onQueryTerminated(event)

    assert records[0].extra["error_class"] == "STREAM_FAILED"
    assert len(records[0].extra["error"]) < 40_000


def test_listener_pickles(log: Logger, records: Records) -> None:
    """On Connect 3.5 the listener is pickled and runs elsewhere: a logger is all that it holds."""
    from laketrace.spark.listener import StreamListener

    listener = StreamListener(log.bind(table="orders"))
    listener._init_listener_id()

    back = pickle.loads(pickle.dumps(listener))
    back.onQueryIdle(SimpleNamespace(id="q", runId="r"))

    assert records[0].extra["table"] == "orders"


def test_watched_streams_do_not_keep_a_program_from_ending(log: Logger) -> None:
    """pyspark reads events of Connect in a thread without end: it is a daemon, as it was asked."""
    started: list[threading.Thread] = []

    class Streams:
        def addListener(self, listener: Any) -> None:
            thread = threading.Thread(target=len, args=("",))
            thread.start()
            started.append(thread)

    kind = type("SparkSession", (), {"__module__": "pyspark.sql.connect.session"})
    session: Any = kind()
    session.session_id, session.streams = "watched", Streams()

    assert log.watch_streams(session) is not None
    assert [thread.daemon for thread in started] == [True]


def test_session_that_refuses_is_said_and_survived(log: Logger, records: Records) -> None:
    """Where a listener cannot be added, a warning says so."""

    class Refusing:
        session_id = "s-1"

        @property
        def streams(self) -> Any:
            raise RuntimeError("not supported")

        _jsparkSession = SimpleNamespace(sessionUUID=lambda: "s-1")

    assert log.watch_streams(Refusing()) is None
    assert records.at("WARNING").messages == ["streams cannot be watched"]
