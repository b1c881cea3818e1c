"""The last value of each metric that a job has told, for who wants to read it without the log.

Floor 1. Stands on: nothing.

Runs, stages and monitors put their figures here as they log them; Prometheus takes them from here.
A handler that watched the log for them would make every record cost a record object. At most
`LIMIT` series are kept in a process. Threads: any; one dict operation each. A forked child
begins with its parent's.
"""

from __future__ import annotations

from collections.abc import Mapping

LIMIT = 10_000
Dims = tuple[tuple[str, str], ...]
_last: dict[tuple[str, str, Dims], float] = {}


def set_gauge(logger: str, name: str, value: float, dims: Mapping[str, object] = {}) -> None:
    """Remember `value` as the last one of the metric `name` with these dimensions."""
    key = (logger, name, tuple(sorted((str(dim), str(of)) for dim, of in dims.items())))
    if key in _last or len(_last) < LIMIT:
        _last[key] = float(value)


def gauges(logger: str) -> dict[tuple[str, Dims], float]:
    """The last values of a logger's metrics, by name and dimensions.

    >>> set_gauge("doctest", "pipeline.bronze.rows", 3, {"table": "orders"})
    >>> gauges("doctest")
    {('pipeline.bronze.rows', (('table', 'orders'),)): 3.0}
    """
    return {
        (name, dims): value for (owner, name, dims), value in list(_last.items()) if owner == logger
    }
