"""What Prometheus sees of a log."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from laketrace import Logger, get_logger
from laketrace.core.gauges import set_gauge
from laketrace.errors import ConfigError

pytest.importorskip("prometheus_client")
pytest.importorskip("datasketches")

from laketrace.monitor import (
    metrics_text,
    push_metrics,
    serve_metrics,
    timed,
    write_textfile,
)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Logger]:
    logger = get_logger("orders", log_dir=tmp_path, stdout=False)
    yield logger
    logger.close()


def value(text: str, series: str) -> float:
    """The value of one series in Prometheus' text format."""
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.M)
    assert found, f"{series} is not there:\n{text}"
    return float(found[1])


def test_the_accounts_are_there_by_logger(log: Logger) -> None:
    """Emitted, written, failed, dropped by reason, queued: as `stats()` has them."""

    def broken(text: str) -> None:
        raise OSError("x")

    log.add(broken)
    log.info("x")

    text = metrics_text(log)
    assert value(text, 'laketrace_records_emitted_total{logger="orders"}') == 2
    assert value(text, 'laketrace_records_written_total{logger="orders"}') == 1
    assert value(text, 'laketrace_records_failed_total{logger="orders"}') == 1
    assert value(text, 'laketrace_records_queued{logger="orders"}') == 0
    log.close()
    log.info("late")
    dropped = 'laketrace_records_dropped_total{logger="orders",reason="closed"}'
    assert value(metrics_text(log), dropped) == 2


def test_what_waits_for_upload_is_there(log: Logger) -> None:
    """Segments, bytes and the age of the oldest one."""
    log.info("x")
    segment = log.finish_segment()

    text = metrics_text(log)
    assert value(text, 'laketrace_upload_waiting_segments{logger="orders"}') == 1
    assert value(text, 'laketrace_upload_waiting_bytes{logger="orders"}') == segment.size
    assert 0 <= value(text, 'laketrace_upload_lag_seconds{logger="orders"}') < 60


def test_metrics_of_the_job_are_there_with_their_dimensions(log: Logger) -> None:
    """The last value of each metric that a run or a monitor told."""
    set_gauge("orders", "pipeline.bronze.rows", 3, {"table": "orders"})
    set_gauge("other", "pipeline.bronze.rows", 4)

    text = metrics_text(log)
    series = 'laketrace_metric{dims="table=orders",logger="orders",name="pipeline.bronze.rows"}'
    assert value(text, series) == 3 and 'logger="other"' not in text


def test_latencies_of_blocks_are_there(log: Logger) -> None:
    """What was timed, how often, and how long it took."""
    for _ in range(3):
        with timed("test.prometheus"):
            pass

    text = metrics_text(log)
    assert value(text, 'laketrace_timed_total{name="test.prometheus"}') == 3
    assert value(text, 'laketrace_latency_seconds{name="test.prometheus",quantile="0.5"}') < 1


def test_a_scrape_takes_nothing_from_who_asks_for_health(log: Logger) -> None:
    """Each who looks has its own last look."""
    log.add(lambda text: 1 / 0)
    log.info("x")

    assert value(metrics_text(log), 'laketrace_health{logger="orders"}') == 2
    assert value(metrics_text(log), 'laketrace_health{logger="orders"}') == 0
    assert log.health().status == "failing"
    assert log.health().status == "ok"


def test_metrics_are_served_on_loopback(log: Logger) -> None:
    """`serve_metrics` has a URL, serves there, and stops."""
    with serve_metrics(log) as server:
        assert server.url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(server.url, timeout=120) as answer:
            assert b"laketrace_records_emitted_total" in answer.read()

    with pytest.raises(OSError):
        urllib.request.urlopen(server.url, timeout=10)


def test_a_port_that_cannot_be_had_is_named_with_the_way_out(log: Logger) -> None:
    """What is no port is a wrong setting; one that is taken says which."""
    with pytest.raises(ConfigError, match=r"port=99999: a port is a number from 0 to 65535"):
        serve_metrics(log, port=99999)
    with serve_metrics(log) as server:
        port = int(server.url.split(":")[2].partition("/")[0])
        with pytest.raises(OSError, match=rf"127\.0\.0\.1:{port}\. Use port=0 for a free one"):
            serve_metrics(log, port)


def test_a_textfile_that_cannot_be_written_is_named(log: Logger, tmp_path: Path) -> None:
    """The error has the path that was given, not that of a temporary file."""
    path = tmp_path / "none" / "laketrace.prom"

    with pytest.raises(FileNotFoundError) as raised:
        write_textfile(path, log)

    assert raised.value.filename == str(path)


def test_a_textfile_is_written_whole(log: Logger, tmp_path: Path) -> None:
    """For the node exporter's collector."""
    write_textfile(tmp_path / "laketrace.prom", log)

    assert "laketrace_health" in (tmp_path / "laketrace.prom").read_text()


def test_a_job_that_ends_pushes_its_metrics(
    log: Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gateway gets them under the job's name; one that is gone is said, not raised."""
    bodies: list[tuple[str, bytes]] = []

    class Gateway(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.append((self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Gateway)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    pushed = push_metrics(url, log)
    server.shutdown()
    server.server_close()

    assert pushed and bodies[0][0] == "/metrics/job/orders"
    assert b"laketrace_records_emitted_total" in bodies[0][1]
    assert push_metrics(url, log) is False
    assert f"metrics were not pushed to {url}: " in capsys.readouterr().err
    assert push_metrics(url.replace("//", "//me:hunter2@"), log) is False
    said = capsys.readouterr().err
    assert f"metrics were not pushed to {url}: " in said and "hunter2" not in said


def test_health_tells_what_is_wrong_and_forgets_what_has_passed(log: Logger) -> None:
    """ok, degraded, failing, closed: with reasons, since the last look."""
    ok = log.health()
    broken = [True]

    def sink(text: str) -> None:
        if broken[0]:
            raise OSError("x")

    log.add(sink)
    log.info("x")
    failing = log.health()
    broken[0] = False
    log.info("y")
    passed = log.health()
    log.close()

    assert (ok.status, failing.status, passed.status) == ("ok", "failing", "ok")
    assert "1 records failed" in failing.reasons[0] and ok and not failing
    assert log.health().status == "failing"
