"""The lines of a segment, from its file or its archive, in blocks.

Floor 7. Stands on: files.compression, files.segment.

A block is bytes that begin and end where lines do. Offsets count uncompressed bytes. Memory is
bounded: a line longer than 16 MiB, which no record is, comes in pieces marked as torn. An archive
that breaks off is read as far as it goes and then has a `damage`: one damaged file must not stop
its stream for ever. A segment that was compressed since it was listed is found under its new
name, and one whose last writer has not left yet is told apart by `is_settled`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from laketrace.files.compression import open_archive
from laketrace.files.segment import ARCHIVES, Segment

BLOCK_BYTES = 1 << 20
PIECE_BYTES = 16 << 20
_SETTLED_SECONDS = 10.0

_fcntl: Any
try:
    import fcntl as _fcntl
except ImportError:  # Windows
    _fcntl = None


class SegmentGone(FileNotFoundError):
    """A segment was removed while it was being uploaded."""

    def __init__(self, path: str) -> None:
        text = "the segment is gone; retention waits only where the settings have a destination"
        super().__init__(2, text, path)


class Block(NamedTuple):
    """Whole lines; or, when `torn`, a piece of one that is too long for a record."""

    offset: int
    data: bytes
    torn: bool = False


class SegmentFile:
    """The uncompressed bytes of a segment; `at` is the offset of the next one.

    `ended` tells that they have all been read; `damage`, what broke off an archive, if anything.
    Raises `SegmentGone` when it is not there any more, `OSError` when the disk fails, and
    `ValueError` when this Python lacks the codec of the archive.
    """

    def __init__(self, segment: Segment) -> None:
        self.damage: str | None = None
        self.ended = False
        self.at = 0
        self._file: Any = None
        self._plain = False
        for suffix in ("", *(ARCHIVES if not segment.suffix else ())):
            try:
                self._file = open_archive(segment.path + suffix)
                self._plain = not (segment.suffix or suffix)
                return
            except FileNotFoundError:
                continue
            except ValueError:  # no damage: another Python has the codec
                raise
            except Exception as error:  # a zip archive is looked into when it is opened
                self._note(error)
                return
        raise SegmentGone(segment.path)

    def __enter__(self) -> SegmentFile:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            self._file.close()

    def _note(self, error: Exception) -> None:
        if isinstance(error, OSError) and error.errno is not None:
            raise error
        self.damage = f"{type(error).__name__}: {error}"  # a codec's error has no errno
        self.ended = True

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer before the end or the damage, none at it."""
        pieces: list[bytes] = []
        left = size
        while left and not self.ended and self._file is not None:
            try:
                # One step of the codec at a time: what it gives before it fails is not lost.
                piece = self._file.read(left) if self._plain else self._file.read1(left)
            except Exception as error:
                self._note(error)
                break
            self.ended = not piece
            pieces.append(piece)
            left -= len(piece)
        self.at += size - left
        return b"".join(pieces)

    def skip_to(self, offset: int) -> None:
        """Go on to `offset`, or to the end where that comes first."""
        if self._plain and self._file is not None:
            self.at = self._file.seek(offset)
        while self.at < offset and self.read(min(BLOCK_BYTES, offset - self.at)):
            pass


def present(segment: Segment) -> Segment:
    """A segment under the name that it has now; it may have been compressed since it was listed.

    Raises `SegmentGone` when it is not there any more.
    """
    for suffix in ("", *(ARCHIVES if not segment.suffix else ())):
        if os.path.exists(segment.path + suffix):
            return segment._replace(path=segment.path + suffix, suffix=segment.suffix or suffix)
    raise SegmentGone(segment.path)


def read_blocks(file: SegmentFile, first: int = 0, end: int | None = None) -> Iterator[Block]:
    """The lines that begin in the bytes `first` to `end` of a segment, in order.

    The last line may lack its newline. Where an archive breaks off, a line says so.
    """
    data = _skip_to_line(file, first) if first else b""
    at, giant, more = file.at - len(data), False, True
    while more and (giant or end is None or at < end):
        chunk = file.read(BLOCK_BYTES)
        cut = chunk.rfind(b"\n") + 1
        behind = at + len(data) + cut
        is_short = not giant and len(data) + BLOCK_BYTES < PIECE_BYTES
        if cut and is_short and (end is None or behind <= end):
            # The usual case, with one copy: while bytes are copied, no log call goes on.
            yield Block(at, b"".join((data, memoryview(chunk)[:cut])))
            at, data = behind, chunk[cut:]
            continue
        data, more = data + chunk, bool(chunk)
        while data and (giant or end is None or at < end):
            limit = None if end is None else end - at
            size, torn = _next_block(data, limit, giant, final=not more)
            if not size:
                break
            yield Block(at, data[:size], torn)
            giant = torn and data[size - 1] != 0x0A
            at, data = at + size, data[size:]
    if file.damage is not None and first <= file.at and (end is None or file.at < end):
        text = f"laketrace: the archive is damaged and cannot be read further ({file.damage})"
        yield Block(file.at, text.encode("utf-8", "backslashreplace"), torn=True)


def _skip_to_line(file: SegmentFile, first: int) -> bytes:
    """Go to the first line that begins at or behind `first`; what was read of it."""
    file.skip_to(first - 1)  # the byte before decides whether a line begins at `first`
    while data := file.read(BLOCK_BYTES):
        newline = data.find(b"\n")
        if newline >= 0:
            return data[newline + 1 :]
    return b""


def _next_block(data: bytes, limit: int | None, giant: bool, final: bool) -> tuple[int, bool]:
    """How many bytes of `data`, which begins with a line, make a block; 0: more are needed.

    `limit` is where lines no longer belong to what is read; `giant`: `data` goes on with a line
    whose first pieces have been given out. Only the first line of `data` can be longer than a
    piece, because what is left over from the last round is the beginning of a line.
    """
    newline = data.find(b"\n", 0, PIECE_BYTES)
    if newline < 0:
        if len(data) > PIECE_BYTES or (giant and len(data) == PIECE_BYTES):
            return PIECE_BYTES, True
        return (len(data) if final else 0), giant
    if giant:
        return newline + 1, True
    if limit is not None and limit <= len(data):
        last = data.find(b"\n", limit - 1)  # the end of the last line that begins before
        if last >= 0:
            return last + 1, False
    return data.rfind(b"\n") + 1, False


def is_settled(segment: Segment) -> bool:
    """Whether nobody can write to a segment any more.

    A rotation renames the active file first and waits for the last writer afterwards. Until it
    closes the file it holds a shared lock on it, whoever asks from whichever process. Where the
    file system knows no locks, ten seconds without a change stand for that.

    >>> is_settled(Segment("/no/such/a.log.20261121_103200", "a", "20261121_103200", 0, ""))
    True
    """
    if segment.suffix:
        return True  # made from a settled one
    try:
        descriptor = os.open(segment.path, os.O_RDONLY)
    except OSError:
        return True  # compressed or deleted in the meantime; reading will tell
    try:
        if _fcntl is not None:
            _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
            return True
    except BlockingIOError:
        return False
    except OSError:
        pass
    finally:
        os.close(descriptor)
    return time.time() - segment_mtime(segment) >= _SETTLED_SECONDS


def segment_mtime(segment: Segment) -> float:
    """When the file of a segment was last changed, in Unix seconds; 0 when it is gone."""
    try:
        return os.stat(segment.path).st_mtime
    except OSError:
        return 0.0
