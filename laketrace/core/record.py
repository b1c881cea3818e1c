"""One record: what was said, where, when and by whom.

Floor 1. Stands on: core.encode, core.levels, core.timestamp.

A record object is made only where somebody looks at it: a filter, a formatter, an enricher, a
callable sink. The ordinary file handler gets a ready line from `core.logger` and never sees one;
`Record.to_json` gives the same bytes for the same record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from laketrace.core.encode import Encoder, FreeNames, not_taken, quote
from laketrace.core.levels import Level
from laketrace.core.timestamp import iso

if TYPE_CHECKING:
    from datetime import datetime

# The nine fields that each record has, in order, and those that it may have at its end.
STANDARD = (
    "timestamp", "level", "message", "logger_name", "hostname", "pid", "platform",
    "runtime_type", "run_id",
)  # fmt: skip
CALLER = ("file", "line", "function")
RESERVED = frozenset((*STANDARD, *CALLER, "exception"))
_ALIASES = {"name": "logger_name", "process_id": "pid"}


class Source(NamedTuple):
    """Who writes: what is the same on each record of a logger in one process."""

    logger_name: str
    hostname: str
    pid: int
    platform: str
    runtime_type: str
    run_id: str

    def members(self) -> str:
        """As JSON members, with a comma before each."""
        return _members(self)


@lru_cache(maxsize=256)
def _members(source: Source) -> str:
    return "".join(
        f",{quote(name)}:{quote(value) if isinstance(value, str) else value}"
        for name, value in zip(source._fields, source, strict=True)
    )


class Record:
    """One log record, as filters, formatters, enrichers and callable sinks get it.

    Attributes are readable as items too, `record["level"]`, and the names of 1.x work:
    `name` is `logger_name`, `process_id` is `pid`. `level` is a `str` with `.no`; `timestamp`
    an aware UTC `datetime`; `extra` the dict of bound, contextual and call fields; `exception`
    the dict that is written, `exc` the exception itself; `file`, `line`, `function`, `module`
    are None below `caller_level`; `elapsed` is in seconds since LakeTrace was imported.
    """

    __slots__ = (
        "_timestamp", "elapsed", "exc", "exception", "extra", "file", "function", "level", "line",
        "message", "module", "process_name", "source", "thread_id", "thread_name", "timestamp_ns",
    )  # fmt: skip

    def __init__(
        self, source: Source, level: Level, message: str, timestamp_ns: int, extra: dict[str, Any]
    ) -> None:
        self.source = source
        self.level = level
        self.message = message
        self.timestamp_ns = timestamp_ns
        self.extra = extra
        self.exc: BaseException | None = None
        self.exception: dict[str, Any] | None = None
        self.file: str | None = None
        self.line: int | None = None
        self.function: str | None = None
        self.module: str | None = None
        self.thread_id = 0
        self.thread_name = ""
        self.process_name = ""
        self.elapsed = 0.0
        self._timestamp: datetime | None = None

    @property
    def timestamp(self) -> datetime:
        """When, as an aware `datetime` in UTC with microseconds."""
        if self._timestamp is None:
            from datetime import datetime, timedelta, timezone

            micros = self.timestamp_ns // 1000
            epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
            self._timestamp = epoch + timedelta(microseconds=micros)
        return self._timestamp

    @property
    def logger_name(self) -> str:
        """The name given to `get_logger`."""
        return self.source.logger_name

    name = logger_name

    @property
    def hostname(self) -> str:
        """The machine that writes."""
        return self.source.hostname

    @property
    def pid(self) -> int:
        """The process that writes."""
        return self.source.pid

    process_id = pid

    @property
    def platform(self) -> str:
        """`fabric`, `databricks`, `synapse`, `spark` or `local`."""
        return self.source.platform

    @property
    def runtime_type(self) -> str:
        """`notebook`, `job`, `script` or `local`."""
        return self.source.runtime_type

    @property
    def run_id(self) -> str:
        """The run that this record belongs to."""
        return self.source.run_id

    def __getitem__(self, key: str) -> Any:
        if not isinstance(key, str) or key.startswith("_") or not hasattr(type(self), key):
            raise KeyError(key)
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> list[str]:
        """The names that can be used as items."""
        own = [name for name in self.__slots__ if not name.startswith("_") and name != "source"]
        return sorted([*own, "timestamp", *Source._fields, *_ALIASES])

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def get(self, key: str, default: Any = None) -> Any:
        """The attribute `key`, or `default` where there is none."""
        try:
            return self[key]
        except KeyError:
            return default

    def __repr__(self) -> str:
        return f"<Record {self.level} {self.message[:60]!r}>"

    def changed(self, message: str, extra: dict[str, Any]) -> Record:
        """A copy with another message and other fields."""
        copy = object.__new__(Record)
        for name in self.__slots__:
            setattr(copy, name, getattr(self, name))
        copy.message, copy.extra = message, extra
        return copy

    def to_dict(self) -> dict[str, Any]:
        """The record as it is written: a dict in the order of the JSON line."""
        written: dict[str, Any] = {
            "timestamp": iso(self.timestamp_ns), "level": self.level.name, "message": self.message
        }  # fmt: skip
        written.update(self.source._asdict())
        written.update(self.extra)
        written.update(self.tail())
        return written

    def tail(self) -> dict[str, Any]:
        """What stands after the fields: the caller and the exception, where there are any."""
        tail: dict[str, Any] = {}
        if self.file is not None:
            tail.update(file=self.file, line=self.line, function=self.function)
        if self.exception is not None:
            tail["exception"] = self.exception
        return tail

    def to_json(self, encoder: Encoder, *, details: bool = False) -> str:
        """The JSON line without its newline; with `details` thread, process and caller too."""
        extra = self.extra
        added: dict[str, Any] = {}
        if details:
            added, names = self.details(), FreeNames()
            extra = {
                names.take(f"extra_{key}" if key in added else key): extra[key] for key in extra
            }
        members = encoder.members(extra) + encoder.members(added)
        return (
            f'{{"timestamp":"{iso(self.timestamp_ns)}","level":{quote(self.level.name)}'
            f',"message":{encoder.text(self.message)}{self.source.members()}{members}'
            f"{encoder.members(self.tail())}}}"
        )

    def details(self) -> dict[str, Any]:
        """What `serialize=True` adds to a line."""
        return {
            "thread_id": self.thread_id, "thread_name": self.thread_name,
            "process_id": self.pid, "process_name": self.process_name,
            "module": self.module, "elapsed": self.elapsed,
        }  # fmt: skip


class Message(str):
    """The text of a record, with the record on it: what a callable sink is called with.

    >>> source = Source("etl", "host", 1, "local", "script", "run")
    >>> message = Message("ready", Record(source, Level("INFO", 20), "ready", 0, {"rows": 3}))
    >>> message.upper(), message.record.extra["rows"]
    ('READY', 3)
    """

    __slots__ = ("record",)
    record: Record

    def __new__(cls, text: str, record: Record) -> Message:
        """`text`, bearing its record."""
        message = super().__new__(cls, text)
        message.record = record
        return message


def free_name(name: str, taken: Mapping[str, Any]) -> str:
    """The name under which a field is kept: `extra_<name>` where `name` is reserved.

    >>> free_name("rows", {}), free_name("level", {}), free_name("level", {"extra_level": 1})
    ('rows', 'extra_level', 'extra_level_2')
    """
    return not_taken(f"extra_{name}", taken) if name in RESERVED else name
