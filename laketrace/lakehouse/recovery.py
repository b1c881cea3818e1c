"""What dead processes left in a directory is finished, so that it can be uploaded.

Floor 7. Stands on: core.timestamp, files.lock, files.recovery, files.segment, lakehouse.stream.

A file whose stem is locked belongs to a living process and is left alone; so is one without a
journal, which is not LakeTrace's to rename. A torn last line becomes a record that says so, as at
the next start of the logger.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Collection
from typing import Any

from laketrace.core.timestamp import iso
from laketrace.files.lock import Ownership, claim
from laketrace.files.recovery import finish, last_key, repair
from laketrace.files.segment import Segment, active_files, read_journal
from laketrace.lakehouse.stream import origin_of


def finish_dead(
    log_dir: str,
    stems: Collection[str] | None = None,
    clock: Callable[[], int] = time.time_ns,
) -> list[tuple[str, OSError]]:
    """Make segments of the active files of dead processes; those where the disk refused, and why.

    `stems` limits it to some. Raises `OSError` when the directory cannot be written.
    """
    refused = []
    for path in active_files(log_dir):
        stem = os.path.basename(path)[: -len(".log")]
        wanted = stems is None or stem in stems
        if not wanted or not _has_content(path) or not read_journal(log_dir, stem):
            continue
        owner = claim(log_dir, stem)
        if owner is None:
            continue  # it lives
        try:
            _finish(owner, clock())
        except OSError as fault:  # a full disk: it stays as it is, and others can be brought
            refused.append((path, fault))
        finally:
            owner.release()
    return refused


def _has_content(path: str) -> bool:
    try:
        return os.stat(path).st_size > 0
    except OSError:
        return False


def _finish(owner: Ownership, now_ns: int) -> None:
    last = last_key(owner)
    repair(owner, lambda message, fields: _line(owner, now_ns, message, fields))
    finish(owner, now_ns, last)


def _line(owner: Ownership, now_ns: int, message: str, fields: dict[str, Any]) -> bytes:
    """A record of the dead process's log, written by this one."""
    origin = origin_of(Segment(owner.path, owner.stem, "", 0, ""))
    record = {
        "timestamp": iso(now_ns), "level": "WARNING", "message": message,
        "logger_name": origin.logger_name, "hostname": socket.gethostname(), "pid": os.getpid(),
        "platform": "local", "runtime_type": "script", "run_id": origin.run_id, **fields,
    }  # fmt: skip
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
