"""A record larger than its limit is cut, with a marker where something is missing.

Floor 1. Stands on: core.encode, core.record.
"""

from __future__ import annotations

from typing import Any

from laketrace.core.encode import Encoder
from laketrace.core.record import Record


def shrink(record: Record, encoder: Encoder, limit: int) -> str:
    """The JSON text of `record` in at most about `limit` characters.

    The largest parts (message, fields, exception) are replaced one after the other by the
    beginning of their text and a marker that counts what is missing.
    """
    parts: dict[str, Any] = {**record.extra, "message": record.message}
    if record.exception is not None:
        parts["exception"] = record.exception
    sizes = {key: len(encoder.value(value)) for key, value in parts.items()}
    share = max(64, limit // (2 * (len(parts) + 1)))
    total = sum(sizes.values())
    short = Record(record.source, record.level, record.message, record.timestamp_ns, {})
    for name in ("file", "line", "function"):
        setattr(short, name, getattr(record, name))
    for key in sorted(sizes, key=lambda name: -sizes[name]):
        if total <= limit // 2 or sizes[key] <= share:
            break
        total -= sizes[key] - share
        parts[key] = _cut(parts[key], encoder, share)
    short.message = str(parts.pop("message"))
    exception = parts.pop("exception", None)
    short.extra = {key: parts[key] for key in record.extra if key in parts}
    if exception is not None:
        short.exception = exception if isinstance(exception, dict) else {"value": exception}
    return short.to_json(encoder)


def _cut(value: Any, encoder: Encoder, size: int) -> str:
    """The beginning of a value's text, and how much of it is missing."""
    text = value if isinstance(value, str) else encoder.value(value)
    # A character takes up to six in JSON, so the part that stays is cut by its encoded size.
    kept = text[: size // 6]
    return f"{kept}... <cut: {len(text) - len(kept)} more characters>"
