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
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

from laketrace.errors import need
from laketrace.lakehouse.columns import COLUMNS, NAMES
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
_CALLER = (
    r'^(?P<fields>\{.*?),?"file":"(?P<file>[^"\\]*)","line":(?P<line>[0-9]{1,9})'
    r',"function":"(?P<function>[^"\\]*)"\}$'
)
_KNOWN = r'"(?:timestamp|level|message|logger_name|hostname|pid|platform|runtime_type|run_id' + (
    r'|file|line|function|exception)"'
)
_NO_NUMBER = r"[^\"](?:NaN|Inf)"  # Arrow's parser lets them pass, RFC 8259 does not
_FIRST = pa.scalar(datetime(1, 1, 1, tzinfo=timezone.utc), pa.timestamp("us", "UTC"))
_LAST = pa.scalar(datetime.max.replace(tzinfo=timezone.utc), pa.timestamp("us", "UTC"))


def batch_of(rows: list[Row]) -> Any:
    """A batch of rows made one by one."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(NAMES)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def reader_of(batches: Iterable[Any]) -> Any:
    """The batches as the stream that a table's writer takes."""
    return pa.RecordBatchReader.from_batches(SCHEMA, batches)


class Transformer:
    """Turns the blocks of one segment into batches; remembers the six fields between blocks."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._six = ""
        self._values: dict[str, Any] = {}

    def batches(self, block: Block) -> Iterator[Any]:
        """The rows of a block; those that took the slow way come last."""
        lines = None if block.torn else _split(block.data)
        good = None
        if lines is not None and self._learn(lines[0].as_py()):
            try:
                good = self._take(lines)
            except pa.ArrowInvalid:  # no JSON, no time, no UTF-8: `rows` finds out which line
                good = None
        if lines is None or good is None:
            yield batch_of(list(rows_of(block, self._place)))
            return
        index, columns = good
        starts = _starts(lines, block.offset)
        if len(index):
            yield self._batch(index, columns, starts)
        if len(index) < len(lines):
            yield batch_of(self._slow(lines, index, starts))

    def _learn(self, line: str) -> bool:
        """Know the six fields that this line shares with its neighbours; False if it has none."""
        if self._six and self._six in line:
            return True
        found = _SIX.search(line)
        if found is None:
            return False
        self._six = found[0]
        self._values = json.loads("{" + found[0][2:] + "}")
        return True

    def _take(self, lines: Any) -> tuple[Any, dict[str, Any]]:
        """The numbers of the lines that are exactly as expected, and their columns."""
        parts = pc.split_pattern(lines, self._six, max_splits=1)
        work = _Work(pa.array(range(len(lines)), pa.int32()), {"parts": parts})
        work.keep(pc.equal(pc.list_value_length(parts), 2))
        work.split("parts", "head", "fields")
        _take_fields(work)
        _take_head(work)
        return work.index, work.columns

    def _batch(self, index: Any, columns: dict[str, Any], starts: Any) -> Any:
        count = len(index)
        columns["offset"] = starts.take(index)
        columns["segment"] = pa.repeat(self._place.segment, count)
        for name, value in self._values.items():
            columns[name] = pa.repeat(pa.scalar(value, SCHEMA.field(name).type), count)
        arrays = [
            columns[field.name] if field.name in columns else pa.nulls(count, field.type)
            for field in SCHEMA
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)

    def _slow(self, lines: Any, index: Any, starts: Any) -> list[Row]:
        rows: list[Row] = []
        taken = set(index.to_pylist())
        for number in range(len(lines)):
            if number not in taken:
                line = Block(starts[number].as_py(), lines[number].as_py().encode("utf-8"))
                rows.extend(rows_of(line, self._place))
        return rows


class _Work:
    """Columns in the making; lines that turn out odd are dropped from all of them at once."""

    def __init__(self, index: Any, columns: dict[str, Any]) -> None:
        self.index = index
        self.columns = columns

    def keep(self, mask: Any) -> None:
        if pc.all(mask, min_count=0).as_py():
            return
        self.index = self.index.filter(mask)
        self.columns = {name: array.filter(mask) for name, array in self.columns.items()}

    def split(self, pair: str, first: str, second: str) -> None:
        """Make two columns of one whose values are pairs."""
        pairs = self.columns.pop(pair)
        self.columns[first] = pc.list_element(pairs, 0)
        self.columns[second] = pc.list_element(pairs, 1)


def _split(data: bytes) -> Any | None:
    """The lines of a block without their newlines; None when they are not all UTF-8."""
    lines = pa.array(data.removesuffix(b"\n").split(b"\n"), pa.binary())
    try:
        return lines.cast(pa.string())
    except pa.ArrowInvalid:
        return None


def _starts(lines: Any, offset: int) -> Any:
    """The offset of each line."""
    lengths = pc.add(pc.binary_length(lines).cast(pa.int64()), 1)
    return pc.add(pc.subtract(pc.cumulative_sum(lengths), lengths), offset)


def _slice(texts: Any, start: int, stop: int = 1 << 30) -> Any:
    """A piece of each text, cut at ASCII characters."""
    return pc.binary_slice(texts.cast(pa.binary()), start, stop).cast(pa.string())


def _take_fields(work: _Work) -> None:
    """What follows the six: `}` or `,<members>}`; made a JSON object and proved to be one.

    Every text begins with a brace and ends with one, so no object can go on in the next line,
    and a parser that finds as many objects as there are lines has found one in each.
    """
    tail = work.columns["fields"]
    is_object = pc.and_(pc.starts_with(tail, ","), pc.ends_with(tail, "}"))
    work.keep(pc.or_(is_object, pc.equal(tail, "}")))
    work.keep(pc.invert(pc.match_substring_regex(work.columns["fields"], _NO_NUMBER)))
    tail = work.columns["fields"]
    objects = pc.replace_with_mask(tail, pc.equal(tail, "}"), "{}")
    objects = pc.binary_replace_slice(objects, 0, 1, "{")
    work.columns["fields"] = objects
    if len(objects) and _count(objects) != len(objects):
        raise pa.ArrowInvalid("more than one value on a line")
    special = pc.match_substring_regex(objects, _KNOWN)
    if pc.any(special, min_count=0).as_py():
        _take_caller(work, special)


def _count(objects: Any) -> int:
    """How many JSON objects there are; raises `pa.ArrowInvalid` when there is anything else."""
    offsets = pa.array([0, len(objects)], pa.int32())
    text = pc.binary_join(pa.ListArray.from_arrays(offsets, objects), "\n")[0].as_buffer()
    table = pj.read_json(
        pa.BufferReader(text),
        read_options=pj.ReadOptions(use_threads=False, block_size=text.size + 1),
        parse_options=pj.ParseOptions(
            explicit_schema=pa.schema([pa.field("\x00", pa.null())]),
            unexpected_field_behavior="ignore",
        ),
    )
    return int(table.num_rows)


def _take_caller(work: _Work, special: Any) -> None:
    """Take file, line and function off the end of those objects that have them."""
    objects = work.columns["fields"]
    found = pc.extract_regex(pc.if_else(special, objects, None), _CALLER)
    rest = pc.binary_join_element_wise(pc.struct_field(found, "fields"), "}", "")
    plain = pc.invert(pc.match_substring_regex(rest, _KNOWN))
    for name in ("file", "line", "function"):
        work.columns[name] = pc.struct_field(found, name)
    work.columns["line"] = work.columns["line"].cast(pa.int32())
    work.columns["fields"] = pc.if_else(special, rest, objects)
    work.keep(pc.or_(pc.invert(special), pc.fill_null(plain, False)))


def _take_head(work: _Work) -> None:
    """What comes before the six: time, level and message."""
    work.keep(pc.starts_with(work.columns["head"], '{"timestamp":"'))
    between = _slice(work.columns["head"], _TIME_END, _LEVEL_AT)
    work.keep(pc.equal(between, '","level":"'))
    head = work.columns.pop("head")
    time = _slice(head, _TIME_AT, _TIME_END).cast(SCHEMA.field("timestamp").type)
    work.columns["timestamp"] = time
    in_range = pc.and_(pc.greater_equal(time, _FIRST), pc.less_equal(time, _LAST))
    work.columns["date"] = time.cast(pa.date32())
    pairs = pc.split_pattern(_slice(head, _LEVEL_AT), '","message":"', max_splits=1)
    work.columns["pairs"] = pairs
    work.keep(pc.and_(in_range, pc.equal(pc.list_value_length(pairs), 2)))
    work.split("pairs", "level", "message")
    _take_level(work)
    _take_message(work)


def _take_level(work: _Work) -> None:
    levels = work.columns["level"].dictionary_encode()
    names = levels.dictionary.to_pylist()
    numbers = pa.array([severity_of(name) for name in names], pa.int32())
    work.columns["severity"] = numbers.take(levels.indices)
    odd = pa.array([_is_odd(name) for name in names], pa.bool_())
    work.keep(pc.invert(odd.take(levels.indices)))


def _is_odd(text: str) -> bool:
    return re.search(r'[\x00-\x1f"\\]', text) is not None


def _take_message(work: _Work) -> None:
    """Undo the escapes of the messages that have any."""
    messages = work.columns["message"]
    escaped = pc.match_substring_regex(messages, r'[\x00-\x1f"\\]')
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
