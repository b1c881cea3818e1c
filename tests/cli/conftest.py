"""The command line for tests: `cli` runs it here, `laketrace` as a program of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from laketrace import get_logger
from laketrace.cli import main
from tests.support.processes import ROOT


class Said(NamedTuple):
    """What a command line did: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


Cli = Callable[..., Said]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting comes from the environment but a directory of logs that is empty."""
    for name in os.environ:
        if name.startswith(("LAKETRACE_", "NO_COLOR", "FORCE_COLOR")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LAKETRACE_LOG_DIR", str(tmp_path / "by_settings"))
    monkeypatch.setenv("LAKETRACE_SPOOL_DIR", str(tmp_path / "spool"))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command line in this process."""

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def laketrace(tmp_path: Path) -> Cli:
    """Run a command line as a program, in an empty directory."""
    folder = tmp_path / "here"
    folder.mkdir()

    def run(*arguments: object, **environment: str) -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "laketrace", *map(str, arguments)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": ROOT, **environment},
            capture_output=True,
            text=True,
            timeout=240,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Path]:
    """Logs of a closed logger: `orders`, 60 records in gz segments and an active file."""
    folder = tmp_path / "logs"
    write_logs(folder)
    yield folder


def write_logs(folder: Path, name: str = "orders") -> None:
    """60 records of three stages: each tenth one a warning, the last one an error."""
    log = get_logger(
        name, log_dir=folder, stdout=False, rotation="4 KB", retention_files=None, compression="gz"
    )
    for number in range(59):
        stage = log.bind(stage=("bronze", "silver", "gold")[number % 3])
        say = stage.warning if number % 10 == 9 else stage.info
        say("table loaded", rows=number, order={"id": number})
    log.error("load failed", rows=-1)
    log.close()
