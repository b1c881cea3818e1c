"""The accounts of a log, its uploads, memory, metrics and latencies for Prometheus.

Floor 7. Stands on: core.gauges, core.notice, core.redact, errors, monitor.throughput,
monitor.wellbeing.

Names follow https://prometheus.io/docs/practices/naming/: base units, `_total` for counters.
Figures are read when somebody asks; nothing runs in between, and logging costs nothing more.
Needs the extra `monitor`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from laketrace.core.gauges import gauges
from laketrace.errors import ConfigError, need
from laketrace.monitor.throughput import timers
from laketrace.monitor.wellbeing import Looks, waiting

if TYPE_CHECKING:
    from laketrace.core.logger import Logger

_STATES = {"ok": 0, "degraded": 1, "failing": 2}
_QUANTILES = (0.5, 0.95, 0.99)
_scrapes = (
    Looks()
)  # not those of `log.health()`, from which a scrape would take what it has to tell


class LogCollector:
    """Collects the figures of one log, in the form that `prometheus_client` registers."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._kinds = need("prometheus_client.core", "monitor", "laketrace.monitor")

    def collect(self) -> Iterator[Any]:
        """Every metric, as `prometheus_client` families."""
        yield from self._accounts()
        yield from self._uploads()
        yield from self._observed()
        yield from self._latencies()

    def _accounts(self) -> Iterator[Any]:
        name, stats = self._log.name, self._log.stats()
        for kind, value in (
            ("emitted", stats.emitted), ("written", stats.written), ("failed", stats.failed)
        ):  # fmt: skip
            family = self._kinds.CounterMetricFamily(
                f"laketrace_records_{kind}", f"Deliveries {kind}.", labels=["logger"]
            )
            family.add_metric([name], value)
            yield family
        dropped = self._kinds.CounterMetricFamily(
            "laketrace_records_dropped", "Deliveries dropped.", labels=["logger", "reason"]
        )
        for reason, value in stats.dropped.items():
            dropped.add_metric([name, reason], value)
        yield dropped
        yield self._gauge("laketrace_records_queued", "Deliveries under way.", stats.queued)
        state = _STATES[_scrapes.health(self._log).status]
        yield self._gauge("laketrace_health", "0 ok, 1 degraded, 2 failing.", state)

    def _uploads(self) -> Iterator[Any]:
        left = waiting(self._log, time.time_ns())
        if left is None:
            return
        prefix = "laketrace_upload_waiting"
        yield self._gauge(f"{prefix}_segments", "Segments not confirmed yet.", left.segments)
        yield self._gauge(f"{prefix}_bytes", "Bytes of those segments.", left.bytes)
        lag = "Age of the oldest segment not confirmed yet."
        yield self._gauge("laketrace_upload_lag_seconds", lag, left.oldest_seconds)

    def _observed(self) -> Iterator[Any]:
        family = self._kinds.GaugeMetricFamily(
            "laketrace_metric",
            "The last value of each metric of runs, stages and memory.",
            labels=["logger", "name", "dims"],
        )
        for (name, dims), value in gauges(self._log.name).items():
            family.add_metric([self._log.name, name, ",".join(map("=".join, dims))], value)
        yield family

    def _latencies(self) -> Iterator[Any]:
        calls = self._kinds.CounterMetricFamily(
            "laketrace_timed", "Blocks and calls that were timed.", labels=["name"]
        )
        latency = self._kinds.GaugeMetricFamily(
            "laketrace_latency_seconds", "Latency by quantile.", labels=["name", "quantile"]
        )
        for name, timer in list(timers.items()):
            calls.add_metric([name], timer.total)
            for rank in _QUANTILES:
                value = timer.quantile(rank)
                if value is not None:
                    latency.add_metric([name, str(rank)], value)
        yield calls
        yield latency

    def _gauge(self, name: str, text: str, value: float) -> Any:
        family = self._kinds.GaugeMetricFamily(name, text, labels=["logger"])
        family.add_metric([self._log.name], value)
        return family


def _registry(log: Logger) -> Any:
    client = need("prometheus_client", "monitor", "laketrace.monitor")
    registry = client.CollectorRegistry()
    registry.register(LogCollector(log))
    return registry


class MetricsServer:
    """A running HTTP server of metrics: `url` and `close()`; also a context manager."""

    def __init__(self, server: Any, thread: Any, host: str) -> None:
        self._server = server
        self._thread = thread
        self.url = f"http://{host}:{server.server_port}/metrics"

    def __repr__(self) -> str:
        return f"<MetricsServer {self.url}>"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def __enter__(self) -> MetricsServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def serve_metrics(log: Logger, port: int = 0, host: str = "127.0.0.1") -> MetricsServer:
    """Serve the metrics of `log` by HTTP, on loopback unless told; port 0 takes a free one.

    Raises `ConfigError` for what is no port, and `OSError` where it cannot be had.
    """
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        rule = "a port is a number from 0 to 65535. Use 0 for a free one."
        raise ConfigError([f"port={port!r}: {rule}"])
    client = need("prometheus_client", "monitor", "laketrace.monitor")
    try:
        server, thread = client.start_http_server(port, addr=host, registry=_registry(log))
    except OSError as error:
        text = f"{error.strerror}: {host}:{port}. Use port=0 for a free one"
        raise type(error)(error.errno, text) from None
    return MetricsServer(server, thread, host)


def metrics_text(log: Logger) -> str:
    """The metrics of `log` in Prometheus' text format.

    >>> from laketrace import get_logger
    >>> log = get_logger("doctest.metrics", log_dir=None, stdout=False)
    >>> "laketrace_records_emitted_total" in metrics_text(log)
    True
    >>> log.close()
    """
    client = need("prometheus_client", "monitor", "laketrace.monitor")
    text: str = client.generate_latest(_registry(log)).decode("utf-8")
    return text


def write_textfile(path: str | os.PathLike[str], log: Logger) -> None:
    """Write the metrics to a file for the node exporter's textfile collector, whole or not.

    Raises `OSError` where that cannot be written, in a directory that is not there for one.
    """
    client = need("prometheus_client", "monitor", "laketrace.monitor")
    try:
        client.write_to_textfile(os.fspath(path), _registry(log))
    except OSError as error:  # of the temporary file beside it
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from None


def push_metrics(url: str, log: Logger, job: str | None = None, timeout: float = 10.0) -> bool:
    """Push the metrics to a Pushgateway, for a job that ends; whether it took them.

    A gateway that cannot be reached is said once on stderr, and never raises into the job.
    """
    from laketrace.core.notice import say
    from laketrace.core.redact import by_name_and_form

    client = need("prometheus_client", "monitor", "laketrace.monitor")
    try:
        client.push_to_gateway(url, job=job or log.name, registry=_registry(log), timeout=timeout)
    except Exception as error:
        place = re.sub(r"//[^/]*@", "//", url).partition("?")[0]  # a URL may hold a password
        why = by_name_and_form().scrub(str(error) or type(error).__name__)
        say(f"metrics were not pushed to {place}: {why}", key=f"push {url}")
        return False
    return True
