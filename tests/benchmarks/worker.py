"""Runs one measurement in a process of its own and prints its result as JSON.

Started by `in_fresh_process`. Standard output belongs to the contender (1.0.2 prints on it), so
it is turned to the null device and the result goes to what standard output was before.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_PACKAGE = __package__ or "tests.benchmarks"


class Failed(Exception):
    """The process ended without a result; the text is the last thing it said."""


def in_fresh_process(measurement: Callable[..., Any], **arguments: Any) -> Any:
    """Call `measurement(folder=..., **arguments)` in a new interpreter and return its result.

    The folder is new, on disk, and removed afterwards. Raises Failed with the error's last line.
    """
    spec = f"{measurement.__module__.rpartition('.')[2]}:{measurement.__name__}"
    package_root = Path(__file__).parents[len(_PACKAGE.split("."))]
    path = os.pathsep.join([str(ROOT), str(package_root)])
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        ended = subprocess.run(
            [sys.executable, "-m", f"{_PACKAGE}.worker", spec, folder, json.dumps(arguments)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=600,
        )
    if ended.returncode != 0:
        said = ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"]
        raise Failed(said[-1])
    return json.loads(ended.stdout)


def main() -> None:
    spec, folder, arguments = sys.argv[1:]
    result_fd = os.dup(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    module, _, name = spec.partition(":")
    measurement = getattr(importlib.import_module(f"{_PACKAGE}.{module}"), name)
    result = measurement(folder=folder, **json.loads(arguments))
    with os.fdopen(result_fd, "w") as out:
        json.dump(result, out)


if __name__ == "__main__":
    main()
