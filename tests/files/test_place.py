"""Where log files can lie, and what happens where they cannot."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from laketrace import get_logger
from laketrace.files.place import file_system, find_place, why_not
from laketrace.files.segment import safe_stem


@pytest.mark.parametrize(
    "path",
    [
        "/Volumes/main/ops/logs",
        "/dbfs/logs",
        "/Workspace/Users/me/logs",
        "/lakehouse/default/Files/logs",
        "/synfs/nb_resource/logs",
        "abfss://ws@onelake.dfs.fabric.microsoft.com/lh.Lakehouse/Files/logs",
        "dbfs:/logs",
        "s3://bucket/logs",
    ],
)
def test_mounts_and_addresses_are_spooled_on_local_disk(path: str, tmp_path: Path) -> None:
    """A path of a platform's mount is where files are shipped to, not where they are written."""
    place = find_place(path, str(tmp_path))

    assert place.spooled and place.target == path and place.reason
    assert Path(place.directory).parent == tmp_path
    assert find_place(path, str(tmp_path)) == place
    assert find_place(path + "/other", str(tmp_path)).directory != place.directory


def test_an_ordinary_directory_is_used_as_it_is(tmp_path: Path) -> None:
    """What a log file needs is tried; nothing is left behind."""
    place = find_place(str(tmp_path / "new" / "logs"), "/unused")

    assert not place.spooled and place.directory == str(tmp_path / "new" / "logs")
    left = sorted(path.name for path in (tmp_path / "new" / "logs").rglob("*"))
    assert left == [".laketrace"]
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_the_file_system_of_a_path_is_known() -> None:
    """Read from the kernel's table of mounts."""
    assert file_system("/proc/self/status") == "proc"
    assert file_system("/sys/kernel") == "sysfs"


def logged(tmp_path: Path, log_dir: Any, name: str = "spooled") -> tuple[Path, list[str]]:
    """Log two records with this `log_dir`; the file they are in, and their messages."""
    log = get_logger(name, log_dir=log_dir, spool_dir=tmp_path / "spool", stdout=False)
    log.info("one")
    log.error("two")
    path: Path = log.log_file_path
    messages = [json.loads(line)["message"] for line in path.read_text().splitlines()]
    stats = log.stats()
    log.close()
    assert (stats.written, stats.failed) == (2, 0)
    return path, messages


@pytest.mark.fault
def test_a_real_mount_that_cannot_append_is_spooled_and_said_once(
    fuse_mount: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a real FUSE mount the file lies in the spool; stderr has both paths, once."""
    mount = Path(getattr(fuse_mount, "path", fuse_mount))

    path, messages = logged(tmp_path, mount / "logs")

    said = capsys.readouterr().err
    assert path.is_relative_to(tmp_path / "spool") and messages[:2] == ["one", "two"]
    assert said.count(str(mount / "logs")) == 1 and str(path.parent) in said


@pytest.mark.fault
def test_a_read_only_directory_is_spooled(tmp_path: Path) -> None:
    """A directory that cannot be written is treated like a mount."""
    place = tmp_path / "read_only"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", str(place)]
    said = subprocess.run(command, capture_output=True, text=True)
    if said.returncode:
        pytest.skip(f"cannot mount a read-only tmpfs: {said.stderr.strip()}")
    try:
        path, messages = logged(tmp_path, place)
    finally:
        subprocess.run(["umount", str(place)], check=True)

    assert path.is_relative_to(tmp_path / "spool") and messages == ["one", "two"]


def test_a_path_below_a_file_is_spooled(tmp_path: Path) -> None:
    """Only wrong settings raise; an unusable place does not."""
    (tmp_path / "file").write_text("x")

    path, messages = logged(tmp_path, tmp_path / "file" / "logs")

    assert path.is_relative_to(tmp_path / "spool") and messages == ["one", "two"]


def test_a_directory_in_the_place_of_the_file_is_spooled(tmp_path: Path) -> None:
    """`<name>.log` that is a directory cannot be written to."""
    (tmp_path / "logs" / "taken.log").mkdir(parents=True)

    path, messages = logged(tmp_path, tmp_path / "logs", "taken")

    assert path.is_relative_to(tmp_path / "spool") and messages == ["one", "two"]


def test_a_pipe_in_the_place_of_the_file_is_spooled(tmp_path: Path) -> None:
    """A pipe that nobody reads would hang the log call that fills it; its mode is not ours."""
    (tmp_path / "logs").mkdir()
    os.mkfifo(tmp_path / "logs" / "pipe.log", mode=0o622)
    mode = (tmp_path / "logs" / "pipe.log").stat().st_mode

    path, messages = logged(tmp_path, tmp_path / "logs", "pipe")

    assert path.is_relative_to(tmp_path / "spool") and messages == ["one", "two"]
    assert (tmp_path / "logs" / "pipe.log").stat().st_mode == mode


def test_a_symbolic_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    """Nothing is written into another's file."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "victim").write_text("")
    (tmp_path / "logs" / "linked.log").symlink_to(tmp_path / "victim")

    _, messages = logged(tmp_path, tmp_path / "logs", "linked")

    assert messages == ["one", "two"] and (tmp_path / "victim").read_text() == ""


@pytest.mark.parametrize("name", ["a/b", "../up", "nul\0", "n" * 300, ".hidden", "ä ö", "a\nb"])
def test_any_name_makes_a_file_inside_log_dir(name: str, tmp_path: Path) -> None:
    """Names are made safe without leaving the directory."""
    path, messages = logged(tmp_path, tmp_path / "logs", name)

    assert path.parent == tmp_path / "logs" and messages == ["one", "two"]


def test_two_names_never_share_a_file() -> None:
    """`a/b`, `a_b` and `a%2Fb` are three files."""
    names = ["a/b", "a_b", "a%2Fb", "A_b", "n" * 300, "n" * 301, "n" * 150]

    assert len({safe_stem(name) for name in names}) == len(names)


def test_why_not_names_the_step_that_failed(tmp_path: Path) -> None:
    """The reason says what cannot be done there."""
    (tmp_path / "file").write_text("x")

    assert why_not(str(tmp_path / "file")).startswith("cannot create a directory there")
    assert why_not(str(tmp_path)) == ""
