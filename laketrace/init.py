"""The module path of 1.x for environments that look for `laketrace.init`.

Floor 6. Stands on: core.logger, runtime, setup.
"""

from __future__ import annotations

from laketrace.core.logger import Logger
from laketrace.runtime import detect_runtime, stop_spark_if_active
from laketrace.setup import get_logger

__all__ = ["Logger", "detect_runtime", "get_logger", "stop_spark_if_active"]
