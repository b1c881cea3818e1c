"""Figures about queries: `pytest -m bench tests/benchmarks/test_query.py -s` prints them.

`laketrace query` and DuckDB's own `read_json` ask the same files the same question in one process,
in turns, each turn with a new connection; the answers must be equal and the best turn counts,
because others on the machine can only make a turn slower. LAKETRACE_BENCH_MB is the size of all
files, by default 1,024.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from laketrace import get_logger
from laketrace.files.segment import find_segments, segment_name

from .shown import show

pytestmark = [pytest.mark.bench, pytest.mark.extra("duckdb"), pytest.mark.timeout(900)]
SEGMENT_MB = 128
TOTAL_MB = int(os.environ.get("LAKETRACE_BENCH_MB", "1024"))
TURNS = 5
GOAL = 1.5
QUESTIONS = {  # ours, and the same over the columns that read_json finds
    "filter, field, 0.1 % of the records": (
        "select count(*), sum((fields->>'$.order.id')::bigint) from logs where level = 'ERROR'",
        "select count(*), sum(\"order\".id::bigint) from {json} where level = 'ERROR'",
    ),
    "filter, field, 98 % of the records": (
        "select fields->>'$.customer' as c, count(*) as n from logs where level = 'INFO' "
        "group by 1 order by n desc, 1 limit 3",
        "select customer as c, count(*) as n from {json} where level = 'INFO' "
        "group by 1 order by n desc, 1 limit 3",
    ),
}


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with 1 GB of segments: one that a logger wrote, and copies of it."""
    folder = tmp_path_factory.mktemp("query")
    log = get_logger(
        "orders", log_dir=folder, stdout=False, rotation=f"{SEGMENT_MB} MB", retention_files=None
    ).bind(stage="bronze", table="orders")
    number = 0
    while not find_segments(str(folder)):
        number += 1
        say = log.error if number % 1000 == 0 else log.warning if number % 50 == 0 else log.info
        say("batch loaded", order={"id": number, "lines": [1, 2, 3]}, rows=number % 1000,
            seconds=number / 7, customer=f"customer-{number % 5000}")  # fmt: skip
    log.close()
    (first,) = find_segments(str(folder))
    for copy in range(1, TOTAL_MB // SEGMENT_MB):
        name = segment_name(first.stem, (first.stamp, first.number + copy))
        shutil.copyfile(first.path, folder / name)
    os.unlink(folder / "orders.log")
    yield folder
    shutil.rmtree(folder)


class _NoBar:
    shown = False

    def to(self, done: float, total: float | None = None) -> None:
        """Nobody looks."""


def ask_us(logs: Path, folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """What `laketrace query` does, up to the rows."""
    from laketrace.cli.places import find_logs
    from laketrace.cli.query.engine import Engine
    from laketrace.cli.query.files import list_files
    from laketrace.cli.query.sql import Query

    engine, query = Engine(str(folder), _NoBar()), Query(sql)
    engine.over_files(query, list_files(find_logs(str(logs)), query.may_name("segment")))
    return list(engine.rows())


def ask_duckdb(logs: Path, sql: str) -> list[tuple[Any, ...]]:
    """DuckDB alone, over the same files."""
    import duckdb

    files = ", ".join(f"'{item.path}'" for item in find_segments(str(logs)))
    with duckdb.connect() as connection:
        return list(connection.execute(sql.format(json=f"read_json([{files}])")).fetchall())


def timed(call: Callable[[], list[tuple[Any, ...]]]) -> tuple[float, float, list[Any]]:
    """Seconds on the clock, seconds of CPU, and the answer."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = call()
    return time.perf_counter() - wall, time.process_time() - cpu, answer


@pytest.mark.parametrize("question", QUESTIONS)
def test_query_keeps_up_with_read_json(question: str, segments: Path, tmp_path: Path) -> None:
    """A query with a filter and a field takes at most 1.5 times what DuckDB takes by itself."""
    ours, theirs = QUESTIONS[question]
    turns = []
    for _ in range(TURNS):
        us = timed(lambda: ask_us(segments, tmp_path, ours))
        them = timed(lambda: ask_duckdb(segments, theirs))
        assert us[2] == them[2]
        turns.append((us, them))

    (wall, cpu), (their_wall, their_cpu) = (
        (min(turn[side][0] for turn in turns), min(turn[side][1] for turn in turns))
        for side in (0, 1)
    )
    what = f"{question}, {TOTAL_MB} MB, {wall:.2f} s against {their_wall:.2f} s"
    show(what, wall / their_wall, "x", at_most=GOAL)
    show(f"{question}, processor time", cpu / their_cpu, "x")
