"""What a user's type checker sees: read by `mypy --strict` in CI, never run."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from laketrace import Logger, Record, Stats, add_level, contextualize, get_logger, read, upload
from laketrace.interop import LakeTraceHandler, capture
from laketrace.testing import ManualClock, Records


def load(path: Path) -> int:
    """A job with everything of the recorder in it."""
    log: Logger = get_logger("orders", {"rotation": "500 MB"}, log_dir=path, level="DEBUG")
    add_level("AUDIT", 35)
    log.log("AUDIT", "%d rows", 3, table="orders")
    log.bind(stage="bronze").opt(depth=1, lazy=True).patch(enrich).error("x", exc_info=True)
    with log.contextualize(batch=1), contextualize(part=2), log.catch("failed", reraise=True):
        log.info("loaded")
    number: int = log.add(sys.stderr, level="ERROR", filter=lambda record: record.level.no > 40)
    log.add(records := Records())
    log.add(logging.StreamHandler())
    log.remove(number)
    stats: Stats = log.stats()
    file: Path | None = log.log_file_path
    level: str = log.config["level"]
    with capture(log, warnings=False), ManualClock() as clock:
        clock.advance(minutes=5)
    logging.getLogger().addHandler(LakeTraceHandler(log))
    found: list[dict[str, Any]] = list(read(path))
    records.having(table="orders").messages.append(f"{file} {level} {found}")
    return stats.emitted + stats.dropped.get("closed", 0)


def enrich(record: Record) -> dict[str, object]:
    """An enricher."""
    return {"late": record.level == "ERROR", "by": record.extra.get("user")}


def annexes(log: Logger, spark: Any) -> bool:
    """What the annexes add to a logger has types too."""
    report = log.upload("/Volumes/main/ops/logs", table="main.ops.logs")
    again = upload("logs", target="copies")
    healthy: str = log.health().status
    log.pipeline_metric("bronze", "rows", 3, {"table": "orders"})
    log.data_quality_metric("orders", "null_rate", 0.1)
    log.watch_streams(spark)
    with log.run("nightly", params={"day": 1}) as run, run.stage("bronze") as stage:
        stage.metric("rows", 3)
    copied: bool = log.upload_log_to_lakehouse("/lakehouse/default/Files/logs")
    return report.ok and again.ok and healthy == "ok" and copied


log = get_logger()


@log.catch
def ratio(rows: int) -> float:
    """A decorated function keeps its type."""
    return 100 / rows


@log.catch("failed", default=0.0)
async def ratio_later(rows: int) -> float:
    """So does a coroutine."""
    return ratio(rows)


@log.catch(reraise=True)
async def ratios(rows: list[int]) -> AsyncIterator[float]:
    """And an asynchronous generator."""
    for number in rows:
        yield await ratio_later(number)


kept: float = ratio(3)
