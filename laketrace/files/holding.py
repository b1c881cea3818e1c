"""What a process holds while it writes a log: a stem of its own, and the order of its segments.

Floor 2. Stands on: core.notice, files.active, files.lock, files.read, files.recovery,
files.segment.

The first process of a logger writes `<stem>.log`. Where that is locked by another one, where
something that is no regular file has been put in its place, and in a forked child, it is
`<stem>.<pid>.log`. With the stem comes what an earlier process left there: it is repaired before
the first write, and `findings` says what was found.
Threads: one at a time; the sink's lock sees to that. After a fork the lock stays with the parent.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from laketrace.core.notice import say
from laketrace.files.active import ActiveFile, open_active
from laketrace.files.lock import Ownership, claim
from laketrace.files.read import first_timestamp
from laketrace.files.recovery import (
    Finding,
    LineMaker,
    finish,
    last_key,
    mend_tail,
    repair,
    take_over,
)
from laketrace.files.segment import ARCHIVES, Key, Segment, next_key, segment_name

_MOST = 1000  # sinks of one process for the same path


class Holding:
    """A stem and the right to write it, claimed when the file is first opened."""

    def __init__(
        self,
        log_dir: str,
        stem: str,
        logger_name: str,
        mode: int,
        shipped: bool,
        make_line: LineMaker,
    ) -> None:
        self.log_dir = log_dir
        self.stem = stem
        self.last: Key = ("", 0)
        self.findings: list[Finding] = []
        self._root = stem
        self._logger_name = logger_name
        self._mode = mode
        self._shipped = shipped
        self._make_line = make_line
        self._owner: Ownership | None = None
        self._was_open = False

    def inherit(self, other: Holding) -> None:
        """Take over the stem that `other` has, if it is one that is wanted here."""
        if (other.log_dir, other._root) == (self.log_dir, self._root):
            self.stem, self.last = other.stem, other.last  # in a forked child no longer the root
            self._owner, other._owner = other._owner, None

    @property
    def own_stem(self) -> str:
        """The stem that is held, or that is wanted."""
        return self._owner.stem if self._owner is not None else self.stem

    @property
    def path(self) -> str:
        """The path of the active file."""
        return os.path.join(self.log_dir, f"{self.own_stem}.log")

    # -- opening ------------------------------------------------------------------------------

    def open(self, ns: int) -> ActiveFile:
        """Open the active file, whole; claim a stem first where none is held (any more).

        Raises `OSError`, and then may be called again.
        """
        owner = self._owner
        if owner is None or not owner.holds() or (self._was_open and not owner.is_free()):
            self.release()
            owner = self._owner = self._claim_and_begin(ns)
        fragment = mend_tail(owner.path, self._make_line)
        if fragment is not None:
            self.findings.append(Finding.torn(owner.path, fragment))
        file = open_active(owner.path, self._mode)
        file.began = self._began(owner, file, ns)
        self._was_open = True
        return file

    def _claim_and_begin(self, ns: int) -> Ownership:
        owner = self._claim()
        try:
            self._begin(owner, ns)
        except BaseException:
            owner.release()
            raise
        return owner

    def _claim(self) -> Ownership:
        for stem in self._stems():
            owner = claim(self.log_dir, stem)
            if owner is None:
                continue
            if owner.is_free() or not self._was_open:
                return owner
            owner.release()
            say(f"{owner.path} is no regular file: the log is written beside it")
        raise OSError(11, "every name for this process is locked", self.log_dir)

    def _stems(self) -> Iterator[str]:
        yield self.stem
        own = f"{self._root}.{os.getpid()}"
        yield own
        for number in range(2, _MOST):
            yield f"{own}.{number}"

    def _begin(self, owner: Ownership, ns: int) -> None:
        """Take over the stem: repair, finish what must be finished, draw a stream."""
        self.findings += repair(owner, self._make_line)
        self.last = last_key(owner)
        if self._shipped:  # an earlier run's file must not get records of this one
            self.last = finish(owner, ns, self.last)
        owner.begin_stream(self.last, ns, self._logger_name)
        if owner.stem == self._root:
            self.findings += take_over(owner, self._logger_name, ns, self._make_line)

    def _began(self, owner: Ownership, file: ActiveFile, ns: int) -> int:
        """When the file began: its first record's time, else its predecessor's end, else now."""
        if file.size() == 0:
            return ns
        began = first_timestamp(file.path)
        if began is None and self.last[0]:
            began = Segment("", "", self.last[0], 0, "").time_ns
        if began is None:
            began = min((line.at for line in owner.journal()), default=ns)
        return min(began, ns)

    # -- segments -----------------------------------------------------------------------------

    def next_segment(self, ns: int) -> Segment:
        """The segment that the active file becomes now: a name that none ever had."""
        stem = self.own_stem
        stamp, number = next_key(ns, self.last)
        path = self._path_of(stem, (stamp, number))
        while any(os.path.lexists(path + suffix) for suffix in ("", *ARCHIVES)):
            number += 1
            path = self._path_of(stem, (stamp, number))
        if self._owner is not None:
            self._owner.use((stamp, number))
        return Segment(path, stem, stamp, number, "")

    def _path_of(self, stem: str, key: Key) -> str:
        return os.path.join(self.log_dir, segment_name(stem, key))

    # -- the end ------------------------------------------------------------------------------

    def release(self) -> None:
        """Give the stem back; the next `open` claims one again."""
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.release()

    def renew(self) -> None:
        """In a forked child: leave the stem to the parent, and want one of its own."""
        self.release()  # the lock stays with the parent, who has the same open file
        self.findings.clear()
        self.stem = f"{self._root}.{os.getpid()}"
