"""The lock file has an exact version, with hashes, of everything that any extra asks for."""

from __future__ import annotations

import re

from .house import ROOT

LOCK = (ROOT / "requirements-lock.txt").read_text("utf-8")
PINNED = re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)(?: ;[^\\]*)? \\$", LOCK, re.M)


def plain(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_line_is_an_exact_version_with_hashes() -> None:
    """Nothing else stands in it: no range, no file, no address of an index."""
    lines = [line for line in LOCK.splitlines() if line and not line.lstrip().startswith("#")]
    others = [
        line for line in lines if not re.match(r"    --hash=sha256:[0-9a-f]{64}( \\)?$", line)
    ]

    assert len(others) == len(PINNED) > 50
    assert re.findall(r"^[^ #].* \\\n(?!    --hash=)", LOCK, re.M) == []
    assert "://" not in LOCK and "index-url" not in LOCK.replace("--no-emit-index-url", "")


def test_everything_that_is_asked_for_is_in_it() -> None:
    """A package that an extra or a group names has its version there."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    tables = re.findall(
        r"^\[(?:project\.optional-dependencies|dependency-groups)\]\n(.*?)(?=^\[)",
        text,
        re.M | re.S,
    )
    asked = {plain(name) for table in tables for name in re.findall(r'"([\w.-]+)[\[<>=;"]', table)}

    assert len(asked) > 30
    assert asked - {"laketrace"} <= {plain(name) for name, _ in PINNED}
