"""LakeTrace: the flight recorder of a lakehouse job.

Floor 8. Stands on: nothing.

This is the door: names only. What is not needed to log is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from laketrace.core.context import contextualize
    from laketrace.core.levels import add_level
    from laketrace.core.logger import Logger
    from laketrace.core.record import Record
    from laketrace.core.stats import Stats
    from laketrace.errors import (
        ConfigError,
        LakeTraceError,
        MissingExtraError,
        MissingLogError,
        UploadError,
    )
    from laketrace.files.read import read
    from laketrace.lakehouse import upload
    from laketrace.runtime import RuntimeContext, detect_runtime, stop_spark_if_active
    from laketrace.security import (
        escape_format_strings,
        escape_newlines,
        mask_pii,
        sanitize_message,
    )
    from laketrace.setup import create_logger, get_logger

__version__ = "2.0.0"

_NAMES = {
    "ConfigError": "errors",
    "LakeTraceError": "errors",
    "Logger": "core.logger",
    "MissingExtraError": "errors",
    "MissingLogError": "errors",
    "Record": "core.record",
    "RuntimeContext": "runtime",
    "Stats": "core.stats",
    "UploadError": "errors",
    "add_level": "core.levels",
    "contextualize": "core.context",
    "create_logger": "setup",
    "detect_runtime": "runtime",
    "escape_format_strings": "security",
    "escape_newlines": "security",
    "get_logger": "setup",
    "mask_pii": "security",
    "read": "files.read",
    "sanitize_message": "security",
    "stop_spark_if_active": "runtime",
    "upload": "lakehouse",
}
__all__ = [
    "ConfigError",
    "LakeTraceError",
    "Logger",
    "MissingExtraError",
    "MissingLogError",
    "Record",
    "RuntimeContext",
    "Stats",
    "UploadError",
    "__version__",
    "add_level",
    "contextualize",
    "create_logger",
    "detect_runtime",
    "escape_format_strings",
    "escape_newlines",
    "get_logger",
    "mask_pii",
    "read",
    "sanitize_message",
    "stop_spark_if_active",
    "upload",
]


def __getattr__(name: str) -> Any:
    module = _NAMES.get(name)
    if module is None:
        raise AttributeError(f"module 'laketrace' has no attribute {name!r}")
    value = getattr(import_module(f"laketrace.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_NAMES]
