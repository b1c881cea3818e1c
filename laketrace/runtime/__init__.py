"""Where am I: platform, driver or executor, which run; and the Spark session that is there.

Floor 3. Stands on: runtime.context, runtime.detect, runtime.disk, runtime.executor,
runtime.identity, runtime.session, runtime.signals.

Everything is answered from the environment, files and modules that are loaded already. Nothing
raises, imports pyspark, starts Spark or asks a network; `findings()` says what was read and what
failed. The names of 1.x are `RuntimeContext`, `RuntimeDetector`, `RuntimePlatform`,
`RuntimeType`, `detect_runtime`, `get_run_id_from_environment` and `stop_spark_if_active`.
"""

from __future__ import annotations

from laketrace.runtime.context import RuntimeContext, RuntimePlatform, RuntimeType
from laketrace.runtime.detect import RuntimeDetector, detect_runtime
from laketrace.runtime.disk import local_disk
from laketrace.runtime.executor import is_executor
from laketrace.runtime.identity import (
    default_name,
    find_run_id,
    get_run_id_from_environment,
    record_context,
    run_context,
)
from laketrace.runtime.session import active_session, spark_settings, stop_spark_if_active
from laketrace.runtime.signals import Finding, findings

__all__ = [
    "Finding",
    "RuntimeContext",
    "RuntimeDetector",
    "RuntimePlatform",
    "RuntimeType",
    "active_session",
    "default_name",
    "detect_runtime",
    "find_run_id",
    "findings",
    "get_run_id_from_environment",
    "is_executor",
    "local_disk",
    "record_context",
    "run_context",
    "spark_settings",
    "stop_spark_if_active",
]
