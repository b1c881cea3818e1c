"""A logger's own uploads: asked for, in the background, at close; and what they cost the job."""

from __future__ import annotations

import glob
import json
import os
import subprocess
import sys
import time

import pytest

import laketrace
from laketrace.errors import ConfigError
from laketrace.files.segment import find_segments
from laketrace.lakehouse import shipper, start_shipper, upload_log_to_lakehouse, upload_logger
from laketrace.lakehouse.report import Failure, UploadReport
from laketrace.lakehouse.retry import Circuit, Deadline, OutOfTime, Retry, within
from tests.lakehouse.logs import rows_in

pytestmark = pytest.mark.extra("deltalake", "pyarrow")


@pytest.fixture
def target(tmp_path):
    return str(tmp_path / "target")


@pytest.fixture
def make_log(tmp_path, request):
    logs = []

    def make(**settings):
        name = f"{request.node.name}{len(logs)}"
        settings = {"log_dir": str(tmp_path / "logs"), "stdout": False, **settings}
        logs.append(laketrace.get_logger(name, **settings))
        return logs[-1]

    yield make
    for log in logs:
        log.close()


def messages_in(target: str) -> list[str]:
    """The messages in the finished copies; an upload may be at work."""
    names = glob.glob(f"{target}/*/*/[0-9a-f]*")
    found = []
    for name in sorted(names):
        with open(name, "rb") as file:
            found += [json.loads(line)["message"] for line in file]
    return found


def test_an_upload_takes_what_was_logged_before_it(make_log, target, tmp_path):
    """`log.upload()` finishes the active file first, for file and table."""
    log = make_log(upload_target=target, upload_table=str(tmp_path / "table"))
    log.info("one")

    report = upload_logger(log)

    assert report.ok and report.segments == 1
    assert messages_in(target) == ["one"]
    assert [row["message"] for row in rows_in(str(tmp_path / "table"))] == ["one"]


def test_an_idle_log_comes_to_rest(make_log, target):
    """The report of an upload goes with the next one, and does not cause it."""
    log = make_log(upload_target=target)
    log.info("one")
    upload_logger(log)

    again = upload_logger(log)
    log.info("two")
    upload_logger(log)

    assert again.did_nothing
    assert messages_in(target) == ["one", "log uploaded", "two"]


def test_without_a_destination_an_upload_says_what_to_give(make_log):
    """Nowhere to upload to is a wrong call, and says so."""
    with pytest.raises(ConfigError, match="an upload needs one of them"):
        upload_logger(make_log())


def test_the_method_of_1x_sends_everything_and_never_raises(make_log, target):
    """Also what rotations have finished; a wrong path is False."""
    log = make_log()
    log.info("one")
    log.finish_segment()
    log.info("two")

    assert upload_log_to_lakehouse(log, target) is True
    assert upload_log_to_lakehouse(log, "s3a://bucket") is False
    assert messages_in(target)[:2] == ["one", "two"]


def test_a_wrong_destination_is_refused_at_the_start(make_log):
    """Nothing is started for a place that cannot be meant."""
    with pytest.raises(ConfigError, match="s3://<bucket>/<folder>"):
        start_shipper(make_log(upload_target="s3a://bucket/logs"))


def test_what_is_logged_is_shipped_in_the_background(make_log, target):
    """At its interval the shipper finishes the active file and sends it."""
    log = make_log(upload_target=target, upload_every=0.05)
    start_shipper(log)
    log.info("one")

    assert until(lambda: "one" in messages_in(target))


def test_closing_ships_what_is_left(make_log, target):
    """Leaving the `with` block is enough."""
    with make_log(upload_target=target) as log:
        start_shipper(log)
        log.info("last words")

    assert "last words" in messages_in(target)


def test_closing_ships_nothing_where_that_is_not_wanted(make_log, target):
    """`upload_at_exit=False` leaves it to the next start."""
    with make_log(upload_target=target, upload_at_exit=False) as log:
        start_shipper(log)
        log.info("last words")

    assert not os.path.exists(target)


def test_the_next_start_ships_what_a_dead_run_left(tmp_path, target):
    """A killed process's records are shipped by the next one of that name."""
    folder = str(tmp_path / "logs")
    code = (
        "import os, laketrace; log = laketrace.get_logger("
        f"'phoenix', log_dir={folder!r}, stdout=False, upload_target={target!r}); "
        "log.info('before the crash'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)

    with laketrace.get_logger("phoenix", log_dir=folder, stdout=False, upload_target=target) as log:
        start_shipper(log)
        assert until(lambda: "before the crash" in messages_in(target))


def test_a_process_that_ends_ships_and_ends_cleanly(tmp_path, target):
    """At exit everything goes to target and table, and the exit status is 0."""
    table = str(tmp_path / "table")
    code = (
        "import laketrace; from laketrace.lakehouse import start_shipper\n"
        f"log = laketrace.get_logger('ends', log_dir={str(tmp_path / 'logs')!r}, stdout=False, "
        f"upload_target={target!r}, upload_table={table!r})\n"
        "start_shipper(log)\n"
        "log.info('good bye')\n"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "good bye" in messages_in(target)
    assert "good bye" in [row["message"] for row in rows_in(table)]


def test_a_failing_destination_costs_the_job_nothing(make_log, tmp_path, capsys):
    """Failures are said once, log calls go on, every segment stays."""
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    log = make_log(upload_target=str(blocked), upload_every=0.02, upload_retries=0)
    running = start_shipper(log)
    assert running is not None

    for number in range(20):
        log.info("still here", n=number)
        running.tick()

    assert log.stats().failed == 0
    assert capsys.readouterr().err.count("upload of") == 1
    assert running._circuit.is_open()
    assert find_segments(str(tmp_path / "logs"))


def test_retention_waits_for_the_places_that_a_log_is_set_up_for(make_log, tmp_path, target):
    """An upload to somewhere else does not make a segment done."""
    log = make_log(upload_target=str(tmp_path / "file" / "x"), upload_retries=0)
    (tmp_path / "file").write_text("in the way")
    log.info("one")
    upload_logger(log)

    report = upload_logger(log, target=target)

    done = tmp_path / "logs" / ".laketrace" / f"{log.name}.done"
    assert report.ok and report.segments >= 1
    assert not done.exists() or done.read_text().strip() == ""


def test_the_circuit_opens_after_three_failures_and_tries_ever_more_rarely():
    """1, 2, 4, 8 and then 15 minutes; a success closes it."""
    now = [0.0]
    circuit = Circuit(clock=lambda: now[0])
    pauses = []
    for _ in range(8):
        circuit.failed()
        start = now[0]
        while circuit.is_open():
            now[0] += 30
        pauses.append((now[0] - start) / 60)

    circuit.failed()
    circuit.succeeded()

    assert pauses == [0, 0, 1, 2, 4, 8, 15, 15]
    assert not circuit.is_open()


def test_pauses_grow_and_end_with_the_time():
    """Tries are bounded by number and by time, and no pause goes beyond the end."""
    now, slept = [0.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    def fail():
        raise ConnectionError("reset")

    retry = Retry(50, Deadline(10, clock=lambda: now[0]), sleep, jitter=lambda: 1.0)
    with pytest.raises(ConnectionError):
        retry.run(fail)

    assert slept == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2])
    with pytest.raises(OutOfTime):
        Deadline(0, clock=lambda: 1.0).left(5)


def test_a_call_that_hangs_is_given_up():
    """The caller goes on after its seconds."""
    begin = time.monotonic()

    with pytest.raises(TimeoutError, match=r"hanging took longer than 0\.05 seconds"):
        within(0.05, lambda: time.sleep(1), "hanging")

    assert time.monotonic() - begin < 0.9


def test_a_report_that_did_nothing_is_not_logged(make_log, target, monkeypatch):
    """Only what happened is a record."""
    log = make_log(upload_target=target)
    monkeypatch.setattr(shipper, "run_upload", lambda *a, **k: UploadReport(skipped=3))
    before = log.stats().emitted

    upload_logger(log)
    monkeypatch.setattr(
        shipper, "run_upload", lambda *a, **k: UploadReport(failed=(Failure("a", "b"),))
    )
    upload_logger(log)

    assert log.stats().emitted == before + 1


def until(condition, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False
