"""The docs know every public name and setting, and their links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import laketrace
from laketrace.annexes import ADDED
from laketrace.config import SETTINGS
from laketrace.core.logger import Logger

from .house import ROOT

DOCS = ROOT / "docs"
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_FENCES = re.compile(r"^( *)```.*?^\1```$", re.M | re.S)


@cache
def generate() -> ModuleType:
    """docs/generate.py, which makes the reference pages."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def site() -> dict[str, str]:
    """Every page, made and written, by its path from the root."""
    made = {f"docs/{path}": text for path, text in generate().pages().items()}
    paths = [ROOT / "README.md", *DOCS.rglob("*.md")]
    written = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in paths}
    return {**written, **made}


def prose_of(text: str) -> str:
    """A page without its code blocks."""
    return _FENCES.sub("", text)


def anchors_of(text: str) -> set[str]:
    """What can be linked to on a page."""
    found = set(re.findall(r"\{ *#([\w-]+) *\}", text))
    for heading in re.findall(r"^#+ (.+)$", prose_of(text), re.M):
        plain = re.sub(r"[^\w\s-]", "", heading.lower()).strip()
        found.add(re.sub(r"[\s-]+", "-", plain))
    return found


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_has_its_section(name: str) -> None:
    """The page of settings has each one, with its default and what is accepted."""
    page = site()["docs/reference/settings.md"]

    assert f"## `{name}` {{ #{name} }}" in page
    assert f"`{SETTINGS[name].default!r}`" in page and SETTINGS[name].forms in page


@pytest.mark.parametrize("name", sorted(set(laketrace.__all__) - {"__version__", "Logger"}))
def test_a_public_name_is_in_the_reference(name: str) -> None:
    """What can be imported from the package has its place on the package's page."""
    assert re.search(rf"^::: laketrace[\w.]*\.{name}$", site()["docs/reference/laketrace.md"], re.M)


@pytest.mark.parametrize("name", [name for name in dir(Logger) if not name.startswith("_")])
def test_a_method_of_a_logger_is_in_the_docs(name: str) -> None:
    """What a user can call on a logger is shown on a page, in code or in words."""
    if name in ADDED:
        assert f"`log.{name}`" in site()["docs/reference/logger.md"]
    elif name != "over":  # how the package itself makes one
        shown = "\n".join(text for path, text in site().items() if "reference" not in path)
        assert re.search(rf"\.{name}\b|`{name}`", shown), f"no page shows log.{name}"


@pytest.mark.parametrize("page", sorted(site()))
def test_links_lead_somewhere(page: str) -> None:
    """Each link to another page, and to a place on it, has its target."""
    for target in _LINK.findall(prose_of(site()[page])):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = page
        if path:
            found = (ROOT / page).parent.joinpath(path).resolve().relative_to(ROOT).as_posix()
        assert found in site() or (ROOT / found).exists(), f"{page} links to {target}"
        if anchor and found in site():
            assert anchor in anchors_of(site()[found]), f"{page} links to {target}"


def test_every_page_is_in_the_navigation() -> None:
    """A page that nobody can find is no page."""
    text = (ROOT / "docs" / "mkdocs.yml").read_text("utf-8")
    listed = {f"docs/{path}" for path in re.findall(r"([\w/.-]+\.md)$", text, re.M)}

    assert set(site()) - {"README.md"} == listed


def test_the_version_is_the_same_everywhere() -> None:
    """Package and pyproject.toml name one version."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")

    assert f'version = "{laketrace.__version__}"' in text


def test_the_version_is_in_the_changelog_with_its_date() -> None:
    """As Keep a Changelog has it, newest first, with its six kinds of change and no other."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    versions = re.findall(r"^## \[([^]]+)\](.*)$", text, re.M)

    assert versions[0] == ("Unreleased", "")
    assert versions[1][0] == laketrace.__version__
    assert all(re.fullmatch(r" - \d{4}-\d\d-\d\d", date) for _, date in versions[1:])
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.M)) <= kinds


def test_no_page_speaks_of_a_place_that_a_reader_does_not_have() -> None:
    """Paths of the machine on which a page was written are no part of it."""
    places = {f"{place}/" for place in (str(ROOT), str(Path.home())) if place != "/"}
    for path, text in site().items():
        assert not [place for place in (*places, "/tmp/pytest") if place in text], path
