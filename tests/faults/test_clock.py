"""Clocks that jump: the order of the files and the books do not depend on them."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest

from laketrace.files import janitor
from laketrace.files.segment import find_segments
from laketrace.testing import ManualClock
from tests.faults.proof import assert_account, assert_tidy, make_log, numbers_of, records_of


@pytest.mark.parametrize("enqueue", [False, True], ids=["sync", "queue"])
@pytest.mark.parametrize("rotation", ["1 KB", "1 minute", "daily"])
def test_a_clock_that_jumps_about_disorders_nothing(
    tmp_path: Path, rotation: str, enqueue: bool
) -> None:
    """Forth and back by seconds, hours, years: files stay in the order of writing, none is lost."""
    chance = random.Random(rotation)
    jumps = [0, 1, 90, 3600, 86_400, 400 * 86_400, -1, -90, -3600, -86_400, -300 * 86_400]
    with ManualClock() as clock:
        log = make_log(tmp_path, rotation=rotation, compression="gz", enqueue=enqueue)
    for number in range(400):
        log.info("row", n=number)
        if number % 3 == 0:
            assert log.flush(120)
            clock.advance(chance.choice(jumps))

    assert log.flush(120) and janitor.wait(None, 120)
    keys = [segment.key for segment in find_segments(str(tmp_path))]
    assert len(keys) > 3
    assert keys == sorted(set(keys))
    assert numbers_of(tmp_path) == list(range(400))
    assert_account(log.stats(), tmp_path)
    assert_tidy(tmp_path)


def test_a_start_with_a_clock_before_the_last_segment_goes_on_behind_it(tmp_path: Path) -> None:
    """A machine that comes up in 1970 or last year gives its segments names behind the others."""
    clock = ManualClock()
    for start, back in enumerate([0, 3600, 365 * 86_400, 56 * 365 * 86_400]):
        clock.set(ManualClock().now_ns - back * 1_000_000_000)
        with clock:
            log = make_log(tmp_path, rotation="1 KB")
        for number in range(start * 20, start * 20 + 20):
            log.info("row", n=number)
        log.close()

    numbers = [record["n"] for record in records_of(tmp_path) if "n" in record]
    assert numbers == list(range(80))


def test_an_interval_that_a_backward_jump_makes_longer_ends(tmp_path: Path) -> None:
    """After a jump back by a year a file is not kept open for a year more."""
    with ManualClock() as clock:
        log = make_log(tmp_path, rotation="1 hour")
    log.info("row", n=0)
    clock.advance(-timedelta(days=365).total_seconds())
    log.info("row", n=1)

    for number in range(2, 6):
        clock.advance(1801)
        log.info("row", n=number)

    assert len(find_segments(str(tmp_path))) == 2
    assert numbers_of(tmp_path) == list(range(6))
