"""Every form of a rotation means what it says, on the clock of its time zone."""

from __future__ import annotations

import os
import subprocess
import sys
import time as clock_time
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from laketrace.files.rotation import parse_rotation, parse_timezone

UTC = timezone.utc
SECOND = 10**9
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]


def ns(text: str, zone: tzinfo = UTC) -> int:
    """Unix nanoseconds of an ISO 8601 text; without an offset it is a time in `zone`."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()) * SECOND


def due(rule: object, began: str, zone: tzinfo = UTC) -> str:
    """When a file that began at `began` is due, as a time in `zone` with its offset."""
    rotation = parse_rotation(rule, zone)
    assert rotation is not None
    found = rotation.next_due(ns(began, zone))
    assert found is not None
    return datetime.fromtimestamp(found / SECOND, zone).strftime("%Y-%m-%d %H:%M:%S%z")


def dues(rule: object, began_ns: int, zone: tzinfo | None, count: int) -> list[int]:
    """The next `count` instants at which a rule fires."""
    rotation = parse_rotation(rule, zone)
    assert rotation is not None
    found = [began_ns]
    for _ in range(count):
        following = rotation.next_due(found[-1])
        assert following is not None
        found.append(following)
    return found[1:]


@contextmanager
def machine_in(zone: str):
    """Let the machine's own time zone be `zone` for a while."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    clock_time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        clock_time.tzset()


# -- forms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("500 MB", 500 * 1024**2),
        ("1.5 gb", 1536 * 1024**2),
        ("10 KB", 10 * 1024),
        ("100 B", 100),
        ("100 KiB", 100 * 1024),
        ("10 M", 10 * 1024**2),
        ("1 TB", 1024**4),
        (1000, 1000),
        (2000.5, 2000),
        ({"size": "1 KB"}, 1024),
        ({"size": 7}, 7),
        (["1 MB", 5000, "1 KB"], 1024),
    ],
)
def test_size_rule_is_a_number_of_bytes(value, size):
    """Sizes of 1.x and new ones; of several the smallest holds."""
    rotation = parse_rotation(value)

    assert rotation == (size, (), ())
    assert rotation.next_due(0) is None


@pytest.mark.parametrize(
    ("value", "interval"),
    [
        ("1 hour", timedelta(hours=1)),
        ("0.5 days", timedelta(hours=12)),
        ("30 seconds", timedelta(seconds=30)),
        ("1 month", timedelta(days=30)),
        ("1 year", timedelta(days=365)),
        ("30 min", timedelta(minutes=30)),
        ("1h", timedelta(hours=1)),
        ("1 day 2 hours", timedelta(hours=26)),
        ("1h30min", timedelta(minutes=90)),
        (timedelta(minutes=7), timedelta(minutes=7)),
        ({"interval": "1 week"}, timedelta(weeks=1)),
        (["2 hours", timedelta(hours=1)], timedelta(hours=1)),
    ],
)
def test_interval_counts_from_the_beginning_of_the_file(value, interval):
    """A file is due that long after it began, whatever the clock shows."""
    began = ns("2026-03-29T00:30:00") + 123

    assert (
        parse_rotation(value).next_due(began)
        == began + interval // timedelta(microseconds=1) * 1000
    )


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("hourly", "2026-07-15 11:00:00+0000"),
        ("Hourly", "2026-07-15 11:00:00+0000"),
        ("daily", "2026-07-16 00:00:00+0000"),
        ("weekly", "2026-07-20 00:00:00+0000"),
        ("monthly", "2026-08-01 00:00:00+0000"),
        ("yearly", "2027-01-01 00:00:00+0000"),
        ("12:00", "2026-07-15 12:00:00+0000"),
        ("9:30", "2026-07-16 09:30:00+0000"),
        ("10:20:30", "2026-07-16 10:20:30+0000"),
        ("10:20:31", "2026-07-15 10:20:31+0000"),
        ("midnight", "2026-07-16 00:00:00+0000"),
        ("noon", "2026-07-15 12:00:00+0000"),
        (time(18, 45), "2026-07-15 18:45:00+0000"),
        ("monday", "2026-07-20 00:00:00+0000"),
        ("wednesday", "2026-07-22 00:00:00+0000"),
        ("wednesday 12:00", "2026-07-15 12:00:00+0000"),
        ("wed 9:00", "2026-07-22 09:00:00+0000"),
        ("Monday 12:00", "2026-07-20 12:00:00+0000"),
        ("monday at 12:00", "2026-07-20 12:00:00+0000"),
        ("sunday\tnoon", "2026-07-19 12:00:00+0000"),
        ({"time": "00:00"}, "2026-07-16 00:00:00+0000"),
        ({"time": "monday 12:00"}, "2026-07-20 12:00:00+0000"),
        ({"time": "weekly"}, "2026-07-20 00:00:00+0000"),
        ({"size": "500 MB", "time": "00:00", "interval": "1 hour"}, "2026-07-15 11:20:30+0000"),
        (["monthly", "12:00", "5 hours"], "2026-07-15 12:00:00+0000"),
        (("weekly", "20:00"), "2026-07-15 20:00:00+0000"),
        ({"monday", "friday 08:00"}, "2026-07-17 08:00:00+0000"),
    ],
)
def test_time_rule_fires_on_the_calendar(rule, expected):
    """A file that began on Wednesday, 15 July 2026, 10:20:30 is due at the rule's next time."""
    assert due(rule, "2026-07-15T10:20:30") == expected


@pytest.mark.parametrize(
    ("rule", "began", "expected"),
    [
        ("daily", "2026-07-15T00:00:00", "2026-07-16 00:00:00+0000"),
        ("hourly", "2026-07-15T23:00:00", "2026-07-16 00:00:00+0000"),
        ("monday 12:00", "2026-07-20T12:00:00", "2026-07-27 12:00:00+0000"),
        ("monday 12:00", "2026-07-20T11:59:59", "2026-07-20 12:00:00+0000"),
        ("monthly", "2026-12-01T00:00:00", "2027-01-01 00:00:00+0000"),
        ("monthly", "2028-02-29T12:00:00", "2028-03-01 00:00:00+0000"),
        ("yearly", "2026-01-01T00:00:00", "2027-01-01 00:00:00+0000"),
        ("yearly", "1969-06-01T00:00:00", "1970-01-01 00:00:00+0000"),
        ("weekly", "1969-12-31T00:00:00", "1970-01-05 00:00:00+0000"),
    ],
)
def test_file_that_begins_at_the_border_is_due_at_the_next_one(rule, began, expected):
    """The border itself belongs to the new file."""
    assert due(rule, began) == expected


def test_callable_is_kept_for_the_sink():
    """A callable decides at each write; it has no time that could be told beforehand."""

    def full(text, file):
        return True

    rotation = parse_rotation([full, "1 MB", "daily"], UTC)

    assert rotation.callables == (full,)
    assert rotation.size == 1024**2
    assert rotation.next_due(0) == 86_400 * SECOND
    assert parse_rotation(full) == (None, (), (full,))


def test_none_rotates_never():
    """Without a rule there is no rotation."""
    assert parse_rotation(None) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            "500 MBB",
            "'MBB' is not a unit of size. Use B, KB, MB, GB or TB, e.g. rotation='500 MB'.",
        ),
        ("5 fortnights", "'fortnights' is not a unit of time. Use second, minute,"),
        ("1h 30m", "'m' may be minutes or months. Write 'min' or 'month', e.g. rotation='1 hour'."),
        ("1000", "'1000' has no unit of time."),
        ("", "'' is not a rule of rotation. Use a size like '500 MB', an interval"),
        ("-5 MB", "'-5 MB' is not a rule of rotation."),
        ("dayly", "'dayly' is not a rule of rotation."),
        ("25:00", "'25:00' is not a time of day. Use 00:00 to 23:59,"),
        ("monday 25:00", "'25:00' is not a time of day."),
        ("monday tuesday", "'tuesday' is not a time of day."),
        (0, "a size is at least 1 byte, not 0. Use more, e.g. rotation='500 MB'."),
        (-1, "a size is at least 1 byte, not -1."),
        ("0 MB", "a size is at least 1 byte, not '0 MB'."),
        (True, "True is not a size. Use a number of bytes or a text, e.g. rotation='500 MB'."),
        (False, "False is not a size."),
        (float("nan"), "nan is not a number of bytes."),
        (timedelta(0), "a duration is longer than 0,"),
        (timedelta(seconds=-1), "a duration is longer than 0,"),
        ("0 hours", "a duration is longer than 0,"),
        ([], "a list of rotation rules has at least one. Use a size"),
        (set(), "a list of rotation rules has at least one."),
        ([None], "None is not a rule of rotation."),
        ([["1 MB"]], "['1 MB'] is not a rule of rotation."),
        ({}, "a dict for rotation has at least one key. Use 'size', 'time' or 'interval'."),
        ({"time": 12}, "12 is not a time. Use rotation='00:00' or 'monday 12:00'."),
        ({"size": None}, "None is not a size."),
        ({"interval": "daily"}, "'daily' is not a duration."),
        ({1: 2}, "1 is not a key of rotation. Use 'size', 'time' or 'interval',"),
        (date(2026, 1, 1), "datetime.date(2026, 1, 1) is not a rule of rotation."),
    ],
)
def test_wrong_rotation_is_refused_with_the_way_out(value, text):
    """What is no rule raises a ValueError with the rule and an example."""
    with pytest.raises(ValueError) as caught:
        parse_rotation(value)

    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("value", "near"),
    [("dayly", "daily"), ("mondy 12:00", "monday"), ({"sise": 1}, "size"), ("hourl", "hourly")],
)
def test_slip_gets_the_nearest_name(value, near):
    """A misspelt word or key is told what was probably meant."""
    with pytest.raises(ValueError, match=rf"Did you mean '{near}'\?"):
        parse_rotation(value)


@given(
    st.recursive(
        st.one_of(
            st.text(max_size=120),
            st.from_regex(r"[ 0-9.:a-z-]{0,30}"),
            st.integers(),
            st.floats(),
            st.booleans(),
            st.none(),
            st.timedeltas(),
            st.times(),
            st.binary(max_size=5),
        ),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(["size", "time", "interval", "x", 1]), inner, max_size=3
            ),
        ),
        max_leaves=5,
    ),
    st.integers(-(10**20), 10**21),
)
def test_rotation_raises_nothing_but_value_error(value, began_ns):
    """Whatever comes in, it is refused with a ValueError or can be asked at any time."""
    try:
        rotation = parse_rotation(value, UTC)
    except ValueError:
        return
    if rotation is not None:
        found = rotation.next_due(began_ns)
        assert found is None or found > began_ns


def test_rule_that_fires_beyond_the_calendar_never_fires():
    """After the year 9999 there is no next time, and no error either."""
    rotation = parse_rotation(["yearly", "hourly", "12:00", "monday"], UTC)

    assert rotation.next_due(ns("9999-12-31T23:30:00")) is None
    assert rotation.next_due(10**30) is None


# -- time zones ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("local", None),
        (" LOCAL ", None),
        ("UTC", UTC),
        ("utc", UTC),
        ("Europe/Berlin", ZoneInfo("Europe/Berlin")),
        ("europe/BERLIN", ZoneInfo("Europe/Berlin")),
        (timezone(timedelta(hours=2)), timezone(timedelta(hours=2))),
        (ZoneInfo("Asia/Kolkata"), ZoneInfo("Asia/Kolkata")),
    ],
)
def test_time_zone_has_a_name_or_is_an_object(value, expected):
    """Local, UTC, a name of the IANA data base in any letter case, or a tzinfo."""
    assert parse_timezone(value) == expected


@pytest.mark.parametrize(
    "value",
    ["", "Europe", "../../etc/passwd", "/etc/passwd", "a\0b", "\udc80", "x" * 300, 1, True, b"UTC"],
)
def test_wrong_time_zone_is_refused(value):
    """What is no time zone raises a ValueError with the way out."""
    with pytest.raises(ValueError, match=r"is not a time zone. Use 'local', 'UTC' or a name like"):
        parse_timezone(value)


def test_misspelt_time_zone_gets_the_nearest_name():
    """A slip in a name is told what was probably meant."""
    with pytest.raises(ValueError, match=r"Did you mean 'Europe/Berlin'\?"):
        parse_timezone("Europe/Berln")


def test_time_zone_object_that_cannot_tell_its_time_is_refused():
    """An abstract tzinfo is refused when it is set, not when a file is due."""
    with pytest.raises(ValueError, match=r"cannot tell its time \(NotImplementedError\)"):
        parse_timezone(tzinfo())


def test_machine_without_a_time_zone_database_says_so():
    """Where no zone can be found at all, the text names the package that brings them."""
    code = (
        "import sys; sys.modules['tzdata'] = None\n"
        "from laketrace.files.rotation import parse_timezone\n"
        "try: parse_timezone('Europe/Berlin')\n"
        "except ValueError as error: print(error)"
    )

    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONTZPATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )

    assert (
        "no time zone database. Run: pip install tzdata, or use 'local' or 'UTC'." in result.stdout
    )


def test_zone_database_is_loaded_only_for_a_zone():
    """Rotation on the local clock does not import zoneinfo."""
    code = (
        "import sys\n"
        "from laketrace.files.rotation import parse_rotation, parse_timezone\n"
        "parse_rotation('daily', parse_timezone('local')).next_due(0)\n"
        "parse_timezone('UTC')\n"
        "assert 'zoneinfo' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


# -- daylight saving -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "rule", "began", "expected"),
    [
        # Berlin: 29 March 2026 02:00 -> 03:00, 25 October 2026 03:00 -> 02:00
        ("Europe/Berlin", "02:30", "2026-03-28T12:00", "2026-03-29 03:00:00+0200"),
        ("Europe/Berlin", "02:30", "2026-03-29T03:00", "2026-03-30 02:30:00+0200"),
        ("Europe/Berlin", "02:00", "2026-03-29T01:00", "2026-03-29 03:00:00+0200"),
        ("Europe/Berlin", "03:00", "2026-03-29T01:00", "2026-03-29 03:00:00+0200"),
        ("Europe/Berlin", "02:30", "2026-10-24T12:00", "2026-10-25 02:30:00+0200"),
        ("Europe/Berlin", "02:30", "2026-10-25T02:45+02:00", "2026-10-26 02:30:00+0100"),
        ("Europe/Berlin", "02:30", "2026-10-25T02:15+01:00", "2026-10-26 02:30:00+0100"),
        ("Europe/Berlin", "daily", "2026-10-25T12:00", "2026-10-26 00:00:00+0100"),
        ("Europe/Berlin", "weekly", "2026-03-28T12:00", "2026-03-30 00:00:00+0200"),
        ("Europe/Berlin", "sunday 02:30", "2026-03-23T12:00", "2026-03-29 03:00:00+0200"),
        ("Europe/Berlin", "hourly", "2026-03-29T01:30", "2026-03-29 03:00:00+0200"),
        ("Europe/Berlin", "hourly", "2026-10-25T02:30+02:00", "2026-10-25 02:00:00+0100"),
        ("Europe/Berlin", "hourly", "2026-10-25T02:30+01:00", "2026-10-25 03:00:00+0100"),
        # New York: 8 March 2026 02:00 -> 03:00, 1 November 2026 02:00 -> 01:00
        ("America/New_York", "02:15", "2026-03-07T12:00", "2026-03-08 03:00:00-0400"),
        ("America/New_York", "01:15", "2026-10-31T12:00", "2026-11-01 01:15:00-0400"),
        ("America/New_York", "01:15", "2026-11-01T01:20-04:00", "2026-11-02 01:15:00-0500"),
        ("America/New_York", "monthly", "2026-10-15T12:00", "2026-11-01 00:00:00-0400"),
        # Lord Howe Island moves half an hour: 4 October 2026 02:00 -> 02:30, 5 April 02:00 -> 01:30
        ("Australia/Lord_Howe", "02:10", "2026-10-03T12:00", "2026-10-04 02:30:00+1100"),
        ("Australia/Lord_Howe", "01:45", "2026-04-04T12:00", "2026-04-05 01:45:00+1100"),
        ("Australia/Lord_Howe", "01:45", "2026-04-05T01:40+10:30", "2026-04-06 01:45:00+1030"),
        ("Australia/Lord_Howe", "hourly", "2026-10-04T01:10", "2026-10-04 02:30:00+1100"),
        ("Australia/Lord_Howe", "hourly", "2026-04-05T01:50+11:00", "2026-04-05 02:00:00+1030"),
        ("Asia/Kolkata", "daily", "2026-04-05T12:00", "2026-04-06 00:00:00+0530"),
        ("Asia/Kolkata", "hourly", "2026-04-05T12:10", "2026-04-05 13:00:00+0530"),
        # Samoa had no 30 December 2011; Havana's midnight of 1 November 2026 comes twice
        ("Pacific/Apia", "12:00", "2011-12-29T13:00", "2011-12-31 00:00:00+1400"),
        ("America/Havana", "daily", "2026-10-31T12:00", "2026-11-01 00:00:00-0400"),
        ("America/Havana", "daily", "2026-11-01T00:30-04:00", "2026-11-02 00:00:00-0500"),
    ],
)
@pytest.mark.parametrize("whose", ["logger", "machine"])
def test_daylight_saving_skips_and_doubles_no_rotation(zone, rule, began, expected, whose):
    """A skipped time fires right after the gap, a doubled one once; also in the machine's zone."""
    began_ns = ns(began, ZoneInfo(zone))

    with machine_in(zone if whose == "machine" else "UTC"):
        found = parse_rotation(rule, ZoneInfo(zone) if whose == "logger" else None).next_due(
            began_ns
        )

    shown = datetime.fromtimestamp(found / SECOND, ZoneInfo(zone))
    assert shown.strftime("%Y-%m-%d %H:%M:%S%z") == expected


def test_time_object_with_a_zone_keeps_it():
    """A datetime.time that has a zone is a time there, not in the logger's zone."""
    rule = time(12, tzinfo=ZoneInfo("Asia/Kolkata"))

    assert due(rule, "2026-07-15T00:00:00", UTC) == "2026-07-15 06:30:00+0000"


class OldStyle(tzinfo):
    """A zone like those of pytz: right from UTC to local, wrong (LMT) the other way."""

    def fromutc(self, moment):
        local = moment.replace(tzinfo=UTC).astimezone(ZoneInfo("Europe/Berlin"))
        return local.replace(tzinfo=self)

    def utcoffset(self, moment):
        return timedelta(minutes=53)

    def dst(self, moment):
        return None


@pytest.mark.parametrize("began", ["2026-03-28T12:00", "2026-07-01T12:00", "2026-10-24T12:00"])
def test_zone_object_without_folds_gives_the_same_answers(began):
    """A zone object that knows nothing of PEP 495, as those of pytz, is asked one way only."""
    berlin = ZoneInfo("Europe/Berlin")
    began_ns = ns(began, berlin)

    for rule in ("02:30", "hourly", "weekly"):
        assert dues(rule, began_ns, OldStyle(), 30) == dues(rule, began_ns, berlin, 30)


def moves(zone: str) -> list[int]:
    """The days (Unix seconds) between 1990 and 2037 in which a zone's clock is moved."""
    days = range(
        int(datetime(1990, 1, 1).timestamp()), int(datetime(2037, 1, 1).timestamp()), 86_400
    )
    offsets = {day: datetime.fromtimestamp(day, ZoneInfo(zone)).utcoffset() for day in days}
    return [day for day, later in pairwise(days) if offsets[day] != offsets[later]]


MOVES = {zone: moves(zone) for zone in ZONES}
zones = st.sampled_from(ZONES)
clocks = st.times().map(lambda clock: clock.replace(microsecond=0, fold=0))


@st.composite
def beginnings(draw, zone: str) -> int:
    """Any instant from 1990 to 2037, more often near one at which the clock is moved."""
    if MOVES[zone] and draw(st.booleans()):
        near = draw(st.sampled_from(MOVES[zone])) + draw(st.integers(-86_400, 3 * 86_400))
    else:
        near = draw(st.integers(631_152_000, 2_114_380_800))
    return near * SECOND + draw(st.sampled_from([0, 1, SECOND - 1]))


def shows(instant: int, zone: str) -> datetime:
    """What the clock shows at a Unix second."""
    return datetime.fromtimestamp(instant, ZoneInfo(zone)).replace(tzinfo=None)


@pytest.mark.parametrize("whose", ["logger", "machine"])
@settings(deadline=None)
@given(data=st.data(), zone=zones, clock=clocks)
def test_clock_rule_fires_once_on_each_date(whose, data, zone, clock):
    """Over days, also those on which the clock is moved, it fires once a date at its time."""
    began_ns = data.draw(beginnings(zone))

    if whose == "machine":
        with machine_in(zone):
            found = dues(clock, began_ns, None, 5)
    else:
        found = dues(clock, began_ns, ZoneInfo(zone), 5)

    assert all(early < late for early, late in pairwise([began_ns, *found]))
    seen = [shows(due // SECOND, zone) for due in found]
    assert [(late.date() - early.date()).days for early, late in pairwise(seen)] == [1] * 4
    for due_ns, shown in zip(found, seen, strict=True):
        assert due_ns % SECOND == 0
        just_before = shows(due_ns // SECOND - 1, zone)
        if shown.time() != clock:
            assert just_before.time() < clock < shown.time()  # first instant after the gap
        else:
            earlier = due_ns // SECOND - 7200
            assert all(shows(earlier + step, zone) != shown for step in (0, 1800, 3600, 5400))


@settings(deadline=None)
@given(data=st.data(), zone=zones, clock=clocks)
def test_first_due_is_not_late(data, zone, clock):
    """No time of the rule lies between the beginning of the file and the instant it is due."""
    began_ns = data.draw(beginnings(zone))
    (due_ns,) = dues(clock, began_ns, ZoneInfo(zone), 1)
    began = shows(began_ns // SECOND, zone)
    wanted = datetime.combine(began.date(), clock)
    first = wanted.replace(tzinfo=ZoneInfo(zone)).timestamp() * SECOND
    assume(shows(int(first // SECOND), zone) == wanted)

    if first > began_ns:
        assert due_ns == first
    else:
        assert shows(due_ns // SECOND, zone).date() == began.date() + timedelta(days=1)


@settings(deadline=None)
@given(data=st.data(), zone=zones)
def test_hourly_never_waits_longer_than_an_hour(data, zone):
    """Each full hour of the clock fires, also around a change, at most 1 hour after the last."""
    found = dues("hourly", data.draw(beginnings(zone)), ZoneInfo(zone), 30)

    for early, late in pairwise(found):
        assert 0 < late - early <= 5400 * SECOND
    at_full_hours = [due for due in found if shows(due // SECOND, zone).minute == 0]
    assert len(at_full_hours) >= 29


@settings(deadline=None)
@given(
    data=st.data(),
    zone=zones,
    rule=st.sampled_from(["daily", "weekly", "monthly", "yearly", "sunday", "friday 13:13"]),
)
def test_calendar_rule_fires_at_its_borders_only(data, zone, rule):
    """A calendar rule fires on its days, at its time, and later than the file began."""
    began_ns = data.draw(beginnings(zone))
    found = dues(rule, began_ns, ZoneInfo(zone), 3)

    assert all(early < late for early, late in pairwise([began_ns, *found]))
    for shown in (shows(due // SECOND, zone) for due in found):
        assert shown.time() == (time(13, 13) if "friday" in rule else time(0))
        assert {
            "daily": True,
            "weekly": shown.weekday() == 0,
            "monthly": shown.day == 1,
            "yearly": (shown.month, shown.day) == (1, 1),
            "sunday": shown.weekday() == 6,
            "friday 13:13": shown.weekday() == 4,
        }[rule]


@settings(deadline=None)
@given(data=st.data(), zone=zones, rule=st.sampled_from(["hourly", "daily", "02:30", "mon 01:45"]))
def test_machine_zone_follows_the_same_rules(data, zone, rule):
    """The machine's own zone gives the answers of the zone with that name."""
    began_ns = data.draw(beginnings(zone))

    with machine_in(zone):
        local = dues(rule, began_ns, None, 4)

    assert local == dues(rule, began_ns, ZoneInfo(zone), 4)
