"""Sizes, durations, times of day and weekdays have one meaning or are refused."""

from __future__ import annotations

from datetime import time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laketrace.files.units import (
    did_you_mean,
    parse_clock,
    parse_duration,
    parse_size,
    parse_weekday,
    quantities,
    shown,
)

PARSERS = (parse_size, parse_duration, parse_clock, parse_weekday)
KIB, MIB, GIB, TIB = 1024, 1024**2, 1024**3, 1024**4

hostile = st.one_of(
    st.text(max_size=150),
    st.from_regex(r"[ 0-9.,:a-zA-Zµ-]{0,40}"),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.binary(max_size=10),
    st.lists(st.integers(), max_size=3),
    st.timedeltas(),
    st.times(),
    st.sampled_from(["9" * 5000, "1" + " " * 99, "1h" * 60, "1." * 40, ":" * 90, 10**5000, object]),
)


class Unprintable:
    """A value whose repr fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("500 MB", 500 * MIB),
        ("500MB", 500 * MIB),
        ("  500\tmb ", 500 * MIB),
        ("1.5 gb", 3 * GIB // 2),
        ("1 B", 1),
        ("2 KB", 2 * KIB),
        ("2 KiB", 2 * KIB),
        ("2 k", 2 * KIB),
        ("10 M", 10 * MIB),
        ("10 MiB", 10 * MIB),
        ("1 GiB", GIB),
        ("1 TB", TIB),
        ("1 tib", TIB),
        ("0.5 T", TIB // 2),
        ("1.1 KB", 1126),
        (1, 1),
        (10_485_760, 10 * MIB),
        (1500.9, 1500),
    ],
)
def test_size_is_a_number_of_bytes_in_powers_of_1024(text, size):
    """Each way to write a size gives its bytes; letter case and spaces do not matter."""
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("500 MBB", "'MBB' is not a unit of size. Use B, KB, MB, GB or TB, e.g. '500 MB'."),
        ("1 PB", "'PB' is not a unit of size."),
        ("1000", "'1000' has no unit of size. Use B, KB,"),
        ("", "'' is not a size. Use a number with a unit, e.g. '500 MB'."),
        ("MB", "'MB' is not a size."),
        ("-1 MB", "'-1 MB' is not a size."),
        ("1 MB 2 KB", "'1 MB 2 KB' is not a size."),
        ("1,5 MB", "'1,5 MB' is not a size."),
        ("0 MB", "a size is at least 1 byte, not '0 MB'. Use more, e.g. '500 MB'."),
        ("0.5 B", "a size is at least 1 byte, not '0.5 B'."),
        (0, "a size is at least 1 byte, not 0."),
        (-1, "a size is at least 1 byte, not -1."),
        (0.9, "a size is at least 1 byte, not 0.9."),
        (True, "True is not a size. Use a number of bytes or a text, e.g. '500 MB'."),
        (False, "False is not a size."),
        (None, "None is not a size."),
        (float("nan"), "nan is not a number of bytes. Use a finite number"),
        (float("inf"), "inf is not a number of bytes."),
        (float("-inf"), "-inf is not a number of bytes."),
        ("9" * 101 + " B", "a text of 103 characters is too long. Use at most 100."),
        (Unprintable(), "<Unprintable> is not a size."),
    ],
)
def test_wrong_size_is_refused_with_the_way_out(value, text):
    """What is no size raises a ValueError with the rule and an example."""
    with pytest.raises(ValueError) as caught:
        parse_size(value)

    assert str(caught.value).startswith(text)


def test_error_shows_the_example_of_the_caller():
    """A parser of a setting puts that setting into the way out."""
    with pytest.raises(ValueError) as caught:
        parse_size("500 MBB", "rotation='500 MB'")

    assert str(caught.value) == (
        "'MBB' is not a unit of size. Use B, KB, MB, GB or TB, e.g. rotation='500 MB'."
    )


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("1 second", timedelta(seconds=1)),
        ("30 seconds", timedelta(seconds=30)),
        ("1 minute", timedelta(minutes=1)),
        ("30 min", timedelta(minutes=30)),
        ("1 hour", timedelta(hours=1)),
        ("1h", timedelta(hours=1)),
        ("0.5 days", timedelta(hours=12)),
        ("7 days", timedelta(days=7)),
        ("30d", timedelta(days=30)),
        ("2 weeks", timedelta(weeks=2)),
        ("1 w", timedelta(weeks=1)),
        ("1 month", timedelta(days=30)),
        ("1 year", timedelta(days=365)),
        ("2 Y", timedelta(days=730)),
        ("1 day 2 hours", timedelta(hours=26)),
        ("1 day, 2 hours", timedelta(hours=26)),
        ("1h30min", timedelta(minutes=90)),
        ("1 month 2 weeks", timedelta(days=44)),
        (" 1.5 HOURS ", timedelta(minutes=90)),
        ("0.000001 s", timedelta(microseconds=1)),
        ("999999999 days", timedelta(days=999_999_999)),
        (timedelta(minutes=5), timedelta(minutes=5)),
    ],
)
def test_duration_is_the_sum_of_its_quantities(text, duration):
    """Each way to write a duration gives its time span."""
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("30 m", "'m' may be minutes or months. Write 'min' or 'month', e.g. '1 hour'."),
        ("1h 30M", "'M' may be minutes or months."),
        ("5 fortnights", "'fortnights' is not a unit of time. Use second, minute, hour, day,"),
        ("30", "'30' has no unit of time. Use second,"),
        ("1h 30", "'1h 30' has no unit of time."),
        ("hour", "'hour' is not a duration. Use a number with a unit, e.g. '1 hour'."),
        ("", "'' is not a duration."),
        ("-1 hour", "'-1 hour' is not a duration."),
        ("1 day and 2 hours", "'1 day and 2 hours' is not a duration."),
        ("1e3 s", "'e' is not a unit of time."),
        ("0 s", "a duration is longer than 0, not '0 s'. Use more,"),
        ("0.0000001 s", "a duration is longer than 0,"),
        (timedelta(0), "a duration is longer than 0,"),
        (timedelta(seconds=-1), "a duration is longer than 0,"),
        ("9999999999 days", "a duration is at most 999999999 days, not '9999999999 days'."),
        ("9" * 60 + " years", "a duration is at most 999999999 days,"),
        (3600, "3600 is not a duration."),
        (True, "True is not a duration."),
        (None, "None is not a duration."),
    ],
)
def test_wrong_duration_is_refused_with_the_way_out(value, text):
    """What is no duration raises a ValueError with the rule and an example."""
    with pytest.raises(ValueError) as caught:
        parse_duration(value)

    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("value", "clock"),
    [
        ("00:00", time(0)),
        ("7:30", time(7, 30)),
        ("23:59:59", time(23, 59, 59)),
        (" 12:00 ", time(12)),
        ("Midnight", time(0)),
        ("noon", time(12)),
        (time(1, 2, 3), time(1, 2, 3)),
    ],
)
def test_clock_is_a_time_of_day(value, clock):
    """Each way to write a time of day gives it."""
    assert parse_clock(value) == clock


@pytest.mark.parametrize(
    "value", ["24:00", "12:60", "12:00:60", "12", "12:0", "6 pm", "", 12, None]
)
def test_wrong_clock_is_refused_with_the_way_out(value):
    """What is no time of day raises a ValueError with the range and an example."""
    with pytest.raises(ValueError, match=r"is not a time of day. Use 00:00 to 23:59.*e.g. '06:30'"):
        parse_clock(value)


@pytest.mark.parametrize(
    ("number", "name"),
    list(enumerate(["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"])),
)
def test_weekday_has_a_name_and_three_letters(number, name):
    """Full names and their first three letters are weekdays, in any letter case."""
    spellings = [name, name.upper(), name[:3], f" {name[:3].title()} "]

    assert {parse_weekday(spelling) for spelling in spellings} == {number}


@pytest.mark.parametrize("value", ["mo", "", "someday", 0, None])
def test_wrong_weekday_is_refused(value):
    """Other words and numbers are no weekdays."""
    with pytest.raises(ValueError, match=r"is not a weekday. Use monday to sunday or mon to sun"):
        parse_weekday(value)


def test_misspelt_weekday_is_recognised():
    """A slip gets the nearest name."""
    with pytest.raises(ValueError, match=r"Did you mean 'wednesday'\?"):
        parse_weekday("wensday")


@given(hostile)
def test_parsers_raise_nothing_but_value_error(value):
    """Whatever comes in, a parser returns what it promises or raises a ValueError."""
    for parser in PARSERS:
        try:
            parser(value)
        except ValueError as error:
            assert len(str(error)) < 400


@given(st.integers(1, 10**6), st.sampled_from(["B", "KB", "MiB", "g", "tb"]), st.booleans())
def test_size_survives_being_written_and_read(number, unit, space):
    """A number of units comes back as that many times the unit."""
    text = f"{number}{' ' if space else ''}{unit}"

    assert parse_size(text) == number * parse_size(f"1 {unit}")
    assert parse_size(text.swapcase()) == parse_size(text)


@given(
    st.decimals("0.001", "100000", places=3),
    st.decimals("0.001", "100000", places=3),
    st.sampled_from(["KB", "MB", "GB"]),
)
def test_size_grows_with_its_number(one, other, unit):
    """Of two numbers with a unit the larger one is the larger size."""
    sizes = [parse_size(f"{number:f} {unit}") for number in sorted([one, other])]

    assert sizes == sorted(sizes)


@given(st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=10**6)))
def test_duration_survives_being_written_and_read(duration):
    """A duration written out in days and seconds comes back exactly."""
    text = f"{duration.days} days {duration.seconds}.{duration.microseconds:06} s"

    assert parse_duration(text) == duration


@given(st.times())
def test_clock_survives_being_written_and_read(clock):
    """A time of day comes back from its text, to the second."""
    assert parse_clock(clock.strftime("%H:%M:%S")) == clock.replace(microsecond=0)


@given(st.text(alphabet="0123456789 .,hmins", max_size=60))
def test_quantities_leave_nothing_out(text):
    """What is read as quantities contains every character but spaces and commas."""
    parts = quantities(text)

    if parts:
        read = "".join(
            f"{whole}.{rest}{unit}" if rest else whole + unit for whole, rest, unit in parts
        )
        assert read == "".join(text.split()).replace(",", "")


def test_shown_is_short_and_never_fails():
    """A value in an error text is cut, and may have no repr at all."""
    assert shown("x" * 1000) == "'" + "x" * 56 + "..."
    assert shown(Unprintable()) == "<Unprintable>"


def test_nothing_is_suggested_for_a_far_name():
    """A name that is like none gets no suggestion."""
    assert did_you_mean("retension", ("retention", "rotation")) == " Did you mean 'retention'?"
    assert did_you_mean("xyz", ("retention", "rotation")) == ""
