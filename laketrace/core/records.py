"""Records that were kept, as objects that can be asked.

Floor 1. Stands on: core.levels, core.record, errors.

Threads: `Records` may be filled from any; read it when they are done.
"""

from __future__ import annotations

from typing import Any

from laketrace.core.levels import get_level
from laketrace.core.record import Message, Record
from laketrace.errors import checked


class Records(list[Record]):
    """A sink that keeps what it gets: a list of `Record` that can be asked.

    >>> from laketrace import get_logger
    >>> log = get_logger("test", log_dir=None, stdout=False)
    >>> records = Records()
    >>> _ = log.add(records)
    >>> log.info("table loaded", table="orders", rows=3)
    >>> log.warning("late", table="customers")
    >>> records.messages, records.having(table="orders")[0].extra["rows"]
    (['table loaded', 'late'], 3)
    >>> records.at("WARNING").messages
    ['late']
    >>> log.close()
    """

    def __call__(self, message: Message) -> None:
        """Keep one record: what a handler calls."""
        self.append(message.record)

    @property
    def messages(self) -> list[str]:
        """The messages, in order."""
        return [record.message for record in self]

    def at(self, level: str | int) -> Records:
        """The records of this level. Raises `ConfigError` for an unknown one."""
        wanted = checked("level", level, get_level).no
        return Records(record for record in self if record.level.no == wanted)

    def having(self, /, **fields: Any) -> Records:
        """The records that have all these fields with these values."""
        items = fields.items()
        return Records(record for record in self if items <= _Comparable(record.extra))


class _Comparable(dict[str, Any]):
    """A dict that tells whether it holds some items, also unhashable ones."""

    def __ge__(self, items: Any) -> bool:
        absent = object()
        return all(self.get(key, absent) == value for key, value in items)
