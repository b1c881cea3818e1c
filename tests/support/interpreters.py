"""Every CPython that LakeTrace supports and this machine has.

`.ci/noxfile.py` makes an environment for each, so nothing beyond the standard library is here. As a
program it prints `version path` lines:

    python tests/support/interpreters.py
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys

SUPPORTED = ("3.10", "3.11", "3.12", "3.13")
ASK = "import platform; print(platform.python_implementation(), platform.python_version())"


def find_interpreters() -> dict[str, str]:
    """Version ("3.12") to the path of a CPython that answers; a pyenv shim may not."""
    found: dict[str, str] = {}
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    for version in SUPPORTED:
        pattern = os.path.join(pyenv, "versions", f"{version}.*", "bin", "python")
        for path in [sys.executable, shutil.which(f"python{version}"), *sorted(glob.glob(pattern))]:
            if path and _answers(path, version):
                found[version] = path
                break
    return found


def _answers(path: str, version: str) -> bool:
    try:
        said = subprocess.run([path, "-c", ASK], capture_output=True, text=True, timeout=240)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return said.returncode == 0 and said.stdout.startswith(f"CPython {version}.")


if __name__ == "__main__":
    for number, path in find_interpreters().items():
        print(number, path)
