"""What one proof leaves open is not the next one's trouble."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from laketrace.setup import loggers


@pytest.fixture(autouse=True)
def _closed_afterwards() -> Iterator[None]:
    yield
    for log in loggers():
        log.close()
