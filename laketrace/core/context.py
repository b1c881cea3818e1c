"""Fields that hold for a while, in a thread or an asyncio task, for every logger.

Floor 1. Stands on: core.trace.

The context is an immutable mapping in a `ContextVar`: a new thread starts without it (unless
it is run in a copy of the context), an asyncio task with its creator's, a forked child with all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from laketrace.core.trace import current_ids

_EMPTY: Mapping[str, Any] = {}
fields_now: ContextVar[Mapping[str, Any]] = ContextVar("laketrace_fields", default=_EMPTY)


def context_fields() -> Mapping[str, Any]:
    """The fields of the context, and the ids of the OpenTelemetry span that is open, if one is."""
    ids = current_ids()
    return {**ids, **fields_now.get()} if ids else fields_now.get()


@contextmanager
def contextualize(**fields: Any) -> Iterator[None]:
    """Put `fields` on every record that is logged inside the block, whichever logger logs it.

    Blocks nest; the inner one wins. Threads and asyncio tasks keep theirs apart.

    >>> with contextualize(batch=12):
    ...     with contextualize(part="a"):
    ...         print(dict(fields_now.get()))
    {'batch': 12, 'part': 'a'}
    """
    token = fields_now.set({**fields_now.get(), **fields})
    try:
        yield
    finally:
        # A generator may be closed in another context; then there is nothing to put back.
        try:
            fields_now.reset(token)
        except ValueError:
            pass
