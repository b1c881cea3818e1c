"""Work done ahead of its use, by a few threads, in order and within bounds.

Floor 7. Stands on: nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")
R = TypeVar("R")


def map_ahead(
    work: Callable[[T], R], items: Iterable[T], threads: int = 2, ahead: int = 3
) -> Iterator[R]:
    """`map(work, items)` with at most `ahead` results waiting, made by `threads` threads.

    `items` is read by the caller's thread. An error of `work` comes out in its turn. Where no
    threads can be had (an exiting interpreter), it is `map`.

    >>> list(map_ahead(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    try:
        from concurrent.futures import ThreadPoolExecutor
    except RuntimeError:  # it registers something for the exit, which has begun
        yield from map(work, items)
        return
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="laketrace-rows") as pool:
        try:
            for item in items:
                try:
                    waiting.append(pool.submit(work, item))
                except RuntimeError:
                    while waiting:
                        yield waiting.popleft().result()
                    yield work(item)
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:  # the reader went away, or something failed
                future.cancel()
