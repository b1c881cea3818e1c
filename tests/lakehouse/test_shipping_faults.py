"""What a destination that fails costs the job: nothing, and it is said once."""

from __future__ import annotations

import json
import os
import time
from typing import NamedTuple

import pytest

import laketrace
from laketrace.files.segment import find_segments
from laketrace.lakehouse import shipper
from tests.lakehouse.bad_store import bad_store
from tests.lakehouse.logs import rows_in
from tests.lakehouse.stalls import stalls
from tests.lakehouse.test_shipper import messages_in, run, until

pytestmark = pytest.mark.extra("deltalake", "pyarrow", "obstore")

JOB = """
import json, sys, time, laketrace
{before}
log = laketrace.get_logger("job", log_dir={log_dir!r}, stdout=False, **{settings!r})
slowest = 0.0
for number in range(300):
    begin = time.perf_counter()
    log.info("still here", n=number)
    slowest = max(slowest, time.perf_counter() - begin)
    time.sleep(0.001)
stats = log.stats()
balanced = stats.written + stats.queued == stats.emitted
print(json.dumps([slowest, balanced, time.monotonic()]), flush=True)
"""


class Ended(NamedTuple):
    """How a job went; its seconds are without those in which the machine stood still."""

    code: int
    stderr: str
    balanced: bool
    slowest: float
    exit: float


@pytest.fixture
def job(tmp_path):
    """Run a job with an upload every 20 ms; what its slowest log call and its exit took."""

    def start(before: str = "", **settings) -> Ended:
        settings = {"upload_every": 0.02, **settings}
        code = JOB.format(before=before, log_dir=str(tmp_path / "logs"), settings=settings)
        with stalls() as lost:
            ended = run(code)
            now = time.monotonic()
        assert ended.stdout, ended.stderr
        slowest, balanced, exits = json.loads(ended.stdout)
        return Ended(
            ended.returncode, ended.stderr, balanced, slowest - max(lost, default=0.0),
            now - exits - sum(lost),
        )  # fmt: skip

    return start


def assert_unharmed(ended: Ended, tmp_path) -> None:
    """The job ran, ended well, heard of it once and has its files."""
    assert (ended.code, ended.balanced) == (0, True), ended.stderr
    assert ended.slowest < 0.5
    assert ended.stderr.count("\n") == 1 and "upload of job failed" in ended.stderr
    lines = 0
    for name in os.listdir(tmp_path / "logs"):
        if name.startswith("job.log"):
            lines += (tmp_path / "logs" / name).read_bytes().count(b'"still here"')
    assert lines == 300


@pytest.mark.parametrize("place", ["target", "table"])
def test_a_store_that_never_answers_costs_the_job_nothing(job, s3_bucket, tmp_path, place):
    """The exit waits for its seconds and no more, also while a request is at work."""
    with bad_store(s3_bucket.options["aws_endpoint"]) as store:
        store.stalls = True
        options = {**s3_bucket.delta_options, "aws_endpoint": store.endpoint}

        ended = job(
            upload_options=options, upload_request_timeout=1, upload_timeout=3,
            **{f"upload_{place}": f"{s3_bucket.url}/{place}"},
        )  # fmt: skip

    assert_unharmed(ended, tmp_path)
    assert ended.exit < 12


@pytest.mark.slow
def test_by_default_too_the_exit_waits_30_seconds_at_most(job, s3_bucket, tmp_path):
    """With the default time limits, and without an abort when the program ends."""
    with bad_store(s3_bucket.options["aws_endpoint"]) as store:
        store.stalls = True
        options = {**s3_bucket.delta_options, "aws_endpoint": store.endpoint}

        ended = job(
            upload_options=options, upload_target=f"{s3_bucket.url}/a",
            upload_table=f"{s3_bucket.url}/b",
        )  # fmt: skip

    assert_unharmed(ended, tmp_path)
    assert ended.exit < 40  # with the end of the interpreter


def test_wrong_credentials_are_said_once(job, s3_bucket, tmp_path):
    """403 is no reason to stop, and no secret is said."""
    with bad_store(s3_bucket.options["aws_endpoint"]) as store:
        store.always = 403
        options = {**s3_bucket.delta_options, "aws_endpoint": store.endpoint}
        options["aws_session_token"] = "s3cret-t0ken"

        ended = job(upload_options=options, upload_target=f"{s3_bucket.url}/logs")

    assert_unharmed(ended, tmp_path)
    assert "s3cret" not in ended.stderr
    assert ended.exit < 12


@pytest.mark.parametrize("module, place", [("deltalake", "table"), ("obstore", "target")])
def test_a_missing_extra_is_said_once(job, tmp_path, module, place):
    """With what to install."""
    ended = job(f"sys.modules[{module!r}] = None", **{f"upload_{place}": "s3://bucket/logs"})

    assert_unharmed(ended, tmp_path)
    assert "pip install 'laketrace[" in ended.stderr


def test_a_mount_that_hangs_costs_the_job_nothing(job, fuse_mount, tmp_path):
    """Neither log calls nor the exit wait for it."""
    os.makedirs(f"{fuse_mount}/logs")
    fuse_mount.fail("open", 0, seconds=6)

    ended = job(upload_target=f"{fuse_mount}/logs", upload_request_timeout=0.5, upload_timeout=2)

    assert_unharmed(ended, tmp_path)
    assert ended.exit < 12


def test_a_store_that_comes_back_gets_everything_once(s3_bucket, tmp_path, capfd):
    """After failures in the background the next upload brings it all."""
    table = f"{s3_bucket.url}/table"
    with bad_store(s3_bucket.options["aws_endpoint"]) as store:
        store.always = 503
        options = {**s3_bucket.delta_options, "aws_endpoint": store.endpoint}
        log = laketrace.get_logger(
            "patient", log_dir=str(tmp_path / "logs"), stdout=False, upload_table=table,
            upload_options=options, upload_every=0.02, upload_retries=0,
        )  # fmt: skip
        for number in range(5):
            log.info("one of five", n=number)
            time.sleep(0.02)  # some intervals pass; nothing depends on how many
        assert until(lambda: shipper._shippers["patient"]._circuit.is_open())

        store.always = None
        log.close()

    rows = [row["fields"] for row in rows_in(table, s3_bucket.delta_options)
            if row["message"] == "one of five"]  # fmt: skip
    assert sorted(rows) == [f'{{"n":{number}}}' for number in range(5)]
    assert capfd.readouterr().err.count("upload of patient failed") == 1


def test_after_three_failures_the_background_waits(tmp_path):
    """Failures are counted by the circuit; every segment stays."""
    (tmp_path / "file").write_text("in the way")
    log = laketrace.get_logger(
        "blocked", log_dir=str(tmp_path / "logs"), stdout=False, upload_retries=0,
        upload_target=str(tmp_path / "file"), upload_every=0.02, upload_at_exit=False,
    )  # fmt: skip
    log.info("still here")

    opened = until(lambda: shipper._shippers["blocked"]._circuit.is_open())
    log.close()

    assert opened
    assert log.stats().failed == 0
    assert find_segments(str(tmp_path / "logs"))


def test_retention_waits_for_the_places_that_a_log_is_set_up_for(tmp_path):
    """An upload to somewhere else does not make a segment done."""
    (tmp_path / "file").write_text("in the way")
    with laketrace.get_logger(
        "retained", log_dir=str(tmp_path / "logs"), stdout=False, upload_at_exit=False,
        upload_target=str(tmp_path / "file" / "x"), upload_retries=0,
    ) as log:  # fmt: skip
        log.info("one")
        log.upload()

        report = log.upload(target=str(tmp_path / "target"))

    done = tmp_path / "logs" / ".laketrace" / "retained.done"
    assert report.ok and "one" in messages_in(str(tmp_path / "target"))
    assert not done.exists() or done.read_text().strip() == ""


def test_an_upload_deletes_only_what_both_places_have(tmp_path):
    """`upload_delete_after` waits for target and table."""
    (tmp_path / "file").write_text("in the way")
    settings = {
        "log_dir": str(tmp_path / "logs"), "stdout": False, "upload_at_exit": False,
        "upload_target": str(tmp_path / "target"), "upload_retries": 0,
        "upload_delete_after": True,
    }  # fmt: skip
    with laketrace.get_logger(
        "deletes", **settings, upload_table=str(tmp_path / "file" / "x")
    ) as log:
        log.info("one")
        log.upload()
        kept = find_segments(str(tmp_path / "logs"))
        laketrace.get_logger("deletes", **settings, upload_table=str(tmp_path / "table"))

        report = log.upload()

    assert len(kept) == 1 and report.ok
    assert find_segments(str(tmp_path / "logs")) == []
    assert "one" in [row["message"] for row in rows_in(str(tmp_path / "table"))]
