"""`laketrace doctor`: what it finds, with what remedy, and that it leaves nothing behind."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from laketrace import get_logger, upload
from tests.support.faults import FullDisk, RefusingMount
from tests.support.processes import ROOT

from .conftest import Cli, Said

with_delta = pytest.mark.extra("deltalake", "pyarrow")


def found(said: Said, what: str) -> list[dict[str, Any]]:
    """The findings about one thing."""
    return [item for item in said.document["findings"] if item["what"] == what]


def everything(folder: Path) -> set[str]:
    """Every path below a folder."""
    return {str(path) for path in folder.rglob("*")}


def test_a_sound_machine_has_no_problem(cli: Cli, tmp_path: Path) -> None:
    """Platform, settings, packages and the place of files are told, and the code is 0."""
    said = cli("doctor", "--json")

    assert (said.code, said.document["ok"], said.document["platform"]) == (0, True, "local")
    assert {"platform", "process", "settings", "python", "log files", "room"} <= {
        item["what"] for item in said.document["findings"]
    }
    assert "can create, append, rename and lock" in found(said, "log files")[0]["text"]
    assert list(tmp_path.iterdir()) == []


def test_people_get_a_line_a_finding_and_a_remedy_for_each(cli: Cli, logs: Path) -> None:
    """What is no `ok` has a way out under it."""
    said = cli("doctor", logs)

    lines = said.out.splitlines()
    for at, line in enumerate(lines):
        if line.startswith(("note ", "PROBLEM ")):
            assert lines[at + 1].lstrip().startswith("-> "), line
    assert "\x1b" not in said.out and lines[-1].startswith("problems: 0, notes: ")


def test_a_wrong_setting_is_a_problem(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable with a wrong value is named with the rule; the rest is looked at all the same."""
    monkeypatch.setenv("LAKETRACE_ROTATION", "500 MBB")
    monkeypatch.setenv("LAKETRACE_LEVEL", "LOUD")

    said = cli("doctor", "--json")

    assert said.code == 1
    assert ["MBB" in item["text"] for item in found(said, "setting")].count(True) == 1
    assert len(found(said, "setting")) == 2 and found(said, "room")


def test_a_misspelt_variable_is_a_note(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that no setting has is told with the nearest one, for nothing reads it."""
    monkeypatch.setenv("LAKETRACE_RETENSION", "7 days")

    said = cli("doctor", "--json")

    [note] = found(said, "setting")
    assert said.code == 0 and note["state"] == "note"
    assert "LAKETRACE_RETENSION" in note["text"]
    assert note["remedy"] == "Did you mean 'LAKETRACE_RETENTION'?"


def test_no_secret_of_the_environment_is_shown(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the options of a store, which no variable can give, and not a secret in a wrong URL."""
    monkeypatch.setenv("LAKETRACE_UPLOAD_OPTIONS", '{"key": "s3cret"}')
    monkeypatch.setenv("LAKETRACE_UPLOAD_TARGET", "s3://name:s3cret@bucket/logs")
    monkeypatch.setenv("LAKETRACE_LEVEL", "DEBUG")

    said = cli("doctor")

    assert "LAKETRACE_LEVEL=DEBUG" in said.out and "carries credentials" in said.out
    assert "s3cret" not in said.out + said.err


@with_delta
def test_the_accounts_of_each_log(cli: Cli, logs: Path) -> None:
    """Records, segments, bytes, and what was uploaded and what waits, for each log."""
    upload(logs, table=logs.parent / "table")
    write = get_logger("stock", log_dir=logs, stdout=False)
    write.info("counted")

    (orders, stock) = cli("doctor", logs, "--json").document["logs"]
    write.close()
    (_, closed) = cli("doctor", logs, "--json").document["logs"]

    assert closed["writer"] == "ended"
    assert (orders["stem"], orders["account"]["records"], orders["waiting"]) == ("orders", 60, 0)
    assert orders["uploaded"] == orders["segments"] > 2
    assert (stock["stem"], stock["account"]["records"], stock["writer"]) == ("stock", 1, "lives")


def test_what_waits_for_upload(cli: Cli, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments that a destination lacks are counted, with the command that sends them."""
    monkeypatch.setenv("LAKETRACE_LOG_DIR", str(logs))
    monkeypatch.setenv("LAKETRACE_UPLOAD_TARGET", str(logs.parent / "copies"))

    (waits,) = found(cli("doctor", "--json"), "upload")
    upload(logs, target=logs.parent / "copies")

    number = len(list(logs.glob("*.gz")))
    assert f"{number} segments wait for upload" in waits["text"]
    assert waits["remedy"].startswith(f"Run: laketrace upload {logs}")
    assert found(cli("doctor", "--json"), "upload") == []


def test_drops_and_torn_lines_are_in_the_accounts(cli: Cli, tmp_path: Path) -> None:
    """What a logger said it dropped is a problem; torn lines are a note that leads to them."""
    log = get_logger(
        "orders", log_dir=tmp_path / "logs", stdout=False, enqueue=True, queue_size=1,
        overflow="drop_new",
    )  # fmt: skip
    while not log.stats().dropped:
        log.info("x" * 10_000)
    dropped = log.stats().dropped["queue_full"]
    log.close()
    with open(tmp_path / "logs" / "orders.log", "ab") as file:
        file.write(b'{"timestamp":"2026')

    said = cli("doctor", tmp_path / "logs", "--json")

    texts = {item["text"]: item["remedy"] for item in found(said, "log orders")}
    (drops,) = (text for text in texts if f"{dropped} queue_full" in text)
    (torn,) = (text for text in texts if "1 line is no record" in text)
    assert said.code == 1 and "queue_size" in texts[drops] and "laketrace query" in texts[torn]
    assert said.document["logs"][0]["account"]["dropped"] == {"queue_full": dropped}


def test_records_that_a_full_disk_has_cost_are_in_the_accounts(cli: Cli, tmp_path: Path) -> None:
    """What was removed before its upload, as the log tells it, is a problem with its number."""
    with get_logger("orders", log_dir=tmp_path / "logs", stdout=False) as log:
        log.error("the disk is full", event="unsent_removed", records=12)

    said = cli("doctor", tmp_path / "logs", "--json")

    (removed,) = (item for item in found(said, "log orders") if item["state"] == "problem")
    assert "12 records were removed unsent" in removed["text"] and removed["remedy"]
    assert said.code == 1 and said.document["logs"][0]["account"]["removed"] == 12


def test_a_process_that_was_killed_is_seen(cli: Cli, tmp_path: Path) -> None:
    """What a dead writer left active is a note with what finishes it."""
    code = (
        "import os, sys; from laketrace import get_logger; "
        "get_logger('orders', log_dir=sys.argv[1], stdout=False).info('here'); os._exit(9)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "logs")]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": ROOT}, timeout=240)

    (note,) = found(cli("doctor", tmp_path / "logs", "--json"), "log orders")

    assert note["state"] == "note" and "its writer has ended" in note["text"]


# -- places ---------------------------------------------------------------------------------------


def test_a_full_disk_is_a_problem(cli: Cli, full_disk: FullDisk) -> None:
    """A directory without room is told as full, with what makes room."""
    before = everything(Path(full_disk))

    said = cli("doctor", full_disk, "--json")

    (room,) = found(said, "room")
    assert said.code == 1 and room["state"] == "problem" and "is full" in room["text"]
    assert "retention" in room["remedy"]
    assert everything(Path(full_disk)) == before


def test_a_mount_that_cannot_append_means_a_spool(cli: Cli, fuse_mount: RefusingMount) -> None:
    """Files go to a spool, the mount is looked at as their target, and no probe is left."""
    said = cli("doctor", os.path.join(fuse_mount, "logs"), "--json")

    (files,), (target,) = found(said, "log files"), found(said, "target")
    assert (said.code, files["state"], target["state"]) == (0, "note", "ok")
    assert "spool" in files["text"] and "may not append" in files["text"]
    assert everything(Path(fuse_mount)) == set()


def test_a_mount_that_refuses_is_a_bad_target(cli: Cli, fuse_mount: RefusingMount) -> None:
    """A target that cannot be written says why, and what to do."""
    fuse_mount.fail("close", errno.EDQUOT)

    said = cli("doctor", "--target", os.path.join(fuse_mount, "copies"), "--json")

    (target,) = found(said, "target")
    assert said.code == 1 and target["state"] == "problem"
    assert "quota" in target["text"] and "Free space" in target["remedy"]
    fuse_mount.heal()
    assert everything(Path(fuse_mount)) == set()


def test_a_directory_of_copies_is_a_target(cli: Cli, logs: Path) -> None:
    """What an upload has made is known as a target and probed; nothing is left."""
    upload(logs, target=logs.parent / "copies")
    before = everything(logs.parent / "copies")

    said = cli("doctor", logs.parent / "copies", "--json")

    assert said.code == 0 and "can be written" in found(said, "target")[0]["text"]
    assert everything(logs.parent / "copies") == before


@pytest.mark.parametrize(
    ("target", "text"),
    [("/Volumes/main/ops/logs", "does not exist"), ("s3:/bucket/logs", "s3://<bucket>/<folder>")],
)
def test_a_bad_target_is_told_with_what_would_be_right(cli: Cli, target: str, text: str) -> None:
    """A volume that is not there, a URL that is none."""
    said = cli("doctor", "--target", target, "--json")

    (problem,) = found(said, "target")
    assert said.code == 1 and text in problem["text"] and problem["remedy"]


@with_delta
def test_a_table_is_looked_into_and_probed(cli: Cli, logs: Path) -> None:
    """Its rows are counted, its columns checked; the probe leaves no file and no version."""
    table = logs.parent / "table"
    upload(logs, table=table)
    before = everything(table)

    said = cli("doctor", table, "--json")

    assert said.code == 0
    assert "60 rows, our columns" in found(said, "table")[0]["text"]
    assert everything(table) == before


@with_delta
def test_a_table_of_another_shape_is_a_problem(cli: Cli, tmp_path: Path) -> None:
    """Records cannot be appended to it: its columns are named."""
    import deltalake
    import pyarrow

    deltalake.write_deltalake(str(tmp_path / "t"), pyarrow.table({"id": [1]}))

    said = cli("doctor", tmp_path / "t", "--json")

    assert said.code == 1 and "id" in found(said, "table")[0]["text"]


@with_delta
def test_a_table_that_is_not_there_yet_is_fine_and_stays_away(cli: Cli, tmp_path: Path) -> None:
    """The first upload makes it; the doctor does not."""
    said = cli("doctor", "--table", tmp_path / "lake" / "table", "--json")

    assert said.code == 0 and "the first upload makes it" in found(said, "table")[0]["text"]
    assert list(tmp_path.iterdir()) == []
