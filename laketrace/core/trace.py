"""The ids of the current OpenTelemetry span, where the program uses OpenTelemetry.

Floor 1. Stands on: nothing.

OpenTelemetry is never imported here: a program that has not imported it has no span. Ids must be
asked for in the thread, or task, that logs; a queue's writer thread is in no span.
"""

from __future__ import annotations

import sys


def current_ids() -> dict[str, str]:
    """`{"trace_id": ..., "span_id": ...}` in lower-case hex (W3C), or `{}`; never raises.

    >>> current_ids()
    {}
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return {}
    try:
        context = trace.get_current_span().get_span_context()
        if not context.is_valid:
            return {}
        return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
    except Exception:  # still being imported, or a stand-in by that name
        return {}
