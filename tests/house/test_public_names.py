"""What the package exports is what it promises, and all of it is documented."""

from __future__ import annotations

import inspect

import pytest

import laketrace
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
