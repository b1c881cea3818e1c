"""Annex: memory, throughput, Prometheus and the health of the log itself.

Floor 7. Stands on: nothing.

Names load when they are first used; `laketrace.monitor` needs the extra `monitor` for quantiles
and Prometheus, and reads memory better with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from laketrace.monitor.memory import MemoryMonitor
    from laketrace.monitor.prometheus import (
        MetricsServer,
        metrics_text,
        push_metrics,
        serve_metrics,
        write_textfile,
    )
    from laketrace.monitor.throughput import Throughput, timed, timers
    from laketrace.monitor.wellbeing import Health, health

_NAMES = {
    "Health": "wellbeing",
    "MemoryMonitor": "memory",
    "MetricsServer": "prometheus",
    "Throughput": "throughput",
    "health": "wellbeing",
    "metrics_text": "prometheus",
    "push_metrics": "prometheus",
    "serve_metrics": "prometheus",
    "timed": "throughput",
    "timers": "throughput",
    "write_textfile": "prometheus",
}
__all__ = [
    "Health",
    "MemoryMonitor",
    "MetricsServer",
    "Throughput",
    "health",
    "metrics_text",
    "push_metrics",
    "serve_metrics",
    "timed",
    "timers",
    "write_textfile",
]


def __getattr__(name: str) -> Any:
    module = _NAMES.get(name)
    if module is None:
        raise AttributeError(f"module 'laketrace.monitor' has no attribute {name!r}")
    value = getattr(import_module(f"laketrace.monitor.{module}"), name)
    globals()[name] = value
    return value
