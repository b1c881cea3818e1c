"""Locks over a fork, in one fixed order.

Floor 1. Stands on: core.living.

A thread that forks while another one holds a lock gives its child a lock that nobody will
release. So everything that owns one registers here: before a fork all locks are taken, by rank
and then by age, and given back in the parent after it. The ranks follow the order in which the
code nests the locks: setup 0, engine 1, queue 2, sink 3, threads 4. The child calls `renew` on
each owner, which makes it start empty. No lock is waited for longer than its owner says, so a
sink that hangs delays a fork and never stops it.
Threads: one forks at a time.
"""

from __future__ import annotations

import os
import threading
from threading import get_ident
from typing import Any, Protocol

from laketrace.core.living import Living

_PATIENCE = 10.0  # seconds for the fork of another thread


class Forking(Protocol):
    """What survives a fork: a lock to be taken over it and a way to start anew in the child."""

    fork_rank: int

    def hold(self) -> None:
        """Take the lock, waiting a bounded time."""
        ...

    def release(self) -> None:
        """Give the lock back, if it was taken (`give_back`)."""
        ...

    def renew(self) -> None:
        """In the child: a new lock, empty accounts, nothing inherited."""
        ...


_owners: Living[Forking] = Living()
_turn = threading.RLock()
_held: dict[int, list[Forking]] = {}  # by the thread that forks


def register(owner: Forking) -> None:
    """Take `owner` into account at each fork until it is collected."""
    _owners.add(owner)


def give_back(lock: Any) -> None:
    """Release an `RLock`, which may be another thread's because waiting for it took too long.

    >>> give_back(threading.RLock())
    """
    try:
        lock.release()
    except RuntimeError:
        pass


def _before() -> None:
    _turn.acquire(timeout=_PATIENCE)
    held = _held[get_ident()] = []
    for owner in sorted(_owners, key=lambda owner: owner.fork_rank):  # stable: by age in a rank
        held.append(owner)
        owner.hold()


def _after_in_parent() -> None:
    for owner in reversed(_held.pop(get_ident(), [])):
        owner.release()
    give_back(_turn)


def _after_in_child() -> None:
    global _turn
    _turn = threading.RLock()
    owners = _held.pop(get_ident(), [])
    _held.clear()
    for owner in owners:
        owner.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
