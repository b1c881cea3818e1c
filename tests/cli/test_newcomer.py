"""The first command line of the README, for somebody who has Python and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support.processes import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.extra("build"), pytest.mark.timeout(1000)]


def test_the_command_line_of_the_readme_works(tmp_path: Path) -> None:
    """`pip install 'laketrace[demo]' && laketrace demo`, in an environment that was empty."""
    readme = Path(ROOT, "README.md").read_text("utf-8")
    (line,) = re.findall(
        r"^```bash\n(pip install 'laketrace\[demo\]' && laketrace demo)\n", readme, re.M
    )
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), ROOT]
    subprocess.run(build, check=True, capture_output=True, timeout=400)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    script = "set -e\n. venv/bin/activate\n" + line.replace("laketrace[", f"{wheel}[")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env={**clean, "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, timeout=560,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    (written, read, rows) = re.findall(
        r"([\d,]+) written = ([\d,]+) read from the files = ([\d,]+) rows in the table", done.stdout
    )[0]
    assert written == read == rows
