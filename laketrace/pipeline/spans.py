"""Spans of OpenTelemetry for runs and stages, where the program uses it.

Floor 7. Stands on: nothing.

OpenTelemetry is never imported here: a program that has not imported it has no spans. What goes
wrong in it costs the span and nothing else. Records get the ids of the span they are logged in from
the recorder itself (`core.trace`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any


class Span:
    """A span that is open, and the current one where it was begun."""

    def __init__(self, trace: Any, span: Any, scope: Any) -> None:
        self.inner = span
        self._trace = trace
        self._scope = scope

    def end(self, status: str, error: BaseException | None) -> None:
        """End it; `error` is recorded, where this span is the first to see it."""
        try:
            if error is not None:
                self.inner.record_exception(error)
            if status == "failed":
                self.inner.set_status(self._trace.StatusCode.ERROR)
            self.inner.set_attribute("laketrace.status", status)
            self._scope.__exit__(None, None, None)
            self.inner.end()
        except Exception:  # another OpenTelemetry than this knows
            return


def start_span(name: str, attributes: Mapping[str, Any], parent: Span | None = None) -> Span | None:
    """Begin a span under the current one, or under `parent` where there is none, as in a thread.

    None where nobody uses OpenTelemetry.

    >>> span = start_span("bronze", {"laketrace.attempt": 1})
    >>> if span is not None:
    ...     span.end("completed", None)
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    try:
        context = None
        if parent is not None and not trace.get_current_span().get_span_context().is_valid:
            context = trace.set_span_in_context(parent.inner)
        tracer = trace.get_tracer("laketrace")
        span = tracer.start_span(name, context=context, attributes=dict(attributes))
        scope = trace.use_span(span, record_exception=False, set_status_on_exception=False)
        scope.__enter__()
    except Exception:  # still being imported, or a stand-in by that name
        return None
    return Span(trace, span, scope)
