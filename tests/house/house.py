"""What the tests of the house read from the source: modules, headers and imports."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "laketrace"
# The floor of each top-level name, as DESIGN's picture of the house has it.
FLOORS = {
    "errors": 0,
    "annexes": 0,
    "core": 1,
    "files": 2,
    "runtime": 3,
    "config": 4,
    "adding": 5,
    "opening": 5,
    "assembly": 5,
    "forms": 5,
    "setup": 5,
    "integrity": 6,
    "init": 6,
    "interop": 6,
    "logger": 6,
    "security": 6,
    "testing": 6,
    "spark": 7,
    "lakehouse": 7,
    "pipeline": 7,
    "monitor": 7,
    "cli": 7,
    "": 8,
    "__main__": 8,
}
# The steps of floor 5, from settings to `get_logger`; each stands on those before it.
STEPS = ["forms", "opening", "adding", "assembly", "setup"]
MAY_USE_ANNEXES = {"cli": {"spark", "lakehouse", "pipeline", "monitor"}, "pipeline": {"spark"}}


class Module(NamedTuple):
    """A module of the package: its dotted name without `laketrace.`, its path and its tree."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def house(self) -> str:
        """The top-level name that it belongs to."""
        return self.name.partition(".")[0]

    @property
    def header(self) -> str:
        """Its docstring."""
        return ast.get_docstring(self.tree) or ""


@cache
def modules() -> list[Module]:
    """Every module of the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found.append(Module(".".join(parts), path, ast.parse(path.read_text("utf-8"))))
    return found


def imports_of(module: Module) -> set[str]:
    """The modules of this package that a module imports anywhere, type checking left out."""
    names = {other.name for other in modules()}
    found: set[str] = set()
    skipped = {id(node) for block in _type_checking(module.tree) for node in ast.walk(block)}
    for node in ast.walk(module.tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found.update(_ours(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            base = _ours(node.module or "")
            for alias in node.names:
                inner = f"{base}.{alias.name}" if base else alias.name
                is_ours = (node.module or "").startswith("laketrace")
                found.add(inner if is_ours and inner in names else base)
        elif isinstance(node, ast.ImportFrom):
            found.add("<relative import>")
    return {name for name in found if name and name != module.name}


def _type_checking(tree: ast.Module) -> list[ast.If]:
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    return [node for node in blocks if ast.unparse(node.test) == "TYPE_CHECKING"]


def _ours(name: str) -> str:
    return name.removeprefix("laketrace").removeprefix(".") if name.startswith("laketrace") else ""


def stands_on(module: Module) -> tuple[int, set[str]]:
    """What the header says: the floor, and the modules below."""
    match = re.search(r"^Floor (\d)\. Stands on: (.+?)\.\s*$", module.header, re.M | re.S)
    if match is None:
        raise AssertionError(f"{module.path}: the header has no line 'Floor N. Stands on: ...'")
    names = {name.strip() for name in match[2].replace("\n", " ").split(",")}
    return int(match[1]), names - {"nothing"}
