"""What the events of streaming queries say, as fields.

Floor 7. Stands on: core.cut.

The names of the events and of what is in them are those of pyspark's `StreamingQueryListener`
(https://spark.apache.org/docs/latest/api/python/reference/pyspark.ss/api/
pyspark.sql.streaming.StreamingQueryListener.html). Pure functions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from laketrace.core.cut import cut

_MOST_SOURCES = 20
_MOST_ERROR = 32 * 1024  # bytes of an exception's text in a record
_ERROR_CLASS = re.compile(r"\[([A-Z][A-Z0-9_.]+)\]")


def progress_fields(progress: Any) -> dict[str, Any]:
    """The fields of a `StreamingQueryProgress`.

    `rows`, `input_rows_per_second`, `processed_rows_per_second`, `batch_id`, `batch_seconds`,
    `durations_ms`; with state `state_rows`, `state_bytes`, `late_rows`; with a watermark
    `watermark`; with `DataFrame.observe` in the query `observed`, the figures of the batch by name;
    `sources`, each with its rows and, where the source tells it, how far it is behind.
    """
    durations = dict(progress.durationMs or {})
    fields: dict[str, Any] = {
        **query_fields(progress),
        "batch_id": progress.batchId,
        "rows": progress.numInputRows,
        "input_rows_per_second": _number(progress.inputRowsPerSecond),
        "processed_rows_per_second": _number(progress.processedRowsPerSecond),
        "batch_seconds": _milliseconds(progress, durations) / 1000,
        "durations_ms": durations,
    }
    states = progress.stateOperators or []
    if states:
        fields["state_rows"] = sum(state.numRowsTotal for state in states)
        fields["state_bytes"] = sum(state.memoryUsedBytes for state in states)
        fields["late_rows"] = sum(state.numRowsDroppedByWatermark for state in states)
    watermark = (progress.eventTime or {}).get("watermark")
    if watermark:
        fields["watermark"] = watermark
    observed = getattr(progress, "observedMetrics", None)
    if observed:
        fields["observed"] = {str(name): row.asDict() for name, row in dict(observed).items()}
    fields["sources"] = [_source(source) for source in list(progress.sources or [])[:_MOST_SOURCES]]
    return fields


def query_fields(event: Any) -> dict[str, Any]:
    """Which query it is: `query_name` where it has one, `query_id`, `query_run_id`."""
    fields = {"query_id": str(event.id), "query_run_id": str(event.runId)}
    name = getattr(event, "name", None)
    return {"query_name": name, **fields} if name else fields


def error_fields(event: Any) -> dict[str, Any]:
    """The error that ended a query: its text, and its class (`errorClassOnException`, 3.5)."""
    text = str(event.exception)
    found = getattr(event, "errorClassOnException", None)
    if not found:
        match = _ERROR_CLASS.search(text)
        found = match[1] if match else None
    fields = {"error": cut(text, _MOST_ERROR)}
    return {"error_class": found, **fields} if found else fields


def _milliseconds(progress: Any, durations: Mapping[str, int]) -> float:
    whole = getattr(progress, "batchDuration", None)
    return float(durations.get("triggerExecution", 0) if whole is None else whole)


def _source(source: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "source": source.description,
        "rows": source.numInputRows,
        "input_rows_per_second": _number(source.inputRowsPerSecond),
        "processed_rows_per_second": _number(source.processedRowsPerSecond),
    }
    lag = {str(name): str(value) for name, value in dict(source.metrics or {}).items()}
    if lag:
        fields["lag"] = lag
    behind = _behind(source.latestOffset, source.endOffset)
    if behind is not None:
        fields["offsets_behind"] = behind
    return fields


def _behind(latest: Any, end: Any) -> int | None:
    """How many offsets lie between the end of the batch and the newest; None where it is not known.

    Offsets are JSON: a number, or as Kafka's a number for each partition of each topic.

    >>> _behind('{"orders": {"0": 12, "1": 5}}', '{"orders": {"0": 10, "1": 5}}')
    2
    >>> _behind("7", "4"), _behind(None, "4"), _behind("a", "b")
    (3, None, None)
    """
    try:
        return _distance(_parsed(latest), _parsed(end))
    except (TypeError, ValueError):
        return None


def _parsed(offset: Any) -> Any:
    return json.loads(offset) if isinstance(offset, str) else offset


def _distance(latest: Any, end: Any) -> int:
    if isinstance(latest, Mapping) and isinstance(end, Mapping):
        return sum(_distance(value, end.get(key, 0)) for key, value in latest.items())
    if isinstance(latest, int) and isinstance(end, int):
        return latest - end
    raise TypeError("not an offset that can be counted")


def _number(value: Any) -> float | None:
    """A rate with the digits that say something; Spark gives NaN where there is none."""
    return None if value is None or value != value else round(float(value), 3)
