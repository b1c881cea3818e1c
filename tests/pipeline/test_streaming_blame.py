"""Which rows make a transform fail: the search, without Spark."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laketrace.pipeline.streaming import splitting
from laketrace.pipeline.streaming.splitting import Blame, Part

HASHES = st.sets(st.integers(-(1 << 63), (1 << 63) - 1), min_size=1, max_size=60)


class Rows(Blame):
    """Rows that are their hashes; `fails` says which of them fail together."""

    def __init__(self, rows: Iterable[int], fails: Callable[[set[int]], bool]) -> None:
        self.rows = set(rows)
        self.fails = fails
        self._trials = 0

    def _failure(self, low: int, high: int) -> BaseException | None:
        self._trials += 1
        return ValueError("bad") if self.fails(self._of(low, high)) else None

    def _hashes(self, low: int, high: int) -> list[int] | None:
        found = sorted(self._of(low, high))
        return None if len(found) > splitting._MOST_HASHES else found

    def _of(self, low: int, high: int) -> set[int]:
        return {row for row in self.rows if low <= row <= high}

    def blamed(self, parts: list[Part]) -> set[int]:
        """The rows that the parts hold."""
        return {row for part in parts for row in self._of(part.low, part.high)}


@given(HASHES, st.data())
def test_the_bad_rows_are_found_and_no_others(hashes: set[int], data: st.DataObject) -> None:
    """While trials last exactly the bad rows are blamed; no bad row ever escapes."""
    bad = data.draw(st.sets(st.sampled_from(sorted(hashes))))
    rows = Rows(hashes, lambda some: bool(some & bad))

    blamed = rows.blamed(rows.find())

    assert bad <= blamed
    if len(bad) <= 4:
        assert blamed == bad
    assert rows._trials <= 2 * splitting._MOST_TRIALS


def test_many_rows_are_halved_before_they_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are more rows than the driver looks at, their range is halved first."""
    monkeypatch.setattr(splitting, "_MOST_HASHES", 10)
    rows = Rows((number << 56 for number in range(-100, 100)), lambda some: 7 << 56 in some)

    assert rows.blamed(rows.find()) == {7 << 56}


def test_a_transform_that_fails_without_rows_takes_all() -> None:
    """What fails over no row is broken by itself: two trials, and every row is set aside."""
    rows = Rows(range(50), lambda some: True)

    assert rows.blamed(rows.find()) == set(range(50))
    assert rows._trials == 2


def test_what_has_passed_blames_nobody() -> None:
    """Where all rows together do not fail any more, the table was to blame."""
    assert Rows(range(50), lambda some: False).find() == []


def test_rows_that_fail_only_together_are_bad_together() -> None:
    """A transform over several rows has no single culprit."""
    rows = Rows(range(50), lambda some: {3, 44} <= some)

    assert rows.blamed(rows.find()) == set(range(50))
