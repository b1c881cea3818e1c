"""The text form: one template, one line, nothing forged."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laketrace.core.encode import Encoder
from laketrace.core.levels import Level, get_level
from laketrace.core.record import Record, Source
from laketrace.core.text import DEFAULT_FORMAT, compile_format

AT = 1_795_000_000_123_456_789  # 2026-11-18T11:06:40.123456Z

hostile = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(
            "\n\r\t\v\f\x00\x1b\x1c\x1d\x1e\x7f\x85\x9b\u2028\u2029\u202e\u2066 \ud800"
        ),
    ),
    max_size=40,
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | hostile,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile, inner, max_size=3),
    max_leaves=6,
)


def make_record(
    message: str = "table loaded",
    level: str = "INFO",
    name: str = "orders_etl",
    exception: dict[str, Any] | None = None,
    **extra: Any,
) -> Record:
    source = Source(name, "host-1", 4711, "local", "script", "run-1")
    record = Record(source, get_level(level), message, AT, extra)
    record.exception = exception
    record.thread_name = "MainThread"
    record.thread_id = 7
    return record


def test_default_text_shows_time_level_logger_message_and_fields():
    """The default line says when (in UTC, and says so), how bad, who, what, and each field."""
    line = compile_format(DEFAULT_FORMAT)(make_record(table="orders", rows=3))

    assert line == (
        "2026-11-18 11:06:40.123Z | INFO     | orders_etl | table loaded table=orders rows=3"
    )


def test_default_text_without_fields_has_no_trailing_space():
    """A record without fields ends with its message."""
    assert compile_format(DEFAULT_FORMAT)(make_record()).endswith("| table loaded")


def test_placeholders_of_1x_keep_working():
    """The four placeholders of 1.x render as they did, the time now with its zone."""
    line = compile_format("{timestamp} {level} {logger_name} {message}")(make_record())

    assert line == "2026-11-18 11:06:40.123Z INFO orders_etl table loaded"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{level: <8}|", "INFO    |"),
        ("{timestamp:%H:%M:%S}", "11:06:40"),
        ("{time:YYYY-MM-DD HH:mm:ss.SSS}", "2026-11-18 11:06:40.123"),
        ("{time:YYYY-MM-DDTHH:mm:ssZ}", "2026-11-18T11:06:40+00:00"),
        ("{time:ddd D MMM, [week]}", "Wed 18 Nov, week"),
        ("{extra[table]}/{extra[order][id]:05d}", "orders/00042"),
        ("{extra[rows]:,}", "1,234,567"),
        ("{extra[day]:%d.%m.}", "21.11."),
        ("{extra[absent]}", "-"),
        ("{file}:{line}", "-:-"),
        ("{line:>4}", "   -"),
        ("{message!r}", "'table loaded'"),
        ("{pid} {process} {process.id}", "4711 4711 4711"),
        ("{level.name} {level.no}", "INFO 20"),
        ("{thread.name} {thread}", "MainThread 7"),
        ("{elapsed:.2f} {elapsed}", "0.00 0.000000"),
        ("{{{message}}}", "{table loaded}"),
        ("{hostname} {platform} {runtime_type} {run_id}", "host-1 local script run-1"),
        ("a < b > c <3 {message}", "a < b > c <3 table loaded"),
        (r"\<red>{message}", "<red>table loaded"),
        ("<red>{message}</red> <b><level>{level}</></>", "table loaded INFO"),
    ],
)
def test_templates_render(template, text):
    """Fields take format specs, loguru's names are known, tags vanish without colour."""
    record = make_record(table="orders", order={"id": 42}, rows=1_234_567, day=date(2026, 11, 21))

    line = compile_format(template + " .")(record)

    assert line.split(" [")[0].removesuffix(" .") == text


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{levl}", "{levl} is not a field of a record. Use one of timestamp, level"),
        ("{table}", "{extra[table]} shows a field of your own"),
        ("{message.__class__}", "{message.__class__} is not a field of a record"),
        ("{message[0]}", "is not a field of a record"),
        ("{extra.keys}", "is not a field of a record"),
        ("{extra[a].b}", "is not a field of a record"),
        ("{0}", "{0} is not a field of a record"),
        ("{}", "{} is not a field of a record"),
        ("{message", "is not a template"),
        ("message}", "is not a template"),
        ("{level: <{width}}", "a format spec cannot hold a placeholder"),
        ("{message:d}", "Use a format spec like {message: <8}"),
        ("{pid:%H}", "{pid:%H}"),
        ("{timestamp:%H\ud800}", "is not a time format"),
        ("{message!x}", "{message!x} has no such conversion. Use !s, !r or !a."),
        ("<tabel>{message}", "<tabel> is not a colour tag. Use level, bold"),
        ("<fg 300>{message}</>", "<fg 300> is not a colour tag"),
        ("<red>{message}", "<red> is never closed. Write </red>"),
        ("{message}</red>", "</red> closes nothing"),
        ("<red><b>{message}</red></b>", "</red> stands where </b> is due"),
        (7, "a template is a text, not int"),
    ],
)
def test_wrong_templates_are_refused_when_they_are_compiled(template, reason):
    """What cannot be rendered is refused at once, with the way out."""
    with pytest.raises(ValueError) as caught:
        compile_format(template)

    assert reason in str(caught.value)


def test_fields_follow_the_message_where_1x_put_them():
    """With `append_fields` a template without a place for the fields shows them all the same."""
    record = make_record(table="orders", rows=3)

    appended = compile_format("{level} {message} !", append_fields=True)(record)
    placed = compile_format("{message} {extra[rows]}", append_fields=True)(record)

    assert appended == "INFO table loaded [table=orders, rows=3] !"
    assert placed == "table loaded 3"


def test_colours_nest_and_follow_the_level():
    """A closing tag brings the outer colours back; `<level>` is the colour of the level."""
    render = compile_format("<red>a<bold>b</bold>c</red> <level>{message}</level>", color=True)

    line = render(make_record("x", level="WARNING"))

    assert line == ("\x1b[31ma\x1b[1mb\x1b[0m\x1b[31mc\x1b[0m \x1b[33m\x1b[1mx\x1b[0m")


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("RED", "\x1b[41m"), ("light-red", "\x1b[91m"), ("LIGHT-RED", "\x1b[101m"),
        ("fg 208", "\x1b[38;5;208m"), ("bg #00005f", "\x1b[48;2;0;0;95m"),
        ("fg #fff", "\x1b[38;2;255;255;255m"), ("bg 1,2,3", "\x1b[48;2;1;2;3m"),
        ("bg red", "\x1b[41m"), ("le", "\x1b[94m"), ("dim", "\x1b[2m"),
    ],
)  # fmt: skip
def test_colour_tags_have_their_codes(tag, code):
    """Names, their short forms, palette numbers and RGB become terminal codes."""
    assert compile_format(f"<{tag}>x</>", color=True)(make_record()) == f"{code}x\x1b[0m"


def test_tags_in_the_message_are_only_text():
    """What a record carries is never read as markup or as a template."""
    line = compile_format("{message} {extra}", color=True)(make_record("<red>{pid}</red>", a="<b>"))

    assert line == "<red>{pid}</red> a=<b>"


def test_own_levels_take_the_colour_of_the_next_lower_one():
    """A registered level between WARNING and ERROR is coloured like WARNING."""
    record = make_record("x")
    record.level = Level("AUDIT", 35)

    assert compile_format("<level>{message}</level>", color=True)(record).startswith("\x1b[33m")


def test_traceback_stands_indented_below_its_record():
    """An exception follows its line; every line of it is indented, whatever it says."""
    text = 'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: x\r2026 | forged'
    record = make_record("failed", exception={"type": "ValueError", "traceback": text})

    lines = compile_format("{message}")(record).split("\n")

    assert lines == [
        "failed",
        "    Traceback (most recent call last):",
        '      File "a.py", line 1',
        "    ValueError: x\\r2026 | forged",
    ]


def test_traceback_stands_where_the_template_puts_it():
    """`{exception}` is placed once, and takes its white space along when there is none."""
    render = compile_format("{message}\n{exception}")

    with_one = render(make_record(exception={"type": "E", "value": "gone", "traceback": ""}))
    without = render(make_record())

    assert with_one == "table loaded\n    E: gone"
    assert without == "table loaded"


def test_line_breaks_of_the_template_are_indented():
    """A template may use more lines; the later ones cannot be taken for records."""
    line = compile_format("{message}\r\nrun {run_id}\n")(make_record())

    assert line == "table loaded\n    run run-1"


def test_message_cannot_pose_as_a_continuation_line():
    """A message that begins with spaces shows that it does, so it stays a record of its own."""
    render = compile_format("<red>{message}</red>", color=True)

    assert render(make_record("    File x")) == "\x1b[31m\\x20   File x\x1b[0m"


def test_field_cannot_pose_as_another_field():
    """Values and names with spaces or signs are quoted."""
    record = make_record(**{"user": "bob admin=true", "a b": 1, "empty": "", "q": 'say "hi"'})

    line = compile_format("{extra}")(record)

    assert line == r'user="bob admin=true" "a b"=1 empty="" q="say \"hi\""'


def test_value_that_does_not_fit_its_spec_is_shown_without_it():
    """A spec for numbers met by a text costs the alignment, never the record."""
    assert compile_format("{extra[rows]:,}")(make_record(rows="many")) == "many"


class Hostile:
    """Formats, prints and converts by raising."""

    def __format__(self, spec: str) -> str:
        raise RuntimeError("no")

    __repr__ = __str__ = lambda self: 1 / 0  # type: ignore[assignment, return-value]


@pytest.mark.parametrize("template", ["{extra[x]}", "{extra[x]:>9}", "{extra[x]!r}", "{extra}"])
def test_value_that_raises_costs_only_itself(template):
    """A value whose methods raise becomes a marker."""
    assert "<unprintable Hostile: ZeroDivisionError>" in compile_format(template)(
        make_record(x=Hostile())
    )


@given(hostile, hostile, st.dictionaries(hostile, values, max_size=4), hostile, st.booleans())
def test_one_record_is_exactly_one_unindented_line(message, name, extra, traceback, color):
    """Whatever a record carries, one line begins at the margin and nothing drives a terminal."""
    exception = {"type": "E", "value": "v", "traceback": traceback} if traceback else None
    record = make_record(message, name=name, exception=exception)
    record.extra = extra

    for template in (
        DEFAULT_FORMAT, "{message}", "{extra}{message}", "<b>{logger_name}</b> {message}\n{extra}",
        "{exception}{message: <9}", "{function} {extra[a]} {message!r}",
    ):  # fmt: skip
        text = compile_format(template, color=color)(record)
        margin = [line for line in text.splitlines() or [""] if not bare(line)[:1].isspace()]

        assert len(margin) == 1 or (not message and template == "{message}")
        assert not set(bare(text)) & set("\x1b\x07\x00\r\x9b\x85\u2028\u202e")
        text.encode("utf-8")


def bare(text: str) -> str:
    """The text without the colour codes that the template itself has put in."""
    for code in ("\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[36m"):
        text = text.replace(code, "")
    return text


def test_time_formats_cover_loguru_tokens():
    """Each token of loguru's time formatting gives what loguru gives in UTC."""
    record = SimpleNamespace(timestamp=make_record().timestamp)
    from laketrace.core.timetokens import time_format

    spec = "YYYY YY Q MMMM MMM MM M DDDD DDD DD D dddd ddd d E HH H hh h mm m ss s S SS SSSSSS A ZZ"
    shown = time_format(spec)(record)

    assert shown == (
        "2026 26 4 November Nov 11 11 322 322 18 18 Wednesday Wed 2 3 11 11 11 11 06 6 40 40 "
        "1 12 123456 AM +0000"
    )


class NamesRule:
    """Stands for a redactor that knows one name."""

    scrubs = False

    def is_secret(self, name: str) -> bool:
        return name == "password"

    def scrub(self, text: str) -> str:
        return text


@pytest.mark.parametrize(
    "template", ["{message} {extra}", "{extra[db]}", "{message} ", "{extra[db]!r}"]
)
def test_a_secret_nested_in_a_field_is_not_shown(template):
    """The encoder redacts what lies deeper than the record's own fields."""
    record = make_record(db={"host": "h", "password": "hunter2"})
    render = compile_format(template, append_fields=True, encoder=Encoder(NamesRule()))

    assert '"password":"[REDACTED]"' in render(record)
