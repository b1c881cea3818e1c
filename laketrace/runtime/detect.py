"""Where am I: the platform and the kind of run, in one frozen `RuntimeContext`.

Floor 3. Stands on: runtime.context, runtime.identity, runtime.place, runtime.session,
runtime.signals.

Answered from the environment, two files and modules that are loaded already: nothing is imported,
started or connected to. The context is kept for the process. Threads: any. Forks: the child makes
its own, with its pid.
"""

from __future__ import annotations

import os
from typing import Any

from laketrace.runtime import place, session, signals
from laketrace.runtime.context import RuntimeContext, RuntimePlatform, RuntimeType
from laketrace.runtime.identity import find_run_id, run_context

_cached: RuntimeContext | None = None


def detect_runtime() -> RuntimeContext:
    """Where this process runs; the first call looks (below 5 ms), later ones remember (1 µs).

    `runtime_type` is `notebook` or `job` where the platform says so, `notebook` in an IPython
    kernel, else `script` on a platform or with an active Spark session, else `local`.
    A context without platform is made anew once Spark has been started.

    >>> context = detect_runtime()
    >>> context.platform.value, context.pid == os.getpid(), context is detect_runtime()
    ('local', True, True)
    """
    global _cached
    context = _cached
    if context is None or context.pid != os.getpid() or _is_outdated(context):
        context = _cached = _detect()
    return context


class RuntimeDetector:
    """The class methods of 1.x, over `detect_runtime()`.

    >>> RuntimeDetector.detect_platform().value
    'local'
    """

    @classmethod
    def detect_platform(cls) -> RuntimePlatform:
        """The platform, as `detect_runtime().platform`."""
        return detect_runtime().platform

    @classmethod
    def detect_runtime_type(cls) -> RuntimeType:
        """The kind of run, as `detect_runtime().runtime_type`."""
        return detect_runtime().runtime_type

    @classmethod
    def get_runtime_metadata(cls) -> dict[str, Any]:
        """Platform, hostname, pid and what `run_context()` knows, in a dict of the caller's own."""
        return {**detect_runtime().metadata, **run_context()}

    @classmethod
    def reset_cache(cls) -> None:
        """Forget what was found, so that the next call looks anew; for tests."""
        global _cached
        _cached = None
        place.forget()
        session.forget()
        signals.forget()


def _is_outdated(context: RuntimeContext) -> bool:
    return context.platform is RuntimePlatform.LOCAL and session.session_exists()


def _detect() -> RuntimeContext:
    where = place.here()
    kind = where.kind or ("local" if where.platform == "local" else "script")
    pid = os.getpid()
    hostname = _hostname()
    basics = {"platform": where.platform, "hostname": hostname, "pid": pid}
    return RuntimeContext(
        where.platform, kind, hostname, pid, find_run_id(), {**basics, **where.values}
    )


def _hostname() -> str:
    # Not socket.gethostname(): the same answer would cost the import of socket.
    if hasattr(os, "uname"):
        return os.uname().nodename or "unknown"
    return signals.env("COMPUTERNAME") or "unknown"
