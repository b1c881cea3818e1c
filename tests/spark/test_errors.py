"""Errors of real failing queries, as `log.exception` writes them: classic and Connect."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from laketrace import Logger, get_logger
from laketrace.runtime.session import is_connect

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MOST_BYTES = 64 * 1024
MOST_SPARK_LINES = 40


@pytest.fixture
def logged(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Callable[[], Any]], Any]:
    """Run what fails under `log.exception`; the line that is in the file then."""

    def run(fail: Callable[[], Any]) -> dict[str, Any]:
        log: Logger = get_logger("errors", log_dir=str(tmp_path), stdout=False)
        try:
            fail()
        except Exception:
            log.exception("query failed")
        log.close()
        *_, line = (tmp_path / "errors.log").read_bytes().splitlines()
        assert len(line) <= MOST_BYTES
        assert line.count(b"at org.apache.spark") < MOST_SPARK_LINES
        exception: dict[str, Any] = json.loads(line)["exception"]
        return exception

    return run


def tells_no_states(session: Any) -> bool:
    """Spark Connect has sent them since 4.0."""
    return is_connect(session) and session.version.startswith("3.")


def test_missing_table(session: Any, logged: Any) -> None:
    """An analysis error tells its class, its SQL state and its parameters."""
    told = logged(lambda: session.table("no_such_table").collect())

    assert told["error_class"] == "TABLE_OR_VIEW_NOT_FOUND"
    assert told.get("sqlstate", "42P01") == "42P01"
    assert "sqlstate" in told or tells_no_states(session)
    parameters = told.get("message_parameters", {})  # 4.2 adds searchPath, Connect 3.5 sends none
    assert parameters.get("relationName") == "`no_such_table`" or tells_no_states(session)
    assert told["type"].endswith("AnalysisException")


def test_missing_table_of_sail(sail: Any, logged: Any) -> None:
    """A server that is no Spark tells in its text what Spark would tell."""
    told = logged(lambda: sail.table("no_such_table").collect())

    assert told["type"].endswith("AnalysisException")
    assert told["error_class"] == "TABLE_OR_VIEW_NOT_FOUND"


def test_failing_udf(session: Any, logged: Any) -> None:
    """The traceback of the worker is taken out of the JVM's text."""
    from pyspark.sql import functions as F

    def share(x: int) -> int:
        return 1 // (x - x)

    told = logged(lambda: session.range(1).select(F.udf(share, "long")("id")).collect())

    assert told["type"].endswith("PythonException")
    assert "ZeroDivisionError" in told["python_traceback"]
    assert "in share" in told["python_traceback"]


def test_failing_expression(session: Any, logged: Any) -> None:
    """An error at run time has its class too."""
    session.conf.set("spark.sql.ansi.enabled", "true")

    told = logged(lambda: session.sql("SELECT 1 / (id - 1) FROM range(3)").collect())

    session.conf.unset("spark.sql.ansi.enabled")
    assert "Division by zero" in told["value"]
    assert told["error_class"] == "DIVIDE_BY_ZERO"
    assert told.get("sqlstate", "22012") == "22012"
    assert "sqlstate" in told or tells_no_states(session)


def test_error_of_the_jvm(spark: SparkSession, logged: Any) -> None:
    """A `Py4JJavaError` of an RDD tells the deepest cause and the worker's traceback."""
    numbers = spark.sparkContext.parallelize([0], 1)

    told = logged(lambda: numbers.map(lambda x: 1 // x).collect())

    assert "ZeroDivisionError" in told["python_traceback"]
    assert told["jvm"]
