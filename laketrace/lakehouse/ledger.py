"""What is known to be uploaded, durable, beside the log; and who is uploading.

Floor 7. Stands on: errors, files.segment, lakehouse.reserve, lakehouse.retry.

In `<log_dir>/.laketrace/`:

    upload.lock       locked while an upload is at work; saves work, decides nothing
    <stem>.ledger     JSON lines, appended with one write and flushed to the disk each:
                      {"plan": <segment>, ...}       form and digest of its copy, see `Planned`
                      {"sent": <segment>, "to": <destination>}
    <stem>.wanted     JSON list of the destinations that a logger is set up for, by its first
                      stem; it holds for its second processes and forked children too
    upload.reserve    room for all this on a full disk, see `lakehouse.reserve`
    <stem>.done       base names of the segments that are confirmed at every destination wanted

The first plan for a segment counts, whoever appends another one: so two uploaders of one
directory send the same bytes under the same name. A torn line is passed over. Losing the ledger
costs work, not records: targets and tables are asked before anything is sent. Segments that are
gone are forgotten now and then, so that it does not grow for ever. The order of the steps is in
`lakehouse.steps`. Threads: one at a time, as the lock sees to.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, NamedTuple

from laketrace.errors import UploadError
from laketrace.files.segment import (
    SIDECARS,
    find_each_segment,
    read_done,
    read_journal,
    safe_stem,
    sidecar,
)
from laketrace.lakehouse.reserve import FULL, fill, give_up
from laketrace.lakehouse.retry import Deadline

_fcntl: Any
try:
    import fcntl as _fcntl
except ImportError:  # Windows
    _fcntl = None


_MANY = 1000  # segments


class Planned(NamedTuple):
    """The copy of a segment, as it was decided once and for ever."""

    name: str  # below the target: <logger>/<run>/<stream>-<segment><form>
    form: str  # the archive's suffix, or ""
    bytes: int  # of the copy
    sha256: str  # of the copy
    records: int  # lines, torn and foreign ones included
    first: str  # timestamp of the first record, or ""
    last: str


def destination_id(kind: str, place: str) -> str:
    """A short name for a destination; nothing in it can be read back.

    >>> destination_id("target", "/mnt/logs")
    'target-2b89764089c3'
    """
    return f"{kind}-{sha256(f'{kind} {place}'.encode()).hexdigest()[:12]}"


class Ledger:
    """The ledger of one stem. Raises `UploadError` when the directory cannot be written."""

    def __init__(self, log_dir: str, stem: str) -> None:
        self._log_dir = log_dir
        self._stem = stem
        self._plans: dict[str, Planned] = {}
        self._sent: dict[str, set[str]] = {}
        self._at = 0
        journal = read_journal(log_dir, stem)
        self._wanted = sidecar(
            log_dir, safe_stem(journal[-1].logger_name) if journal else stem, "wanted"
        )
        self._read()

    def _path(self, kind: str) -> str:
        return sidecar(self._log_dir, self._stem, kind)

    def _read(self) -> None:
        """Take in what was appended since the last time, by whomever."""
        try:
            with open(self._path("ledger"), "rb") as file:
                if file.seek(0, os.SEEK_END) < self._at:  # it was tidied
                    self._at = 0
                file.seek(self._at)
                lines = file.read().splitlines(keepends=True)
        except FileNotFoundError:
            return
        for line in lines:
            if not line.endswith(b"\n"):
                break
            self._at += len(line)
            try:
                self._note(json.loads(line))
            except (ValueError, TypeError, KeyError):
                continue  # torn by a crash, or blank

    def _note(self, event: dict[str, Any]) -> None:
        if "plan" in event:
            plan = Planned(*(event[name] for name in Planned._fields))
            self._plans.setdefault(event["plan"], plan)
        else:
            self._sent.setdefault(event["sent"], set()).add(event["to"])

    def _append(self, event: dict[str, Any]) -> None:
        # The newline in front ends what a crash may have torn.
        self._write("ledger", f"\n{json.dumps(event)}\n")
        self._read()

    def _write(self, kind: str, text: str) -> None:
        """Append to a file of the stem, on a full disk with what is in reserve."""
        path = self._path(kind)
        try:
            append_durably(path, text, lambda: give_up(self._log_dir, last=kind == "done"))
        except OSError as error:
            raise UploadError(f"{path} cannot be written: {error.strerror}") from error

    def plan(self, base: str) -> Planned | None:
        """What was decided for the copy of a segment."""
        return self._plans.get(base)

    def decide(self, base: str, plan: Planned) -> Planned:
        """Make `plan` durable unless there is one already; the one that counts."""
        if base not in self._plans:
            self._append({"plan": base, **plan._asdict()})
        return self._plans[base]

    def is_sent(self, base: str, destination: str) -> bool:
        """Whether a segment is confirmed at a destination."""
        return destination in self._sent.get(base, ())

    def sent(self, base: str, destination: str) -> None:
        """Note that a segment is confirmed at a destination."""
        if not self.is_sent(base, destination):
            self._append({"sent": base, "to": destination})

    def wanted(self) -> frozenset[str]:
        """The destinations that the logger of this stem is set up for."""
        try:
            with open(self._wanted, encoding="utf-8") as file:
                return frozenset(json.load(file))
        except (OSError, ValueError, TypeError):
            return frozenset()

    def settle(self, bases: Iterable[str], destinations: Iterable[str]) -> list[str]:
        """Note as done those of `bases` that are at all destinations; all that are done now."""
        needed = self.wanted() | frozenset(destinations)
        complete = [base for base in bases if needed <= self._sent.get(base, set())]
        known = read_done(self._log_dir, self._stem)
        new = [base for base in complete if base not in known]
        if new:
            self._write("done", "".join(f"\n{base}\n" for base in new))
        return complete

    def tidy(self) -> None:
        """Forget segments that are gone, when they are many: none of them ever comes again."""
        known = self._plans.keys() | self._sent.keys()
        if len(known) <= _MANY:
            return
        here = {segment.base for segment in find_each_segment(self._log_dir, self._stem)}
        if len(known - here) <= _MANY:
            return
        done = sorted(here & read_done(self._log_dir, self._stem))
        self._plans = {base: plan for base, plan in self._plans.items() if base in here}
        self._sent = {base: places for base, places in self._sent.items() if base in here}
        events: list[dict[str, Any]] = [
            {"plan": base, **plan._asdict()} for base, plan in self._plans.items()
        ]
        for base, places in self._sent.items():
            events += [{"sent": base, "to": place} for place in sorted(places)]
        replace_durably(self._path("ledger"), "".join(f"{json.dumps(item)}\n" for item in events))
        replace_durably(self._path("done"), "".join(f"{base}\n" for base in done))
        self._at = 0


def want(log_dir: str, logger_name: str, destinations: Iterable[str]) -> None:
    """Note the destinations that a logger's segments must have reached to be done.

    Raises `OSError` when the directory cannot be written.
    """
    path = sidecar(log_dir, safe_stem(logger_name), "wanted")
    text = json.dumps(sorted(destinations))
    try:
        with open(path, encoding="utf-8") as file:
            known = file.read()
    except FileNotFoundError:
        known = ""
    if known != text:
        replace_durably(path, text)
    fill(log_dir)


def append_durably(path: str, text: str, make_room: Callable[[], bool]) -> None:
    """Append `text` with one write and have it on the disk when this returns.

    `make_room` is asked when the disk is full, and says whether there is some now.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    descriptor = os.open(path, flags, 0o600)
    try:
        data = text.encode()
        while data:
            try:
                data = data[os.write(descriptor, data) :]
            except OSError as error:
                if error.errno not in FULL or not make_room():
                    raise
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_durably(path: str, text: str) -> None:
    """Replace the file at `path`, whole or not at all."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    temporary = f"{path}.{os.urandom(8).hex()}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def flush_names(log_dir: str, stems: Iterable[str]) -> None:
    """Have on the disk what the names of segments are made of: journals and directory.

    What was sent under a name that a loss of power takes back would come again under another.
    """
    journals = [sidecar(log_dir, stem, "stream") for stem in stems]
    for path in (*journals, os.path.join(log_dir, SIDECARS), log_dir):
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError:  # no journal; Windows opens no directory
            continue
        try:
            os.fsync(descriptor)
        except OSError:  # a file system that cannot do that
            pass
        finally:
            os.close(descriptor)


@contextmanager
def upload_lock(log_dir: str, deadline: Deadline) -> Iterator[bool]:
    """Hold the directory's upload lock, waiting for it until `deadline`.

    True also where the file system knows no locks; False when another uploader is at work.
    Raises `OSError` when the directory cannot be written.
    """
    path = os.path.join(log_dir, SIDECARS, "upload.lock")
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        while not (held := _try_lock(descriptor)) and not deadline.is_over():
            time.sleep(0.05)
        yield held
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    if _fcntl is None:
        return True
    try:
        _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
