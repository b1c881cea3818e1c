"""What the tests of interplay look at: the records of their logger."""

from __future__ import annotations

import pytest

from laketrace.core.logger import Logger
from laketrace.testing import Records


@pytest.fixture
def records(log: Logger) -> Records:
    """The records that the test's logger emits from now on."""
    records = Records()
    log.add(records)
    return records
