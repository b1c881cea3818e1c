"""Everyone who writes the line: LakeTrace, its peers, and the floor below them all.

Every contender writes the same call, message "table loaded" with three call fields on two bound
ones, to a file on disk, one `write` a record. The nine standard fields are there too wherever
the contender takes them. A contender is a function of a folder that returns a `Line`; the
import happens inside, because each runs in a process of its own.
"""

from __future__ import annotations

import gzip
import importlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter_ns as clock
from typing import Any, NamedTuple

MESSAGE = "table loaded"
BOUND: dict[str, Any] = {"stage": "bronze", "batch": 12}
CALL: dict[str, Any] = {"table": "orders", "rows": 336_776, "seconds": 0.25}
RUN = "daily_orders_20261120"
PLACE: dict[str, Any] = {
    "hostname": socket.gethostname(),
    "platform": "local",
    "runtime_type": "local",
    "run_id": RUN,
}
KEEP_ALL = {"retention": None, "retention_files": None}  # every segment is counted back
OLD_RELEASE = Path(__file__).parents[2] / ".benchmarks" / "laketrace-1.0.2"


class Line(NamedTuple):
    """A contender at work in one folder."""

    write: Callable[[int], None]  # n records that are taken
    below: Callable[[int], None] | None  # 10 * n calls below the level
    timed: Callable[[int], list[int]] | None  # n records; the nanoseconds of each call
    flush: Callable[[], object]
    close: Callable[[], object]


def _nothing() -> None:
    pass


def _loguru_style(log: Any, flush: Callable[[], object], close: Callable[[], object]) -> Line:
    """The line for every logger that is called `log.info(message, **fields)`."""

    def write(records: int) -> None:
        for rows in range(records):
            log.info("table loaded", table="orders", rows=rows, seconds=0.25)

    def below(tens: int) -> None:
        for rows in range(tens):
            log.debug("table loaded", table="orders", rows=rows, seconds=0.25)
            log.debug("table loaded", table="orders", rows=rows, seconds=0.25)
            log.debug("table loaded", table="orders", rows=rows, seconds=0.25)
            log.debug("table loaded", table="orders", rows=rows, seconds=0.25)
            log.debug("table loaded", table="orders", rows=rows, seconds=0.25)
            log.debug("table loaded", table="orders", rows=rows, seconds=0.25)
            log.debug("table loaded", table="orders", rows=rows, seconds=0.25)
            log.debug("table loaded", table="orders", rows=rows, seconds=0.25)
            log.debug("table loaded", table="orders", rows=rows, seconds=0.25)
            log.debug("table loaded", table="orders", rows=rows, seconds=0.25)

    def timed(records: int) -> list[int]:
        took = [0] * records
        for rows in range(records):
            begin = clock()
            log.info("table loaded", table="orders", rows=rows, seconds=0.25)
            took[rows] = clock() - begin
        return took

    return Line(write, below, timed, flush, close)


def _open(folder: str) -> int:
    return os.open(os.path.join(folder, "floor.log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def _ready(timestamp: object) -> dict[str, Any]:
    """The floor's ready dict: the nine standard fields, the bound ones and those of the call."""
    standard = {
        "timestamp": timestamp,
        "level": "INFO",
        "message": MESSAGE,
        "logger_name": "orders_etl",
        "hostname": PLACE["hostname"],
        "pid": os.getpid(),
    }
    return {**standard, **PLACE, **BOUND, **CALL}


def floor(folder: str) -> Line:
    """`orjson.dumps` of a ready dict with a fresh ISO timestamp, and `os.write`."""
    import orjson

    fd = _open(folder)
    record = _ready("")
    now, utc, dumps, newline, write = (
        datetime.now,
        timezone.utc,
        orjson.dumps,
        orjson.OPT_APPEND_NEWLINE,
        os.write,
    )

    def lines(records: int) -> None:
        mine = dict(record)  # each thread its own
        for _ in range(records):
            mine["timestamp"] = now(utc).isoformat()
            write(fd, dumps(mine, None, newline))

    def timed(records: int) -> list[int]:
        mine = dict(record)
        took = [0] * records
        for number in range(records):
            begin = clock()
            mine["timestamp"] = now(utc).isoformat()
            write(fd, dumps(mine, None, newline))
            took[number] = clock() - begin
        return took

    return Line(lines, None, timed, _nothing, lambda: os.close(fd))


def floor_native(folder: str) -> Line:
    """The floor with the timestamp left to orjson, as a datetime."""
    import orjson

    fd = _open(folder)
    record = _ready(None)
    now, utc, dumps, newline, write = (
        datetime.now,
        timezone.utc,
        orjson.dumps,
        orjson.OPT_APPEND_NEWLINE,
        os.write,
    )

    def lines(records: int) -> None:
        for _ in range(records):
            record["timestamp"] = now(utc)
            write(fd, dumps(record, None, newline))

    return Line(lines, None, None, _nothing, lambda: os.close(fd))


def bare_write(folder: str) -> Line:
    """`os.write` of a ready line: what the file alone costs."""
    fd = _open(folder)
    record = _ready(datetime.now(timezone.utc).isoformat())
    line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
    write = os.write

    def lines(records: int) -> None:
        for _ in range(records):
            write(fd, line)

    def timed(records: int) -> list[int]:
        took = [0] * records
        for number in range(records):
            begin = clock()
            write(fd, line)
            took[number] = clock() - begin
        return took

    return Line(lines, None, timed, _nothing, lambda: os.close(fd))


def empty_method(folder: str) -> Line:
    """A method that does nothing, with the arguments of a log call.

    Its message is positional-only as in LakeTrace: a call with keywords is then faster, because
    CPython need not compare them with the name of the message.
    """

    class Empty:
        def debug(self, message: object, /, *args: object, **fields: object) -> None:
            pass

        info = debug

    return _loguru_style(Empty(), _nothing, _nothing)


def laketrace(folder: str, logger: str = "orders_etl", **settings: Any) -> Line:
    """LakeTrace, which uses the standard library alone."""
    get_logger = importlib.import_module("laketrace").get_logger
    settings = {"log_dir": folder, "stdout": False, "rotation": "100 GB", **settings}
    log = get_logger(logger, settings, run_id=RUN)
    return _loguru_style(log.bind(**BOUND), log.flush, log.close)


def laketrace_1(folder: str) -> Line:
    """LakeTrace 1.0.2, from a folder of its own, its stray alarm cancelled.

    1.0.2 arms SIGALRM with its first logger and never cancels it: the process would be killed
    after two seconds.
    """
    if not OLD_RELEASE.is_dir():
        raise ModuleNotFoundError(
            "laketrace 1.0.2 is not there. Run: python -m tests.benchmarks --prepare",
            name="laketrace",
        )
    sys.path.insert(0, str(OLD_RELEASE))
    old: Any = importlib.import_module("laketrace")
    assert old.__version__ == "1.0.2", "a newer LakeTrace was imported first"
    settings = {"log_dir": folder, "stdout": False, "rotation": "100 GB"}
    log = old.get_logger("orders_etl", settings, run_id=RUN)
    signal.alarm(0)
    return _loguru_style(log.bind(**BOUND), _nothing, log.close)


def structlog(folder: str) -> Line:
    """structlog by the fast recipe of its documentation: BytesLogger, orjson, cached logger."""
    import logging

    import orjson
    import structlog as peer

    file = open(os.path.join(folder, "structlog.log"), "ab", buffering=0)  # noqa: SIM115
    peer.configure(
        cache_logger_on_first_use=True,
        wrapper_class=peer.make_filtering_bound_logger(logging.INFO),
        processors=[
            peer.contextvars.merge_contextvars,
            peer.processors.add_log_level,
            peer.processors.format_exc_info,
            peer.processors.TimeStamper(fmt="iso", utc=True),
            peer.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        logger_factory=peer.BytesLoggerFactory(file=file),
    )
    log = peer.get_logger().bind(logger_name="orders_etl", pid=os.getpid(), **PLACE, **BOUND)
    return _loguru_style(log, _nothing, file.close)


def loguru(folder: str) -> Line:
    """loguru with `serialize=True`; what its own record already holds is not bound again."""
    from loguru import logger

    logger.remove()
    logger.add(os.path.join(folder, "loguru.log"), level="INFO", serialize=True)
    return _loguru_style(logger.bind(**PLACE, **BOUND), _nothing, logger.remove)


def loguru_enqueue(folder: str) -> Line:
    """loguru with `serialize=True, enqueue=True`."""
    from loguru import logger

    logger.remove()
    path = os.path.join(folder, "loguru.log")
    logger.add(path, level="INFO", serialize=True, enqueue=True)
    return _loguru_style(logger.bind(**PLACE, **BOUND), logger.complete, logger.remove)


def stdlib_json(folder: str) -> Line:
    """`logging` with a FileHandler and a formatter that calls `json.dumps`."""
    import logging

    fixed = {"logger_name": "orders_etl", "pid": os.getpid(), **PLACE, **BOUND}

    class Formatter(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            line = {
                "timestamp": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
                "level": record.levelname,
                "message": record.getMessage(),
                **fixed,
                **record.fields,  # type: ignore[attr-defined]
            }
            return json.dumps(line)

    handler = logging.FileHandler(os.path.join(folder, "stdlib.log"))
    handler.setFormatter(Formatter())
    log = logging.getLogger("orders_etl")
    log.propagate = False
    log.addHandler(handler)
    log.setLevel(logging.INFO)

    def write(records: int) -> None:
        for rows in range(records):
            log.info(
                "table loaded", extra={"fields": {"table": "orders", "rows": rows, "seconds": 0.25}}
            )

    def below(tens: int) -> None:
        for rows in range(10 * tens):
            log.debug(
                "table loaded", extra={"fields": {"table": "orders", "rows": rows, "seconds": 0.25}}
            )

    return Line(write, below, None, handler.flush, handler.close)


def picologging(folder: str) -> Line:
    """picologging with its text formatter: it cannot write fields, so they are arguments."""
    import picologging as peer

    handler = peer.FileHandler(os.path.join(folder, "picologging.log"))
    handler.setFormatter(peer.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    log = peer.getLogger("orders_etl")
    log.propagate = False
    log.addHandler(handler)
    log.setLevel(peer.INFO)
    text = "table loaded stage=%s batch=%s table=%s rows=%s seconds=%s"

    def write(records: int) -> None:
        for rows in range(records):
            log.info(text, "bronze", 12, "orders", rows, 0.25)

    def below(tens: int) -> None:
        for rows in range(10 * tens):
            log.debug(text, "bronze", 12, "orders", rows, 0.25)

    return Line(write, below, None, handler.flush, handler.close)


CONTENDERS: dict[str, Callable[..., Line]] = {
    "floor": floor,
    "floor, orjson's own datetime": floor_native,
    "bare os.write": bare_write,
    "empty method": empty_method,
    "laketrace": laketrace,
    "laketrace 1.0.2": laketrace_1,
    "structlog + orjson": structlog,
    "loguru serialize": loguru,
    "loguru serialize, enqueue": loguru_enqueue,
    "stdlib + json": stdlib_json,
    "picologging text": picologging,
}
TEXT = frozenset({"picologging text"})


def start(name: str, folder: str, **settings: Any) -> Line:
    """Start one contender in `folder`; `settings` are LakeTrace's own."""
    return CONTENDERS[name](folder, **settings)


class LinesLost(Exception):
    """A contender wrote fewer or more lines than it was given: its time is worth nothing."""


def count_back(name: str, folder: str, expected: int) -> int:
    """The bytes written, after every line in `folder` was counted and the last one read.

    Raises LinesLost unless exactly `expected` lines with the message are there, whatever file,
    segment or gz archive they are in.
    """
    lines = size = 0
    last = b""
    for path in sorted(Path(folder).rglob("*.log*")):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for line in file:
                if b"table loaded" in line:
                    lines += 1
                    size += len(line)
                    last = line
    if lines != expected:
        raise LinesLost(f"{name}: {expected} records were written, {lines} lines are there")
    if lines and name not in TEXT:
        text = json.dumps(json.loads(last))
        missing = [field for field in (*BOUND, *CALL) if f'"{field}"' not in text]
        if missing:
            raise LinesLost(f"{name}: the line lacks {missing}: {last!r}")
    return size
