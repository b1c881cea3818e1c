"""A record larger than its limit is cut, with a marker where something is missing.

Floor 1. Stands on: core.cut, core.encode, core.record, core.values.
"""

from __future__ import annotations

from typing import Any

from laketrace.core.cut import cut
from laketrace.core.encode import Encoder, not_taken, quote
from laketrace.core.record import Record
from laketrace.core.values import as_text


def is_longer(text: str, limit: int) -> bool:
    """Whether `text` has more than `limit` bytes.

    >>> is_longer("abc", 3), is_longer("ab\u00e9", 3)
    (False, True)
    """
    return len(text) > limit or (4 * len(text) > limit and _bytes(text) > limit)


def shorten(record: Record, encoder: Encoder, limit: int) -> Record:
    """A copy of `record` whose JSON text has at most about `limit` bytes.

    The largest parts (message, fields, exception) are replaced one after the other by the
    beginning of their text and a marker that counts what is missing. Where there are too many
    fields for that, the last ones are left out, and `fields_left_out` counts them.
    """
    parts: dict[str, Any] = {**record.extra, "message": record.message}
    if record.exception is not None:
        parts["exception"] = record.exception
    names = {key: len(quote(key)) + 2 for key in parts}
    sizes = {key: _bytes(encoder.value(value)) for key, value in parts.items()}
    share = max(64, limit // (2 * (len(parts) + 1)))
    total = sum(sizes.values()) + sum(names.values())
    for key in sorted(sizes, key=lambda name: -sizes[name]):
        if total <= limit // 2 or sizes[key] <= share:
            break
        total -= sizes[key] - share
        sizes[key] = share
        parts[key] = (_cut_error if key == "exception" else _cut)(parts[key], encoder, share)
    sizes = {key: names[key] + sizes[key] for key in parts}
    short = record.changed(parts["message"], _fitting(parts, record.extra, sizes, limit // 2))
    short.exception = parts.get("exception")
    return short


def _fitting(
    parts: dict[str, Any], extra: dict[str, Any], sizes: dict[str, int], room: int
) -> dict[str, Any]:
    """The fields in order, as many as fit beside message and exception."""
    room -= sum(sizes[key] for key in parts if key not in extra)
    kept: dict[str, Any] = {}
    for key in extra:
        if sizes[key] <= room:
            room -= sizes[key]
            kept[key] = parts[key]
    if len(kept) < len(extra):
        kept[not_taken("fields_left_out", kept)] = len(extra) - len(kept)
    return kept


def _cut_error(exception: dict[str, Any], encoder: Encoder, size: int) -> dict[str, Any]:
    """Type, value and traceback of an exception, both ends of each."""
    shares = {"type": size // 8, "value": size // 4, "traceback": size // 2}
    return {name: cut(as_text(exception.get(name)), share) for name, share in shares.items()}


def _cut(value: Any, encoder: Encoder, size: int) -> str:
    """The beginning of a value's text, and how much of it is missing."""
    text = value if isinstance(value, str) else encoder.value(value)
    if _bytes(quote(text)) <= size:
        return text
    # A character takes up to six in JSON, so the part that stays is cut by its encoded size.
    kept = text[: size // 6]
    return f"{kept}... <cut: {len(text) - len(kept)} more characters>"


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
