"""Importing LakeTrace costs little: the standard library, and of it only what is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import laketrace

_HEAVY = {
    "asyncio", "multiprocessing", "concurrent", "subprocess", "typing_extensions", "zipfile",
    "bz2", "lzma", "gzip", "zlib", "socket", "inspect", "dataclasses", "tempfile", "shutil",
    "http", "urllib", "ssl", "email", "xml", "unittest", "ctypes", "decimal", "uuid", "zoneinfo",
}  # fmt: skip


def _modules_after(code: str) -> set[str]:
    """The top-level names of the modules that a fresh interpreter has loaded after `code`."""
    program = (
        f"import sys; sys.path.insert(0, {_root()!r}); before = set(sys.modules); {code}; "
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    run = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    )
    return set(run.stdout.splitlines()[-1].split())


def _root() -> str:
    return str(laketrace.__path__[0]).rpartition("/")[0]


def test_import_loads_the_door_only() -> None:
    """`import laketrace` loads nothing but the door and what it needs to open it."""
    loaded = _modules_after("import laketrace")

    assert not loaded & (_HEAVY | {"logging", "json", "threading"})


def test_the_first_logger_loads_the_standard_library_alone() -> None:
    """`get_logger` and a record load no third-party package and nothing heavy."""
    loaded = _modules_after(
        "import laketrace; log = laketrace.get_logger('x', log_dir=None, stdout=False); "
        "log.info('x', rows=1)"
    )

    assert loaded <= set(sys.stdlib_module_names) | {"laketrace"}
    assert not loaded & _HEAVY


def test_the_first_file_loads_no_more(tmp_path: Path) -> None:
    """With a file on disk it is the same: no codec is loaded before there is something for it."""
    loaded = _modules_after(
        f"import laketrace; log = laketrace.get_logger('x', log_dir={str(tmp_path)!r}); "
        "log.warning('x', rows=1); log.close()"
    )

    assert loaded <= set(sys.stdlib_module_names) | {"laketrace"}
    assert not loaded & _HEAVY
