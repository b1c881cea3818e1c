"""What a killed process left behind is found, repaired and finished at the next start.

Floor 2. Stands on: files.lock, files.segment.

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
from laketrace.files.segment import (
    ARCHIVES,
    Key,
    find_segments,
    next_key,
    own_stems,
    segment_name,
)

_CHUNK = 1 << 16

LineMaker = Callable[[str, dict[str, Any]], bytes]
"""Makes a whole line of a message and fields, in the form of the file it goes to."""


class Finding(NamedTuple):
    """Something that an earlier process left, and what was done about it."""

    event: str
    message: str
    fields: dict[str, Any]


def last_key(owner: Ownership) -> Key:
    """The greatest key that a stem has ever used, as far as the disk still tells."""
    segments = find_segments(owner.log_dir, owner.stem)
    used = [item.key for item in segments] + [line.after for line in owner.journal()]
    return max(used, default=("", 0))


def repair(owner: Ownership, make_line: LineMaker) -> list[Finding]:
    """Put the files of a stem in order; the caller holds its lock."""
    findings = _clean_archives(owner)
    fragment = mend_tail(owner.path, make_line)
    if fragment is not None:
        fields = {"path": owner.path, "bytes": len(fragment)}
        findings.append(Finding("torn_line_found", "a torn line was mended", fields))
    return findings


def mend_tail(path: str, make_line: LineMaker) -> bytes | None:
    """Make the last line of a file whole; the fragment that was there, or None.

    A fragment that only lacks its newline gets it; any other becomes the field `fragment` of a
    record with `event: "torn_line"`.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    try:
        size = os.fstat(descriptor).st_size
        fragment, at = _fragment(descriptor, size)
        if not fragment:
            return None
        if _is_record(fragment):
            os.pwrite(descriptor, b"\n", size)
        else:
            text = fragment.decode("utf-8", "backslashreplace")
            fields = {"event": "torn_line", "fragment": text, "offset": at}
            os.pwrite(descriptor, make_line("a line torn by a crash", fields), at)
        return fragment
    except OSError:  # a full or read-only disk: the next start tries again
        return None
    finally:
        os.close(descriptor)


def _fragment(descriptor: int, size: int) -> tuple[bytes, int]:
    """The bytes behind the last newline, and where they begin."""
    at = size
    tail = b""
    while at > 0:
        step = min(_CHUNK, at)
        at -= step
        tail = os.pread(descriptor, step, at) + tail
        newline = tail.rfind(b"\n")
        if newline >= 0:
            return tail[newline + 1 :], at + newline + 1
    return tail, 0


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _clean_archives(owner: Ownership) -> list[Finding]:
    findings = []
    names = os.listdir(owner.log_dir)
    present = set(names)
    for name in names:
        if not name.startswith(f"{owner.stem}.log."):
            continue
        base, suffix = os.path.splitext(name)
        half = suffix == ".tmp" and os.path.splitext(base)[1] in ARCHIVES
        doubled = suffix in ARCHIVES and base in present
        if half or doubled:
            path = os.path.join(owner.log_dir, name)
            os.unlink(path)
            fields = {"path": path}
            findings.append(Finding("half_archive", "a half-made archive was removed", fields))
    return findings


def finish(owner: Ownership, now_ns: int, last: Key) -> Key:
    """Make a segment of the active file of a stem; the key used, or `last` when it is empty."""
    try:
        if os.path.islink(owner.path) or not os.path.getsize(owner.path):
            return last
    except OSError:
        return last
    key = next_key(now_ns, last)
    os.rename(owner.path, os.path.join(owner.log_dir, segment_name(owner.stem, key)))
    return key


def take_over(log_dir: str, stem: str, now_ns: int, make_line: LineMaker) -> list[Finding]:
    """Finish what dead second processes and forked children of `stem` left."""
    findings: list[Finding] = []
    for other in own_stems(log_dir, stem):
        if other == stem:
            continue
        owner = claim(log_dir, other)
        if owner is None:
            continue  # it lives
        try:
            findings += repair(owner, make_line)
            last = last_key(owner)
            key = finish(owner, now_ns, last)
            if key != last:
                path = os.path.join(log_dir, segment_name(other, key))
                fields = {"path": owner.path, "segment": path}
                text = "the file of a dead process was finished"
                findings.append(Finding("dead_process", text, fields))
            elif not find_segments(log_dir, other):
                _unlink(owner.path)  # it is empty, and nothing else is left of its process
                owner.remove()
        finally:
            owner.release()
    return findings


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
