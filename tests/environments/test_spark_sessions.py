"""The Spark sessions that the tests get are real: they run Python on workers and write Delta."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PROGRAM = """
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder{how}.getOrCreate()
spark.range(5).write.format("delta").save(sys.argv[1])
print(spark.read.format("delta").load(sys.argv[1]).count())
"""


def _write_twice(spark: Any, table: str) -> int:
    """Write ten rows by one transaction id twice; return how many rows the table then has."""
    for _ in range(2):
        writer = spark.range(10).write.format("delta").mode("append")
        writer.option("txnAppId", "proof").option("txnVersion", 1).save(table)
    return int(spark.read.format("delta").load(table).count())


def test_classic_session_writes_delta_once(spark: SparkSession, tmp_path: Path) -> None:
    """Classic Spark has a Delta that skips a transaction it already knows."""
    assert _write_twice(spark, str(tmp_path / "table")) == 10


def test_connect_session_writes_delta_once(spark_connect: SparkSession, tmp_path: Path) -> None:
    """Spark Connect has the same Delta, on its server's side."""
    assert _write_twice(spark_connect, str(tmp_path / "table")) == 10


def test_connect_session_is_one(spark_connect: SparkSession) -> None:
    """Functions called while a Connect session is in use belong to Connect, UDFs run on workers."""
    from pyspark.sql import functions as F

    seen = spark_connect.range(1).select(F.udf(lambda _: os.getpid(), "int")("id")).first()

    assert seen is not None and seen[0] != os.getpid()


def test_executors_are_processes_of_their_own(spark_cluster: SparkSession, tmp_path: Path) -> None:
    """`local-cluster` has executors that are other processes than the driver, and writes Delta."""
    status = spark_cluster.sparkContext._jsc.sc().statusTracker()  # type: ignore[union-attr]

    assert _write_twice(spark_cluster, str(tmp_path / "table")) == 10
    assert len(status.getExecutorInfos()) == 3  # the driver and two executors


def test_sail_ignores_transaction_ids(sail: SparkSession, tmp_path: Path) -> None:
    """Sail writes Delta, and drops the options that would make a write idempotent."""
    assert _write_twice(sail, str(tmp_path / "table")) == 20


def test_connect_sessions_in_turn(any_connect: Any) -> None:
    """What a Connect test asks for comes from Spark and from Sail."""
    assert any_connect.range(3).count() == 3


@pytest.mark.parametrize("how", ['.master("local[2]")', '.remote("local[2]")'])
def test_program_of_its_own_gets_delta(
    spark_environ: dict[str, str], tmp_path: Path, how: str
) -> None:
    """A plain program under `spark_environ` has Delta, classic and by Connect in one process."""
    command = [sys.executable, "-c", PROGRAM.format(how=how), str(tmp_path / "table")]
    ran = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **spark_environ}, timeout=240
    )

    assert (ran.returncode, ran.stdout.strip()) == (0, "5"), ran.stderr
