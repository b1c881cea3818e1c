"""What a killed process left behind is found, repaired and finished at the next start.

Floor 2. Stands on: files.lock, files.read, files.runs, files.segment.

A torn last line is overwritten in place, with one write, by a record that contains it: the
record is longer than the fragment, so nothing has to be cut off first, and a crash in between
leaves a torn line again. A `.tmp` of a compression is removed, its source is still there. An
archive beside its source is removed too: the source goes last, so it is whole. The active file
of a dead process becomes a segment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from laketrace.files.lock import Ownership, claim
from laketrace.files.read import parse_record
from laketrace.files.runs import adopt_runs
from laketrace.files.segment import (
    Key,
    find_segments,
    next_key,
    own_stems,
    parse_segment,
    segment_name,
)

_CHUNK = 1 << 16
_LONGEST = 1 << 20  # bytes of a fragment that are kept: a crash of the machine can leave more

LineMaker = Callable[[str, dict[str, Any]], bytes]
"""Makes a whole line of a message and fields, in the form of the file it goes to."""


class Finding(NamedTuple):
    """Something that was found on the disk, and what was done about it."""

    event: str
    message: str
    fields: dict[str, Any]
    level: str = "WARNING"

    @classmethod
    def torn(cls, path: str, fragment: bytes) -> Finding:
        """A torn last line that was mended."""
        fields = {"path": path, "bytes": len(fragment)}
        return cls("torn_line_found", "a torn line was mended", fields)


def last_key(owner: Ownership) -> Key:
    """The greatest key that a stem has ever used."""
    segments = [item.key for item in find_segments(owner.log_dir, owner.stem)]
    return max([owner.last_used(), *segments, *(line.after for line in owner.journal())])


def repair(owner: Ownership, make_line: LineMaker) -> list[Finding]:
    """Put the files of a stem in order; the caller holds its lock. Raises `OSError`."""
    findings = _clean_archives(owner)
    fragment = mend_tail(owner.path, make_line)
    if fragment is not None:
        findings.append(Finding.torn(owner.path, fragment))
    return findings


def mend_tail(path: str, make_line: LineMaker) -> bytes | None:
    """Make the last line of a file whole; the fragment that was there, or None.

    A fragment that only lacks its newline gets it; any other becomes the field `fragment` of a
    record with `event: "torn_line"`. Raises `OSError` where the disk does not take that, and then
    has changed nothing.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return None
    try:
        size = os.fstat(descriptor).st_size
        if not size or os.pread(descriptor, 1, size - 1) == b"\n":
            return None
        fragment, at = _fragment(descriptor, size)
        whole = parse_record(fragment) is not None
        line = fragment + b"\n" if whole else _torn_line(fragment, at, make_line)
        _replace(descriptor, at, fragment, line)
        return fragment
    finally:
        os.close(descriptor)


def _replace(descriptor: int, at: int, fragment: bytes, line: bytes) -> None:
    """Put `line` where `fragment` stands, at the end of the file."""
    written = os.pwrite(descriptor, line, at)
    if written < len(line):
        os.pwrite(descriptor, fragment, at)
        os.ftruncate(descriptor, at + len(fragment))
        raise OSError(28, "No space left on device")
    os.ftruncate(descriptor, at + len(line))  # a line in a form of the user's may be shorter


def _torn_line(fragment: bytes, at: int, make_line: LineMaker) -> bytes:
    text = fragment[:_LONGEST].decode("utf-8", "backslashreplace")
    fields = {"event": "torn_line", "fragment": text, "offset": at, "bytes": len(fragment)}
    message = "a line torn by a crash"
    try:
        line = make_line(message, fields)
        if parse_record(line) is not None:
            return line
        return make_line(f"{message}: {text}", fields)  # a text form may not show the fields
    except Exception:  # a formatter of the user's
        return json.dumps({"message": message, **fields}).encode() + b"\n"


def _fragment(descriptor: int, size: int) -> tuple[bytes, int]:
    """The bytes behind the last newline, and where they begin."""
    at = size
    chunks: list[bytes] = []
    while at > 0:
        step = min(_CHUNK, at)
        at -= step
        chunk = os.pread(descriptor, step, at)
        newline = chunk.rfind(b"\n")
        if newline >= 0:
            at += newline + 1
            chunk = chunk[newline + 1 :]
        chunks.append(chunk)
        if newline >= 0:
            break
    return b"".join(reversed(chunks)), at


def _clean_archives(owner: Ownership) -> list[Finding]:
    findings = []
    start = f"{owner.stem}.log."
    present = {name for name in os.listdir(owner.log_dir) if name.startswith(start)}
    for name in sorted(present):
        archive = name.removesuffix(".tmp")
        segment = parse_segment(archive)
        if segment is None or segment.stem != owner.stem or not segment.suffix:
            continue
        if archive != name or archive.removesuffix(segment.suffix) in present:
            path = os.path.join(owner.log_dir, name)
            os.unlink(path)
            fields = {"path": path}
            findings.append(Finding("half_archive", "a half-made archive was removed", fields))
    return findings


def finish(owner: Ownership, now_ns: int, last: Key) -> Key:
    """Make a segment of the active file of a stem; the key used, or `last` when it is empty.

    In a copied directory it gets a stream of its own: the stream that it comes from may go on
    elsewhere, and there another segment may have this key, or one between this and the last.
    """
    try:
        if os.path.islink(owner.path) or not os.path.getsize(owner.path):
            return last
    except OSError:
        return last
    if owner.is_copied():
        owner.begin_stream(last, now_ns, owner.journal()[-1].logger_name)
    key = next_key(now_ns, last)
    owner.use(key)
    os.rename(owner.path, os.path.join(owner.log_dir, segment_name(owner.stem, key)))
    return key


def take_over(
    owner: Ownership, logger_name: str, now_ns: int, make_line: LineMaker
) -> list[Finding]:
    """Finish what dead second processes and forked children of a logger left."""
    findings: list[Finding] = []
    for stem in own_stems(owner.log_dir, owner.stem, logger_name):
        other = None if stem == owner.stem else claim(owner.log_dir, stem)
        if other is None:
            continue  # it lives
        try:
            adopt_runs(other.path, owner.path)
            findings += _take_over(other, now_ns, make_line)
        except OSError:
            pass  # a full disk: the next start tries again
        finally:
            other.release()
    return findings


def _take_over(other: Ownership, now_ns: int, make_line: LineMaker) -> list[Finding]:
    if not other.is_free():
        return []
    findings = repair(other, make_line)
    last = last_key(other)
    key = finish(other, now_ns, last)
    if key != last:
        path = os.path.join(other.log_dir, segment_name(other.stem, key))
        fields = {"path": other.path, "segment": path}
        findings.append(Finding("dead_process", "the file of a dead process was finished", fields))
    elif not find_segments(other.log_dir, other.stem):
        other.remove()  # its file is empty, and nothing else is left of its process
    return findings
