"""Lines become rows: the rules, and the fast way that must agree with them."""

from __future__ import annotations

import json
from datetime import date, datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laketrace.lakehouse.columns import NAMES
from laketrace.lakehouse.rows import Place, row_of, rows_of
from laketrace.lakehouse.source import Block

fast_rows = pytest.importorskip("laketrace.lakehouse.fast_rows", reason="needs pyarrow")

END = datetime(2026, 11, 21, 10, 32, tzinfo=timezone.utc)
PLACE = Place("stream-orders.log.20261121_103200", END)
HEAD = {
    "timestamp": "2026-11-21T10:31:00.123456+00:00", "level": "INFO", "message": "table loaded",
    "logger_name": "orders", "hostname": "node", "pid": 7, "platform": "local",
    "runtime_type": "script", "run_id": "r1",
}  # fmt: skip


def line(**fields: object) -> bytes:
    return json.dumps({**HEAD, **fields}, separators=(",", ":"), ensure_ascii=False).encode()


def row(text: bytes, offset: int = 0) -> dict[str, object]:
    return dict(zip(NAMES, row_of(text, offset, PLACE), strict=True))


def fast(block: Block) -> list[tuple[object, ...]]:
    batches = fast_rows.Transformer(PLACE).batches(block)
    rows = [tuple(item.values()) for batch in batches for item in batch.to_pylist()]
    offset = NAMES.index("offset")
    return sorted(rows, key=lambda values: values[offset])


def test_a_record_fills_the_columns_and_keeps_its_other_fields_as_they_stand():
    """Known fields become columns; unknown ones keep even the form of their numbers."""
    found = row(line(rows=3)[:-1] + b',"rate":1.50,"order":{"id":7}}', offset=12)

    assert found["timestamp"] == datetime(2026, 11, 21, 10, 31, 0, 123456, timezone.utc)
    assert found["date"] == date(2026, 11, 21)
    assert (found["level"], found["severity"], found["pid"]) == ("INFO", 20, 7)
    assert found["fields"] == '{"rows":3,"rate":1.50,"order":{"id":7}}'
    assert (found["segment"], found["offset"], found["raw"]) == (PLACE.segment, 12, None)


def test_a_warning_has_its_caller_and_an_error_its_exception():
    """The caller fills three columns, the exception one, as JSON text."""
    error = {"type": "ValueError", "value": "no"}

    found = row(line(a=1, file="etl.py", line=3, function="load", exception=error))

    assert (found["file"], found["line"], found["function"]) == ("etl.py", 3, "load")
    assert json.loads(str(found["exception"])) == error
    assert found["fields"] == '{"a":1}'


@pytest.mark.parametrize(
    "text", [b"", b"plain text", b"[1]", b'{"a":NaN}', b'{"a":1}{"b":2}', b'{"a":1', b'"a"', b"{,}"]
)
def test_a_line_that_is_no_object_becomes_a_row_that_says_so(text):
    """The text is kept in `raw`, the record's columns are null, the time is the segment's end."""
    found = row(text)

    assert found["raw"] == text.decode()
    assert found["level"] is None and found["fields"] is None
    assert (found["timestamp"], found["date"]) == (END, END.date())


def test_bytes_that_are_no_text_are_kept_as_escapes():
    """A line that is not UTF-8 becomes a raw row with its bytes spelled out."""
    assert row(b"\xff{}")["raw"] == r"\xff{}"


def test_an_object_without_our_fields_goes_whole_into_fields():
    """Another program's JSON keeps every member, those with our names too."""
    found = row(b'{"message":"x","level":3}')

    assert found["fields"] == '{"message":"x","level":3}'
    assert found["message"] is None and found["timestamp"] == END


def test_a_known_field_of_another_type_stays_in_fields():
    """What does not fit a column is not lost."""
    found = row(line(line="three", exception="text"))

    assert found["line"] is None and found["exception"] is None
    assert found["fields"] == '{"line":"three","exception":"text"}'


def test_of_two_fields_with_one_name_the_first_counts():
    """The second stays in `fields`, so that no line can rewrite its own head."""
    found = row(line()[:-1] + b',"level":"ERROR"}')

    assert (found["level"], found["fields"]) == ("INFO", '{"level":"ERROR"}')


def test_an_unregistered_level_has_no_number():
    """The name is kept; the number is not made up."""
    found = row(line(level="NEVER_REGISTERED"))

    assert (found["level"], found["severity"]) == ("NEVER_REGISTERED", None)


def test_offsets_are_bytes_of_the_uncompressed_segment():
    """Each row has the byte at which its line begins, whatever ends the line."""
    data = b"one\r\ntwo\n\n\xc3\xa4\nlast"

    rows = list(rows_of(Block(100, data), PLACE))

    assert [values[NAMES.index("offset")] for values in rows] == [100, 105, 109, 110, 113]
    assert [values[NAMES.index("raw")] for values in rows] == ["one", "two", "", "ä", "last"]


TEXT = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    ["\x00", '"', "\\", '","logger_name":"orders"', "\u2028", 'x","message":"', "}", "\ud800"]
)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
KEYS = TEXT | st.sampled_from([*NAMES, "x"])
FIELDS = st.dictionaries(KEYS, VALUE, max_size=4)
TIMES = st.sampled_from(
    [HEAD["timestamp"], "2026-11-21T10:31:00.123456-09:30", "2026-13-21T10:31:00.123456+00:00",
     "0000-01-01T00:00:00.000000+00:00", "9999-12-31T23:59:59.999999-01:00",
     "0001-01-01T00:00:00.000000+01:00", "2026-11-21 10:31:00.123456+00:00",
     "2026-11-21T10:31:00.1234567+0000", "2026-11-21T10:31:00.123456789+00", "x" * 32,
     "2026-11-21T10:31:60.000000+00:00", "2026-11-21T24:00:00.000000+00:00", "now"]
)  # fmt: skip


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A line: ours, ours with odd parts, damaged, foreign, or anything."""
    record = dict(HEAD)
    if draw(st.booleans()):
        record["message"] = draw(TEXT)
    if draw(st.integers(0, 5)) == 0:
        record["timestamp"] = draw(TIMES)
    if draw(st.integers(0, 5)) == 0:
        record["level"] = draw(TEXT | st.sampled_from(["WARNING", "warn", "AUDIT"]))
    if draw(st.integers(0, 5)) == 0:
        record.pop(draw(st.sampled_from(list(record))))
    record.update({k: v for k, v in draw(FIELDS).items() if k not in record})
    if draw(st.booleans()):
        record.update(file=draw(TEXT), line=draw(st.integers(-5, 1 << 33)), function="load")
    text = json.dumps(
        record, separators=draw(st.sampled_from([(",", ":"), (", ", ": ")])),
        ensure_ascii=draw(st.booleans()),
    ).encode("utf-8", "surrogatepass")  # fmt: skip
    if draw(st.integers(0, 5)) == 0:
        again = draw(st.sampled_from([b'"file":"x"', b'"line":7', b'"level":"x"', b'"a":null']))
        text = text[:-1] + b"," + again + b"}"
    how = draw(st.integers(0, 9))
    if how == 0:
        return text[: draw(st.integers(0, len(text)))]
    if how == 1:
        at = draw(st.integers(0, len(text)))
        return (
            text[:at] + draw(st.sampled_from([b'"', b"{", b"}", b",", b"\xff", b"\r"])) + text[at:]
        )
    if how == 2:
        return text + text
    if how == 3:
        return draw(st.binary(max_size=20)).replace(b"\n", b"")
    return text


@settings(deadline=None)
@given(st.lists(lines(), min_size=1, max_size=8), st.booleans(), st.integers(0, 1 << 40))
def test_the_fast_way_gives_what_the_rules_give(texts, ended, offset):
    """Whole blocks at once or line by line: the rows are the same."""
    data = b"\n".join(texts) + (b"\n" if ended else b"")
    if not data:
        return
    block = Block(offset, data)

    assert fast(block) == list(rows_of(block, PLACE))


def test_ordinary_lines_take_the_fast_way(monkeypatch):
    """Lines as LakeTrace writes them are not parsed one by one."""
    monkeypatch.setattr(fast_rows, "rows_of", None)
    texts = [line(rows=3), line(message='a "b"\n', a={"b": []}), line()]
    texts.append(line(level="WARNING", a=1, file="etl.py", line=3, function="load"))

    rows = fast(Block(0, b"\n".join(texts) + b"\n"))

    assert [values[NAMES.index("fields")] for values in rows] == (
        ['{"rows":3}', '{"a":{"b":[]}}', "{}", '{"a":1}']
    )
    assert rows[1][NAMES.index("message")] == 'a "b"\n'
