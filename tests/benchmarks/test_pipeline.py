"""Figures of runs and stages: `pytest -m bench tests/benchmarks/test_pipeline.py -s` prints them.

Compared within one process, in turns, and the best of the turns counts: what others do on the
machine can only make a turn slower.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from laketrace import get_logger

from .shown import show

pytestmark = pytest.mark.bench
ROWS = int(os.environ.get("LAKETRACE_BENCH_ROWS", "10000000"))
COLUMNS = [f"c{number}" for number in range(10)]
TURNS = 5


def test_a_stage_with_three_metrics(tmp_path: Path) -> None:
    """Six records to the file, context and all, take at most 100 µs."""
    log = get_logger("bench.stage", log_dir=tmp_path, stdout=False)
    with log.run("daily") as run:

        def staged() -> None:
            with run.stage("bronze") as stage:
                stage.metric("files_read", 12)
                stage.metric("rows", 1000, unit="rows")
                stage.metric("bytes", 2_000_000, {"source": "s3"})

        taken = min(timeit.repeat(staged, number=10, repeat=500)) / 10 * 1e6
    log.close()

    show("stage with three metrics", taken, "µs", at_most=100)


@pytest.mark.timeout(1500)
def test_an_observed_write(spark: Any, tmp_path: Path) -> None:
    """Rows and nulls of 10 columns from the write itself, against a second pass over what it wrote.

    10 million rows of 10 columns from Parquet to Parquet. The second pass is the usual one, `count`
    and the sums of `isNull`, over the table that was written.
    """
    from pyspark.sql import functions as F

    log = get_logger("bench.observed", log_dir=tmp_path / "log", stdout=False)
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    columns = [f"if(id % 7 = {n % 7}, null, (id * {n + 3}) % 1000003) AS c{n}" for n in range(10)]
    spark.range(0, ROWS, 1, 4).selectExpr(*columns).write.parquet(source)

    def plain() -> None:
        spark.read.parquet(source).write.mode("overwrite").parquet(target)

    def observed() -> None:
        with log.run("daily") as run, run.stage("bronze") as stage:
            data = stage.observe(spark.read.parquet(source), name="orders", nulls=COLUMNS)
            data.write.mode("overwrite").parquet(target)
        assert stage.metrics["orders.row_count"] == ROWS

    def twice() -> None:
        plain()
        written = spark.read.parquet(target)
        written.count()
        written.select(*(F.sum(F.col(name).isNull().cast("int")) for name in COLUMNS)).collect()

    plain(), observed(), twice()
    turns = [[seconds(each) for each in (plain, observed, twice)] for _ in range(TURNS)]
    log.close()
    shutil.rmtree(target)

    print(json.dumps([[round(value, 2) for value in turn] for turn in turns]))
    best = [min(turn[index] for turn in turns) for index in range(3)]
    show(f"plain write of {ROWS:,} rows x 10 columns", best[0], "s")
    show("write and second pass : plain write", best[2] / best[0], "x")
    show("observed write : plain write", best[1] / best[0], "x", at_most=1.05)


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
