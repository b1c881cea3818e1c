"""Disks that are full, files that others move, and directories that are not what they should be."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from laketrace import get_logger
from laketrace.files import janitor
from laketrace.files.active import open_active
from laketrace.testing import ManualClock
from tests.faults.proof import (
    assert_account,
    assert_tidy,
    files_of,
    is_balanced,
    lines_of,
    make_log,
    numbers_of,
    records_of,
    run_program,
    start_again,
)
from tests.support.faults import FullDisk, RefusingMount

SECONDS = 6  # after which a file that somebody moved has been noticed


@pytest.mark.parametrize("enqueue", [False, True], ids=["sync", "queue"])
def test_a_disk_that_fills_up_and_gets_room_again(full_disk: FullDisk, enqueue: bool) -> None:
    """Records fail while the disk is full, and only then; each line in the file is whole."""
    full_disk.make_room()
    log = make_log(f"{full_disk}/logs", enqueue=enqueue)

    number = 0
    while log.stats().failed == 0:
        log.info("row", n=number, pad="." * (number % 97))
        assert number % 50 or log.flush(120)
        number += 1
        if number == 200:  # something else takes the rest
            full_disk.fill()
    full_from = number
    for number in range(full_from, full_from + 200):
        log.info("row", n=number)
    assert log.flush(120)
    while_full = log.stats()
    full_disk.make_room()
    for number in range(full_from + 200, full_from + 400):
        log.info("row", n=number)

    assert log.flush(120)
    stats = log.stats()
    assert stats.failed == while_full.failed >= 1
    assert stats.emitted == stats.written + stats.failed == full_from + 400
    assert_account(stats, f"{full_disk}/logs")
    assert set(range(full_from + 200, full_from + 400)) <= set(numbers_of(f"{full_disk}/logs"))


def test_threads_on_a_full_disk_leave_no_torn_line(full_disk: FullDisk) -> None:
    """8 threads write while room comes and goes: lines are whole or not there, each is counted."""
    full_disk.make_room()
    log = make_log(f"{full_disk}/logs", rotation="16 KB", retention="3 files")
    stop = threading.Event()

    def keep_logging(thread: int) -> None:
        number = 0
        while not stop.is_set():
            log.info("row", thread=thread, pad="x" * (number % 501))
            number += 1

    threads = [threading.Thread(target=keep_logging, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for number in range(60):
        full_disk.fill()
        while not number and not log.stats().failed:  # on a busy machine they may not run at once
            time.sleep(0.001)
        full_disk.make_room()
    stop.set()
    for thread in threads:
        thread.join()

    assert log.flush(120)
    assert janitor.wait(None, 120)
    full_disk.make_room()
    written = log.stats().written
    while log.stats().written == written:  # an opening that failed is tried again a second later
        log.info("last", n=1)
    assert is_balanced(log.stats()) and log.stats().failed > 0 and log.stats().queued == 0
    assert numbers_of(f"{full_disk}/logs") == [1]


def test_a_rotation_on_a_full_disk_loses_nothing(full_disk: FullDisk) -> None:
    """A compression without room leaves the segment, which is compressed when there is some."""
    full_disk.make_room()
    log = make_log(f"{full_disk}/logs", compression="gz")
    for number in range(300):
        log.info("row", n=number)
    full_disk.fill()

    log.finish_segment()
    assert janitor.wait(None, 120)
    names = os.listdir(f"{full_disk}/logs")
    full_disk.make_room()
    log.info("row", n=300)
    log.finish_segment()

    assert janitor.wait(None, 120)
    assert not [name for name in names if name.endswith((".gz", ".tmp"))]
    assert len([path for path in files_of(f"{full_disk}/logs") if path.endswith(".gz")]) == 2
    assert numbers_of(f"{full_disk}/logs") == list(range(301))
    assert_account(log.stats(), f"{full_disk}/logs")


def test_a_start_on_a_full_disk_fails_records_until_there_is_room(full_disk: FullDisk) -> None:
    """A logger that is made on a full disk counts, and begins to write when it can."""
    log = make_log(f"{full_disk}/logs")
    log.info("row", n=0)
    log.error("row", n=1)
    failed = log.stats().failed
    full_disk.make_room()

    log.info("row", n=2)
    while log.stats().written == 0:  # it is tried again a second later
        log.info("row", n=3)

    assert failed == 2
    assert_account(log.stats(), f"{full_disk}/logs")
    assert 3 in numbers_of(f"{full_disk}/logs")


def moved(path: Path) -> None:
    path.rename(path.with_suffix(".old"))


def replaced(path: Path) -> None:
    path.rename(path.with_suffix(".old"))
    path.write_bytes(b"")


def copied_and_emptied(path: Path) -> None:  # `copytruncate` of logrotate
    path.with_suffix(".old").write_bytes(path.read_bytes())
    os.truncate(path, 0)


def deleted(path: Path) -> None:
    path.unlink()


def deleted_with_its_folder(path: Path) -> None:
    import shutil

    shutil.rmtree(path.parent)


@pytest.mark.parametrize("enqueue", [False, True], ids=["sync", "queue"])
@pytest.mark.parametrize(
    "happens", [moved, replaced, copied_and_emptied, deleted, deleted_with_its_folder]
)
def test_what_happens_to_the_active_file_is_noticed_and_nothing_is_lost(
    tmp_path: Path, happens: Any, enqueue: bool
) -> None:
    """Moved, replaced, emptied, deleted: within 5 seconds there is a file again, and all in it."""
    with ManualClock() as clock:
        log = make_log(tmp_path / "logs", enqueue=enqueue)
    for number in range(10):
        log.info("row", n=number)
    assert log.flush(120)
    happens(log.log_file_path)
    for number in range(10, 20):
        log.info("row", n=number)
    assert log.flush(120)
    clock.advance(SECONDS)

    log.info("row", n=20)

    assert log.flush(120) and log.flush(120)  # the second is for the record about it
    active = log.log_file_path
    elsewhere = active.with_suffix(".old")
    found = numbers_of(tmp_path / "logs")
    if elsewhere.exists():
        found += [json.loads(line)["n"] for line in lines_of(str(elsewhere))]
    assert sorted(found) == list(range(21))
    assert b'"n":20' in active.read_bytes()
    assert active.stat().st_nlink == 1
    if happens is not copied_and_emptied:
        told = [record for record in records_of(tmp_path / "logs") if "event" in record]
        assert [record["event"] for record in told] == ["file_reopened"]
    stats = log.stats()
    assert is_balanced(stats) and (stats.failed, stats.queued) == (0, 0)


DELETER = """
import os, shutil, sys
from laketrace import get_logger
folder, mode, what = sys.argv[1:]
log = get_logger("proof", log_dir=folder, stdout=False, enqueue=mode == "queue")
log.error("row", n=0)
os.unlink(log.log_file_path) if what == "file" else shutil.rmtree(folder)
log.info("row", n=1)
"""


@pytest.mark.parametrize("mode", ["sync", "queue"])
def test_an_exit_saves_what_is_in_a_deleted_file(tmp_path: Path, mode: str) -> None:
    """A program that ends before it has noticed loses nothing; a deleted folder stays deleted."""
    run_program(DELETER, tmp_path / "kept", mode, "file")
    run_program(DELETER, tmp_path / "tidied", mode, "folder")

    assert numbers_of(tmp_path / "kept") == [0, 1]
    assert not (tmp_path / "tidied").exists()


def test_a_directory_put_in_the_place_of_the_active_file(tmp_path: Path) -> None:
    """The log goes on beside it, under a name of its own."""
    with ManualClock() as clock:
        log = make_log(tmp_path)
    log.info("row", n=0)
    path = log.log_file_path
    path.unlink()
    path.mkdir()
    clock.advance(SECONDS)

    log.info("row", n=1)

    assert log.log_file_path != path and path.is_dir()
    assert [json.loads(line)["n"] for line in lines_of(str(log.log_file_path))[:2]] == [0, 1]
    assert log.stats().failed == 0


def test_a_link_put_in_the_place_of_the_active_file_leads_nowhere(tmp_path: Path) -> None:
    """Nothing is written through a symbolic link, also not at a rotation."""
    victim = tmp_path / "victim"
    victim.write_text("precious\n")
    with ManualClock() as clock:
        log = make_log(tmp_path / "logs")
    log.info("row", n=0)
    log.log_file_path.unlink()
    log.log_file_path.symlink_to(victim)
    clock.advance(SECONDS)

    log.info("row", n=1)
    log.finish_segment()
    log.info("row", n=2)
    log.close()

    assert victim.read_text() == "precious\n"
    assert log.stats().failed == 0


@pytest.mark.parametrize("planted", ["segment", "archive", "temporary"])
def test_links_among_the_segments_lead_nowhere(tmp_path: Path, planted: str) -> None:
    """A link with the name of a segment, an archive or a temporary file is not written through."""
    victim = tmp_path / "victim"
    victim.write_text("precious\n")
    log_dir = tmp_path / "logs"
    with ManualClock():
        log = make_log(log_dir, compression="gz")
    suffix = {"segment": "", "archive": ".gz", "temporary": ".gz.tmp"}[planted]
    (log_dir / f"proof.log.20260101_000000{suffix}").symlink_to(victim)
    for number in range(5):
        log.info("row", n=number)

    log.finish_segment()

    assert janitor.wait(None, 120)
    log.close()
    assert victim.read_text() == "precious\n"
    ours = [path for path in files_of(log_dir) if not os.path.islink(path)]
    numbers = [json.loads(line)["n"] for path in ours for line in lines_of(path)]
    assert sorted(numbers) == list(range(5))


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_files_are_the_users_alone(tmp_path: Path, umask: int) -> None:
    """0600 for files and archives, 0700 for the directories made, whatever the umask."""
    former = os.umask(umask)
    try:
        log = make_log(tmp_path / "a" / "b", compression="gz")
        log.info("row", n=0)
        log.finish_segment()
        log.info("row", n=1)
        assert janitor.wait(None, 120)
        log.close()
    finally:
        os.umask(former)

    paths = [tmp_path / "a", *(tmp_path / "a").rglob("*")]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in paths}
    assert len([name for name in modes if name.endswith(".gz")]) == 1
    assert {mode for name, mode in modes.items() if name in ("a", "b", ".laketrace")} == {0o700}
    assert {mode for name, mode in modes.items() if "." in name[1:]} == {0o600}


def test_a_file_that_others_could_read_becomes_the_users_alone(tmp_path: Path) -> None:
    """A log of an earlier version, readable to all, is so no longer when it is written on."""
    (tmp_path / "proof.log").write_text("")
    os.chmod(tmp_path / "proof.log", 0o644)

    log = make_log(tmp_path)

    assert stat.S_IMODE(log.log_file_path.stat().st_mode) == 0o600


def test_the_opening_itself_follows_no_link(tmp_path: Path) -> None:
    """A link that is put there between the look and the opening is refused by the kernel."""
    (tmp_path / "victim").write_text("")
    (tmp_path / "proof.log").symlink_to(tmp_path / "victim")

    with pytest.raises(OSError):
        open_active(str(tmp_path / "proof.log"), 0o600)


def test_a_directory_that_is_there_keeps_its_rights(tmp_path: Path) -> None:
    """Rights are given to what is created, and not taken from what others made."""
    (tmp_path / "shared").mkdir()
    os.chmod(tmp_path / "shared", 0o755)

    make_log(tmp_path / "shared").close()

    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o755


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to leave it"
)
def test_a_directory_without_permission_is_spooled(tmp_path: Path) -> None:
    """A user who may not write in `log_dir` logs all the same, and is told where."""
    from tests.faults.proof import in_child

    os.chmod(tmp_path, 0o755)
    for parent in tmp_path.parents[:3]:
        os.chmod(parent, stat.S_IMODE(parent.stat().st_mode) | 0o055)
    (tmp_path / "theirs").mkdir(mode=0o755)
    (tmp_path / "spool").mkdir()
    os.chmod(tmp_path / "spool", 0o777)

    def as_nobody() -> None:
        os.setuid(65534)
        log = get_logger(
            "proof", log_dir=tmp_path / "theirs", spool_dir=tmp_path / "spool", stdout=False
        )
        log.info("row", n=0)
        assert log.stats().written == 1
        assert log.log_file_path.is_relative_to(tmp_path / "spool")
        log.close()

    assert in_child(as_nobody) == 0


def test_a_mount_that_cannot_append_gets_everything_through_the_spool(
    fuse_mount: RefusingMount, tmp_path: Path
) -> None:
    """Rotation, compression and a restart work in the spool; the mount sees nothing refused."""
    settings: dict[str, Any] = {"spool_dir": tmp_path / "spool", "rotation": "4 KB",
                                "compression": "gz", "upload_at_exit": False}  # fmt: skip
    log = make_log(f"{fuse_mount}/logs", **settings)
    for number in range(100):
        log.info("row", n=number)
    assert janitor.wait(None, 120)
    log.close()
    spool = log.log_file_path.parent if log.log_file_path else next((tmp_path / "spool").iterdir())

    start_again(f"{fuse_mount}/logs", **settings)

    assert spool.is_relative_to(tmp_path / "spool")
    assert set(range(100)) <= set(numbers_of(spool))
    assert_tidy(spool)
