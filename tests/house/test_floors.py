"""The floors hold: imports point down, and the header of a module says which."""

from __future__ import annotations

import ast

import pytest

from tests.house.house import (
    FLOORS,
    MAY_USE_ANNEXES,
    STEPS,
    Module,
    imports_of,
    modules,
    stands_on,
)

each_module = pytest.mark.parametrize("module", modules(), ids=lambda module: module.name or "door")


@each_module
def test_the_header_tells_the_floor_and_the_imports(module: Module) -> None:
    """The second line of a module's docstring is what its imports really are."""
    floor, said = stands_on(module)

    assert floor == FLOORS[module.house]
    assert said == imports_of(module)


@each_module
def test_imports_point_down(module: Module) -> None:
    """A module imports its own floor's package or what lies below; annexes do not meet."""
    for name in imports_of(module):
        house = name.partition(".")[0]
        if house == module.house or house in MAY_USE_ANNEXES.get(module.house, ()):
            continue
        assert _height(house) < _height(module.house), f"{module.name} imports {name}"


def _height(house: str) -> tuple[int, int]:
    return FLOORS[house], STEPS.index(house) if house in STEPS else 0


@each_module
def test_modules_and_functions_stay_readable(module: Module) -> None:
    """A module has fewer than 400 lines, a function 40, or says beside it why it has more."""
    text = module.path.read_text("utf-8")
    lines = text.count("\n")
    assert lines < 400 or "why so long:" in text, f"{module.path}: {lines} lines"
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or 0) - _first_statement(node)
            source = ast.get_source_segment(text, node) or ""
            assert length < 40 or "why so long:" in source, f"{module.name}.{node.name}: {length}"


def _first_statement(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The line where the body begins, behind the docstring."""
    first = node.body[0]
    has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return node.body[1].lineno if has_docstring and len(node.body) > 1 else first.lineno
