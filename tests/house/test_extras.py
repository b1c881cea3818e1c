"""Extras bring what their feature needs, and never a Spark onto a cluster that has its own."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, requires

import pytest

packaging = pytest.importorskip("packaging.requirements")  # pytest needs it too

USERS_EXTRAS = ["delta", "cloud", "cli", "demo", "monitor", "lineage", "quality"]


def brought_by(package: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> None:
    """Add a package, with some of its extras, and all that it requires to `seen`."""
    if (package, extras) in seen:
        return
    seen.add((package, extras))
    try:
        lines = requires(package) or []
    except PackageNotFoundError:  # not installed: what it requires cannot be asked
        return
    for line in lines:
        wanted = packaging.Requirement(line)
        environments = [{"extra": extra} for extra in (extras or {""})]
        if wanted.marker is None or any(map(wanted.marker.evaluate, environments)):
            brought_by(wanted.name.lower().replace("_", "-"), frozenset(wanted.extras), seen)


def test_the_recorder_needs_nothing() -> None:
    """`pip install laketrace` brings LakeTrace alone."""
    seen: set[tuple[str, frozenset[str]]] = set()
    brought_by("laketrace", frozenset(), seen)

    assert seen == {("laketrace", frozenset())}


@pytest.mark.parametrize("extra", USERS_EXTRAS)
def test_no_extra_brings_spark(extra: str) -> None:
    """Neither an extra nor anything that its packages require is PySpark."""
    seen: set[tuple[str, frozenset[str]]] = set()
    brought_by("laketrace", frozenset([extra]), seen)

    names = {name for name, _ in seen}
    assert len(names) > 1, f"the extra {extra} brings nothing"
    assert not [name for name in names if "spark" in name or name in ("py4j", "databricks-connect")]
