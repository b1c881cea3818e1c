"""A collection that keeps nothing alive, and that any thread may go through while others add.

Floor 1. Stands on: nothing.

`weakref.WeakSet` says `RuntimeError` to who goes through it while another thread adds. Here what
is there is copied in one call into C, so no lock is needed either: a fork and a signal handler
may go through it at any time.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")


class Living(Generic[T]):
    """The objects that were added and are still alive, in the order in which they came.

    >>> class Owner: pass
    >>> owner, gone = Owner(), Owner()
    >>> owners = Living()
    >>> owners.add(owner), owners.add(gone)
    (None, None)
    >>> del gone
    >>> list(owners) == [owner]
    True
    """

    def __init__(self) -> None:
        self._references: dict[int, weakref.ref[T]] = {}
        self._numbers = count()

    def add(self, item: T) -> None:
        """Keep `item` here for as long as it lives."""
        references = self._references
        number = next(self._numbers)
        # When the item goes, `references.pop(number, reference)` takes its reference away.
        references[number] = weakref.ref(item, partial(references.pop, number))

    def __iter__(self) -> Iterator[T]:
        for reference in list(self._references.values()):
            item = reference()
            if item is not None:
                yield item
