"""The README's comparison with others, fact by fact, on the others themselves.

Each test is named in the README's table. It fails when a newer release of the other library has
made the fact untrue: then the table changes. 1.x is compared in `tests/moving`.
"""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from laketrace import ConfigError, get_logger
from laketrace.testing import Records

FORGED = "login\n2026-01-01 00:00:00.000Z | ERROR    | etl | forged"


@pytest.fixture
def loguru_logger() -> Iterator[Any]:
    """loguru's logger without its sink on stderr."""
    pytest.importorskip("loguru")
    from loguru import logger

    logger.remove()
    yield logger
    logger.remove()


def ours(folder: Path, **settings: Any) -> Any:
    """A logger of ours with one file and nothing else."""
    return get_logger("etl", log_dir=folder, stdout=False, **settings)


def lines_of(log: Any) -> list[str]:
    """What a logger of ours has in its file, once it is closed."""
    path = log.log_file_path
    log.close()
    return path.read_text("utf-8").splitlines()


def structlog_line(**fields: Any) -> str:
    """What structlog with its JSON renderer makes of an event."""
    structlog = pytest.importorskip("structlog")
    text = io.StringIO()
    log = structlog.wrap_logger(
        structlog.PrintLogger(text), processors=[structlog.processors.JSONRenderer()]
    )
    log.info("table loaded", **fields)
    return text.getvalue()


def pyspark_line(**fields: Any) -> str:
    """What PySparkLogger makes of a record."""
    logger_of_pyspark = pytest.importorskip("pyspark.logger")
    import logging

    text = io.StringIO()
    log = logger_of_pyspark.PySparkLogger.getLogger(f"comparison{len(fields)}")
    handler = logging.StreamHandler(text)
    handler.setFormatter(log.handlers[0].formatter if log.handlers else None)
    for other in list(log.handlers):
        log.removeHandler(other)
    log.addHandler(handler)
    log.warning("table loaded", **fields)
    return text.getvalue()


@pytest.mark.extra("loguru", "structlog", "pyspark")
def test_flat(tmp_path: Path, loguru_logger: Any) -> None:
    """A field is at the top of our JSON line and structlog's, deeper in the others'."""
    log = ours(tmp_path)
    log.info("table loaded", rows=3)
    text = io.StringIO()
    loguru_logger.add(text, serialize=True)
    loguru_logger.bind(rows=3).info("table loaded")

    assert json.loads(lines_of(log)[0])["rows"] == 3
    assert json.loads(structlog_line(rows=3))["rows"] == 3
    assert json.loads(text.getvalue())["record"]["extra"]["rows"] == 3
    assert json.loads(pyspark_line(rows=3))["context"]["rows"] == 3


@pytest.mark.extra("loguru")
def test_either(tmp_path: Path, loguru_logger: Any) -> None:
    """We rotate by size or time, whichever comes first; loguru 0.7 takes one condition."""
    ours(tmp_path, rotation=["500 MB", "daily"], retention={"count": 3, "size": "2 GB"}).close()

    with pytest.raises(TypeError, match="Cannot infer rotation"):
        loguru_logger.add(tmp_path / "x.log", rotation=["500 MB", "1 day"])


@pytest.mark.extra("loguru")
def test_units(tmp_path: Path) -> None:
    """`"8 mb"` is 8 megabytes to us and a million bytes, 8 megabits, to loguru."""
    from loguru._string_parsers import parse_size as parse_size_of_loguru

    from laketrace.files.units import parse_size

    assert parse_size("8 mb") == parse_size("8 MB") == 8 * 1024 * 1024
    assert parse_size_of_loguru("8 mb") == 1_000_000


@pytest.mark.extra("loguru", "pyspark")
def test_pickle(tmp_path: Path, loguru_logger: Any) -> None:
    """Ours with a file goes into a closure; loguru's does not, PySparkLogger's comes out bare."""
    log = ours(tmp_path)
    loguru_logger.add(tmp_path / "loguru.log")
    there = (
        "import pickle, sys\n"
        "log = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "log.warning('in another process', rows=3)\n"
    )
    from pyspark.logger import PySparkLogger

    theirs = pickle.dumps(PySparkLogger.getLogger("pickled"))
    loads = [sys.executable, "-c", there]
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(loguru_logger)
    subprocess.run([*loads, pickle.dumps(log).hex()], check=True, capture_output=True)
    failed = subprocess.run([*loads, theirs.hex()], check=False, capture_output=True, text=True)
    log.close()

    assert "unexpected keyword argument 'rows'" in failed.stderr


@pytest.mark.extra("loguru", "structlog", "pyspark")
def test_secrets(tmp_path: Path, loguru_logger: Any) -> None:
    """`password=` is redacted by us without being asked; the others write it."""
    log = ours(tmp_path)
    log.info("connected", password="hunter2")
    text = io.StringIO()
    loguru_logger.add(text, serialize=True)
    loguru_logger.bind(password="hunter2").info("connected")

    assert "hunter2" not in lines_of(log)[0]
    assert "hunter2" in text.getvalue()
    assert "hunter2" in structlog_line(password="hunter2")
    assert "hunter2" in pyspark_line(password="hunter2")


@pytest.mark.extra("loguru")
def test_forged(tmp_path: Path, loguru_logger: Any) -> None:
    """A line break in a message makes no second line in our text form; it does in loguru's."""
    log = ours(tmp_path, json=False)
    log.info(FORGED)
    text = io.StringIO()
    loguru_logger.add(text, format="{time} | {level} | {message}")
    loguru_logger.info(FORGED)

    assert len(lines_of(log)) == 1
    assert len(text.getvalue().splitlines()) == 2


@pytest.mark.extra("loguru")
def test_misspelt(tmp_path: Path, loguru_logger: Any) -> None:
    """A misspelt setting is named with the right one; loguru passes it on to `open`."""
    with pytest.raises(ConfigError, match="Did you mean 'retention'"):
        ours(tmp_path, retension="7 days")
    with pytest.raises(TypeError, match=r"for open\(\)|unexpected keyword"):
        loguru_logger.add(tmp_path / "x.log", retension="7 days")


def test_accounts(tmp_path: Path) -> None:
    """Every record is accounted for: written, dropped by reason, failed or queued."""
    log = ours(tmp_path)

    def refuse(text: str) -> None:
        raise OSError(28, "No space left on device")

    log.add(refuse)
    records = Records()
    log.add(records)
    log.info("three deliveries")
    stats = log.stats()
    log.close()

    assert (stats.emitted, stats.written, stats.failed) == (3, 2, 1)
    assert stats.emitted == stats.written + sum(stats.dropped.values()) + stats.failed
