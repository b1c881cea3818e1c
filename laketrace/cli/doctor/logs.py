"""The doctor reads logs: their accounts, what is torn, and what waits for its upload.

Floor 7. Stands on: cli.doctor.finding, cli.places, cli.terminal, cli.waiting, files.segment,
lakehouse.source.

The accounts here are what the files tell: records, lines that are none, and what a logger said it
had to drop. The accounts of a living logger are `log.stats()`, in its own process.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from laketrace.cli.doctor.finding import NOTE, OK, PROBLEM, Finding
from laketrace.cli.places import stems_in
from laketrace.cli.terminal import shown_bytes
from laketrace.cli.waiting import Waiting, waiting_segments
from laketrace.files.segment import (
    ARCHIVES,
    Segment,
    find_segments,
    read_done,
    read_journal,
    sidecar,
)
from laketrace.lakehouse.source import SegmentFile, SegmentGone

_LONG_HOURS = 1.0
_CHUNK_BYTES = 1 << 20
_HEAD = b'{"timestamp":"'
_TOLD = (b'"event":"records_dropped"', b'"event":"torn_line"', b'"event":"unsent_removed"')


class Account:
    """What the files of one log hold."""

    def __init__(self) -> None:
        self.records = 0
        self.torn = 0
        self.mended = 0
        self.dropped: dict[str, int] = {}
        self.removed = 0
        self.damaged: list[str] = []
        self.last = ""

    def add(self, line: bytes) -> None:
        """Count one line, given without its newline."""
        ours = line.startswith(_HEAD) and line.endswith(b"}") and line.count(_HEAD) == 1
        if ours and not any(text in line for text in _TOLD):
            self.records += 1
            return
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            self.torn += 1
            return
        self.records += 1
        self._note(fields)

    def _note(self, fields: dict[str, Any]) -> None:
        if fields.get("event") == "torn_line":
            self.mended += 1
        elif fields.get("event") == "unsent_removed" and isinstance(fields.get("records"), int):
            self.removed += fields["records"]
        elif fields.get("event") == "records_dropped" and isinstance(fields.get("dropped"), dict):
            for reason, number in fields["dropped"].items():
                if isinstance(number, int):
                    self.dropped[reason] = self.dropped.get(reason, 0) + number


class Log(NamedTuple):
    """One log of a directory: its files, their accounts, and what waits."""

    stem: str
    account: Account
    active_bytes: int
    idle_seconds: float | None
    segments: int
    segment_bytes: int
    uploaded: int
    waiting: int
    writer: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        counted = self.account
        return {
            **self._asdict(),
            "account": {
                "records": counted.records, "torn": counted.torn, "mended": counted.mended,
                "dropped": counted.dropped, "removed": counted.removed,
                "damaged": counted.damaged,
            },
        }  # fmt: skip


def look_at_log(
    directory: str, stem: str, waiting: Collection[str], tell: Callable[[int], object]
) -> Log:
    """One log, with its files read through; `tell` gets the number of bytes as they are read.

    `waiting` are the base names of the segments that wait.
    """
    segments = find_segments(directory, stem)
    path = os.path.join(directory, f"{stem}.log")
    account, active_bytes, idle = Account(), 0, None
    for segment in segments:
        _count(segment, account)
        tell(segment.size)
    if os.path.isfile(path):
        active = Segment(path, stem, "", 0, "")
        active_bytes, idle = active.size, max(0.0, time.time() - os.stat(path).st_mtime)
        _count(active, account)
        tell(active_bytes)
    done = read_done(directory, stem)
    return Log(
        stem, account, active_bytes, idle, len(segments), sum(item.size for item in segments),
        sum(item.base in done for item in segments),
        sum(item.base in waiting for item in segments),
        writer_of(directory, stem),
    )  # fmt: skip


def _count(segment: Segment, account: Account) -> None:
    try:
        with SegmentFile(segment) as file:
            rest = b""
            while data := file.read(_CHUNK_BYTES):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    account.add(line)
            if rest:
                account.add(rest)
            if file.damage is not None:
                account.damaged.append(f"{segment.path}: {file.damage}")
    except SegmentGone:
        return


def writer_of(directory: str, stem: str) -> str:
    """Who writes a log: `lives`, `ended`, or `unknown` where nothing tells.

    The journal names the process, which holds a lock while its logger is open; one of another
    machine looks ended.

    >>> writer_of("/no/such/directory", "orders")
    'unknown'
    """
    journal = read_journal(directory, stem)
    if not journal or os.name != "posix":
        return "unknown"
    pid = journal[-1].pid
    try:
        os.kill(pid, 0)
    except PermissionError:
        return "lives"
    except (OSError, OverflowError):
        return "ended"
    return "lives" if _holds(pid, sidecar(directory, stem, "lock")) else "ended"


def _holds(pid: int, path: str) -> bool:
    """Whether a process holds a lock on a file; taken for true where the kernel does not tell."""
    try:
        inode = os.stat(path).st_ino
        with open("/proc/locks", encoding="ascii") as file:
            locks = [line.split() for line in file]
    except OSError:
        return True
    return any(
        lock[1] == "FLOCK" and int(lock[4]) == pid and int(lock[5].rpartition(":")[2]) == inode
        for lock in locks
    )


def look_at_logs(
    directory: str, destinations: Collection[str], tell: Callable[[int, int], object]
) -> tuple[list[Log], list[Finding]]:
    """All logs of a directory, and what is to be said about them.

    `destinations` are ids of the ledger; `tell` gets the bytes read so far and in all.
    """
    stems = stems_in(directory)
    total = sum(item.size for item in find_segments(directory))
    read = 0

    def told(size: int) -> None:
        nonlocal read
        read += size
        tell(read, max(total, read))

    waiting = waiting_segments(directory, destinations)
    bases = {item.segment.base for item in waiting}
    logs = [look_at_log(directory, stem, bases, told) for stem in stems]
    found = [finding for log in logs for finding in _findings(directory, log)]
    if not stems:
        found.append(Finding(OK, "logs", f"none in {directory}"))
    if waiting:
        found.append(_waits(directory, waiting, bool(destinations)))
    found += _half_archives(directory)
    return logs, found


def _findings(directory: str, log: Log) -> Iterator[Finding]:
    account, what = log.account, f"log {log.stem}"
    if account.torn and account.records:
        lines = (
            "1 line is no record" if account.torn == 1 else f"{account.torn} lines are no records"
        )
        yield Finding(
            NOTE, what, f"{lines} (torn or foreign)",
            "A torn last line is mended at the logger's next start, or by laketrace upload. To see "
            f"them: laketrace query 'select segment, \"offset\", raw from logs where raw is not "
            f"null' {directory}",
        )  # fmt: skip
    if account.dropped:
        reasons = ", ".join(f"{number} {reason}" for reason, number in account.dropped.items())
        yield Finding(
            PROBLEM, what, f"the logger had to drop records: {reasons}",
            "Raise queue_size or overflow_timeout, or log less in the hot loop.",
        )  # fmt: skip
    if account.removed:
        yield Finding(
            PROBLEM, what, f"the disk was full, and {account.removed} records were removed unsent",
            "Free space or upload more often (upload_every), and look at what uploads fail with.",
        )  # fmt: skip
    for text in account.damaged:
        yield Finding(
            PROBLEM, what, f"a damaged archive was read as far as it goes: {text}",
            "Its rest is lost unless a copy is at the upload target. Check the disk.",
        )  # fmt: skip
    if log.active_bytes and log.writer == "ended":
        yield Finding(
            NOTE, what, f"its writer has ended and left {shown_bytes(log.active_bytes)} active",
            "The logger's next start, or laketrace upload, finishes the file.",
        )  # fmt: skip


def _waits(directory: str, waiting: list[Waiting], known: bool) -> Finding:
    oldest = min(item.segment.time_ns for item in waiting)
    hours = (time.time() - oldest / 1e9) / 3600
    count = "1 segment waits" if len(waiting) == 1 else f"{len(waiting)} segments wait"
    size = shown_bytes(sum(item.segment.size for item in waiting))
    text = f"{count} for upload, {size}, the oldest for {max(0.0, hours):.1f} hours"
    where = "" if known else " --target ... --table ..."
    return Finding(
        PROBLEM if hours > _LONG_HOURS else NOTE, "upload", text,
        f"Run: laketrace upload {directory}{where}",
    )  # fmt: skip


def _half_archives(directory: str) -> Iterator[Finding]:
    for name in sorted(os.listdir(directory) if os.path.isdir(directory) else ()):
        base, ending = os.path.splitext(name)
        if ending == ".tmp" and ".log." in base and base.endswith(ARCHIVES):
            path = os.path.join(directory, name)
            idle = time.time() - os.stat(path).st_mtime
            if idle > 60:
                yield Finding(
                    NOTE, "archive", f"{path} is half an archive; its segment is still there",
                    "The logger's next start removes it.",
                )  # fmt: skip
