"""Streams cut into commits: a unit holds the same lines, whoever reads it and in what blocks."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laketrace.lakehouse import commits, source
from laketrace.lakehouse.plan import Position
from laketrace.lakehouse.rows import rows_of
from laketrace.lakehouse.source import SegmentFile, read_blocks
from laketrace.lakehouse.stream import find_streams
from tests.lakehouse.logs import LogDir, record

UNIT = 64
LINES = st.lists(st.integers(0, 150).map(lambda size: b"x" * size), max_size=12)


@given(lines=LINES, block=st.integers(1, 200), piece=st.integers(40, 160))
def test_a_unit_is_the_same_lines_for_both_writers(tmp_path_factory, lines, block, piece):
    """What `divide` gives for a unit is what delta-rs reads for it, giant lines included."""
    log = LogDir(str(tmp_path_factory.mktemp("logs")))
    log.add(lines)
    (stream,) = find_streams(log.path).streams
    sizes = {"BLOCK_BYTES": block, "PIECE_BYTES": piece}
    with patch.multiple(source, **sizes), patch.object(commits, "UNIT_BYTES", UNIT):
        divided: dict[int, bytes] = {}
        with SegmentFile(stream.segments[0]) as file:
            for unit, part in commits.divide(read_blocks(file)):
                divided[unit] = divided.get(unit, b"") + part.data
        by_range: dict[int, bytes] = {}
        for unit in range(sum(map(len, lines)) + len(lines) // UNIT + 1):
            with SegmentFile(stream.segments[0]) as file:
                blocks = read_blocks(file, unit * UNIT, (unit + 1) * UNIT)
                if data := b"".join(part.data for part in blocks):
                    by_range[unit] = data

    assert divided == by_range


@pytest.mark.parametrize("unit_bytes", [1, 150, 400, 1 << 20])
def test_commits_hold_every_line_once_and_end_at_units(tmp_path, monkeypatch, unit_bytes):
    """All rows in order, versions that grow, each segment ended once."""
    monkeypatch.setattr(commits, "UNIT_BYTES", unit_bytes)
    log = LogDir(str(tmp_path / "logs")).fill(4)
    log.add([])
    log.add([record(1)])
    (stream,) = find_streams(log.path).streams

    made = list(commits.commits_of(stream, lambda place: lambda block: rows_of(block, place)))

    rows = [row for commit in made for row in commit.batches]
    places = [(row[-3], row[-2]) for row in rows]
    assert sorted(places) == places
    assert {(name, offset): 1 for name, offset, _ in log.lines} == dict.fromkeys(places, 1)
    reached = [commit.position for commit in made if commit.batches]
    assert reached == sorted(reached) and len(set(reached)) == len(reached)
    assert [segment for commit in made for segment in commit.ended] == list(stream.segments)
    assert all(isinstance(position, Position) for position in reached)
    assert all(commit.units <= 1 for commit in made) or unit_bytes > 1
