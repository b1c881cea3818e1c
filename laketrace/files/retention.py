"""Which segments have been kept long enough.

Floor 2. Stands on: files.units.

`parse_retention` turns every accepted form into one `Retention`, and `expired` says which of a
logger's segments it no longer keeps. Nothing is deleted here, and nothing but the given segments
is looked at. Several conditions hold together: a segment is kept only while each of them keeps it.
Threads and forks: everything here is immutable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, Protocol, TypeVar

from laketrace.files.units import (
    check_keys,
    means_size,
    parse_duration,
    parse_size,
    quantities,
    shown,
)

RetentionCall = Callable[[list[str]], Any]

_MICROSECOND = timedelta(microseconds=1)
_KEYS = ("count", "age", "size")
_SIZE, _AGE = "retention='5 GB'", "retention='7 days'"
_FORMS = "Use a number of files like 10 or '10 files', an age like '7 days', a size like '5 GB'."


class KeptFile(Protocol):
    """What retention wants to know of a segment."""

    @property
    def size(self) -> int:
        """Bytes on disk; 0 when the file is gone."""
        ...

    @property
    def time_ns(self) -> int:
        """When it was finished, in Unix nanoseconds."""
        ...


F = TypeVar("F", bound=KeptFile)


class Retention(NamedTuple):
    """What is kept: the newest `files`, none older than `age`, at most `size` bytes in all.

    None means that this condition was not set. Each of `callables` takes the paths of all
    segments, oldest first, and deletes what it likes.

    >>> parse_retention({"count": 10, "age": "7 days"})
    Retention(files=10, age=datetime.timedelta(days=7), size=None, callables=())
    """

    files: int | None
    age: timedelta | None
    size: int | None
    callables: tuple[RetentionCall, ...]

    def expired(self, segments: Sequence[F], now_ns: int) -> list[F]:
        """Those of `segments` (oldest first) that are not kept at `now_ns`, in the same order.

        The newest files are kept: of `size`, as many as fit without a gap, so that a newest
        file that alone is larger is not kept either.
        """
        fitting = self._fitting(segments)
        oldest_ns = None if self.age is None else now_ns - self.age // _MICROSECOND * 1000
        return [
            segment
            for newer, segment in zip(range(len(segments) - 1, -1, -1), segments, strict=True)
            if newer >= fitting or (oldest_ns is not None and segment.time_ns < oldest_ns)
        ]

    def _fitting(self, segments: Sequence[KeptFile]) -> int:
        """How many of the newest segments `files` and `size` allow."""
        most = len(segments) if self.files is None else min(self.files, len(segments))
        if self.size is None:
            return most
        total = 0
        for fitting in range(most):
            total += segments[-1 - fitting].size
            if total > self.size:
                return fitting
        return most


def parse_retention(value: object) -> Retention | None:
    """The retention for a setting: one condition, a dict, or a list; all conditions are enforced.

    A condition is a number of files (10, `"10 files"`), an age (`"7 days"`, `"30d"`, a
    `timedelta`), a total size (`"100 MB"`) or a callable that takes the list of paths and deletes
    what it likes. A dict has any of `count`, `age`, `size`. Of two of a kind the stricter holds.
    None keeps everything.

    Raises `ValueError` for anything else, for 0 and less, and for the unit `m`, which has three
    meanings.

    >>> parse_retention(["10 files", "5 GB"])
    Retention(files=10, age=None, size=5368709120, callables=())
    """
    if value is None:
        return None
    items = list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
    if not items:
        raise ValueError(f"a list of retention conditions has at least one. {_FORMS}")
    found = _Found([], [], [], [])
    for item in items:
        if isinstance(item, Mapping):
            _add_dict(found, item)
        else:
            _add(found, item)
    return Retention(
        min(found.counts, default=None),
        min(found.ages, default=None),
        min(found.sizes, default=None),
        tuple(found.callables),
    )


class _Found(NamedTuple):
    """The conditions read so far."""

    counts: list[int]
    ages: list[timedelta]
    sizes: list[int]
    callables: list[RetentionCall]


def _add_dict(found: _Found, value: Mapping[Any, object]) -> None:
    check_keys(value, "retention", _KEYS, "{'count': 10, 'age': '7 days'}")
    if "count" in value:
        found.counts.append(_count(value["count"]))
    if "age" in value:
        found.ages.append(parse_duration(value["age"], _AGE))
    if "size" in value:
        found.sizes.append(parse_size(value["size"], _SIZE))


def _add(found: _Found, value: object) -> None:
    if isinstance(value, str):
        _add_text(found, value)
    elif isinstance(value, int):
        found.counts.append(_count(value))
    elif isinstance(value, timedelta):
        found.ages.append(parse_duration(value, _AGE))
    elif callable(value):
        found.callables.append(value)
    else:
        raise ValueError(f"{shown(value)} is not a rule of retention. {_FORMS}")


def _add_text(found: _Found, text: str) -> None:
    parts = quantities(text)
    if not parts:
        raise ValueError(f"{shown(text)} is not a rule of retention. {_FORMS}")
    unit = parts[0][2].lower()
    if len(parts) > 1:
        found.ages.append(parse_duration(text, _AGE))
    elif unit in ("", "file", "files"):
        found.counts.append(_count(text))
    elif unit == "m":
        # Deleting by the wrong one of its meanings could not be undone.
        number = text.strip()[:-1].strip()
        raise ValueError(
            f"{parts[0][2]!r} may be minutes, months or megabytes. "
            f"Write '{number} min', '{number} months' or '{number} MB'."
        )
    elif means_size(unit):
        found.sizes.append(parse_size(text, _SIZE))
    else:
        found.ages.append(parse_duration(text, _AGE))


def _count(value: object) -> int:
    count = value
    if isinstance(value, str):
        parts = quantities(value)
        if len(parts) == 1 and not parts[0][1] and parts[0][2].lower() in ("file", "files"):
            count = int(parts[0][0])
    if isinstance(count, bool) or not isinstance(count, int):
        raise ValueError(
            f"{shown(value)} is not a number of files. Use e.g. retention=10 or '10 files'."
        )
    if count < 1:
        raise ValueError(
            f"retention keeps at least 1 file, not {shown(value)}. Use more, or None to keep all."
        )
    return count
