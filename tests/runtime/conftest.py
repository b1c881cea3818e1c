"""What the tests of the runtime share: a machine without platform."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.platforms import Surroundings


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Surroundings]:
    """An empty machine; the tests fill it."""
    surroundings = Surroundings(monkeypatch, str(tmp_path))
    yield surroundings
    surroundings.clear()
    monkeypatch.undo()
    surroundings.clear()
