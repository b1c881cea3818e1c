"""LakeTrace and the rest of Python: `logging`, warnings, uncaught exceptions, pytest.

Floor 6. Stands on: interop.capturing, interop.logging_in.

    from laketrace.interop import LakeTraceHandler, capture

The way out, `log.add(logging.StreamHandler())`, needs nothing from here. The names are loaded when
they are asked for: the pytest plugin lives here too, and every run of pytest imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from laketrace.interop.capturing import Capture, capture
    from laketrace.interop.logging_in import LakeTraceHandler

__all__ = ["Capture", "LakeTraceHandler", "capture"]


def __getattr__(name: str) -> Any:
    if name in ("Capture", "capture"):
        from laketrace.interop import capturing

        return getattr(capturing, name)
    if name == "LakeTraceHandler":
        from laketrace.interop.logging_in import LakeTraceHandler

        return LakeTraceHandler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
