"""Whatever value a setting is given, it is taken or refused in the words of the house."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laketrace.config import SETTINGS, LakeTraceConfig
from laketrace.errors import ConfigError

words = st.sampled_from(
    ["yes", "off", "10 MB", "500 MBB", "7 days", "monday 12:00", "daily", "gz", "INFO", "block",
     "Europe/Berlin", "10 files", "1 h 30 min", "-1", "0", "1e400", "", " ", "\0", "ß", "²"]
)  # fmt: skip
simple = st.one_of(
    words,
    st.text(max_size=20),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.binary(max_size=5),
    st.timedeltas(),
    st.times(),
    st.just(object()),
    st.just(len),
)
values = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@pytest.mark.parametrize("name", sorted(SETTINGS))
@settings(deadline=None, max_examples=40)
@given(value=values)
def test_any_value_is_taken_or_refused_with_a_config_error(name: str, value: Any) -> None:
    """No value of any type raises anything else, and the text names setting and value."""
    try:
        config = LakeTraceConfig({name: value}, environment={})
    except ConfigError as error:
        assert len(error.problems) == 1
        assert error.problems[0].startswith(f"{name}="), error.problems
        assert "\n" not in error.problems[0]
        return
    config.checked(name)


@settings(deadline=None, max_examples=40)
@given(given=st.dictionaries(st.sampled_from(sorted(SETTINGS)), values, max_size=6))
def test_all_problems_are_said_at_once(given: dict[str, Any]) -> None:
    """Of several wrong settings each has its line, the same as alone."""
    alone = []
    for name, value in given.items():
        try:
            LakeTraceConfig({name: value}, environment={})
        except ConfigError as error:
            alone += error.problems

    try:
        LakeTraceConfig(given, environment={})
        together: list[str] = []
    except ConfigError as error:
        together = list(error.problems)

    assert sorted(alone) == sorted(set(together) & set(alone))


@pytest.mark.parametrize("name", sorted(SETTINGS))
@settings(deadline=None, max_examples=40)
@given(text=st.one_of(words, st.text(max_size=20)))
def test_any_text_of_the_environment_is_taken_or_refused(name: str, text: str) -> None:
    """Also what `LAKETRACE_<NAME>` says can only be right or a `ConfigError`."""
    try:
        config = LakeTraceConfig({}, environment={f"LAKETRACE_{name.upper()}": text})
    except ConfigError as error:
        assert len(error.problems) == 1
        return
    config.checked(name)
