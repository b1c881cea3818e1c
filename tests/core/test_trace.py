"""The ids of OpenTelemetry, taken where the program uses it."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from laketrace.core.trace import current_ids


def test_a_program_without_opentelemetry_has_no_ids_and_never_gets_it():
    """Asking for ids imports nothing."""
    code = (
        "import sys\n"
        "from laketrace.core.trace import current_ids\n"
        "print(current_ids(), any(name.startswith('opentelemetry') for name in sys.modules))"
    )

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "{} False"


@pytest.mark.extra("opentelemetry.sdk")
def test_ids_are_those_of_the_current_span():
    """Inside a span its ids come in W3C's hex form; outside there are none."""
    from opentelemetry.sdk.trace import TracerProvider

    tracer = TracerProvider().get_tracer("test")

    with tracer.start_as_current_span("load") as span:
        inside = current_ids()
        context = span.get_span_context()

    assert inside == {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
    assert current_ids() == {}


@pytest.mark.parametrize("stand_in", [SimpleNamespace(), object(), 7])
def test_a_half_imported_opentelemetry_costs_only_the_ids(monkeypatch, stand_in):
    """A module that is not ready, or not what it is called, gives no ids and no error."""
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", stand_in)

    assert current_ids() == {}
