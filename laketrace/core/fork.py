"""Locks over a fork, in one fixed order.

Floor 1. Stands on: nothing.

A thread that forks while another one holds a lock gives its child a lock that nobody will
release. So everything that owns one registers here: before a fork all locks are taken, by rank
and then by age, and released on both sides after it. The ranks follow the order in which the code
nests the locks: setup 0, engine 1, queue 2, sink 3, threads 4. The child then calls `renew` on
each, which makes it start empty. No lock is waited for longer than its owner says.
"""

from __future__ import annotations

import os
import weakref
from typing import Any, Protocol


class Forking(Protocol):
    """What survives a fork: a lock to be taken over it and a way to start anew in the child."""

    fork_rank: int
    fork_age: int

    def hold(self) -> None:
        """Take the lock, waiting a bounded time."""
        ...

    def release(self) -> None:
        """Give the lock back."""
        ...

    def renew(self) -> None:
        """In the child: a new lock, empty accounts, nothing inherited."""
        ...


_owners: weakref.WeakSet[Any] = weakref.WeakSet()
_held: list[Any] = []
_ages = 0


def register(owner: Any) -> None:
    """Take `owner` (see `Forking`) into account at each fork until it is collected."""
    global _ages
    _ages += 1
    owner.fork_age = _ages
    _owners.add(owner)


def _before() -> None:
    # A copy may race with a thread that registers; a weak set says so with a RuntimeError.
    for _ in range(10):
        try:
            owners = list(_owners)
            break
        except RuntimeError:
            continue
    else:
        owners = []
    owners.sort(key=lambda owner: (owner.fork_rank, owner.fork_age))
    for owner in owners:
        owner.hold()
        _held.append(owner)


def _after_in_parent() -> None:
    while _held:
        _held.pop().release()


def _after_in_child() -> None:
    owners = list(_held)
    _held.clear()
    for owner in owners:
        owner.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
