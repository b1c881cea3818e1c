"""A stage has one name: in the records, in Spark's job list, on Spark's tags."""

from __future__ import annotations

import json
import threading
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from laketrace import Logger
from laketrace.spark import Stage, inheritable_thread_target, keep_context, stage
from laketrace.testing import Records

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KEYS = ("spark.jobGroup.id", "spark.job.description", "laketrace.stage")


def test_records_inside_carry_the_stage(log: Logger, records: Records) -> None:
    """Without Spark too: what is logged inside bears the stage, whichever logger logs it."""
    with stage(log, "bronze"):
        log.bind(table="orders").info("loading")
    log.info("after")

    assert [record.extra.get("stage") for record in records] == ["bronze"] * 3 + [None]
    ended = records.having(event="stage_ended")[0].extra
    assert ended["status"] == "ok"
    assert ended["duration"] >= 0


def test_failed_stage_says_so_and_lets_the_error_pass(log: Logger, records: Records) -> None:
    """The closing record of a failed stage is an ERROR with the exception."""
    with pytest.raises(LookupError), stage(log, "bronze"):
        raise LookupError("no table")

    (closing,) = records.at("ERROR")
    assert closing.extra["status"] == "failed"
    assert closing.exception is not None
    assert closing.exception["type"] == "LookupError"


def test_nested_stages_log_an_error_once(log: Logger, records: Records) -> None:
    """The innermost does, of whichever kind; the others say that they failed, too."""
    with (
        pytest.raises(LookupError),
        log.run("daily") as run,
        run.stage("a"),
        stage(log, "b"),
        stage(log, "c"),
    ):
        raise LookupError("no table")

    ends = [record for record in records if record.extra.get("status") == "failed"]
    assert [record.extra["stage"] for record in ends[:3]] == ["c", "b", "a"]
    assert [record.exception is not None for record in ends] == [True, False, False, False]


def test_notebook_exit_is_no_failure(log: Logger, records: Records) -> None:
    """What is no `Exception` (a notebook's exit, Ctrl-C) stops a stage and is no error of it."""
    with pytest.raises(SystemExit), stage(log, "bronze"):
        raise SystemExit

    assert records.having(event="stage_ended", status="stopped").messages == ["stage bronze ended"]


def test_stages_nest(log: Logger, records: Records) -> None:
    """Inside the inner stage the inner name holds, after it the outer one again."""
    with stage(log, "silver"):
        with stage(log, "silver.dedup"):
            log.info("inner")
        log.info("outer")

    assert records.having(stage="silver.dedup").messages[1] == "inner"
    assert "outer" in records.having(stage="silver").messages


def test_classic_jobs_bear_the_name_and_are_on_the_closing_record(
    spark: SparkSession, log: Logger, records: Records
) -> None:
    """Group and description are the stage's, and the jobs under it are told at its end."""
    context = spark.sparkContext
    spark.range(3).count()

    with stage(log, "bronze", spark=spark) as bronze:
        inside = [context.getLocalProperty(key) for key in KEYS]
        spark.range(3).count()
        spark.range(3).collect()

    assert inside == ["bronze"] * 3
    ids = records.having(event="stage_ended")[0].extra["job_ids"]
    assert ids == bronze.job_ids
    assert len(ids) >= 2
    tracker = context.statusTracker()
    assert set(ids) <= set(tracker.getJobIdsForGroup("bronze"))


def test_pages_of_spark_show_the_name(spark: SparkSession, log: Logger) -> None:
    """Spark's UI, asked as a browser's page asks it, shows a stage's jobs under its name."""
    with stage(log, "bronze orders", spark=spark) as bronze:
        spark.range(3).collect()

    context = spark.sparkContext
    url = f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}/jobs"
    with urllib.request.urlopen(url, timeout=120) as answer:
        jobs = {job["jobId"]: job for job in json.load(answer)}
    assert bronze.job_ids
    for number in bronze.job_ids:
        assert jobs[number]["jobGroup"] == jobs[number]["description"] == "bronze orders"


def test_stages_of_a_run_name_their_jobs_too(
    spark: SparkSession, log: Logger, records: Records
) -> None:
    """`run.stage` names Spark's jobs by its path, tells them at its end, and puts back the name."""
    with log.run("daily") as run, run.stage("silver"), run.stage("dedup"):
        inside = spark.sparkContext.getLocalProperty("spark.jobGroup.id")
        spark.range(3).collect()

    (dedup,) = records.having(event="stage_end", stage="silver/dedup")
    assert inside == "silver/dedup"
    assert dedup.extra["job_ids"]
    assert spark.sparkContext.getLocalProperty("spark.jobGroup.id") is None


def test_second_stage_of_a_name_has_its_own_jobs(
    spark: SparkSession, log: Logger, records: Records
) -> None:
    """A stage in a loop tells each time the jobs of that time."""
    for _ in range(2):
        with stage(log, "loop", spark=spark):
            spark.range(3).collect()

    first, second = (set(one.extra["job_ids"]) for one in records.having(event="stage_ended"))
    assert first and second and not first & second


def test_classic_names_are_put_back(spark: SparkSession, log: Logger) -> None:
    """What the job or the platform had set is there again, also after a failure."""
    context = spark.sparkContext
    context.setJobGroup("mine", "my jobs")
    try:
        with pytest.raises(LookupError), stage(log, "bronze", spark=spark):
            raise LookupError
        assert context.getLocalProperty("spark.jobGroup.id") == "mine"
        assert context.getLocalProperty("spark.job.description") == "my jobs"
    finally:
        for key in KEYS:
            context.setLocalProperty(key, None)  # type: ignore[arg-type]
    with stage(log, "bronze", spark=spark):
        pass
    assert [context.getLocalProperty(key) for key in KEYS] == [None] * 3


def test_classic_without_tags_is_survived(spark: SparkSession, log: Logger) -> None:
    """Spark 3.5 classic has no tags (it raises); 4.0 has, and they come and go."""
    import pyspark

    with stage(log, "bronze", spark=spark):
        tags = None if pyspark.__version__.startswith("3.") else spark.getTags()

    assert tags in (None, {"bronze"})
    if tags is not None:
        assert spark.getTags() == set()


def test_connect_has_settings_and_tag(any_connect: Any, log: Logger) -> None:
    """On Connect the settings that stand for group and description, and a tag; then nothing."""
    any_connect.conf.set("spark.job.description", "before")
    keys = ("spark.job.group.id", "spark.job.description")
    try:
        with stage(log, "bronze, first", spark=any_connect):
            inside = [any_connect.conf.get(key, None) for key in keys]
            tags = set(any_connect.getTags())
            any_connect.range(3).collect()
        after = [any_connect.conf.get(key, None) for key in keys]
    finally:
        any_connect.conf.unset("spark.job.description")

    assert inside == ["bronze, first"] * 2
    assert tags == {"bronze_ first"}
    assert after == [None, "before"]
    assert any_connect.getTags() == set()


def test_tag_of_the_users_own_stays(any_connect: Any, log: Logger) -> None:
    """A tag that was there before is there afterwards, also one of the stage's name."""
    any_connect.addTag("bronze")
    try:
        with stage(log, "bronze", spark=any_connect):
            pass
        assert any_connect.getTags() == {"bronze"}
    finally:
        any_connect.removeTag("bronze")


def test_worker_knows_the_stage_it_runs_in(session: Any, log: Logger) -> None:
    """A function used in a stage logs on the worker with the stage of its use."""
    from pyspark.sql import functions as F

    f = F.udf(lambda x: json.dumps(dict(log.bound)), "string")

    with stage(log, "silver", spark=session):
        said = json.loads(session.range(1).select(f("id")).first()[0])

    assert said["stage"] == "silver"


def test_worker_knows_the_stage_of_each_use(spark: SparkSession, log: Logger) -> None:
    """Classic Spark pickles a UDF once; the second stage that uses it is still told right."""
    from pyspark.sql import functions as F

    f = F.udf(lambda x: log.bound.get("stage", "none"), "string")
    said = []
    for name in ("bronze", "silver"):
        with stage(log, name, spark=spark):
            said.append(spark.range(1).select(f("id")).first()[0])  # type: ignore[index]

    assert said == ["bronze", "silver"]


def test_session_that_refuses_everything_costs_nothing(
    log: Logger, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a session raises at each question, the stage is in the log all the same."""

    class Refusing:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(f"{name} is not supported on serverless compute")

    monkeypatch.setattr("laketrace.spark.jobs.active_session", Refusing)

    with stage(log, "bronze"):
        log.info("loading")

    assert records.messages == ["stage bronze started", "loading", "stage bronze ended"]


# --- threads ----------------------------------------------------------------------------------


def test_callback_keeps_the_context_of_its_making(log: Logger, records: Records) -> None:
    """A function wrapped inside a stage logs with it in any thread, and pickles."""
    import cloudpickle

    with stage(log, "bronze"):
        call = keep_context(lambda: log.info("called"))
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    cloudpickle.loads(cloudpickle.dumps(call))()

    assert records.having(stage="bronze").messages.count("called") == 2


def test_inheritable_thread_keeps_the_context(session: Any, log: Logger, records: Records) -> None:
    """A thread of `inheritable_thread_target` has Spark's properties and the log's fields."""
    from laketrace.runtime.session import is_connect

    def work() -> None:
        log.info("in thread %d", session.range(3).count())

    with stage(log, "bronze"):
        targets = [inheritable_thread_target(session)(work)]
        if not is_connect(session):
            targets.append(inheritable_thread_target(work))
        for target in targets:
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()

    said = records.having(stage="bronze").messages
    assert said.count("in thread 3") == len(targets)


def test_foreach_batch_keeps_the_context(
    spark: SparkSession, log: Logger, records: Records
) -> None:
    """A `foreachBatch` function runs in a thread of Py4J; wrapped, it keeps the fields."""
    with stage(log, "bronze", spark=spark):
        batch = keep_context(lambda frame, number: log.info("batch %d", frame.count()))
        stream = spark.readStream.format("rate-micro-batch").option("rowsPerBatch", 3).load()
        query = stream.writeStream.foreachBatch(batch).trigger(availableNow=True).start()
        assert query.awaitTermination(120)

    assert "batch 3" in records.having(stage="bronze").messages


def test_stage_pickles_by_name(log: Logger, records: Records) -> None:
    """A stage that arrives elsewhere has its name and its logger."""
    import pickle

    back: Stage = pickle.loads(pickle.dumps(Stage(log, "bronze")))
    back.log.info("there")

    assert back.name == "bronze"
    assert records.having(stage="bronze").messages == ["there"]
