"""A logger's own uploads, by its settings alone: in the background, at close, at exit.

What they cost the job when the destination fails is in `test_shipping_faults`.
"""

from __future__ import annotations

import glob
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import pytest

import laketrace
from laketrace.errors import ConfigError
from laketrace.lakehouse import shipper, shipping
from laketrace.lakehouse.report import Failure, UploadReport
from tests.lakehouse.logs import rows_in

pytestmark = pytest.mark.extra("deltalake", "pyarrow")


@pytest.fixture
def target(tmp_path):
    return str(tmp_path / "target")


@pytest.fixture
def make_log(tmp_path, request):
    logs = []

    def make(name="", **settings):
        name = name or f"{request.node.originalname}{len(logs)}"
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


def until(condition, seconds: float = 120.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


# -- asked for --------------------------------------------------------------------------------


def test_an_upload_takes_what_was_logged_before_it(make_log, target, tmp_path):
    """`log.upload()` finishes the active file first, for file and table."""
    log = make_log(upload_target=target, upload_table=str(tmp_path / "table"))
    log.info("one")

    report = log.upload()

    assert report.ok and report.segments == 1
    assert messages_in(target) == ["one"]
    assert [row["message"] for row in rows_in(str(tmp_path / "table"))] == ["one"]


def test_a_logger_uploads_with_the_arguments_of_upload(tmp_path):
    """`log.upload` takes what `laketrace.upload` takes, and refuses what it does not know."""
    log = laketrace.get_logger("orders", log_dir=tmp_path / "logs", stdout=False)
    log.info("x")

    report = log.upload(
        tmp_path / "copies", delete_after=True, retries=0, request_timeout=5, timeout=9, options={}
    )
    with pytest.raises(TypeError, match="tabel"):
        log.upload(tmp_path / "copies", tabel="t")
    log.close()

    assert report.ok and report.segments == 1


@pytest.mark.parametrize(
    "form", [{}, {"schema": "ecs"}, {"format": "{message}"}, {"enqueue": True}, {"level": "ERROR"}]
)
def test_an_idle_log_comes_to_rest(make_log, target, form):
    """The report of an upload goes with the next one, and does not cause it; in any form."""
    log = make_log(upload_target=target, **form)
    log.error("one")
    log.upload()

    again = log.upload()
    log.error("two")
    third = log.upload()

    assert again.did_nothing
    assert third.segments == 1
    assert third.records == (2 if form.get("level") == "ERROR" else 3) - 1


def test_the_report_of_an_upload_is_a_record_of_the_next(make_log, target, tmp_path):
    """With its figures as fields, at INFO, or at WARNING with what failed."""
    log = make_log(upload_target=target, upload_retries=0)
    log.info("one")
    first = log.upload()
    log.upload(str(tmp_path / "logs" / ".laketrace" / "upload.lock" / "no folder"))
    log.info("two")

    log.upload()

    told = [item for item in laketrace.read(tmp_path / "logs") if item.get("event") == "upload"]
    assert {name: told[0][name] for name in first.to_dict()} == first.to_dict()
    assert [(item["level"], item["message"]) for item in told[:2]] == [
        ("INFO", "log uploaded"), ("WARNING", "upload failed"),
    ]  # fmt: skip
    assert told[1]["failed"][0]["reason"].startswith("NotADirectoryError")
    assert {"log uploaded", "upload failed"} <= set(messages_in(target))


def test_a_report_that_did_nothing_is_not_logged(make_log, target, monkeypatch):
    """Only what happened is a record."""
    log = make_log(upload_target=target)
    monkeypatch.setattr(shipping, "run_upload", lambda *a, **k: UploadReport(skipped=3))
    before = log.stats().emitted

    log.upload()
    monkeypatch.setattr(
        shipping, "run_upload", lambda *a, **k: UploadReport(failed=(Failure("a", "b"),))
    )
    log.upload()

    assert log.stats().emitted == before + 1


def test_without_a_destination_an_upload_says_what_to_give(make_log):
    """Nowhere to upload to is a wrong call, and says so."""
    with pytest.raises(ConfigError, match="an upload needs one of them"):
        make_log().upload()


def test_the_method_of_1x_sends_everything_and_never_raises(make_log, target):
    """Also what rotations have finished; a wrong path is False."""
    log = make_log()
    log.info("one")
    log.finish_segment()
    log.info("two")

    assert log.upload_log_to_lakehouse(target) is True
    assert log.upload_log_to_lakehouse("s3a://bucket") is False
    assert messages_in(target)[:2] == ["one", "two"]


def test_a_wrong_destination_is_told_with_all_the_other_problems(tmp_path):
    """One error names everything, each under the name that was given."""
    with pytest.raises(ConfigError) as raised:
        laketrace.get_logger("orders", {"upload_table": "x"}, log_dir=tmp_path, level="LOUD")

    level, table = raised.value.problems
    assert level.startswith("level='LOUD': ")
    assert table.startswith("upload_table: 'x' is neither a path nor the name of a table")


def test_a_wrong_destination_is_refused_before_anything_is_opened(make_log, tmp_path):
    """The form that would be right stands in the error, and there is no file yet."""
    with pytest.raises(ConfigError, match="s3://<bucket>/<folder>"):
        make_log(upload_target="s3a://bucket/logs")

    assert not os.path.exists(tmp_path / "logs")


def test_a_pickled_logger_carries_no_credentials(make_log):
    """Nor does its text: the options of a store stay in the process that was given them."""
    log = make_log(upload_target="s3://bucket/logs", upload_at_exit=False,
                   upload_options={"aws_secret_access_key": "s3cret"})  # fmt: skip

    assert b"s3cret" not in pickle.dumps(log.bind(batch=1))
    assert "s3cret" not in f"{log!r} {log.config!r}"


# -- in the background ------------------------------------------------------------------------


def test_what_is_logged_is_shipped_in_the_background(make_log, target):
    """At its interval the active file is finished and sent."""
    log = make_log(upload_target=target, upload_every=0.05)
    log.info("one")

    assert until(lambda: "one" in messages_in(target))


def test_an_idle_log_is_left_alone_in_the_background(make_log, target, monkeypatch):
    """After record and report nothing more is sent, however often the interval comes round."""
    uploads = []
    real = shipping.run_upload

    def counted(*arguments):
        report = real(*arguments)
        uploads.append(report)
        return report

    monkeypatch.setattr(shipping, "run_upload", counted)
    log = make_log(upload_target=target, upload_every=0.02)
    log.info("one")
    assert until(lambda: messages_in(target) == ["one"])
    seen = len(uploads)

    assert until(lambda: len(uploads) > seen + 3)
    assert all(report.did_nothing for report in uploads[seen + 1 :])


def test_the_next_start_ships_what_a_dead_run_left(make_log, tmp_path, target):
    """A killed process's records are shipped by the next one of that name."""
    code = (
        "import os, laketrace; log = laketrace.get_logger("
        f"'phoenix', log_dir={str(tmp_path / 'logs')!r}, stdout=False, upload_target={target!r}); "
        "log.info('before the crash'); os.kill(os.getpid(), 9)"
    )
    killed = run(code)

    make_log("phoenix", upload_target=target)

    assert killed.returncode == -signal.SIGKILL
    assert until(lambda: "before the crash" in messages_in(target))


def test_two_logs_in_one_directory_do_not_get_in_each_others_way(make_log, target, capfd):
    """Their uploads take turns; waiting for a turn is no failure."""
    logs = [make_log(upload_target=target, upload_every=0.01) for _ in range(3)]
    for number in range(20):
        for log in logs:
            log.info(f"{log.name} {number}")
        time.sleep(0.01)  # lets intervals pass; nothing depends on how many

    wanted = {f"{log.name} {number}" for log in logs for number in range(20)}
    assert until(lambda: wanted <= set(messages_in(target)))
    assert capfd.readouterr().err == ""


def test_a_forked_child_is_shipped_by_its_parent(make_log, target):
    """The child has no shipper; what it wrote goes with the parent's next upload."""
    log = make_log(upload_target=target)
    log.info("parent")
    child = os.fork()
    if child == 0:
        log.info("child")
        alone = not [item for item in threading.enumerate() if "shipper" in item.name]
        os._exit(0 if alone else 1)

    _, status = os.waitpid(child, 0)
    log.upload()

    assert status == 0
    assert sorted(messages_in(target)) == ["child", "parent"]


def test_on_an_executor_all_of_it_is_off(tmp_path, target):
    """No thread, no file, nothing sent."""
    code = (
        "import threading, laketrace\n"
        f"log = laketrace.get_logger('far', log_dir={str(tmp_path / 'logs')!r}, stdout=False,"
        f" upload_target={target!r}, upload_every=0.01)\n"
        "log.error('on an executor')\n"
        "print(threading.active_count(), log.upload().failed[0].reason)\n"
    )

    ended = run(code, PYTHON_WORKER_FACTORY_PORT="1")

    assert ended.returncode == 0
    assert ended.stdout.startswith("1 this logger writes no file")
    assert not os.path.exists(target) and not os.path.exists(tmp_path / "logs")


# -- a cell that is run again -----------------------------------------------------------------


def test_a_living_log_gets_a_destination_and_loses_it(make_log, target):
    """Uploads begin with the cell that asks for them, and end with one that does not."""
    log = make_log("cell")
    log.info("before")
    make_log("cell", upload_target=target, upload_every=0.02)
    assert until(lambda: "before" in messages_in(target))

    make_log("cell", upload_target=None, upload_every=None)

    assert until(lambda: not [t for t in threading.enumerate() if t.name.endswith("cell")])


def test_another_target_gets_everything_that_is_still_here(make_log, target, tmp_path):
    """One thread goes on, by the new settings."""
    make_log("cell", upload_target=target).info("one")
    log = make_log("cell", upload_target=str(tmp_path / "other"), upload_every=0.02)
    log.info("two")

    assert until(lambda: {"one", "two"} <= set(messages_in(str(tmp_path / "other"))))
    assert len([t for t in threading.enumerate() if t.name == "laketrace-shipper-cell"]) == 1


def test_a_log_that_moves_takes_nothing_with_it_unsent(make_log, target, tmp_path):
    """What lies in the earlier `log_dir` is shipped from there."""
    make_log("cell", upload_target=target, upload_every=60).info("in the old place")
    make_log("cell", log_dir=str(tmp_path / "new"), upload_target=target, upload_every=0.02)

    assert until(lambda: "in the old place" in messages_in(target))


# -- at the end -------------------------------------------------------------------------------


def test_closing_ships_what_is_left(make_log, target):
    """Leaving the `with` block is enough."""
    with make_log(upload_target=target) as log:
        log.info("last words")

    assert "last words" in messages_in(target)


def test_closing_ships_nothing_where_that_is_not_wanted(make_log, target):
    """`upload_at_exit=False` leaves it to the next start."""
    with make_log(upload_target=target, upload_at_exit=False) as log:
        log.info("last words")

    assert not os.path.exists(target)


def test_closing_stops_an_upload_that_is_at_work(make_log, target, monkeypatch, capsys):
    """It is waited for: who comes back from native code to an exit that went on crashes it."""
    begun, ended = threading.Event(), threading.Event()

    def at_work(log, order, deadline, finish):
        begun.set()
        assert until(deadline.is_over, 200)
        ended.set()
        return UploadReport(failed=(Failure("a segment", "out of time"),))

    monkeypatch.setattr(shipper, "ship", at_work)
    log = make_log(upload_target=target, upload_at_exit=False, upload_timeout=600)
    assert begun.wait(120)

    log.close()

    assert ended.is_set()
    assert capsys.readouterr().err == ""  # it has not failed, it was told to stop


@pytest.mark.parametrize("more", ["", ", upload_every=0.02, enqueue=True"])
def test_a_process_that_ends_ships_and_ends_cleanly(tmp_path, target, more):
    """At exit everything goes to target and table, also past an upload that is at work."""
    table = str(tmp_path / "table")
    code = (
        "import laketrace\n"
        f"log = laketrace.get_logger('ends', log_dir={str(tmp_path / 'logs')!r}, stdout=False, "
        f"upload_target={target!r}, upload_table={table!r}{more})\n"
        "for number in range(1000): log.info('good bye', n=number)\n"
    )

    ended = run(code)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert messages_in(target).count("good bye") == 1000
    assert [row["message"] for row in rows_in(table)].count("good bye") == 1000


# -- a mount that cannot append ---------------------------------------------------------------


def test_a_spooled_log_is_shipped_to_its_mount_when_the_program_ends(fuse_mount, tmp_path):
    """`log_dir` on a mount that refuses appends is all that a user has to say."""
    code = (
        "import laketrace\n"
        f"log = laketrace.get_logger('job', log_dir={fuse_mount + '/logs'!r}, stdout=False,"
        f" spool_dir={str(tmp_path / 'spool')!r})\n"
        "log.info('on a mount')\n"
    )

    ended = run(code)

    assert ended.returncode == 0
    assert ended.stderr.count("laketrace:") == 1  # where the files are kept
    assert messages_in(f"{fuse_mount}/logs") == ["on a mount"]


def test_a_spooled_log_is_shipped_every_minute_and_at_close(
    make_log, fuse_mount, tmp_path, monkeypatch
):
    """Without `upload_every`; the minute is shortened here."""
    assert shipper._SPOOL_SECONDS == 60
    monkeypatch.setattr(shipper, "_SPOOL_SECONDS", 0.05)
    log = make_log(log_dir=f"{fuse_mount}/logs", spool_dir=str(tmp_path / "spool"))

    log.info("first minute")
    shipped = until(lambda: "first minute" in messages_in(f"{fuse_mount}/logs"))
    log.info("last words")
    log.close()

    assert shipped
    assert "last words" in messages_in(f"{fuse_mount}/logs")
