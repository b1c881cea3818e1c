"""When was the machine ours? Blocks that others disturbed are left out.

Linux tells in `/proc/stat` how long the CPUs were busy and in the process's own clock how long
it was busy itself; the difference is what others used. `/proc/stat` counts in ticks (mostly
10 ms), so a block should last several ticks, and one tick of difference means nothing.
A single thread that never sleeps also sees a disturbance as wall time without CPU time.
Where there is no `/proc/stat`, or `BENCH_ANY_BLOCK` is set (for tests that look at lines and not
at times), every block counts and `can_tell` is False.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_BUSY = (0, 1, 2, 5, 6, 7)  # user nice system irq softirq steal; not idle, not iowait
_SHARE = 0.10  # others may use this share of the block, and one tick, before it is left out
_WAITED = 0.03  # a busy single thread may wait this share of the block


class NoCleanBlock(Exception):
    """The machine was never quiet long enough: there is no figure, rather than a wrong one."""


def _machine_ns() -> int | None:
    try:
        with open("/proc/stat", "rb") as stat:
            ticks = stat.readline().split()[1:]
    except OSError:
        return None
    return sum(int(ticks[column]) for column in _BUSY) * _TICK_NS


can_tell = _machine_ns() is not None and not os.environ.get("BENCH_ANY_BLOCK")


class Watch:
    """Times one block and says afterwards whether the machine was ours meanwhile.

    `children` counts the CPU time of finished child processes as our own; `busy_thread` says
    that one thread works without a pause, so that waiting is a disturbance too.
    """

    def __init__(self, *, children: bool = False, busy_thread: bool = False) -> None:
        self._children = children
        self._busy_thread = busy_thread
        self.wall_ns = 0

    def _own_ns(self) -> int:
        if not self._children:
            return time.process_time_ns()
        times = os.times()
        return int(sum(times[:4]) * 1e9)

    def __enter__(self) -> Watch:
        self._machine = _machine_ns()
        self._own = self._own_ns()
        self._start = time.perf_counter_ns()
        return self

    def __exit__(self, *exc: object) -> None:
        self.wall_ns = time.perf_counter_ns() - self._start
        self._own = self._own_ns() - self._own
        machine = _machine_ns()
        self._others = 0
        if machine is not None and self._machine is not None:
            self._others = machine - self._machine - self._own

    @property
    def clean(self) -> bool:
        """Whether others left the machine alone during the block."""
        if not can_tell:
            return True
        if self._busy_thread and self.wall_ns - self._own > self.wall_ns * _WAITED:
            return False
        return self._others <= _TICK_NS + self.wall_ns * _SHARE


def wait_for_quiet(deadline: float) -> None:
    """Sleep until the machine is idle or `deadline` (of `time.monotonic`) has passed."""
    while can_tell and time.monotonic() < deadline:
        with Watch() as watch:
            time.sleep(0.05)
        if watch.clean:
            return


class Blocks(NamedTuple):
    """What the clean blocks of one process gave; `tried` includes the ones left out."""

    values: list[float]
    tried: int

    @property
    def best(self) -> float:
        return min(self.values)


def clean_blocks(
    block: Callable[[], float], *, blocks: int, patience: float, busy_thread: bool = False
) -> Blocks:
    """Call `block` until `blocks` calls were undisturbed, for at most `patience` seconds.

    `block` returns its figure (the caller decides which). Raises NoCleanBlock when fewer than a
    quarter of the blocks asked for were clean: the best of a few would flatter nobody.
    """
    values: list[float] = []
    tried = 0
    deadline = time.monotonic() + patience
    while len(values) < blocks and time.monotonic() < deadline:
        tried += 1
        with Watch(busy_thread=busy_thread) as watch:
            value = block()
        if watch.clean:
            values.append(value)
        else:
            wait_for_quiet(deadline)
    if len(values) * 4 < blocks:
        raise NoCleanBlock(f"{len(values)} clean blocks of {tried} in {patience:.0f} s")
    return Blocks(values, tried)


def middle(values: list[float]) -> float:
    """The median."""
    return statistics.median(values)
