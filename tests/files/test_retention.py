"""Every form of a retention means what it says, and only expired segments go."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laketrace.files.retention import Retention, parse_retention

DAY = 86_400 * 10**9
NOW = 20_000 * DAY


class Kept(NamedTuple):
    """A segment as retention sees it."""

    path: str
    size: int
    time_ns: int


def segments(*sizes: int, step_ns: int = DAY) -> list[Kept]:
    """Segments of these sizes, oldest first, one a day, the newest just finished."""
    newest = len(sizes) - 1
    return [
        Kept(f"orders.log.{number}", size, NOW - (newest - number) * step_ns)
        for number, size in enumerate(sizes)
    ]


def expired(value: object, files: list[Kept]) -> list[int]:
    """The positions of the files that a retention no longer keeps."""
    retention = parse_retention(value)
    assert retention is not None
    return [files.index(file) for file in retention.expired(files, NOW)]


@pytest.mark.parametrize(
    ("value", "retention"),
    [
        (5, Retention(5, None, None, ())),
        (1, Retention(1, None, None, ())),
        ("10 files", Retention(10, None, None, ())),
        ("1 File", Retention(1, None, None, ())),
        ("7 days", Retention(None, timedelta(days=7), None, ())),
        ("30d", Retention(None, timedelta(days=30), None, ())),
        ("0.5 days", Retention(None, timedelta(hours=12), None, ())),
        ("1 month", Retention(None, timedelta(days=30), None, ())),
        ("1 week 2 days", Retention(None, timedelta(days=9), None, ())),
        (timedelta(days=3), Retention(None, timedelta(days=3), None, ())),
        ("100 MB", Retention(None, None, 100 * 1024**2, ())),
        ("5 g", Retention(None, None, 5 * 1024**3, ())),
        ({"count": 10}, Retention(10, None, None, ())),
        ({"count": "10 files"}, Retention(10, None, None, ())),
        (
            {"count": 10, "age": "7 days", "size": "5 GB"},
            Retention(10, timedelta(days=7), 5 * 1024**3, ()),
        ),
        ({"age": timedelta(days=1), "size": 1000}, Retention(None, timedelta(days=1), 1000, ())),
        (["10 files", "7 days", 3], Retention(3, timedelta(days=7), None, ())),
        (("2 days", {"age": "1 day"}), Retention(None, timedelta(days=1), None, ())),
        ({"1 GB", "1 MB"}, Retention(None, None, 1024**2, ())),
    ],
)
def test_retention_has_a_count_an_age_and_a_size(value, retention):
    """Forms of 1.x and new ones; of two of a kind the stricter one holds."""
    assert parse_retention(value) == retention


def test_none_keeps_all():
    """Without a condition there is no retention."""
    assert parse_retention(None) is None


def test_callable_is_kept_for_the_sink():
    """A callable takes the paths itself; it makes nothing expire here."""

    def prune(paths):
        raise AssertionError("not called here")

    assert parse_retention(prune) == (None, None, None, (prune,))
    assert parse_retention([5, prune]) == (5, None, None, (prune,))
    assert expired(prune, segments(1, 2, 3)) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "retention keeps at least 1 file, not 0. Use more, or None to keep all."),
        (-1, "retention keeps at least 1 file, not -1."),
        ("0 files", "retention keeps at least 1 file, not '0 files'."),
        (True, "True is not a number of files. Use e.g. retention=10 or '10 files'."),
        (False, "False is not a number of files."),
        (2.5, "2.5 is not a rule of retention. Use a number of files like 10 or '10 files',"),
        ("2.5 files", "'2.5 files' is not a number of files."),
        ("10", "'10' is not a number of files. Use e.g. retention=10 or '10 files'."),
        (
            "30 m",
            "'m' may be minutes, months or megabytes. Write '30 min', '30 months' or '30 MB'.",
        ),
        ("30M", "'M' may be minutes, months or megabytes."),
        ("5 GBB", "'GBB' is not a unit of size. Use B, KB, MB, GB or TB, e.g. retention='5 GB'."),
        ("7 dayz", "'dayz' is not a unit of time. Use second, minute, hour, day,"),
        ("", "'' is not a rule of retention. Use a number of files"),
        ("forever", "'forever' is not a rule of retention."),
        ("-1 day", "'-1 day' is not a rule of retention."),
        ("0 days", "a duration is longer than 0,"),
        ("0 MB", "a size is at least 1 byte,"),
        (timedelta(days=-1), "a duration is longer than 0,"),
        ([], "a list of retention conditions has at least one."),
        ([None], "None is not a rule of retention."),
        ([[1]], "[1] is not a rule of retention."),
        ({}, "a dict for retention has at least one key. Use 'count', 'age' or 'size'."),
        ({"cout": 1}, "'cout' is not a key of retention. Use 'count', 'age' or 'size', e.g. ret"),
        ({"count": 1.0}, "1.0 is not a number of files."),
        ({"count": None}, "None is not a number of files."),
        ({"age": 7}, "7 is not a duration. Use a number with a unit, e.g. retention='7 days'."),
        ({"size": "7 days"}, "'days' is not a unit of size."),
    ],
)
def test_wrong_retention_is_refused_with_the_way_out(value, text):
    """What is no condition raises a ValueError with the rule and an example."""
    with pytest.raises(ValueError) as caught:
        parse_retention(value)

    assert str(caught.value).startswith(text)


def test_slip_in_a_key_gets_the_nearest_name():
    """A misspelt key is told what was probably meant."""
    with pytest.raises(ValueError, match=r"Did you mean 'count'\?"):
        parse_retention({"cout": 1})


def test_count_keeps_the_newest_files():
    """The oldest files above the number expire."""
    assert expired(2, segments(1, 1, 1, 1, 1)) == [0, 1, 2]
    assert expired(5, segments(1, 1, 1)) == []


def test_age_keeps_files_up_to_that_age():
    """A file exactly so old is kept, an older one is not."""
    assert expired("2 days", segments(1, 1, 1, 1, 1)) == [0, 1]
    assert expired("36 hours", segments(1, 1, 1, 1, 1)) == [0, 1, 2]


def test_size_keeps_the_newest_files_that_fit():
    """From the newest on, files are kept while they fit; nothing behind the first that does not."""
    assert expired({"size": 10}, segments(1, 9, 5, 5)) == [0, 1]
    assert expired({"size": 11}, segments(1, 9, 5, 5)) == [0, 1]
    assert expired({"size": 20}, segments(1, 9, 5, 5)) == []
    assert expired({"size": 4}, segments(1, 9, 5, 5)) == [0, 1, 2, 3]


def test_all_conditions_are_enforced():
    """A file goes as soon as one condition no longer keeps it."""
    files = segments(1, 1, 1, 1, 100, 1)

    assert expired({"count": 5, "age": "3 days", "size": 1000}, files) == [0, 1]
    assert expired({"count": 5, "age": "30 days", "size": 50}, files) == [0, 1, 2, 3, 4]
    assert expired({"count": 1, "age": "30 days", "size": 1000}, files) == [0, 1, 2, 3, 4]


def test_clock_that_jumped_back_expires_nothing():
    """Segments that seem to come from the future are not old."""
    files = [Kept("a", 1, NOW + DAY), Kept("b", 1, NOW + 2 * DAY)]

    assert expired("1 day", files) == []


def test_no_segments_expire_from_nothing():
    """An empty directory is in order."""
    assert expired({"count": 1, "age": "1 s", "size": 1}, []) == []


@given(
    st.lists(st.integers(0, 50), max_size=12),
    st.none() | st.integers(1, 12),
    st.none() | st.integers(1, 12),
    st.none() | st.integers(1, 200),
)
def test_kept_segments_meet_every_condition(sizes, count, days, size):
    """What is kept is the longest run of newest files that meets all conditions."""
    age = None if days is None else timedelta(days=days)
    retention = Retention(count, age, size, ())
    files = segments(*sizes)

    gone = retention.expired(files, NOW)
    kept = [file for file in files if file not in gone]

    def allowed(run: list[Kept]) -> bool:
        return (
            (count is None or len(run) <= count)
            and (days is None or all(NOW - file.time_ns <= days * DAY for file in run))
            and (size is None or sum(file.size for file in run) <= size)
        )

    assert gone + kept == files
    assert allowed(kept)
    assert not gone or not allowed([gone[-1], *kept])


@given(
    st.one_of(
        st.text(max_size=120),
        st.from_regex(r"[ 0-9.a-z-]{0,30}"),
        st.integers(),
        st.floats(),
        st.booleans(),
        st.timedeltas(),
        st.binary(max_size=5),
        st.lists(st.text(max_size=8) | st.integers() | st.none(), max_size=3),
        st.dictionaries(
            st.sampled_from(["count", "age", "size", "x", 1]), st.text(max_size=8) | st.integers()
        ),
    )
)
def test_retention_raises_nothing_but_value_error(value):
    """Whatever comes in, it is refused with a ValueError or can be asked."""
    try:
        retention = parse_retention(value)
    except ValueError:
        return
    assert retention is not None
    retention.expired(segments(1, 2, 3), NOW)
