"""`laketrace upload`: what it sends, what it would send, and how it ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from laketrace import get_logger
from tests.lakehouse.logs import copies_in, rows_in

from .conftest import Cli

with_delta = pytest.mark.extra("deltalake", "pyarrow")


def listing(folder: Path) -> dict[str, int]:
    """Every file below a folder with its size."""
    return {str(path): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


@with_delta
def test_segments_reach_target_and_table(cli: Cli, logs: Path) -> None:
    """The report says what was sent; a repeat sends nothing; both end with 0."""
    target, table = logs.parent / "copies", logs.parent / "table"

    first = cli("upload", logs, "--target", target, "--table", table, "--json")
    again = cli("upload", logs, "--target", target, "--table", table)

    sent = first.document
    assert (first.code, again.code) == (0, 0) and sent["ok"] and sent["records"] == 60
    assert sent["segments"] == len(copies_in(str(target))) > 2
    assert again.out.splitlines()[0].startswith("uploaded 0 segments, 0 records")
    assert len(rows_in(str(table))) == 60


def test_a_dry_run_tells_and_changes_nothing(cli: Cli, logs: Path) -> None:
    """--dry-run names each segment with its name for ever, and no file is made or changed."""
    target, before = logs.parent / "copies", listing(logs.parent)

    said = cli("upload", logs, "--target", target, "--dry-run")
    plan = cli("upload", logs, "--target", target, "--dry-run", "--json").document

    assert said.code == 0 and "would be sent; nothing was" in said.out
    assert listing(logs.parent) == before
    assert plan["dry_run"] and plan["active"] == [str(logs / "orders.log")]
    assert len(plan["segments"]) == len(list(logs.glob("*.gz")))

    cli("upload", logs, "--target", target)

    sent = {name.removesuffix(".gz") for name in copies_in(str(target))}
    assert {item["name"] for item in plan["segments"]} <= sent
    assert cli("upload", logs, "--target", target, "--dry-run", "--json").document["bytes"] == 0


def test_a_living_process_keeps_its_file(cli: Cli, tmp_path: Path) -> None:
    """The active file of a logger that lives is neither sent nor touched."""
    log = get_logger("orders", log_dir=tmp_path / "logs", stdout=False)
    log.info("here", rows=1)

    said = cli("upload", tmp_path / "logs", "--target", tmp_path / "copies", "--json")

    assert said.code == 0 and said.document["segments"] == 0
    assert os.path.getsize(tmp_path / "logs" / "orders.log") > 0
    log.close()


def test_settings_say_where_to(cli: Cli, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments LAKETRACE_LOG_DIR and LAKETRACE_UPLOAD_TARGET count."""
    monkeypatch.setenv("LAKETRACE_LOG_DIR", str(logs))
    monkeypatch.setenv("LAKETRACE_UPLOAD_TARGET", str(logs.parent / "copies"))

    said = cli("upload", "--json")

    assert (said.code, said.document["records"]) == (0, 60)


def test_confirmed_segments_can_be_removed(cli: Cli, logs: Path) -> None:
    """With --delete-after the directory is empty when the target has everything."""
    said = cli("upload", logs, "--target", logs.parent / "copies", "--delete-after")

    assert said.code == 0 and list(logs.glob("orders.log*")) == []
    assert len(copies_in(str(logs.parent / "copies"))) > 2


def test_a_destination_that_fails_ends_with_1_and_keeps_everything(cli: Cli, logs: Path) -> None:
    """The report names what failed; every segment is where it was."""
    blocked = logs.parent / "blocked"
    blocked.write_text("a file, not a directory")
    before = {path for path in listing(logs) if path.endswith(".gz")}

    said = cli("upload", logs, "--target", blocked / "copies", "--retries", 0, "--json")

    assert said.code == 1 and not said.document["ok"] and said.document["failed"]
    assert before <= set(listing(logs))


def test_a_failed_upload_says_what_is_in_the_way_and_who_knows_more(cli: Cli, logs: Path) -> None:
    """A target that is a file is named as one, with the command that looks closer."""
    blocked = logs.parent / "blocked"
    blocked.write_text("a file, not a directory")

    said = cli("upload", logs, "--target", blocked / "copies")

    assert f"{blocked} is a file, and a target is a directory. Name another" in said.out
    assert said.out.endswith(f"  more     laketrace doctor --target {blocked}/copies {logs}\n")


def test_a_directory_without_logs_is_said_to_have_none(cli: Cli, tmp_path: Path) -> None:
    """It is no fault, but whoever mistyped the directory sees it."""
    said = cli("upload", tmp_path, "--target", tmp_path / "copies")

    assert said.code == 0 and said.out.endswith(f"  logs     none in {tmp_path}\n")


def test_one_log_of_a_directory_is_not_what_is_uploaded(cli: Cli, logs: Path) -> None:
    """A file is refused with the directory that would be right."""
    said = cli("upload", logs / "orders.log", "--target", logs.parent / "copies")

    assert said.code == 2 and str(logs) in said.err
