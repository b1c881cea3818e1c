"""What LakeTrace has to say about itself, on stderr, once for each cause.

Floor 1. Stands on: core.clean, core.values.

A notice never raises and never repeats: the figures are in `log.stats()`, the notice only
draws attention to them. It is one line, and drives no terminal, whatever an error in it says. At
most 1,000 causes are remembered; after a fork the child, whose
accounts start at zero, may say everything again.
"""

from __future__ import annotations

import os
import sys

from laketrace.core.clean import clean
from laketrace.core.values import as_text

_LIMIT = 1000
_said: set[str] = set()


def say(text: str, key: str | None = None) -> bool:
    """Write `laketrace: <text>` on stderr unless `key` (default: the text) was said before.

    Returns whether it was said now. Never raises, whatever stderr is.

    >>> say("the disk is full", key="doctest"), say("the disk is full", key="doctest")
    (True, False)
    """
    key = text if key is None else key
    if key in _said or len(_said) >= _LIMIT:
        return False
    _said.add(key)
    try:
        sys.stderr.write(f"laketrace: {clean(text)}\n")
    except Exception:  # stderr may be closed, None or a stream that fails: then nobody listens
        return False
    return True


def cause(error: BaseException) -> str:
    """What went wrong, for a notice: a user's exception may have a text that raises itself.

    >>> cause(ValueError("no rows"))
    'ValueError: no rows'
    """
    return f"{type(error).__name__}: {as_text(error)}"


def forget(key: str) -> None:
    """Let the next `say` with this key be heard again: the trouble had gone meanwhile."""
    _said.discard(key)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_said.clear)
