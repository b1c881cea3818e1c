"""What the annexes add to a logger: one table of names that load on first use.

Floor 0. Stands on: nothing.

Descriptors rather than a `__getattr__`: a class that has one loses CPython's fast way to look up
its methods, and `log.info` would pay for it each time. Type checkers see the functions themselves.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from laketrace.lakehouse import upload_log_to_lakehouse, upload_logger
    from laketrace.monitor.wellbeing import health
    from laketrace.pipeline.metrics import data_quality_metric, pipeline_metric
    from laketrace.pipeline.runs import start_run
    from laketrace.spark.streams import watch_streams

    class Added:
        """The methods of the table."""

        data_quality_metric = data_quality_metric
        health = health
        pipeline_metric = pipeline_metric
        run = start_run
        upload = upload_logger
        upload_log_to_lakehouse = upload_log_to_lakehouse
        watch_streams = watch_streams

else:
    Added = object

ADDED = {
    "data_quality_metric": "laketrace.pipeline.metrics:data_quality_metric",
    "health": "laketrace.monitor.wellbeing:health",
    "pipeline_metric": "laketrace.pipeline.metrics:pipeline_metric",
    "run": "laketrace.pipeline.runs:start_run",
    "upload": "laketrace.lakehouse:upload_logger",
    "upload_log_to_lakehouse": "laketrace.lakehouse:upload_log_to_lakehouse",
    "watch_streams": "laketrace.spark.streams:watch_streams",
}
"""Name on the logger: the function behind it, which takes the logger first."""


class Annex:
    """An attribute whose function is imported when somebody asks for it."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __get__(self, log: Any, owner: Any = None) -> Any:
        module, _, name = self._place.partition(":")
        function = getattr(import_module(module), name)
        return function if log is None else partial(function, log)


def annexed(cls: type) -> type:
    """Give a class the names of the table."""
    for name, place in ADDED.items():
        setattr(cls, name, Annex(place))
    return cls


def destination_problems(target: Any, table: Any) -> list[str]:
    """What is wrong with a destination of uploads that settings name."""
    if target is None and table is None:
        return []
    problems: list[str] = import_module("laketrace.lakehouse.options").problems_of(target, table)
    return problems


def start_shipping(log: Any) -> None:
    """Give a logger the uploads in the background and at close that its settings ask for."""
    import_module("laketrace.lakehouse.shipper").start_shipper(log)


def start_loading(*arguments: Any) -> Any:
    """Load files of the lakehouse annex by Spark; what `laketrace.spark.load` stands for."""
    return import_module("laketrace.lakehouse.loader").start_loading(*arguments)


def new_logger(name: str, config: Any, run_id: str | None) -> Any:
    """What `Logger(...)` makes; `setup` stands above the core and is loaded by then."""
    return import_module("laketrace.setup").create_logger(name, config, run_id)


def restored_logger(*state: Any) -> Any:
    """A pickled logger arrives in another process."""
    return import_module("laketrace.setup").restore(*state)
