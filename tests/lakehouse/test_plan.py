"""Units, versions and commits; and the blocks in which segments are read."""

from __future__ import annotations

import gzip
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laketrace.files.segment import parse_segment
from laketrace.lakehouse import plan, source
from laketrace.lakehouse.plan import LAST_UNIT, Position, next_commit, position_of, version_of
from laketrace.lakehouse.source import SegmentFile, read_blocks

STAMPS = st.datetimes().filter(lambda time: 1970 <= time.year < 2106)
KEYS = st.tuples(STAMPS.map(lambda time: f"{time:%Y%m%d_%H%M%S}"), st.integers(0, (1 << 19) - 1))
POSITIONS = st.builds(Position, KEYS, st.integers(0, LAST_UNIT))


@settings(deadline=None)
@given(POSITIONS, POSITIONS)
def test_versions_are_ordered_as_positions_are(one, other):
    """A later place in a stream has a greater version, and a version tells its place."""
    assert (version_of(one) < version_of(other)) == (one < other)
    assert position_of(version_of(one)) == one
    assert 0 <= version_of(one) < 1 << 63


def test_a_number_that_no_version_has_room_for_is_refused():
    """Half a million segments in one second are an error, not a version that lies."""
    with pytest.raises(ValueError, match="out of the range"):
        version_of(Position(("20261121_103200", 1 << 19), 0))


def segment_of(folder, data: bytes, gz: bool = False, number: int = 0):
    path = folder / f"a.log.20261121_103200.{number}{'.gz' if gz else ''}"
    path.write_bytes(gzip.compress(data) if gz else data)
    return parse_segment(str(path))


LINES = st.lists(st.binary(max_size=90).map(lambda data: data.replace(b"\n", b".")), max_size=30)


@settings(deadline=None)
@given(LINES, st.booleans(), st.booleans(), st.integers(1, 70), st.integers(1, 40))
def test_units_divide_a_segment_without_gap_or_overlap(
    tmp_path_factory, lines, ended, gz, unit, block
):
    """Read in units of any size, in blocks of any size, a segment gives each line once."""
    data = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    segment = segment_of(tmp_path_factory.mktemp("units"), data, gz)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "BLOCK_BYTES", block)
        patch.setattr(source, "PIECE_BYTES", 50)
        whole = pieces(segment, 0, None)
        parts = [
            piece
            for first in range(0, len(data) + unit, unit)
            for piece in pieces(segment, first, first + unit)
        ]

    assert b"".join(piece for _, piece, _ in whole) == data
    assert parts == whole


def pieces(segment, first, end):
    with SegmentFile(segment) as file:
        blocks = list(read_blocks(file, first, end))
    return [
        (block.offset + match.start(), match[0], block.torn)
        for block in blocks
        for match in re.finditer(rb"[^\n]*\n|[^\n]+", block.data)
    ]


def test_a_line_too_long_for_a_record_comes_in_pieces(tmp_path, monkeypatch):
    """A giant line is read in pieces, marked as torn, and belongs to the unit it begins in."""
    monkeypatch.setattr(source, "PIECE_BYTES", 10)
    monkeypatch.setattr(source, "BLOCK_BYTES", 4)
    segment = segment_of(tmp_path, b"one\n" + b"x" * 25 + b"\ntwo\n")

    with SegmentFile(segment) as file:
        blocks = list(read_blocks(file, 4, 5))

    assert [(block.offset, len(block.data), block.torn) for block in blocks] == [
        (4, 10, True), (14, 10, True), (24, 6, True),
    ]  # fmt: skip


def test_a_commit_takes_whole_segments_up_to_its_limit(tmp_path):
    """Small segments are put together; what is in the table already is left out."""
    segments = [segment_of(tmp_path, b"x" * 40, number=number) for number in range(1, 6)]

    slices = next_commit(segments, Position(segments[0].key, 0), limit=100)

    assert [part.segment for part in slices] == segments[1:3]
    assert {part.last for part in slices} == {LAST_UNIT}


def test_a_large_segment_is_divided_at_units(tmp_path, monkeypatch):
    """Commits of a large segment follow each other unit by unit, the last to its end."""
    monkeypatch.setattr(plan, "UNIT_BYTES", 10)
    segment = segment_of(tmp_path, b"x" * 45)
    ranges = []
    after = None

    while slices := next_commit([segment], after, limit=20):
        ranges.append(slices[0].range)
        after = slices[0].position

    assert ranges == [(0, 20), (20, 40), (40, None)]


def test_an_archive_that_breaks_off_is_read_as_far_as_it_goes(tmp_path):
    """What can be unpacked is there, and a last line says what is wrong."""
    lines = b"".join(b'{"a":%d}\n' % number for number in range(50_000))
    segment = segment_of(tmp_path, lines, gz=True)
    with open(segment.path, "r+b") as file:
        file.truncate(segment.size // 2)

    with SegmentFile(segment) as file:
        *blocks, last = read_blocks(file)
        assert file.damage is not None

    assert lines.startswith(b"".join(block.data for block in blocks))
    assert blocks and b"the archive is damaged" in last.data and last.torn
    assert last.offset == sum(len(block.data) for block in blocks)
