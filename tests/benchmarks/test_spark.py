"""Figures about Spark: `pytest -m bench tests/benchmarks/test_spark.py -s` prints them.

Each is compared within one process, in turns, and the best of the turns counts: what others do on
the machine can only make a turn slower.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
import timeit
from collections.abc import Callable
from typing import Any

import pytest

from laketrace import Logger, detect_runtime, get_logger
from tests.support.processes import ROOT

from .shown import show

pytestmark = pytest.mark.bench
ROWS = 1_000_000
TURNS = 7

# The modules of Python that any notebook and most scripts have loaded by then.
COLD = """
import collections, contextlib, enum, functools, importlib, re, sys, threading, time, typing
if sys.argv[1:]:
    __import__(sys.argv[1])
began = time.process_time()
import laketrace.runtime as runtime
runtime.detect_runtime()
print((time.process_time() - began) * 1000)
"""


def best(call: Callable[[], object], number: int) -> float:
    """Seconds of processor time of one call, in the best of many short turns."""
    turns = timeit.repeat(call, number=number, repeat=200, timer=time.process_time)
    return min(turns) / number


def quiet_logger(name: str) -> Logger:
    return get_logger(name, log_dir=None, stdout=False)


def test_pickled_logger() -> None:
    """A logger with default settings takes at most 400 bytes, with fields and settings more."""
    log = get_logger("orders_etl", stdout=False)
    try:
        size = len(pickle.dumps(log))
        fields = {"stage": "bronze", "table": "orders"}
        more = len(pickle.dumps(log.bind(**fields))) - len(pickle.dumps(fields))
    finally:
        log.close()

    show("pickled logger", size, "bytes", at_most=400)
    show("pickled logger with two fields, beside them", more, "bytes", at_most=400)
    assert size <= 400 and more <= 400


@pytest.mark.parametrize("module", ["", "pyspark.sql.connect.session"])
def test_cold_detection(module: str) -> None:
    """The first look takes at most 5 ms, with our own modules' import, pyspark loaded or not."""
    if module:
        pytest.importorskip(module, reason="needs pyspark")
    taken = [
        float(
            subprocess.run(
                [sys.executable, "-c", COLD, *filter(None, [module])],
                env={**os.environ, "PYTHONPATH": ROOT},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for _ in range(TURNS)
    ]

    show(f"cold detection {module}", sorted(taken)[TURNS // 2], "ms", at_most=5)


def test_warm_detection() -> None:
    """Every other look takes at most 1 µs, also beside a Connect module without session."""
    pytest.importorskip("pyspark.sql.connect.session", reason="needs pyspark")
    detect_runtime()

    taken = best(detect_runtime, 2000) * 1e6

    show("warm detection", taken, "µs", at_most=1)


@pytest.mark.extra("pyspark")
def test_progress_event_of_a_stream(tmp_path: Any) -> None:
    """The listener spends at most 200 µs on a progress event, the write to the file included."""
    from laketrace.spark.listener import StreamListener
    from tests.spark.test_streams import progress_event

    log = get_logger("bench.stream", log_dir=str(tmp_path), stdout=False)
    listener, event = StreamListener(log), progress_event()
    try:
        taken = best(lambda: listener.onQueryProgress(event), 50) * 1e6
    finally:
        log.close()

    show("progress event", taken, "µs", at_most=200)


def test_filtered_call_in_a_udf(spark: Any) -> None:
    """A UDF with a log call below the level takes at most 1.10 times the UDF without it."""
    from pyspark.sql import functions as F

    log = quiet_logger("bench.udf")

    def plain(x: int) -> int:
        return x + 1

    def logging(x: int) -> int:
        log.debug("row", id=x)
        return x + 1

    def seconds(function: Any) -> float:
        frame = spark.range(0, ROWS, 1, 2).select(F.udf(function, "long")("id").alias("n"))
        began = time.perf_counter()
        frame.write.format("noop").mode("overwrite").save()
        return time.perf_counter() - began

    seconds(plain), seconds(logging)
    turns = [(seconds(plain), seconds(logging)) for _ in range(TURNS)]
    without, with_call = (min(turn[index] for turn in turns) for index in (0, 1))

    print(json.dumps([[round(value, 3) for value in turn] for turn in turns]))
    what = "UDF over 1,000,000 rows, with : without a filtered call"
    show(what, with_call / without, "x", at_most=1.10)
