"""Figures about uploads: `pytest -m bench tests/benchmarks/test_uploads.py -s` prints them.

What is compared runs in turns on the same machine and the same file, each in a process of its own,
and the best of the turns counts. LAKETRACE_BENCH_MB is the size of the file, by default 1,024.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import pytest

from laketrace import upload
from tests.lakehouse.logs import LogDir, record
from tests.support.processes import ROOT

from .shown import show

pytestmark = [pytest.mark.bench, pytest.mark.extra("deltalake", "pyarrow"), pytest.mark.timeout(0)]
MEGABYTES = int(os.environ.get("LAKETRACE_BENCH_MB", "1024"))
TURNS = 2
SHORT = MEGABYTES < 1024  # to see that they run; the figures need their time

PEAK = """
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
"""

PLAIN = (
    PEAK
    + """
import json, sys, time
import deltalake, pyarrow.json
path, table = sys.argv[1:]
begin = time.perf_counter()
deltalake.write_deltalake(table, pyarrow.json.read_json(path))
print(json.dumps([time.perf_counter() - begin, peak()]))
"""
)

OURS = (
    PEAK
    + """
import json, os, sys, time
import deltalake, pyarrow
from laketrace import upload
path, table = sys.argv[1:]
begin = time.perf_counter()
report = upload(os.path.dirname(path), table=table, timeout=3600)
assert report.ok and report.segments == 1, report
print(json.dumps([time.perf_counter() - begin, peak(), report.records]))
"""
)

LATENCIES = """
import json, os, sys, time
import laketrace
folder, settings, seconds = sys.argv[1], json.loads(sys.argv[2]), float(sys.argv[3])
log = laketrace.get_logger("latency", log_dir=folder, stdout=False, **settings)
for number in range(1000):
    log.info("table loaded", table="orders", rows=number)
times, clock, end = [], time.perf_counter_ns, time.perf_counter() + seconds
while time.perf_counter() < end:
    for number in range(20):
        begin = clock()
        log.info("table loaded", table="orders", rows=number)
        times.append(clock() - begin)
    time.sleep(0.002)
times.sort()
log.close()
print(json.dumps([times[len(times) // 2] / 1000, times[len(times) * 99 // 100] / 1000]))
"""

STEADY = """
import json, resource, sys, time
import laketrace
folder, settings, seconds = sys.argv[1], json.loads(sys.argv[2]), float(sys.argv[3])
log = laketrace.get_logger("steady", log_dir=folder, stdout=False, **settings)
def used():
    found = resource.getrusage(resource.RUSAGE_SELF)
    return found.ru_utime + found.ru_stime
cpu = -1.0
next_ = begin = time.perf_counter()
count = 0
while next_ < begin + seconds:
    if cpu < 0 and next_ > begin + 14:  # the first upload is over, and what it loads is loaded
        cpu, since = used(), time.perf_counter()
    for number in range(20):
        log.info("table loaded", table="orders", rows=number, batch="2026-11-21", source="erp")
    next_ += 0.02
    time.sleep(max(0.0, next_ - time.perf_counter()))
print(json.dumps((used() - cpu) / (time.perf_counter() - since)))
"""


def measure(code: str, *arguments: str) -> Any:
    """What a script prints, as JSON."""
    environment = {**os.environ, "PYTHONPATH": ROOT}
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def lines(megabytes: int) -> Iterator[bytes]:
    """Records as LakeTrace writes them, some of them warnings with their caller."""
    size, number = 0, 0
    while size < megabytes << 20:
        minute = f"2026-11-21T{number // 3600000 % 24:02d}:{number // 60000 % 60:02d}"
        seconds = f"{number // 1000 % 60:02d}.{number % 1000:03d}000"
        level = "WARNING" if number % 50 == 0 else "INFO"
        caller = ',"file":"/job.py","line":7,"function":"load"' if number % 50 == 0 else ""
        line = (
            f'{{"timestamp":"{minute}:{seconds}+00:00","level":"{level}","message":"table loaded",'
            '"logger_name":"orders","hostname":"node-17","pid":4711,"platform":"databricks",'
            '"runtime_type":"job","run_id":"6f1c1e0a-8f0b-4a43-9a53-5f6f0c9b1b7e",'
            f'"table":"orders_{number % 97}","rows":{number},"seconds":{number % 1000 / 7:.3f},'
            f'"stage":"bronze"{caller}}}\n'
        ).encode()
        size += len(line)
        number += 1
        yield line


@pytest.fixture
def segment(tmp_path):
    """A finished segment with a journal, made by nobody who lives."""
    folder = tmp_path / "logs"
    (folder / ".laketrace").mkdir(parents=True)
    journal = {"stream": "0" * 32, "after": "", "at": 0, "pid": 1, "logger_name": "orders"}
    (folder / ".laketrace" / "orders.stream").write_text(json.dumps(journal) + "\n")
    path = folder / "orders.log.20261121_100000"
    with open(path, "wb") as file:
        file.writelines(lines(MEGABYTES))
    return path


def test_rows_into_delta(segment, tmp_path):
    """At least 0.7 x the rate of `pyarrow.json` + `write_deltalake`, in at most 300 MB."""
    plain, ours = [], []
    for turn in range(TURNS):
        plain.append(measure(PLAIN, str(segment), str(tmp_path / f"plain{turn}")))
        for sidecar in (segment.parent / ".laketrace").glob("orders.[ld]*"):
            sidecar.unlink()
        ours.append(measure(OURS, str(segment), str(tmp_path / f"ours{turn}")))

    ratio = min(plain)[0] / min(ours)[0]
    memory = max(run[1] for run in ours)
    show("upload, rate beside pyarrow.json + write_deltalake", ratio, "x", at_least=0.7)
    show("upload", MEGABYTES / min(ours)[0], "MB/s")
    show("upload, peak RSS", memory, "MB", at_most=300)
    show("pyarrow.json + write_deltalake, peak RSS", min(plain)[1], "MB")


def test_a_log_call_while_uploading(segment, tmp_path):
    """The 99th percentile is at most 1.5 x that without an upload, while one is always at work."""
    without, uploading, seconds = [], [], "1" if SHORT else "10"
    for turn in range(3):
        quiet = {"rotation": "1 GB"}
        without.append(
            measure(
                LATENCIES, str(tmp_path / f"quiet{turn}"), json.dumps(quiet), "1" if SHORT else "10"
            )
        )
        # What a dead run left is uploaded from the start, for longer than the measurement lasts.
        folder = tmp_path / f"busy{turn}"
        (folder / ".laketrace").mkdir(parents=True)
        journal = {"stream": "1" * 32, "after": "", "at": 0, "pid": 1, "logger_name": "latency"}
        (folder / ".laketrace" / "latency.stream").write_text(json.dumps(journal) + "\n")
        os.link(segment, folder / "latency.log.20261121_100000")
        busy = {"rotation": "1 GB", "upload_table": str(tmp_path / f"table{turn}"),
                "upload_at_exit": False}  # fmt: skip
        uploading.append(measure(LATENCIES, str(folder), json.dumps(busy), seconds))

    ratio = min(run[1] for run in uploading) / min(run[1] for run in without)
    show("log call while uploading, p50", min(uploading)[0], "µs")
    show("log call without, p50", min(without)[0], "µs")
    show("log call while uploading, p99 beside that without", ratio, "x", at_most=1.5)


def test_background_shipping(tmp_path):
    """At 1,000 records a second, at most 2 % of one core more than without, target and table."""
    shares = {"without": [], "with": []}
    for turn in range(1 if SHORT else 2):
        for name, more in (
            ("without", {}),
            ("with", {"upload_target": str(tmp_path / f"target{turn}"), "upload_every": 10,
                      "upload_table": str(tmp_path / f"table{turn}")}),
        ):  # fmt: skip
            folder = str(tmp_path / f"{name}{turn}")
            shares[name].append(measure(STEADY, folder, json.dumps(more), "18" if SHORT else "45"))

    share = 100 * (min(shares["with"]) - min(shares["without"]))
    show("shipping 1,000 records/s every 10 s", share, "% of one core", at_most=2)


@pytest.mark.parametrize("uploaders", [1, 4, 16])
def test_commits_into_one_table(tmp_path, uploaders):
    """How many uploads a second end, with one small segment each, when so many work at once.

    They share the cores of this machine, which uploaders of a fleet do not. There is no goal.
    """
    table, each = str(tmp_path / "table"), 60 // uploaders + 5
    logs = [LogDir(str(tmp_path / f"logs{n}"), stream=f"{n:032x}") for n in range(uploaders)]

    def run(log: LogDir) -> list[float]:
        seconds = []
        for number in range(each):
            log.add([record(number)])
            begin = time.perf_counter()
            assert upload(log.path, table=table, timeout=600).ok
            seconds.append(time.perf_counter() - begin)
        return seconds

    begin = time.perf_counter()
    with ThreadPoolExecutor(uploaders) as pool:
        taken = sorted(chain.from_iterable(pool.map(run, logs)))
    rate = uploaders * each / (time.perf_counter() - begin)

    show(f"commits of {uploaders} uploaders into one table", rate, "a second")
    show(f"an upload beside {uploaders - 1} others, p50", taken[len(taken) // 2], "s")
    show(f"an upload beside {uploaders - 1} others, slowest", taken[-1], "s")
