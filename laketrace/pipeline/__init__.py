"""Annex: runs that can be read afterwards, in ordinary records, and guarded streams.

Floor 7. Stands on: nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from laketrace.pipeline.metrics import data_quality_metric, pipeline_metric
    from laketrace.pipeline.quality import ExpectationFailed
    from laketrace.pipeline.runs import Run, start_run
    from laketrace.pipeline.stages import Stage
    from laketrace.pipeline.streaming.batches import TooManyBadRows, with_dlq
    from laketrace.pipeline.streaming.deadletters import create_dlq_handler
    from laketrace.pipeline.streaming.reading import read_stream
    from laketrace.pipeline.streaming.replay import replay_dlq
    from laketrace.pipeline.streaming.settings import validate_streaming_config
    from laketrace.pipeline.streaming.writing import write_stream
    from laketrace.pipeline.summary import Summary, Timing

_NAMES = {
    "ExpectationFailed": "quality",
    "Run": "runs",
    "Stage": "stages",
    "Summary": "summary",
    "Timing": "summary",
    "TooManyBadRows": "streaming.batches",
    "create_dlq_handler": "streaming.deadletters",
    "data_quality_metric": "metrics",
    "pipeline_metric": "metrics",
    "read_stream": "streaming.reading",
    "replay_dlq": "streaming.replay",
    "start_run": "runs",
    "validate_streaming_config": "streaming.settings",
    "with_dlq": "streaming.batches",
    "write_stream": "streaming.writing",
}
__all__ = [
    "ExpectationFailed",
    "Run",
    "Stage",
    "Summary",
    "Timing",
    "TooManyBadRows",
    "create_dlq_handler",
    "data_quality_metric",
    "pipeline_metric",
    "read_stream",
    "replay_dlq",
    "start_run",
    "validate_streaming_config",
    "with_dlq",
    "write_stream",
]


def __getattr__(name: str) -> Any:
    module = _NAMES.get(name)
    if module is None:
        raise AttributeError(f"module 'laketrace.pipeline' has no attribute {name!r}")
    return getattr(import_module(f"laketrace.pipeline.{module}"), name)
