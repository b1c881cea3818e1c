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


CLASSIC = pytest.param("spark", marks=pytest.mark.spark)
CONNECT = pytest.param("spark_connect", marks=pytest.mark.spark)
CONNECT_4 = pytest.param("spark_connect", marks=pytest.mark.spark("4.0"))


def _session(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv(MODE, raising=False)
    session = request.getfixturevalue(request.param)  # a server that starts must not see the mode
    if request.param == "spark_connect":
        monkeypatch.setenv(MODE, "1")
    return session


@pytest.fixture(params=[CLASSIC, CONNECT])
def session(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A session of Spark, classic and Connect in turn."""
    return _session(request, monkeypatch)


@pytest.fixture(params=[CLASSIC, CONNECT_4])
def session_4(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """As `session`, less Connect 3.5: no `foreachPartition` there, no listeners in the client."""
    return _session(request, monkeypatch)
