"""Annex: runs, stages, metrics. A run that can be read afterwards, in ordinary records.

Floor 7. Stands on: nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from laketrace.pipeline.metrics import data_quality_metric, pipeline_metric
    from laketrace.pipeline.quality import ExpectationFailed
    from laketrace.pipeline.runs import Run, Stage, start_run
    from laketrace.pipeline.summary import Summary, Timing

_NAMES = {
    "ExpectationFailed": "quality",
    "Run": "runs",
    "Stage": "runs",
    "Summary": "summary",
    "Timing": "summary",
    "data_quality_metric": "metrics",
    "pipeline_metric": "metrics",
    "start_run": "runs",
}
__all__ = [
    "ExpectationFailed",
    "Run",
    "Stage",
    "Summary",
    "Timing",
    "data_quality_metric",
    "pipeline_metric",
    "start_run",
]


def __getattr__(name: str) -> Any:
    module = _NAMES.get(name)
    if module is None:
        raise AttributeError(f"module 'laketrace.pipeline' has no attribute {name!r}")
    return getattr(import_module(f"laketrace.pipeline.{module}"), name)
