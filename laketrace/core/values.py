"""What stands for a value that JSON does not know.

Floor 1. Stands on: nothing.

Each type has a form: a text, a container, members with names, or another value. An object of the
user's has its `repr`, and where that fails a short marker; a frame of Spark has the marker at once,
because its `repr` may ask a server or run a job. Modules are looked up, never imported:
who has not imported numpy has no numpy scalar.
Threads: any; how deep `repr` calls are nested is counted for each thread.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

_MAX_NESTED_CALLS = 4  # a __repr__ that logs an object whose __repr__ logs ...
_BASES = (dict, list, tuple, set, frozenset)
_SPARK_DATA = frozenset(("DataFrame", "Frame", "IndexOpsMixin"))  # of Spark SQL, of pandas on Spark


def base_of(value: Any) -> type:
    """The built-in container that `value` is, so that an overridden `__iter__` is not run."""
    for base in _BASES:
        if isinstance(value, base):
            return base
    raise TypeError(type(value).__name__)


def form_of(value: Any) -> tuple[str, Any]:
    """How a value of another type is shown: ("text" | "container" | "members" | "value", form).

    Modules are looked up, never imported: who has not imported numpy has no numpy scalar.
    """
    kind = type(value)
    if isinstance(value, str):
        enum = sys.modules.get("enum")
        if enum is not None and isinstance(value, enum.Enum):
            return "text", str.__str__(value.value) if isinstance(value.value, str) else ""
        return "text", str.__str__(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "text", bytes(value).decode("utf-8", "backslashreplace")
    enum = sys.modules.get("enum")
    if enum is not None and isinstance(value, enum.Enum):
        return "value", value.value
    datetime = sys.modules.get("datetime")
    if datetime is not None and isinstance(value, (datetime.date, datetime.time)):
        text = value.isoformat()
        return ("value", None) if text == "NaT" else ("text", text)
    if datetime is not None and isinstance(value, datetime.timedelta):
        seconds = value.total_seconds()
        return "value", None if seconds != seconds else seconds
    module = kind.__module__.partition(".")[0]
    if module in ("numpy", "pandas"):
        return _science(value, module)
    if module == "pyspark" and _is_spark_data(kind):
        return "text", _not_evaluated(kind)
    for module, name in (("decimal", "Decimal"), ("uuid", "UUID"), ("pathlib", "PurePath")):
        loaded = getattr(sys.modules.get(module), name, None)
        if loaded is not None and isinstance(value, loaded):
            return "text", str(value)
    if isinstance(value, complex):
        return "text", str(value)
    return _structure(value, kind)


def _structure(value: Any, kind: type) -> tuple[str, Any]:
    """Dataclass, named tuple, Spark Row, subclasses of containers and numbers, mappings.

    A mapping that is no dict (`os.environ`, the headers of a response) has members as well: in its
    `repr` names of secrets would not be seen.
    """
    fields = getattr(kind, "__dataclass_fields__", None)
    if isinstance(fields, dict):
        return "members", [(name, attribute(value, name)) for name in fields]
    names = names_of(value) if isinstance(value, tuple) else None
    if names is not None:
        return "members", zip(names, tuple.__iter__(value), strict=True)
    if isinstance(value, _BASES):
        return "container", value
    if isinstance(value, int):
        return "value", int(int.__index__(value))
    if isinstance(value, float):
        return "value", float.__float__(value)
    if kind is MappingProxyType:
        return "container", dict(value)
    if kind is deque:
        return "container", list(value)
    if isinstance(value, Mapping):
        return "members", value.items()
    return "value", value


def names_of(value: tuple[Any, ...]) -> Sequence[str] | None:
    """The names of the items of a named tuple or Spark `Row`; None for another tuple."""
    names = getattr(value, "__fields__", None) or getattr(type(value), "_fields", None)
    return (
        names if isinstance(names, (list, tuple)) and len(names) == tuple.__len__(value) else None
    )


def _science(value: Any, module: str) -> tuple[str, Any]:
    """NumPy and pandas scalars, and small arrays; a frame or a series shows its `repr`."""
    name = type(value).__name__
    if name in ("NAType", "NaTType"):
        return "value", None
    if name == "datetime64":
        return "text", str(value)
    if name == "timedelta64":
        if str(value) == "NaT":
            return "text", "NaT"
        return "value", float(value.astype("timedelta64[ns]").astype("int64")) / 1e9
    if name == "ndarray":
        return ("value", value.tolist()) if value.size <= 1000 else ("value", value)
    if module == "numpy" and hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        item = value.item()
        return "value", item if type(item) is not type(value) else str(item)
    return "value", value


def _is_spark_data(kind: type) -> bool:
    """Whether it is a frame, series or index of Spark, whose text may be what a job computes."""
    return any(
        base.__name__ in _SPARK_DATA and base.__module__.startswith("pyspark.")
        for base in kind.__mro__
    )


def _not_evaluated(kind: type) -> str:
    return f"<{kind.__module__}.{kind.__qualname__}: not evaluated>"


def attribute(value: Any, name: str) -> Any:
    """An attribute, or the marker that says why there is none."""
    try:
        return getattr(value, name)
    except Exception as error:
        return unprintable(value, error)


class _Nesting(threading.local):
    """How many `__repr__` of users' objects are running in this thread."""

    calls = 0


_nesting = _Nesting()


def shown(value: Any) -> str:
    """`repr`, where a failing one and one that logs itself again and again end in a marker."""
    if _nesting.calls >= _MAX_NESTED_CALLS:
        return f"<{type(value).__name__}: its repr logs itself>"
    _nesting.calls += 1
    try:
        text = repr(value)
        return text if type(text) is str else str.__str__(text)
    except Exception as error:
        return unprintable(value, error)
    finally:
        _nesting.calls -= 1


def unprintable(value: Any, error: Exception) -> str:
    """The marker in place of a value that does not let itself be shown."""
    return f"<unprintable {type(value).__name__}: {type(error).__name__}>"


def as_text(value: Any) -> str:
    """Anything given as a message as `str`: text as it is, bytes as UTF-8, the rest as `str()`.

    >>> as_text(b"rows: 3"), as_text({"rows": 3})
    ('rows: 3', "{'rows': 3}")
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "backslashreplace")
    if _nesting.calls >= _MAX_NESTED_CALLS:
        return f"<{type(value).__name__}: its str logs itself>"
    _nesting.calls += 1
    try:
        kind = type(value)
        if kind.__module__.startswith("pyspark.") and _is_spark_data(kind):
            return _not_evaluated(kind)
        return str.__str__(str(value))
    except Exception as error:
        return unprintable(value, error)
    finally:
        _nesting.calls -= 1
