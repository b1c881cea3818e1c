"""How much and how fast: rates over windows, and latencies by quantile.

Floor 7. Stands on: errors.

Latencies go into a KLL sketch of Apache DataSketches (https://datasketches.apache.org/docs/KLL):
a few kilobytes however many values, mergeable, with a rank error of at most 1.33 % at k=200.
Rates are counted in buckets of one second. Threads: any; CPython's interpreter lock makes one
update of a sketch, and one addition to a bucket, indivisible. Pickles, without its rates, so that
what several processes measured can be merged.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from typing import Any

from laketrace.errors import ConfigError, need

_K = 200
_BUCKETS = 3600  # seconds of history for rates
_now = time.perf_counter


class Throughput:
    """Counts things and the time they take, under a name.

    `add(number, seconds)` counts `number` things at once, and `seconds` as one latency if given.
    Needs the extra `monitor`.

    >>> orders = Throughput("orders", clock=lambda: 100.0)
    >>> orders.add(500); orders.add(100, seconds=0.25)
    >>> orders.total, orders.rate(10), orders.quantile(0.5)
    (600, 60.0, 0.25)
    """

    def __init__(self, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.total = 0
        self._clock = clock
        sketches = need("datasketches", "monitor", "laketrace.monitor")
        self._sketch = sketches.kll_doubles_sketch(_K)
        self.observe: Callable[[float], None] = self._sketch.update
        """Add one latency in seconds."""
        self._counts = [0] * _BUCKETS
        self._seconds = [-1] * _BUCKETS

    def add(self, number: int = 1, seconds: float | None = None) -> None:
        """Count `number` things, done in `seconds` where that is known."""
        self.total += number
        second = int(self._clock())
        slot = second % _BUCKETS
        if self._seconds[slot] != second:
            self._seconds[slot] = second
            self._counts[slot] = 0
        self._counts[slot] += number
        if seconds is not None:
            self.observe(seconds)

    def rate(self, window: int = 60) -> float:
        """Things a second over the last `window` seconds.

        Raises `ConfigError` for a window that is not 1 to 3,600 seconds: no more is kept.
        """
        if not 1 <= window <= _BUCKETS:
            text = f"window={window!r}: rates are known over 1 to {_BUCKETS} seconds. Use e.g. 60."
            raise ConfigError([text])
        now = int(self._clock())
        since = now - window
        pairs = zip(self._seconds, self._counts, strict=True)
        return sum(count for second, count in pairs if since < second <= now) / window

    @property
    def observed(self) -> int:
        """How many latencies were added."""
        return int(self._sketch.n)

    def quantile(self, rank: float) -> float | None:
        """The latency in seconds that a share of `rank` (0 to 1) does not exceed; None of none."""
        return None if self._sketch.is_empty() else float(self._sketch.get_quantile(rank))

    @property
    def error(self) -> float:
        """The largest error of a quantile's rank, with 99 % confidence."""
        return float(self._sketch.normalized_rank_error(False))

    def merge(self, other: Throughput) -> None:
        """Take over the latencies and the total of another one, also one of another process."""
        self._sketch.merge(other._sketch)
        self.total += other.total

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.name, self.total, self._sketch.serialize())

    def summary(self) -> dict[str, Any]:
        """Total, rate over a minute and latencies, as fields for a record."""
        return {
            "name": self.name,
            "total": self.total or self.observed,
            "per_second": round(self.rate(), 3),
            **{f"p{int(rank * 100)}": self.quantile(rank) for rank in (0.5, 0.95, 0.99)},
        }


def _arrived(name: str, total: int, latencies: bytes) -> Throughput:
    made = Throughput(name)
    made.total = total
    made._sketch.merge(type(made._sketch).deserialize(latencies))
    return made


timers: dict[str, Throughput] = {}
"""What `timed` has measured in this process, by name: how often, how fast, how long."""


class timed:
    """Measure how long a block or a function takes, under a name in `timers`.

    As a context manager, sync or async, and as a decorator of functions and coroutines; of a
    generator it measures the call that makes it, so put a block into its body.

    >>> with timed("orders.read"):
    ...     rows = [1, 2, 3]
    >>> timers["orders.read"].observed
    1
    """

    __slots__ = ("_began", "_timer")

    def __init__(self, name: str) -> None:
        self._timer = timers.get(name) or timers.setdefault(name, Throughput(name))

    def __enter__(self) -> timed:
        self._began = _now()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._timer.add(1, _now() - self._began)

    async def __aenter__(self) -> timed:
        return self.__enter__()

    async def __aexit__(self, *exc_info: object) -> None:
        self.__exit__()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Measure each call of `function`."""
        add = self._timer.add
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def measured_coroutine(*args: Any, **kwargs: Any) -> Any:
                began = _now()
                try:
                    return await function(*args, **kwargs)
                finally:
                    add(1, _now() - began)

            return measured_coroutine

        @functools.wraps(function)
        def measured(*args: Any, **kwargs: Any) -> Any:
            began = _now()
            try:
                return function(*args, **kwargs)
            finally:
                add(1, _now() - began)

        return measured
