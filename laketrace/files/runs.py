"""Which runs were begun and not ended: a journal beside the log, for runs that are killed.

Floor 2. Stands on: files.segment.

`<log_dir>/.laketrace/<stem>.runs` gets one line when a run begins and one when it ends, each by
one write on an `O_APPEND` descriptor. What a start of the same logger finds begun and not ended,
by a process that is gone, is lost: it is told once, and the journal begins anew. Who takes over
the file of a dead second process takes over its lost runs, too.
"""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from laketrace.files.segment import sidecar


class LostRun(NamedTuple):
    """A run whose process ended before it did."""

    name: str
    run_id: str
    pid: int


def begin_run(log_file: os.PathLike[str] | None, name: str, run_id: str) -> str | None:
    """Note that a run begins; its key for `end_run`, or None where there is no file."""
    key = os.urandom(16).hex()
    line = {"begin": key, "name": name, "run_id": run_id, "pid": os.getpid()}
    return key if _append(log_file, line) else None


def end_run(log_file: os.PathLike[str] | None, key: str | None) -> None:
    """Note that a run has ended."""
    if key is not None:
        _append(log_file, {"end": key})


def _append(log_file: str | os.PathLike[str] | None, line: dict[str, Any]) -> bool:
    if log_file is None:
        return False
    path = _journal(os.fspath(log_file))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags, 0o600)
        try:
            os.write(descriptor, json.dumps(line).encode() + b"\n")
        finally:
            os.close(descriptor)
    except OSError:  # the records tell all the same; only a killed run would not be noticed
        return False
    return True


def _journal(log_file: str) -> str:
    log_dir, name = os.path.split(log_file)
    return sidecar(log_dir, name[: -len(".log")], "runs")


def lost_runs(log_file: str) -> list[LostRun]:
    """The runs that were begun and not ended; only for the process that owns the stem.

    The journal is removed: what it told is told by records from now on.
    """
    path = _journal(log_file)
    begun = _begun(path)
    _remove(path)
    return list(begun.values())


def adopt_runs(dead_file: str, log_file: str) -> None:
    """Let who takes over the file of a dead process tell of the runs that it left open."""
    path = _journal(dead_file)
    told = [_append(log_file, {"begin": key, **run._asdict()}) for key, run in _begun(path).items()]
    if all(told):  # else the next start tries again
        _remove(path)


def _begun(path: str) -> dict[str, LostRun]:
    """What a journal has as begun and not ended, by key."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            texts = file.read().splitlines()
    except OSError:
        return {}
    begun: dict[str, LostRun] = {}
    for text in texts:
        try:
            line = json.loads(text)
            if "end" in line:
                begun.pop(line["end"], None)
            else:
                run = LostRun(str(line["name"]), str(line["run_id"]), int(line["pid"]))
                begun[line["begin"]] = run
        except (ValueError, KeyError, TypeError):  # a line torn by the crash
            continue
    return begun


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
