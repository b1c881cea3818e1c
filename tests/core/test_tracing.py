"""Records carry the ids of the OpenTelemetry span that is open."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from laketrace import get_logger


@pytest.mark.extra("opentelemetry.sdk")
def test_records_inside_a_span_carry_its_ids(tmp_path: Path) -> None:
    """Inside a span each record has trace_id and span_id; outside it has none; a field wins."""
    from opentelemetry.sdk.trace import TracerProvider

    tracer = TracerProvider().get_tracer("test")
    with get_logger("traced", log_dir=tmp_path, stdout=False) as log:
        with tracer.start_as_current_span("load") as span:
            log.info("fast way")
            log.warning("with a record object")
            log.info("own id", trace_id="mine")
        log.info("outside")

    fast, slow, own, outside = map(json.loads, (tmp_path / "traced.log").open())
    expected = f"{span.get_span_context().trace_id:032x}"
    assert fast["trace_id"] == slow["trace_id"] == expected
    assert fast["span_id"] == f"{span.get_span_context().span_id:016x}"
    assert own["trace_id"] == "mine" and "trace_id" not in outside
