"""A logger for each test, with its records kept, and the Spark sessions in turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from laketrace import Logger, get_logger
from laketrace.testing import Records
from tests.support.spark import MODE


@pytest.fixture
def log(request: pytest.FixtureRequest) -> Iterator[Logger]:
    """A logger without file and console, by the name of the test."""
    made = get_logger(f"spark.{request.node.name}", log_dir=None, stdout=False)
    yield made
    made.close()


@pytest.fixture
def records(log: Logger) -> Records:
    """What `log` has logged."""
    kept = Records()
    log.add(kept)
    return kept


@pytest.fixture(
    params=[
        pytest.param("spark", marks=pytest.mark.spark),
        pytest.param("spark_connect", marks=pytest.mark.spark),
    ]
)
def session(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A session of Spark, classic and Connect in turn."""
    monkeypatch.delenv(MODE, raising=False)
    session = request.getfixturevalue(request.param)  # a server that starts must not see the mode
    if request.param == "spark_connect":
        monkeypatch.setenv(MODE, "1")
    return session
