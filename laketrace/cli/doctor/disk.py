"""The doctor looks at the place where log files go.

Floor 7. Stands on: cli.doctor.finding, cli.terminal, files.place, files.segment.

To see whether a directory can append, rename and lock, something is written there, and removed
again; a directory that was made for that goes too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from laketrace.cli.doctor.finding import NOTE, OK, PROBLEM, Finding
from laketrace.cli.terminal import shown_bytes
from laketrace.files.place import Place, file_system, find_place, why_not
from laketrace.files.segment import SIDECARS

_LITTLE_ROOM = 256 << 20
_FULL = 16 << 20


def look_at_place(log_dir: str, spool_root: str) -> tuple[Place, list[Finding]]:
    """Where files for `log_dir` go and what that place can do."""
    with nothing_left(log_dir):
        place = find_place(log_dir, spool_root)
    kind = file_system(place.directory)
    where = f"{place.directory} ({kind})" if kind else place.directory
    if not place.spooled:
        found = [Finding(OK, "log files", f"{where}: can create, append, rename and lock")]
        return place, [*found, *_look_at_room(place.directory)]
    shipped = "Nothing to do: finished files are shipped to log_dir, once each."
    found = [Finding(NOTE, "log files", f"in {where}: {log_dir}: {place.reason}", shipped)]
    with nothing_left(place.directory):
        reason = why_not(place.directory)
    if reason:
        remedy = "Set spool_dir (LAKETRACE_SPOOL_DIR) to a directory on local disk."
        found.append(Finding(PROBLEM, "spool", f"{place.directory}: {reason}", remedy))
    return place, [*found, *_look_at_room(place.directory)]


def _look_at_room(directory: str) -> Iterator[Finding]:
    """How much room there is on the disk of a directory that may not exist yet."""
    while not os.path.isdir(directory) and os.path.dirname(directory) != directory:
        directory = os.path.dirname(directory)
    try:
        room = os.statvfs(directory)
    except (OSError, AttributeError):  # Windows has no statvfs
        return
    free = room.f_bavail * room.f_frsize
    text = f"{shown_bytes(free)} free of {shown_bytes(room.f_blocks * room.f_frsize)}"
    remedy = "Free space, keep less (retention=), upload and remove (upload_delete_after=True), "
    remedy += "or set log_dir to another disk."
    if free < _FULL or (room.f_files and not room.f_favail):
        yield Finding(PROBLEM, "room", f"{directory} is full: {text}", remedy)
    elif free < _LITTLE_ROOM:
        yield Finding(NOTE, "room", f"{directory} is nearly full: {text}", remedy)
    else:
        yield Finding(OK, "room", text)


@contextmanager
def nothing_left(directory: str) -> Iterator[None]:
    """Remove the directories that were made inside of the block, as far as they are empty."""
    if not os.path.isabs(directory):  # an address
        yield
        return
    before = _existing(directory)
    had_sidecars = os.path.isdir(os.path.join(directory, SIDECARS))
    try:
        yield
    finally:
        path = directory if had_sidecars else os.path.join(directory, SIDECARS)
        while path != before and path.startswith(before):
            try:
                os.rmdir(path)
            except FileNotFoundError:
                pass
            except OSError:
                break
            path = os.path.dirname(path)


def _existing(directory: str) -> str:
    """The directory itself or the nearest one above it that exists."""
    while not os.path.isdir(directory) and os.path.dirname(directory) != directory:
        directory = os.path.dirname(directory)
    return directory
