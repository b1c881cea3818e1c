"""The fields of a `contextualize` block go along into threads and callbacks of Spark.

Floor 7. Stands on: core.context, runtime.session.

A new thread starts without them, and so do the threads of Py4J that call `foreachBatch` functions
and listeners; pyspark's `inheritable_thread_target` takes along what the JVM knows, and only that.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from laketrace.core.context import contextualize, fields_now
from laketrace.runtime.session import is_connect


class _Kept:
    """A function that runs with the fields that held where it was wrapped; pickles."""

    def __init__(self, function: Callable[..., Any], fields: Mapping[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._fields = fields

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with contextualize(**self._fields):
            return self._function(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Kept, (self._function, self._fields)


def keep_context(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose records bear the contextual fields that hold now, wherever it is called.

    For a thread's target, a callback, a function given to `foreachBatch`.

    >>> from laketrace.core.context import contextualize, fields_now
    >>> with contextualize(batch=12):
    ...     show = keep_context(lambda: dict(fields_now.get()))
    >>> show()
    {'batch': 12}
    """
    return _Kept(function, dict(fields_now.get()))


def inheritable_thread_target(target: Any) -> Callable[..., Any]:
    """pyspark's `inheritable_thread_target`, which also keeps the fields of the log's context.

    As there, `target` is the function, or on Spark Connect the session, which gives a decorator
    (also with pyspark 3.5, whose own takes no session yet).

        Thread(target=inheritable_thread_target(work)).start()
        Thread(target=inheritable_thread_target(spark)(work)).start()
    """
    pyspark = import_module("pyspark")
    inherit: Callable[[Any], Callable[..., Any]] = pyspark.inheritable_thread_target
    if type(target).__name__ != "SparkSession":
        return keep_context(inherit(target))
    if not pyspark.__version__.startswith("3."):
        inheriting = inherit(target)
        return lambda function: keep_context(inheriting(function))
    if is_connect(target):  # there 3.5 has nothing to inherit
        return keep_context
    return lambda function: keep_context(inherit(function))
