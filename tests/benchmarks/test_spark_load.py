"""Loading files by Spark: `pytest -m bench tests/benchmarks/test_spark_load.py -s` prints it.

`laketrace.spark.load` against what one would write by hand, `spark.read.text`, `from_json` and a
Delta write of the same files, in turns; the best of the turns counts. LAKETRACE_BENCH_MB is the
size of all files, by default 1,024.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from laketrace.lakehouse import upload
from laketrace.spark import load
from tests.lakehouse.logs import LogDir, record

from .shown import show

pytestmark = [pytest.mark.bench, pytest.mark.extra("pyarrow"), pytest.mark.timeout(1500)]

SEGMENT_BYTES = 16 << 20
SEGMENTS = max(1, (int(os.environ.get("LAKETRACE_BENCH_MB", "1024")) << 20) // SEGMENT_BYTES)
TURNS = 3
GOAL = 0.8
SCHEMA = (
    "timestamp TIMESTAMP, level STRING, message STRING, logger_name STRING, hostname STRING, "
    "pid BIGINT, platform STRING, runtime_type STRING, run_id STRING, rows BIGINT, stage STRING, "
    "path STRING, file STRING, line INT, function STRING"
)


def shipped(folder: str) -> str:
    """A target with segments of lines as jobs write them."""
    log, target = LogDir(os.path.join(folder, "logs")), os.path.join(folder, "target")
    number = 0
    for _ in range(SEGMENTS):
        lines, size = [], 0
        while size < SEGMENT_BYTES:
            caller = {"file": "etl.py", "line": 7, "function": "main"} if number % 10 == 0 else {}
            path = f"abfss://lake@acme/bronze/orders/{number:08d}"
            lines.append(record(number, stage="bronze", path=path, **caller))
            size += len(lines[-1]) + 1
            number += 1
        log.add(lines)
    assert upload(log.path, target).ok
    return target


def by_hand(spark: Any, target: str, table: str) -> None:
    functions = __import__("pyspark.sql.functions", fromlist=["from_json"])
    lines = spark.read.option("recursiveFileLookup", "true").text(f"file:{target}")
    parsed = lines.select(functions.from_json("value", SCHEMA).alias("r")).select("r.*")
    parsed.write.format("delta").save(f"file:{table}")


def seconds_of(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def test_load_against_what_one_writes_by_hand(spark: Any, tmp_path: Any) -> None:
    """The loader, with offsets, raw lines and exactly once, at 0.8 of the plain job's rate."""
    target = shipped(str(tmp_path))
    size = SEGMENTS * SEGMENT_BYTES / 1e6
    taken: dict[str, list[float]] = {"by hand": [], "load": []}

    for turn in range(TURNS):
        table = str(tmp_path / f"table{turn}")
        taken["by hand"].append(seconds_of(lambda: by_hand(spark, target, f"{table}-hand")))
        taken["load"].append(
            seconds_of(lambda: load(spark, target, table, str(tmp_path / f"checkpoint{turn}")))
        )

    rates = {name: size / min(seconds) for name, seconds in taken.items()}
    ratio = rates["load"] / rates["by hand"]
    show(f"load of {size:.0f} MB beside a job written by hand", ratio, "x", at_least=GOAL)
    show("load", rates["load"], "MB/s")
    counts = [
        spark.read.format("delta").load(f"file:{tmp_path}/table0{name}").count()
        for name in ("", "-hand")
    ]
    assert counts[0] == counts[1]
