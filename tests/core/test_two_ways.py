"""A record takes a fast way, or one over a record object: the line is the same."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laketrace import Logger, get_logger
from laketrace.testing import ManualClock
from tests.core.test_encode import any_text, any_value

names = any_text.filter(bool) | st.sampled_from(
    ["password", "api_key", "note", "level", "message", "exception", "name", "self"]
)
fields = st.dictionaries(
    names,
    any_value
    | st.dictionaries(names, any_value, max_size=3).map(UserDict)
    | st.sampled_from(["bob@example.com", "token=hunter2"]),
    max_size=4,
)


@pytest.fixture(params=[{}, {"mask_pii": True}, {"redact": False}], ids=str)
def log(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Logger]:
    """A logger whose clock stands still."""
    with ManualClock():
        log = get_logger("ways", log_dir=tmp_path, stdout=False, **request.param)
    yield log
    log.close()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(any_text, fields, fields, fields)
def test_both_ways_give_the_same_bytes(
    log: Logger, message: str, bound: Any, context: Any, call: Any
) -> None:
    """An enricher that adds nothing asks for the record object, and changes nothing."""
    before = log.log_file_path.stat().st_size
    fast = log.bind(**bound)
    slow = fast.patch(lambda record: {})

    with log.contextualize(**context):
        fast.info(message, **call)
        slow.info(message, **call)

    one, other = log.log_file_path.read_bytes()[before:].splitlines()
    assert one == other
