"""How many rows the last good run of a name had, kept beside the log.

Floor 7. Stands on: files.segment.

`<log_dir>/.laketrace/<stem>.rows` holds one JSON object, replaced as a whole when a run ends well;
the oldest of more than `_MOST_RUNS` names go. What cannot be read or written is as if there had
been no run: the check that wants it says so. Threads: the stages of a run note side by side.
"""

from __future__ import annotations

import json
import os
import threading

from laketrace.files.segment import sidecar

_MOST_RUNS = 200


class Rows:
    """The row counts of a run, and those of the last good one of its name."""

    def __init__(self, log_file: os.PathLike[str] | None, run_name: str) -> None:
        self._run_name = run_name
        self._path = None
        if log_file is not None:
            log_dir, name = os.path.split(os.fspath(log_file))
            self._path = sidecar(log_dir, name.removesuffix(".log"), "rows")
        self._now: dict[str, int] = {}
        self._before: dict[str, int] | None = None
        self._lock = threading.Lock()

    def note(self, key: str, count: int) -> None:
        """Keep a count of this run."""
        with self._lock:
            self._now[key] = count

    def before(self, key: str) -> int | None:
        """What the last good run had there, if that is known."""
        with self._lock:
            if self._before is None:
                kept = _read(self._path).get(self._run_name)
                self._before = kept if isinstance(kept, dict) else {}
            count = self._before.get(key)
        return count if isinstance(count, int) else None

    def keep(self) -> None:
        """This run was good: the next one is compared with it."""
        if not self._now or self._path is None:
            return
        runs = _read(self._path)
        runs.pop(self._run_name, None)
        runs[self._run_name] = self._now
        draft = f"{self._path}.{os.getpid()}"
        try:
            with open(draft, "w", encoding="utf-8") as file:
                json.dump(dict(list(runs.items())[-_MOST_RUNS:]), file)
            os.replace(draft, self._path)
        except OSError:
            return


def _read(path: str | None) -> dict[str, object]:
    if path is None:
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
