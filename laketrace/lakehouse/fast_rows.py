"""Whole blocks of lines become Arrow batches, by what LakeTrace knows of its own lines.

Floor 7. Stands on: errors, lakehouse.columns, lakehouse.rows, lakehouse.source.

A line that LakeTrace wrote begins with its nine fields in order, and the last six of them
(logger_name to run_id) are the same bytes on each line of a process. So a line is

    {"timestamp":"<32>","level":"<level>","message":"<message> <the six> ,<fields>}

and is taken apart by finding those bytes, for all lines at once; the fields are proved to be
JSON by Arrow's parser and stand in the table as they stand in the line. Every line that is not
exactly like that (torn, foreign, with an exception, escaped in an odd way) goes through `rows`,
whose results this module must equal; a property test compares them. Memory: a few blocks.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from laketrace.errors import need
from laketrace.lakehouse.columns import COLUMNS, NAMES, NUMBERS, TEXTS
from laketrace.lakehouse.rows import Place, Row, rows_of, severity_of, storable
from laketrace.lakehouse.source import Block

pa: Any = need("pyarrow", "delta", "writing Delta tables")
pc: Any = need("pyarrow.compute", "delta", "writing Delta tables")
pj: Any = need("pyarrow.json", "delta", "writing Delta tables")

_TYPES = {
    "timestamp": pa.timestamp("us", "UTC"), "date": pa.date32(), "string": pa.string(),
    "integer": pa.int32(), "long": pa.int64(),
}  # fmt: skip
SCHEMA = pa.schema([pa.field(column.name, _TYPES[column.type]) for column in COLUMNS])

_TIME_AT = len('{"timestamp":"')
_TIME_END = _TIME_AT + len("2026-11-21T10:32:00.123456+00:00")
_LEVEL_AT = _TIME_END + len('","level":"')
_TEXT = r'"[^"\\\x00-\x1f]*"'
_SIX = re.compile(
    rf'","logger_name":{_TEXT},"hostname":{_TEXT},"pid":(?:0|[1-9]\d{{0,17}})'
    rf',"platform":{_TEXT},"runtime_type":{_TEXT},"run_id":{_TEXT}'
)
_ESCAPED = r'[\x00-\x1f"\\]'
_CALLER = (
    r'^(?P<fields>\{.*?),?"file":"(?P<file>[^"\\]*)","line":(?P<line>[0-9]{1,9})'
    r',"function":"(?P<function>[^"\\]*)"\}$'
)
_CALLER_FIELDS = {"file": pa.string(), "line": pa.int32(), "function": pa.string()}
_STANDARD = ("timestamp", *(name for name in (*TEXTS, *NUMBERS) if name not in _CALLER_FIELDS))
# Known members among the fields: ours have them only where `_SIX` and `_CALLER` say. A null is as
# good as absent, another value of one of the first kind makes Arrow's parser raise.
_MEMBERS = pa.schema([*((name, pa.null()) for name in _STANDARD), *_CALLER_FIELDS.items()])
# What needs `rows`: an exception, and numbers that Arrow's parser takes but RFC 8259 does not.
_ODD_FIELDS = r'"exception":|[^\\"](?:NaN|Inf)'
_FIRST = pa.scalar(datetime(1, 1, 1, tzinfo=timezone.utc), pa.timestamp("us", "UTC"))
_LAST = pa.scalar(datetime.max.replace(tzinfo=timezone.utc), pa.timestamp("us", "UTC"))


def batch_of(rows: list[Row]) -> Any:
    """A batch of rows made one by one."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(NAMES)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


class Transformer:
    """Turns the blocks of one segment into batches; remembers the six fields between blocks.

    Threads: any, at once.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._six: tuple[str, dict[str, Any]] = ("", {})

    def batches(self, block: Block) -> Iterator[Any]:
        """The rows of a block; those that took the slow way come last."""
        lines = None if block.torn else _split(block.data)
        six, values = ("", {}) if lines is None else self._learn(lines[0].as_py())
        work = None
        if six:
            try:
                work = self._take(lines, block.offset, six)
            except pa.ArrowInvalid:  # no JSON, no time: `rows` finds out which line it is
                work = None
        if work is None:
            yield batch_of(list(rows_of(block, self._place)))
            return
        if len(work.columns["offset"]):
            yield self._batch(work.columns, values)
        if work.dropped:
            dropped = [Block(at, line.encode("utf-8")) for at, line in sorted(work.dropped)]
            yield batch_of([row for line in dropped for row in rows_of(line, self._place)])

    def _learn(self, line: str) -> tuple[str, dict[str, Any]]:
        """The six fields that this line shares with its neighbours: text and values, if any."""
        known = self._six
        if known[0] and known[0] in line:
            return known
        found = _SIX.search(line)
        if found is None:
            return "", {}
        self._six = known = (found[0], json.loads("{" + found[0][2:] + "}"))
        return known

    def _take(self, lines: Any, offset: int, six: str) -> _Work:
        """The columns of the lines that are exactly as expected; the others are dropped."""
        lengths = pc.add(pc.binary_length(lines).cast(pa.int64()), 1)
        starts = pc.add(pc.subtract(pc.cumulative_sum(lengths), lengths), offset)
        work = _Work({"lines": lines, "offset": starts})
        work.split("lines", six, "head", "fields")
        _take_fields(work)
        _take_head(work)
        return work

    def _batch(self, columns: dict[str, Any], values: dict[str, Any]) -> Any:
        count = len(columns["offset"])
        columns["segment"] = pa.repeat(self._place.segment, count)
        for name, value in values.items():
            columns[name] = pa.repeat(pa.scalar(value, SCHEMA.field(name).type), count)
        arrays = [
            columns[field.name] if field.name in columns else pa.nulls(count, field.type)
            for field in SCHEMA
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


class _Work:
    """Columns in the making; lines that turn out odd are dropped from all of them at once."""

    def __init__(self, columns: dict[str, Any]) -> None:
        self.columns = columns
        self.dropped: list[tuple[int, str]] = []
        self._lines = columns["lines"]
        self._all = columns["offset"]

    def keep(self, mask: Any) -> None:
        """Go on with the lines for which `mask` is true."""
        if pc.all(mask, min_count=0).as_py():
            return
        starts = self.columns["offset"].filter(pc.invert(mask))
        places = pc.index_in(starts, self._all)
        self.dropped += zip(starts.to_pylist(), self._lines.take(places).to_pylist(), strict=True)
        self.columns = {name: array.filter(mask) for name, array in self.columns.items()}

    def split(self, name: str, pattern: str, first: str, second: str) -> None:
        """Make two columns of one, at the first `pattern` in each text; all must have one."""
        self.columns["parts"] = pc.split_pattern(self.columns.pop(name), pattern, max_splits=1)
        self.keep(pc.equal(pc.list_value_length(self.columns["parts"]), 2))
        parts = self.columns.pop("parts")
        self.columns[first] = pc.list_element(parts, 0)
        self.columns[second] = pc.list_element(parts, 1)


def _split(data: bytes) -> Any:
    """The lines of a block without their newlines; None when they are not all UTF-8."""
    # Not `pa.array`, which would copy them while no other thread can do anything.
    length = len(data) - data.endswith(b"\n")
    offsets = pa.py_buffer(array("i", (0, length)))
    whole = pa.Array.from_buffers(pa.binary(), 1, [None, offsets, pa.py_buffer(data)])
    try:
        return pc.split_pattern(whole, b"\n").flatten().cast(pa.string())
    except pa.ArrowInvalid:
        return None


def _slice(texts: Any, start: int, stop: int = 1 << 30) -> Any:
    """A piece of each text, cut at ASCII characters."""
    return pc.binary_slice(texts.cast(pa.binary()), start, stop).cast(pa.string())


def _take_fields(work: _Work) -> None:
    """What follows the six: `}` or `,<members>}`; made a JSON object and proved to be one."""
    tail = work.columns["fields"]
    is_object = pc.and_(pc.starts_with(tail, ","), pc.ends_with(tail, "}"))
    is_odd = pc.match_substring_regex(tail, _ODD_FIELDS)
    work.keep(pc.and_not(pc.or_(is_object, pc.equal(tail, "}")), is_odd))
    tail = work.columns["fields"]
    objects = pc.replace_with_mask(tail, pc.equal(tail, "}"), "{}")
    work.columns["fields"] = pc.binary_replace_slice(objects, 0, 1, "{")
    if len(objects):
        _take_caller(work, _parse(work.columns["fields"]))


def _parse(objects: Any) -> Any:
    """The known members of JSON objects; raises `pa.ArrowInvalid` when there is anything else.

    Every text begins with a brace and ends with one, so no object can go on in the next line,
    and a parser that finds as many objects as there are lines has found one in each.
    """
    offsets = pa.array([0, len(objects)], pa.int32())
    text = pc.binary_join(pa.ListArray.from_arrays(offsets, objects), "\n")[0].as_buffer()
    table = pj.read_json(
        pa.BufferReader(text),
        read_options=pj.ReadOptions(use_threads=False, block_size=text.size + 1),
        parse_options=pj.ParseOptions(explicit_schema=_MEMBERS, unexpected_field_behavior="ignore"),
    )
    if table.num_rows != len(objects):
        raise pa.ArrowInvalid("more than one value on a line")
    return table


def _take_caller(work: _Work, members: Any) -> None:
    """Take file, line and function off the end of those objects that have them."""
    has_some = members["file"].is_valid()
    for name in ("line", "function"):
        has_some = pc.or_(has_some, members[name].is_valid())
    has_some = has_some.combine_chunks()
    if not pc.any(has_some, min_count=0).as_py():
        return
    objects = work.columns["fields"]
    found = pc.extract_regex(objects.filter(has_some), _CALLER)
    rest = pc.binary_join_element_wise(pc.struct_field(found, "fields"), "}", "")
    twice = pc.match_substring_regex(rest, r'"(?:file|line|function)":')
    rest = pc.if_else(twice, None, rest)
    work.columns["fields"] = pc.replace_with_mask(objects, has_some, rest)
    for name, kind in _CALLER_FIELDS.items():
        values = pc.struct_field(found, name).cast(kind)
        nothing = pa.nulls(len(objects), kind)
        work.columns[name] = pc.replace_with_mask(nothing, has_some, values)
    work.keep(work.columns["fields"].is_valid())


def _take_head(work: _Work) -> None:
    """What comes before the six: time, level and message."""
    head = work.columns["head"]
    between = _slice(head, _TIME_END, _LEVEL_AT)
    ours = pc.and_(pc.starts_with(head, '{"timestamp":"'), pc.equal(between, '","level":"'))
    work.keep(ours)
    head = work.columns.pop("head")
    time = _slice(head, _TIME_AT, _TIME_END).cast(SCHEMA.field("timestamp").type)
    work.columns["timestamp"] = time
    work.columns["date"] = time.cast(pa.date32())
    work.columns["rest"] = _slice(head, _LEVEL_AT)
    work.keep(pc.and_(pc.greater_equal(time, _FIRST), pc.less_equal(time, _LAST)))
    work.split("rest", '","message":"', "level", "message")
    _take_level(work)
    _take_message(work)


def _take_level(work: _Work) -> None:
    levels = work.columns["level"].dictionary_encode()
    names = levels.dictionary.to_pylist()
    numbers = pa.array([severity_of(name) for name in names], pa.int32())
    work.columns["severity"] = numbers.take(levels.indices)
    plain = pa.array([re.search(_ESCAPED, name) is None for name in names], pa.bool_())
    work.keep(plain.take(levels.indices))


def _take_message(work: _Work) -> None:
    """Undo the escapes of the messages that have any."""
    messages = work.columns["message"]
    escaped = pc.match_substring_regex(messages, _ESCAPED)
    if not pc.any(escaped, min_count=0).as_py():
        return
    plain = [_unescape(text) for text in messages.filter(escaped).to_pylist()]
    messages = pc.replace_with_mask(messages, escaped, pa.array(plain, pa.string()))
    work.columns["message"] = messages
    work.keep(messages.is_valid())


def _unescape(text: str) -> str | None:
    try:
        value = json.loads(f'"{text}"')
    except ValueError:
        return None
    return storable(value) if isinstance(value, str) else None
