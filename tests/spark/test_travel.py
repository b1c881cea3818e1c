"""Loggers travel into everything that Spark runs in Python, classic and Connect."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from laketrace import Logger, get_logger
from laketrace.runtime import is_executor
from laketrace.spark import Stage
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def probe(log: Logger, value: Any = None) -> str:
    """What a function on a worker sees of its logger, as JSON."""
    before = log.stats()
    log.debug("below the level")
    log.info("row %s", value, rows=1)
    after = log.stats()
    return json.dumps(
        {
            "on": ["driver", "executor"][is_executor()],
            "name": log.name,
            "run_id": log.run_id,
            "bound": dict(log.bound),
            "emitted": after.emitted - before.emitted,
            "ended": after.written + sum(after.dropped.values()) - before.written
            - sum(before.dropped.values()),
            "file": str(log.log_file_path),
        }
    )  # fmt: skip


def check(report: str, log: Logger, on: str = "executor") -> None:
    said = json.loads(report)
    assert (said["on"], said["name"], said["run_id"]) == (on, log.name, log.run_id)
    assert said["bound"]["table"] == "orders"
    assert (said["emitted"], said["ended"]) == (1, 1)
    assert said["file"] == "None"


@pytest.fixture
def bound(log: Logger) -> Logger:
    """A bound logger, as jobs use them."""
    return log.bind(table="orders")


def by_udf(spark: Any, log: Logger) -> list[str]:
    from pyspark.sql import functions as F

    f = F.udf(lambda x: probe(log, x), "string")
    return [row[0] for row in spark.range(2).select(f("id")).collect()]


def by_pandas_udf(spark: Any, log: Logger) -> list[str]:
    import pandas as pd
    from pyspark.sql import functions as F

    def each(ids: Any) -> Any:
        return pd.Series([probe(log, len(ids))] * len(ids))

    f = F.pandas_udf(each, "string", F.PandasUDFType.SCALAR)  # type: ignore[call-overload]
    return [row[0] for row in spark.range(2).select(f("id")).collect()]


def by_map_in_pandas(spark: Any, log: Logger) -> list[str]:
    import pandas as pd

    def each(frames: Any) -> Any:
        for frame in frames:
            yield pd.DataFrame({"said": [probe(log, len(frame))]})

    return [row[0] for row in spark.range(2).mapInPandas(each, "said string").collect()]


def by_apply_in_pandas(spark: Any, log: Logger) -> list[str]:
    import pandas as pd

    def each(frame: Any) -> Any:
        return pd.DataFrame({"said": [probe(log, len(frame))]})

    groups = spark.range(2).groupBy("id")
    return [row[0] for row in groups.applyInPandas(each, "said string").collect()]


WAYS = [by_udf, by_pandas_udf, by_map_in_pandas, by_apply_in_pandas]
each_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


@each_way
def test_logger_travels_into_functions(
    session: Any, bound: Logger, way: Callable[[Any, Logger], list[str]]
) -> None:
    """A bound logger captured by a function logs on the worker, in the name of its run."""
    for report in way(session, bound):
        check(report, bound)


@each_way
def test_logger_travels_into_functions_of_sail(
    sail: Any, bound: Logger, way: Callable[[Any, Logger], list[str]]
) -> None:
    """The same on Sail, whose UDFs run in the server's process: there it must not fail either."""
    for report in way(sail, bound):
        said = json.loads(report)
        assert (said["name"], said["run_id"]) == (bound.name, bound.run_id)
        assert said["emitted"] == said["ended"]


def test_decorated_function_is_a_udf(session: Any, bound: Logger) -> None:
    """`@log.catch` on a UDF swallows on the worker, and pickles."""
    from pyspark.sql import functions as F

    @bound.catch("bad row", default=-1)
    def share(x: int) -> int:
        return 1 // x

    rows = session.range(2).select(F.udf(share, "long")("id")).collect()

    assert sorted(row[0] for row in rows) == [-1, 1]


def by_rdd(spark: Any, log: Logger) -> list[str]:
    numbers = spark.sparkContext.parallelize([1, 2], 2)
    return list(numbers.map(partial(probe, log)).collect())


def by_foreach(spark: Any, log: Logger, folder: Path) -> list[str]:
    """`foreachPartition` and `foreach` give nothing back, so they leave it in `folder`."""

    def leave(value: Any) -> None:
        (folder / os.urandom(8).hex()).write_text(probe(log, value))

    spark.range(0, 2, 1, 2).foreachPartition(lambda rows: [leave(row) for row in rows] and None)
    spark.range(0, 2, 1, 2).foreach(leave)
    return [left.read_text() for left in folder.iterdir()]


def test_logger_travels_into_rdds(spark: SparkSession, bound: Logger) -> None:
    """A closure of an RDD has its logger."""
    for report in by_rdd(spark, bound):
        check(report, bound)


def test_logger_travels_into_foreach(session_4: Any, bound: Logger, tmp_path: Path) -> None:
    """So have the functions of `foreach` and `foreachPartition`."""
    reports = by_foreach(session_4, bound, tmp_path)

    assert len(reports) == 4
    for report in reports:
        check(report, bound)


def test_executors_of_a_cluster_log_by_the_same_rule(
    spark_cluster: SparkSession, bound: Logger, tmp_path: Path
) -> None:
    """Executors in processes of their own are executors, whichever function they run."""
    reports = [report for way in (*WAYS, by_rdd) for report in way(spark_cluster, bound)]
    reports += by_foreach(spark_cluster, bound, tmp_path)

    assert len(reports) == 14
    for report in reports:
        check(report, bound)


def test_foreach_batch_of_classic_runs_on_the_driver(
    spark: SparkSession, bound: Logger, records: Any
) -> None:
    """Classic `foreachBatch` is a thread of the driver: its records are in the driver's log."""
    seen: list[str] = []

    def batch(frame: Any, number: int) -> None:
        seen.append(probe(bound, frame.count()))

    run_once(spark, batch)

    check(seen[0], bound, on="driver")
    assert "row 3" in records.messages


def test_foreach_batch_of_connect_follows_the_rule_of_workers(
    spark_connect: SparkSession, bound: Logger, tmp_path: Path
) -> None:
    """On Connect it is another process beside the server: no file is opened there."""
    answer = str(tmp_path / "answer")

    def batch(frame: Any, number: int) -> None:
        with open(answer, "w") as file:
            file.write(probe(bound, frame.count()))

    run_once(spark_connect, batch)

    check(Path(answer).read_text(), bound)


def run_once(spark: Any, batch: Callable[[Any, int], None]) -> None:
    stream = spark.readStream.format("rate-micro-batch").option("rowsPerBatch", 3).load()
    query = stream.writeStream.foreachBatch(batch).trigger(availableNow=True).start()
    assert query.awaitTermination(120)


@pytest.mark.spark("4.0")
def test_logger_travels_into_python_data_sources(session: Any, bound: Logger) -> None:
    """A Python data source that holds a logger reads on the worker."""
    session.dataSource.register(source_of(bound))

    rows = session.read.format("laketrace_probe").load().collect()

    check(rows[0][0], bound)


def source_of(log: Logger) -> Any:
    from pyspark.sql.datasource import DataSource, DataSourceReader

    class Reader(DataSourceReader):
        def read(self, partition: Any) -> Iterator[tuple[str]]:
            yield (probe(log),)

    class Source(DataSource):
        @classmethod
        def name(cls) -> str:
            return "laketrace_probe"

        def schema(self) -> str:
            return "said string"

        def reader(self, schema: Any) -> DataSourceReader:
            return Reader()

    return Source


def test_stages_and_handler_ids_travel(session: Any, log: Logger, records: Any) -> None:
    """A stage captured by a UDF logs with its name; the id of a handler is a number."""
    from pyspark.sql import functions as F

    bronze = Stage(log, "bronze")
    number = log.add(print)
    f = F.udf(lambda x: f"{probe(bronze.log)} {number}", "string")

    report, _, said = session.range(1).select(f("id")).first()[0].rpartition(" ")

    assert json.loads(report)["bound"]["stage"] == "bronze"
    assert int(said) == number


def test_stages_of_a_run_travel(session: Any, log: Logger) -> None:
    """A function that holds the stage of a run tells metrics on the worker, and stages of its own.

    They are records there, under the same names; the driver's objects hear nothing of them.
    """
    from pyspark.sql import functions as F

    with log.run("daily") as run, run.stage("silver") as silver:

        def check(x: int) -> str:
            before = log.stats().emitted
            silver.metric("rows", 1)
            with run.stage("of the worker") as own:
                own.metric("rows", 1)
            return f"{run.name} {silver.path} {own.path} {log.stats().emitted - before}"

        said = session.range(1).select(F.udf(check, "string")("id")).first()[0]

    assert said == "daily silver of the worker 5"
    assert silver.metrics == {}
    assert [timing.path for timing in run.timings] == ["silver"]


ZIPPED = """
import sys
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.master("local-cluster[1,1,1024]").getOrCreate()
spark.sparkContext.addPyFile(sys.argv[1])
sys.path.insert(0, sys.argv[1])
from laketrace import get_logger
log = get_logger("zipped", log_dir=None, stdout=False)

@F.udf("string")
def f(x):
    import laketrace
    log.info("row", x=x)
    log.error("bad", x=x)
    return f"{laketrace.__file__} {sorted(log.stats().dropped)} {log.stats().written}"

print("SAID", spark.range(1).select(f("id")).first()[0])
"""


def test_worker_with_only_the_zip_has_laketrace(
    spark_environ: dict[str, str], tmp_path: Path
) -> None:
    """`--py-files laketrace.zip` is enough: nothing is read beside the modules."""
    archive = tmp_path / "laketrace.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(Path(ROOT, "laketrace").rglob("*.py")):
            file.write(path, path.relative_to(ROOT))
    environ = {**os.environ, **spark_environ}
    environ.pop("PYTHONPATH")

    ran = subprocess.run(
        [sys.executable, "-c", ZIPPED, str(archive)],
        capture_output=True, text=True, env=environ, cwd=tmp_path, timeout=240,
    )  # fmt: skip

    said = ran.stdout.partition("SAID ")[2].strip()
    assert "laketrace.zip/laketrace/__init__.py" in said, ran.stderr[-3000:]
    assert said.endswith("['executor'] 1")


def test_bound_logger_survives_pickle_and_cloudpickle(log: Logger) -> None:
    """In the same process a pickled logger comes back as the living one, with its fields."""
    import pickle

    import cloudpickle

    bound = log.bind(table="orders")
    for dumped in (pickle.dumps(bound), cloudpickle.dumps(bound)):
        back = pickle.loads(dumped)
        assert (back.bound, back.name) == (bound.bound, log.name)
        assert back.stats() == log.stats()
    assert get_logger(log.name) is log
