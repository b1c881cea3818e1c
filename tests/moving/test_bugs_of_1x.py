"""What was wrong in 1.0.2 is right: the same programs, run on both.

On 1.0.2 they are slow tests: they want a release from the package index, and each of them has to
fail there. `LAKETRACE_1_0_2` names a folder that has it already (`pip install --target`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, cache_dir

from .bugs import PROGRAMS

BUGS = Path(__file__).with_name("bugs.py")


def run(number: str, release: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run one program in a process of its own, on the release at a path."""
    environment = {key: value for key, value in os.environ.items() if "LAKETRACE" not in key}
    return subprocess.run(
        [sys.executable, str(BUGS), number],
        cwd=folder,
        env={**environment, "PYTHONPATH": release, "LAKETRACE_CLOSE_TIMEOUT": "200", **more},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="session")
def release_1_0_2() -> str:
    """A folder with laketrace 1.0.2, fetched once."""
    given = os.environ.get("LAKETRACE_1_0_2")
    if given:
        return given
    folder = os.path.join(cache_dir(), "laketrace-1.0.2")
    if not os.path.isdir(folder):
        draft = f"{folder}.{os.getpid()}"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", draft]
        fetched = subprocess.run(
            [*pip, "laketrace==1.0.2"], capture_output=True, text=True, check=False
        )
        if fetched.returncode:
            shutil.rmtree(draft, ignore_errors=True)
            pytest.skip(f"laketrace 1.0.2 cannot be fetched: {fetched.stderr.strip()[-200:]}")
        os.rename(draft, folder)
    return folder


@pytest.mark.parametrize("number", PROGRAMS)
def test_a_bug_of_1x_is_gone(number: str, tmp_path: Path) -> None:
    """The program does here what its sentence says."""
    done = run(number, ROOT, tmp_path)

    assert done.returncode == 0, f"{PROGRAMS[number].__doc__}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("number", PROGRAMS)
def test_the_same_program_fails_on_1_0_2(number: str, tmp_path: Path, release_1_0_2: str) -> None:
    """The program is about a bug that was there."""
    done = run(number, release_1_0_2, tmp_path, SECONDS_TO_HANG="10")

    assert done.returncode != 0, f"1.0.2 passes: {PROGRAMS[number].__doc__}"
    assert "ModuleNotFoundError: No module named 'laketrace'" not in done.stderr


def test_all_twenty_are_here() -> None:
    """None is left out."""
    assert list(PROGRAMS) == [f"b{number}" for number in range(1, 21)]
