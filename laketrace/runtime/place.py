"""Which platform this process runs on, and everything that the platform says about it.

Floor 3. Stands on: runtime.context, runtime.databricks, runtime.executor, runtime.fabric,
runtime.session, runtime.signals, runtime.synapse.

Looked up once a process and kept: environment and files do not change under a run, and a platform
object that failed or was slow is not asked again. Only "no platform at all" is looked at anew
when Spark has been started meanwhile. Threads: two that come first both look, and find the same.
Forks: the child keeps the parent's answer, which is its own.
"""

from __future__ import annotations

from laketrace.runtime import databricks, fabric, synapse
from laketrace.runtime.context import NOTEBOOK, Place
from laketrace.runtime.executor import is_executor
from laketrace.runtime.session import session_exists
from laketrace.runtime.signals import fetch, ipython_shell

# In the order of asking: Fabric and Synapse share a service, and Fabric is the one that shows more.
_PLATFORMS = (
    (fabric.is_here, fabric.look),
    (synapse.is_here, synapse.look),
    (databricks.is_here, databricks.look),
)

_place: Place | None = None


def here() -> Place:
    """The place of this process.

    >>> here().platform
    'local'
    """
    global _place
    if _place is None or (_place.platform == "local" and session_exists()):
        _place = _look()
    return _place


def forget() -> None:
    """Look anew at the next call; `RuntimeDetector.reset_cache()` does it."""
    global _place
    _place = None


def _look() -> Place:
    for is_here, look in _PLATFORMS:
        if is_here():
            place = look()
            break
    else:
        place = Place("spark" if session_exists() or is_executor() else "local", None, {})
    if place.kind is None and in_kernel():
        return place._replace(kind=NOTEBOOK)
    return place


def in_kernel() -> bool:
    """Whether an IPython kernel runs this process; a terminal's IPython is none."""
    shell = ipython_shell()
    return fetch("IPython kernel", lambda: getattr(shell, "kernel", None)) is not None
