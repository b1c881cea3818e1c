"""Uploads to real stores and mounts, and what they do when those fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from laketrace.lakehouse import upload
from tests.lakehouse.bad_store import bad_store
from tests.lakehouse.logs import (
    LogDir,
    copies_in,
    expected,
    lines_in,
    manifested_in,
    record,
    rows_in,
    upload_elsewhere,
)

pytestmark = pytest.mark.extra("deltalake", "pyarrow", "obstore")


@pytest.fixture
def log(tmp_path):
    return LogDir(str(tmp_path / "logs")).fill(3)


@pytest.fixture
def bad_bucket(s3_server, s3_bucket):
    """An S3 bucket behind a store that can be told to misbehave, and the options to reach it."""
    with bad_store(s3_server.endpoint) as store:
        yield store, s3_bucket.url, {**s3_bucket.delta_options, "aws_endpoint": store.endpoint}


def copies_in_store(place) -> dict[str, bytes]:
    import obstore

    kind = {"s3": obstore.store.S3Store, "az": obstore.store.AzureStore}[place.url.split(":")[0]]
    store = kind(place.name, config=place.options, client_options={"allow_http": True})
    found = {}
    for batch in obstore.list(store, "logs"):
        for item in batch:
            name = item["path"].rpartition("/")[2]
            if not name.startswith("_manifest"):
                found[name] = bytes(obstore.get(store, item["path"]).bytes())
    return found


def test_an_object_store_gets_copies_and_table(log, any_store):
    """S3 and Azure: each segment once, each line once, and again nothing the second time."""
    places = {"target": f"{any_store.url}/logs", "table": f"{any_store.url}/table"}

    report = upload(log.path, options=any_store.delta_options, **places)
    os.unlink(os.path.join(log.path, ".laketrace", "orders.ledger"))
    again = upload(log.path, options=any_store.delta_options, **places)

    assert report.ok and report.segments == 3, report
    assert again.ok and again.skipped == 3, again
    assert copies_in_store(any_store) == log.files
    assert lines_in(rows_in(places["table"], any_store.delta_options)) == expected(log)


def test_a_large_segment_goes_in_parts(tmp_path, any_store, monkeypatch):
    """What does not go in one put arrives whole all the same."""
    monkeypatch.setattr("laketrace.lakehouse.targets.objects._ONE_PUT", 1 << 20)
    log = LogDir(str(tmp_path / "logs"))
    log.add([record(number) for number in range(60_000)])

    report = upload(log.path, f"{any_store.url}/logs", options=any_store.delta_options)

    assert report.ok, report
    assert copies_in_store(any_store) == log.files


def test_passing_faults_are_tried_again(log, bad_bucket):
    """429, 500, 503 and a connection that dies in mid-copy cost time, nothing else."""
    store, url, options = bad_bucket
    store.answers = [500, None, 429, None, None, 503, None, 500]
    store.dies = 2

    report = upload(log.path, f"{url}/logs", f"{url}/table", options=options)

    assert report.ok and report.segments == 3, report
    assert lines_in(rows_in(f"{url}/table", options)) == expected(log)


def test_a_forbidden_store_is_not_asked_again(log, bad_bucket):
    """403 is told apart: one request, one failure, no secret in its text, nothing lost."""
    store, url, options = bad_bucket
    store.always = 403

    report = upload(log.path, f"{url}/logs", options={**options, "aws_token": "s3cret-t0ken"})

    assert store.requests == 1
    assert "403" in report.failed[0].reason or "ermission" in report.failed[0].reason
    assert "s3cret" not in str(report) and report.segments == 0


def test_a_missing_bucket_is_not_asked_again(log, bad_bucket):
    """404 for the bucket is a permanent failure too."""
    store, _, options = bad_bucket

    report = upload(log.path, "s3://no-such-bucket/logs", options=options)

    assert not report.ok and store.requests == 1


@pytest.mark.parametrize("place", ["target", "table"])
def test_a_stalled_store_costs_the_upload_its_time_and_no_more(log, bad_bucket, place):
    """Requests that are never answered end at `request_timeout`, the upload at `timeout`."""
    store, url, options = bad_bucket
    store.stalls = True
    begin = time.monotonic()

    report = upload(
        log.path, **{place: f"{url}/{place}"}, options=options, request_timeout=0.5, timeout=3
    )

    assert not report.ok
    assert time.monotonic() - begin < 60


def test_a_process_with_a_stalled_store_ends_cleanly(log, bad_bucket):
    """The report is there, the exit status is 0, nothing is aborted by native code."""
    store, url, options = bad_bucket
    store.stalls = True

    process = upload_elsewhere(
        log.path, target=f"{url}/a", table=f"{url}/b", options=options, request_timeout=0.5,
        timeout=3,
    )  # fmt: skip

    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert len(json.loads(output)["failed"]) == 2


def test_a_slow_store_is_given_its_time(log, bad_bucket):
    """Slow is not broken."""
    store, url, options = bad_bucket
    store.pause = 0.1

    assert upload(log.path, f"{url}/logs", f"{url}/table", options=options).ok


def test_an_upload_killed_against_a_real_store_is_completed(log, s3_bucket):
    """The crash oracle's steps that matter for a store, on S3."""
    places = {"target": f"{s3_bucket.url}/logs", "table": f"{s3_bucket.url}/table"}
    for step in ("sending", "sent", "writing", "committed"):
        upload_elsewhere(log.path, step, options=s3_bucket.delta_options, **places)

    report = upload(log.path, options=s3_bucket.delta_options, **places)

    assert report.ok, report
    assert copies_in_store(s3_bucket) == log.files
    assert lines_in(rows_in(places["table"], s3_bucket.delta_options)) == expected(log)


def test_a_mount_that_refuses_nearly_everything_gets_each_segment_once(log, fuse_mount):
    """No append, no rename, no seek, no lock: written whole, closed, read back."""
    target = os.path.join(fuse_mount, "logs")

    report = upload(log.path, target)
    log.add([record(77)])
    again = upload(log.path, target)

    assert report.ok and again.ok and again.segments == 1, (report, again)
    assert copies_in(target) == log.files
    assert set(manifested_in(target)) == set(log.files)


def test_killed_before_the_manifest_of_a_mount_is_written_it_is_written_anew(log, fuse_mount):
    """The next upload has nothing to copy and finds out by the manifest that nothing is renamed."""
    target = os.path.join(fuse_mount, "logs")
    upload(log.path, target)
    log.add([record(77)])
    upload_elsewhere(log.path, "copied", target=target)

    report = upload(log.path, target, retries=0)

    assert report.ok, report
    assert copies_in(target) == log.files
    assert set(manifested_in(target)) == set(log.files)


@pytest.mark.parametrize("operation", ["close", "write", "open"])
def test_a_mount_that_fails_is_tried_again_and_told(log, fuse_mount, operation):
    """An error on close is an error; what did not arrive is sent when the mount is well again."""
    target = os.path.join(fuse_mount, "logs")
    fuse_mount.fail(operation, 5)

    failed = upload(log.path, target, retries=1)
    fuse_mount.heal()
    report = upload(log.path, target)

    assert not failed.ok and "Input/output error" in failed.failed[0].reason
    assert report.ok
    assert copies_in(target) == log.files


def test_a_mount_that_hangs_costs_the_upload_its_time_and_no_more(log, fuse_mount):
    """The call is given up, and the report says so."""
    fuse_mount.fail("open", 0, seconds=120)
    begin = time.monotonic()

    report = upload(log.path, f"{fuse_mount}/logs", request_timeout=0.5, timeout=2)

    fuse_mount.heal()
    assert time.monotonic() - begin < 60
    assert "took longer than" in report.failed[0].reason


def test_killed_while_writing_to_a_mount_the_copy_is_written_anew(log, fuse_mount):
    """Half a file, as a mount may leave it, is a beginning of the copy and is replaced."""
    target = os.path.join(fuse_mount, "logs")
    upload_elsewhere(log.path, "planned", target=target)
    name, data = next(iter(log.files.items()))
    os.makedirs(f"{target}/orders/run-1")
    with open(f"{target}/orders/run-1/{name}", "wb") as file:
        file.write(data[: len(data) // 2])

    report = upload(log.path, target)

    assert report.ok, report
    assert copies_in(target) == log.files


def test_without_obstore_a_url_says_what_to_install(log):
    """The missing extra is named before anything is sent."""
    code = (
        "import sys; sys.modules['obstore'] = None\n"
        "from laketrace.lakehouse import upload\n"
        f"upload({log.path!r}, 's3://bucket/logs')"
    )

    failed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert "pip install 'laketrace[cloud]'" in failed.stderr
