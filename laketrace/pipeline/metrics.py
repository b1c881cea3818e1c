"""Metric records: a name, a value, a type, a unit and dimensions.

Floor 7. Stands on: core.gauges, errors.

A metric is an ordinary record, so it rotates, uploads and queries like any other; its last value
is also kept for Prometheus (`core.gauges`). Names are `pipeline.<stage>.<metric>` and
`dq.<table>.<metric>`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from laketrace.core.gauges import set_gauge
from laketrace.errors import ConfigError

if TYPE_CHECKING:
    from laketrace.core.logger import Logger

_KINDS = ("gauge", "counter", "histogram")


def pipeline_metric(
    log: Logger,
    stage: str,
    metric: str,
    value: float,
    dims: Mapping[str, Any] | None = None,
    *,
    metric_type: str = "gauge",
    unit: str | None = None,
) -> None:
    """Log one metric of a stage: `pipeline.<stage>.<metric>`, with `stage` as a field.

    `metric_type` is `gauge`, `counter` or `histogram`; `unit` is a word like `rows` or `seconds`.

    Raises `ConfigError` for a value that is no number, or a type that does not exist.

    >>> from laketrace import get_logger
    >>> log = get_logger("doctest.metric", log_dir=None, stdout=False)
    >>> log.pipeline_metric("bronze", "rows", 3, {"table": "orders"})
    >>> log.close()
    """
    write_metric(
        log, "pipeline_metric", f"pipeline.{stage}.{metric}", value, dims, metric_type, unit,
        stage=stage,
    )  # fmt: skip


def data_quality_metric(
    log: Logger,
    table: str,
    metric: str,
    value: float,
    dims: Mapping[str, Any] | None = None,
    *,
    unit: str | None = None,
) -> None:
    """Log one figure of data quality: `dq.<table>.<metric>`; a share is in percent, 0 to 100.

    Raises `ConfigError` for a value that is no number.

    >>> from laketrace import get_logger
    >>> log = get_logger("doctest.quality", log_dir=None, stdout=False)
    >>> log.data_quality_metric("orders", "null_percent", 0.5, {"column": "id"})
    >>> log.close()
    """
    write_metric(log, "data_quality_metric", f"dq.{table}.{metric}", value, dims, "gauge", unit)


def write_metric(
    log: Logger,
    event: str,
    name: str,
    value: float,
    dims: Mapping[str, Any] | None,
    kind: str,
    unit: str | None,
    basis: str | None = None,
    stage: str | None = None,
) -> None:
    """Check a metric, log it and keep its value; `basis` says how one was come by."""
    problems = []
    number = _number(value)
    if number is None:
        problems.append(f"value={value!r}: a metric is a number. Use an int or a float.")
    if kind not in _KINDS:
        problems.append(f"metric_type={kind!r}: no such type. Use one of {', '.join(_KINDS)}.")
    if problems:
        raise ConfigError(problems)
    dims = dict(dims or {})
    fields: dict[str, Any] = {"metric_name": name, "metric_value": number, "metric_type": kind}
    if unit is not None:
        fields["unit"] = unit
    if basis is not None:
        fields["basis"] = basis
    if dims:
        fields["dims"] = dims
    if stage is not None:
        fields["stage"] = stage
    log.info(name, event=event, **fields)
    if number is not None and math.isfinite(number):
        set_gauge(log.name, name, number, dims)


def _number(value: Any) -> float | int | None:
    """A Python number for a number of any library; None for what is none."""
    if isinstance(value, (bool, str)):
        return None
    if isinstance(value, (int, float)):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
