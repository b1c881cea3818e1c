"""A pytest fixture that keeps the records of every logger as objects.

Floor 6. Stands on: core.records, setup.

Installed with LakeTrace (entry point `laketrace`), used by name:

    def test_load_says_how_many_rows(log_records):
        load("orders")
        assert log_records.having(table="orders")[0].extra["rows"] == 3

Loading the plugin imports nothing of LakeTrace; the fixture does. It adds a handler to each living
logger, and to each that is made during the test, and takes them away at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from laketrace.core.logger import Logger
    from laketrace.core.records import Records


@pytest.fixture
def log_records() -> Iterator[Records]:
    """The records that LakeTrace's loggers emit during the test, as `laketrace.testing.Records`."""
    from laketrace import setup
    from laketrace.core.records import Records

    records = Records()
    added: list[tuple[Logger, int]] = []

    def listen(log: Logger) -> None:
        added.append((log, log.add(records)))

    for log in setup.loggers():
        listen(log)
    setup.on_made.append(listen)
    try:
        yield records
    finally:
        setup.on_made.remove(listen)
        for log, number in added:
            if number in log.handlers:
                log.remove(number)
