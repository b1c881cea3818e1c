"""What the annexes add to a logger: one table of names that load on first use.

Floor 1. Stands on: nothing.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

_ADDED = {
    "upload": "laketrace.lakehouse:upload_logger",
    "upload_log_to_lakehouse": "laketrace.lakehouse:upload_log_to_lakehouse",
}


def find_annex(log: Any, name: str) -> Any:
    """The function behind `log.<name>`, with the logger as its first argument.

    Raises `AttributeError` for a name that no annex adds.
    """
    place = _ADDED.get(name)
    if place is None:
        raise AttributeError(f"{type(log).__name__!r} object has no attribute {name!r}")
    module, _, function = place.partition(":")
    return partial(getattr(import_module(module), function), log)
