"""Text is cut to a number of bytes, and says what it lost.

Floor 1. Stands on: core.encode.

The measure is what the text takes in a record: the bytes of its JSON string in UTF-8, with every
escape. A cut keeps three quarters at the beginning and the rest at the end, because the end of an
error is where its cause stands. Time is linear in `most`, however long the text is. Pure.
"""

from __future__ import annotations

from laketrace.core.encode import quote

_MARK = "[... {} characters left out ...]"
_ROOM_FOR_MARK = len(_MARK) + 20


def json_size(text: str) -> int:
    r"""Bytes of `text` as a JSON string, without its two quotes.

    >>> json_size("abc"), json_size("\n"), json_size("\u00e9")
    (3, 2, 2)
    """
    return len(quote(text).encode()) - 2


def cut(text: str, most: int) -> str:
    """`text`, or its beginning and end when it takes more than `most` bytes of JSON.

    >>> cut("short", 100), cut("0123456789" * 20, 80)
    ('short', '012345678901234567890[... 172 characters left out ...]3456789')
    """
    if len(text) <= most and json_size(text) <= most:
        return text
    room = max(0, most - _ROOM_FOR_MARK)
    head = _fitting(text, room - room // 4, from_end=False)
    tail = _fitting(text, room // 4, from_end=True)
    mark = _MARK.format(len(text) - len(head) - len(tail))
    return head + mark + tail if json_size(mark) <= most else ""


def _fitting(text: str, most: int, *, from_end: bool) -> str:
    """As much of the beginning or the end as takes at most `most` bytes."""
    keep = min(most, len(text))
    while keep > 0:
        piece = text[len(text) - keep :] if from_end else text[:keep]
        size = json_size(piece)
        if size <= most:
            return piece
        # Cut in proportion; at least an eighth, so that few rounds are enough.
        keep = min(keep * most // size, keep * 7 // 8)
    return ""
