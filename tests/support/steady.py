"""What makes a test say the same on a busy machine, in any order and on any day.

Patience: a job must not wait long for a platform that hangs, so LakeTrace gives up after a second
or two; a machine that runs ten other things may not answer in that time. A test that is about such
a limit sets its own. Memory: what a process keeps for good (levels of its own, what it has said on
stderr, the last value of each metric) is of one test only. Chance: the examples of a property are
the same in each run; the search for new ones is `pytest --hypothesis-profile=default`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

LIMITS = (
    ("laketrace.runtime.signals", "PATIENCE", 60.0),
    ("laketrace.core.chain", "_JVM_SECONDS", 60.0),
    ("laketrace.files.logfile", "PATIENCE", 60.0),
    ("laketrace.monitor.memory", "_PATIENCE", 120.0),
    ("laketrace.pipeline.observed", "_SETTLED_SECONDS", 20.0),
    ("laketrace.pipeline.observed", "_BUS_MS", 20_000),
)

settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in LIMITS:
        monkeypatch.setattr(importlib.import_module(module), name, value)


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    from laketrace.core import gauges, levels, notice

    known = set(levels._levels)
    notice._said.clear()
    gauges._last.clear()
    monitor = sys.modules.get("laketrace.monitor.throughput")
    if monitor is not None:
        monitor.timers.clear()
    yield
    for name in set(levels._levels) - known:
        del levels._levels[name]
