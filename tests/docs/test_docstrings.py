"""Every example in a docstring of the package runs."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
from pathlib import Path

import pytest

import laketrace

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# An annex may want its optional packages to be imported at all.
WANTS = {
    "cli": ("rich", "duckdb"),
    "lakehouse": ("deltalake", "pyarrow"),
    "monitor": ("psutil",),
    "pipeline": ("pyarrow",),
    "spark": ("pyspark",),
}


def _modules() -> list[object]:
    found = pkgutil.walk_packages(laketrace.__path__, "laketrace.", onerror=lambda name: None)
    names = ["laketrace", *(module.name for module in found)]
    wanted = [(name, WANTS.get(name.partition(".")[2].partition(".")[0], ())) for name in names]
    return [
        pytest.param(name, marks=[pytest.mark.extra(*packages)] if packages else [])
        for name, packages in wanted
        if not name.endswith("__main__")
    ]


@pytest.mark.parametrize("name", _modules())
def test_the_examples_of_a_module_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a docstring shows is what happens, also in an empty folder and without settings."""
    monkeypatch.chdir(tmp_path)
    for variable in [variable for variable in os.environ if variable.startswith("LAKETRACE_")]:
        monkeypatch.delenv(variable)

    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=OPTIONS)

    assert failed == 0, f"{failed} examples of {name} are wrong; see above"
