"""The `bench` mark, for tests that start the contenders of the benchmarks."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "bench: starts the contenders of tests/benchmarks")
