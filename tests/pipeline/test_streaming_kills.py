"""A guarded stream whose process group is killed in mid-batch, and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.extra("pyspark", "py4j")]

PROGRAM = """
import os, signal, sys
from pyspark.sql import SparkSession, functions as F
from laketrace import get_logger
from laketrace.pipeline import read_stream, write_stream
from laketrace.pipeline.streaming.sinks import Sink

folder, place, where, at = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
log = get_logger("killed", log_dir=f"{folder}/logs", stdout=False)
put = Sink.put

def dying(self, frame, writer, batch_id):
    mine = self.place.endswith(place) and batch_id == at
    if mine and where == "amid":  # the write is under way, and dies with all its tasks
        import threading
        threading.Timer(0.3, os.killpg, (0, signal.SIGKILL)).start()
    if mine and where == "before":
        os.killpg(0, signal.SIGKILL)
    put(self, frame, writer, batch_id)
    if mine and where == "after":
        os.killpg(0, signal.SIGKILL)

Sink.put = dying
spark = SparkSession.builder.master("local[2]").getOrCreate()
cfg = {"streaming": {
    "checkpoint": f"{folder}/checkpoint", "dlq_path": f"{folder}/dlq",
    "schema": "id int, amount double, note string", "trigger_interval": "available now",
    "max_files_per_trigger": 1,
}}
df = read_stream(spark, cfg, f"{folder}/src", "json")
clean = lambda rows: rows.withColumn("amount", F.expr("amount / cast(note as int)"))
write_stream(df, cfg, f"{folder}/out", transform=clean, log=log).awaitTermination()
if place == "-":
    for name in ("out", "dlq"):
        rows = spark.read.format("delta").load(f"{folder}/{name}").select("id").collect()
        print(name, *(row.id for row in rows))
"""


def test_a_killed_stream_loses_and_doubles_nothing(
    spark_environ: dict[str, str], tmp_path: Path
) -> None:
    """SIGKILL before, amid and after the writes of a batch: each row is there once."""
    os.mkdir(tmp_path / "src")
    number, wanted = 0, {"out": Counter[int](), "dlq": Counter[int]()}
    for file in range(4):
        lines = []
        for index in range(10):
            corrupt, fails = index == 3, index == 7 and file == 1
            wanted["dlq" if corrupt or fails else "out"][number] += 1
            note = "none" if fails else "1"
            amount = "x" if corrupt else 1.5
            lines.append(json.dumps({"id": number, "amount": amount, "note": note}))
            number += 1
        path = tmp_path / "src" / f"{file}.json"
        path.write_text("\n".join(lines))
        os.utime(path, (file + 1, file + 1))

    kills = (("dlq", "after", 0), ("out", "amid", 1), ("out", "after", 2))
    ends = [run(spark_environ, tmp_path, *kill) for kill in kills]
    last = run(spark_environ, tmp_path, "-", "-", 0)

    assert [end.returncode for end in ends] == [-signal.SIGKILL] * 3
    assert last.returncode == 0, last.stderr[-3000:]
    found = {
        line.split()[0]: Counter(map(int, line.split()[1:])) for line in last.stdout.splitlines()
    }
    assert found == wanted


def run(
    environ: dict[str, str], folder: Path, place: str, where: str, at: int
) -> subprocess.CompletedProcess[str]:
    """The program in a session of its own, which it kills at that write of that batch."""
    command = [sys.executable, "-c", PROGRAM, str(folder), place, where, str(at)]
    return subprocess.run(
        command,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=240,
        start_new_session=True,
    )
