"""Where the time of a record goes: by function (cProfile) and by line (a sampling clock).

cProfile makes small functions look dear, because it charges for every call; the sampler costs
nothing between two samples but sees a line only where the interpreter looks for signals, which
is at calls and loops. Read them side by side.
"""

from __future__ import annotations

import cProfile
import io
import linecache
import os
import pstats
import signal
from collections import Counter
from types import FrameType
from typing import Any

from .contenders import start
from .worker import ROOT, in_fresh_process

_RECORDS = 1_000_000
_INTERVAL = 0.0005  # seconds of CPU between two samples
_ROWS = 40


def by_line(folder: str, name: str, settings: dict[str, Any]) -> list[tuple[str, int]]:
    """Samples for each line of source that was running, the most frequent first."""
    line = start(name, folder, **settings)
    line.write(2000)
    seen: Counter[tuple[str, int, str]] = Counter()

    def sample(_: int, frame: FrameType | None) -> None:
        if frame is not None:
            code = frame.f_code
            seen[code.co_filename, frame.f_lineno, code.co_name] += 1

    signal.signal(signal.SIGPROF, sample)
    signal.setitimer(signal.ITIMER_PROF, _INTERVAL, _INTERVAL)
    line.write(_RECORDS)
    signal.setitimer(signal.ITIMER_PROF, 0)
    line.close()
    rows = []
    for (path, number, function), count in seen.most_common(_ROWS):
        source = linecache.getline(path, number).strip()
        where = os.path.relpath(path, ROOT) if path.startswith(str(ROOT)) else path
        rows.append((f"{where}:{number} {function}: {source}", count))
    return rows


def by_function(folder: str, name: str, settings: dict[str, Any]) -> str:
    """cProfile's table by own time."""
    line = start(name, folder, **settings)
    line.write(2000)
    profile = cProfile.Profile()
    profile.enable()
    line.write(_RECORDS // 20)
    profile.disable()
    line.close()
    out = io.StringIO()
    pstats.Stats(profile, stream=out).strip_dirs().sort_stats("tottime").print_stats(_ROWS // 2)
    return out.getvalue().strip()


def report(name: str) -> str:
    """Both views of one contender, as text."""
    arguments: dict[str, Any] = {"name": name, "settings": {}}
    rows = in_fresh_process(by_line, **arguments)
    total = sum(count for _, count in rows) or 1
    lines = [f"{name}: {_RECORDS:,} records, share of samples by line"]
    lines += [f"  {100 * count / total:5.1f} %  {where}" for where, count in rows]
    return "\n".join([*lines, "", in_fresh_process(by_function, **arguments)])
