"""Is this process a Spark worker or the driver?

Floor 3. Stands on: nothing.

Answered from what is already there: nothing is imported, opened or asked over a socket. The
answer is never kept, because Spark forks its workers from a process that has loaded everything
(`pyspark.daemon`); one call costs some microseconds.
"""

from __future__ import annotations

import os
import sys
from typing import Any

_WORKER_VARIABLES = "PYTHON_WORKER_FACTORY_"


def is_executor() -> bool:
    """Whether this Python process is a Spark worker: it runs UDFs, partitions or `foreachBatch`.

    True where a task is running, where Spark's worker variables are set (`foreachBatch` of Spark
    Connect has no task, but has them), or where `__main__` is a module of pyspark. Measured with
    pyspark 3.5.5 and 4.1.1, classic and Connect; the variables' names differ by version, so their
    prefix is what counts (`pyspark/worker_util.py`).

    >>> is_executor()
    False
    """
    if task() is not None:
        return True
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if str(getattr(spec, "name", "")).startswith("pyspark."):
        return True
    return any(name.startswith(_WORKER_VARIABLES) for name in os.environ)


def task() -> Any:
    """The `TaskContext` of the running task, or None; pyspark is not imported to find it."""
    module = sys.modules.get("pyspark.taskcontext")
    try:
        return None if module is None else module.TaskContext.get()
    except Exception:  # a half-imported module has no TaskContext yet: no task runs then
        return None


def task_property(key: str) -> str | None:
    """A local property that the driver gave to the running task, e.g. Databricks' notebook path."""
    try:
        value = task().getLocalProperty(key)
    except Exception:  # no task, or one that was torn down
        return None
    return None if value is None else str(value)
