"""What the package exports is what it promises, and all of it is documented."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import laketrace
from laketrace import annexes
from laketrace.core.logger import Logger


def test_every_exported_name_is_there() -> None:
    """Each name of `__all__` can be imported from the package."""
    for name in laketrace.__all__:
        assert getattr(laketrace, name) is not None


@pytest.mark.parametrize("name", sorted(set(laketrace.__all__) - {"__version__"}))
def test_every_exported_name_has_a_docstring(name: str) -> None:
    """What a user can import says what it is."""
    assert inspect.getdoc(getattr(laketrace, name))


@pytest.mark.parametrize("name", [name for name in dir(Logger) if not name.startswith("_")])
def test_every_method_of_a_logger_has_a_docstring(name: str) -> None:
    """What a user can call on a logger says what it does."""
    assert inspect.getdoc(inspect.getattr_static(Logger, name)) or inspect.getdoc(
        getattr(Logger, name)
    )


def test_type_checkers_see_what_the_annexes_add() -> None:
    """The class that only they read has the names of the table (lint checks `typed.py` with it)."""
    tree = ast.parse(Path(annexes.__file__).read_text("utf-8"))
    (added,) = (
        node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == "Added"
    )
    names = [
        target.id
        for node in added.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]

    assert names == list(annexes.ADDED)
