"""The lines of a log file, forwards and backwards.

Floor 7. Stands on: cli.selecting, core.notice, files.segment, lakehouse.source.

Memory: a block, or the longest line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from laketrace.cli.selecting import Line, parse_line
from laketrace.core.notice import say
from laketrace.files.segment import Segment
from laketrace.lakehouse.source import SegmentFile

BLOCK_BYTES = 1 << 18


def segment_lines(segment: Segment) -> Iterator[Line]:
    """The lines of a finished segment or of its archive; none when it is gone.

    An archive that breaks off is read as far as it goes, and that is said on stderr.
    """
    try:
        file = SegmentFile(segment)
    except FileNotFoundError:
        return
    with file:
        offset, rest = 0, b""
        while data := file.read(BLOCK_BYTES):
            *texts, rest = (rest + data).split(b"\n")
            for text in texts:
                yield parse_line(segment.path, offset, text)
                offset += len(text) + 1
        if rest:
            yield parse_line(segment.path, offset, rest)
        if file.damage is not None:
            say(f"{segment.path} is damaged and was read as far as it goes: {file.damage}")


def lines_forwards(path: str, file: BinaryIO, end: int) -> Iterator[Line]:
    """The lines in the first `end` bytes of a file, the first one first.

    >>> import io
    >>> [line.offset for line in lines_forwards("a.log", io.BytesIO(b"1\\n22\\n333"), 8)]
    [0, 2, 5]
    """
    offset, rest = file.seek(0), b""
    while data := file.read(min(BLOCK_BYTES, end - offset - len(rest))):
        *texts, rest = (rest + data).split(b"\n")
        for text in texts:
            yield parse_line(path, offset, text)
            offset += len(text) + 1
    if rest:
        yield parse_line(path, offset, rest)


def lines_backwards(path: str, file: BinaryIO, end: int) -> Iterator[Line]:
    """The lines in the first `end` bytes of a file, the last one first.

    >>> import io
    >>> [line.text for line in lines_backwards("a.log", io.BytesIO(b"1\\n22\\n333"), 8)]
    [b'333', b'22', b'1']
    """
    rest, newline_last = b"", True
    while end > 0:
        size = min(max(BLOCK_BYTES, len(rest)), end)  # grows with the line: linear in its length
        end = file.seek(end - size)
        data = file.read(size)
        if newline_last:
            data, newline_last = data.removesuffix(b"\n"), False
        rest, *texts = (data + rest).split(b"\n")
        position = end + len(rest) + 1
        starts = []
        for text in texts:
            starts.append(position)
            position += len(text) + 1
        for start, text in zip(reversed(starts), reversed(texts), strict=True):
            yield parse_line(path, start, text)
    if not newline_last:
        yield parse_line(path, 0, rest)


def end_of_lines(file: BinaryIO, size: int) -> int:
    """The offset behind the last newline in the first `size` bytes of a file.

    >>> import io
    >>> end_of_lines(io.BytesIO(b"1\\n22\\n333"), 8)
    5
    """
    end = size
    while end > 0:
        start = file.seek(max(0, end - BLOCK_BYTES))
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return end
