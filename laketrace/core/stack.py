"""The stack of an exception: which frames stay, what their lines say, how they are printed.

Floor 1. Stands on: nothing.

Source lines come from `linecache`, as in the traceback module; files that are not regular or
larger than `_MOST_SOURCE` are not read. A line that a recursion repeats at once is kept three times
and counted, as Python prints it. Time is linear in the number of frames, memory in those that stay.
Threads and forks: nothing is kept.
"""

from __future__ import annotations

import linecache
import os
import stat
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from types import CodeType, TracebackType
from typing import Any, NamedTuple

_MOST_SOURCE = 8 << 20  # bytes of a source file
_MOST_LINE = 1000  # characters of a source line that is shown whole, with its markers
_SHOWN_REPEATS = 3  # traceback's _RECURSIVE_CUTOFF


class Frame(NamedTuple):
    """One line of a stack, ready to be shown."""

    file: str
    line: int
    function: str
    module: str | None
    code: str
    printed: str
    repeated: int  # times that the same line follows at once and is not shown


class Stack(NamedTuple):
    """A stack without its middle: the outermost frames, how many are missing, the innermost."""

    head: list[Frame]
    left_out: int
    tail: list[Frame]

    @property
    def frames(self) -> list[Frame]:
        """All frames that stayed, outermost first."""
        return self.head + self.tail

    def printed(self) -> Iterator[str]:
        """The lines as a traceback prints them."""
        for frame in self.head:
            yield from _printed(frame)
        if self.left_out:
            yield f"  [... {self.left_out} frames left out ...]\n"
        for frame in self.tail:
            yield from _printed(frame)


def _printed(frame: Frame) -> Iterator[str]:
    yield frame.printed
    if frame.repeated:
        plural = "s" if frame.repeated > 1 else ""
        yield f"  [Previous line repeated {frame.repeated} more time{plural}]\n"


def read_stack(
    tb: TracebackType, most: int, fresh: set[str], scrub: Callable[[str], str] | None = None
) -> Stack:
    """The frames of a traceback, at most `most` of them; `fresh` holds files already checked.

    `scrub` takes secrets out of source lines.
    """
    most = max(2, most)
    head: list[list[Any]] = []
    tail: deque[list[Any]] = deque()
    left_out = 0
    for entry in _runs(tb):
        if len(head) < most // 2:
            head.append(entry)
            continue
        tail.append(entry)
        if len(tail) > most - most // 2:
            left_out += 1 + tail.popleft()[1]
    kept = [_frame(tb, repeated, fresh) for tb, repeated in (*head, *tail)]
    if scrub is not None:
        kept = [_scrubbed(frame, scrub) for frame in kept]
    return Stack(kept[: len(head)], left_out, kept[len(head) :])


def _scrubbed(frame: Frame, scrub: Callable[[str], str]) -> Frame:
    """Without secrets in the source; the markers under it would show their length.

    Of a line that was cut the half stays that no secret can reach that the cut made unknown.
    """
    code = scrub(frame.code)
    if code == frame.code and len(code) <= _MOST_LINE // 2:
        return frame
    code = code[: _MOST_LINE // 2]
    place = frame.printed.partition("\n")[0]
    return frame._replace(code=code, printed=f"{place}\n    {code}\n")


def _runs(tb: TracebackType | None) -> Iterator[list[Any]]:
    """[traceback, repetitions not shown] for each line that is shown.

    An entry is handed out when its run is over, so that its number is final.
    """
    last = None
    count = 0
    waiting: list[Any] | None = None
    while tb is not None:
        code = tb.tb_frame.f_code
        here = (code.co_filename, tb.tb_lineno, code.co_name)
        count = count + 1 if here == last else 1
        last = here
        if waiting is not None and count > _SHOWN_REPEATS:
            waiting[1] += 1
        else:
            if waiting is not None:
                yield waiting
            waiting = [tb, 0]
        tb = tb.tb_next
    if waiting is not None:
        yield waiting


def _frame(tb: TracebackType, repeated: int, fresh: set[str]) -> Frame:
    code = tb.tb_frame.f_code
    line = tb.tb_lineno or 0
    module = dict.get(tb.tb_frame.f_globals, "__name__")
    try:
        source, printed = _source(tb, code, line, fresh)
    except Exception:  # a loader, a codec or the traceback module itself failed on the source
        source = ""
        printed = f'  File "{code.co_filename}", line {line}, in {code.co_name}\n'
    named = module if isinstance(module, str) else None
    return Frame(code.co_filename, line, code.co_name, named, source, printed, repeated)


def _source(tb: TracebackType, code: CodeType, line: int, fresh: set[str]) -> tuple[str, str]:
    """The source line, stripped, and the lines that Python prints for this frame."""
    file = code.co_filename
    if file not in fresh:
        fresh.add(file)
        linecache.checkcache(file)
    text = ""
    if _may_read(file):
        linecache.lazycache(file, tb.tb_frame.f_globals)
        text = linecache.getline(file, line)
    if text and len(text) <= _MOST_LINE:
        summary = traceback.FrameSummary(
            file, line, code.co_name, lookup_line=False, **_columns(tb, code)
        )
    else:
        text = text[:_MOST_LINE]
        summary = traceback.FrameSummary(file, line, code.co_name, lookup_line=False, line=text)
    return text.strip(), traceback.StackSummary.from_list([summary]).format()[0]


def _may_read(file: str) -> bool:
    """Whether `linecache` may open the file: never a pipe, a device or something huge."""
    if len(linecache.cache.get(file, ())) > 1:  # read before; one value only is a loader
        return True
    try:
        found = os.stat(file)
    except (OSError, ValueError):
        return True  # no such file: linecache asks the module's loader and sys.path
    return stat.S_ISREG(found.st_mode) and found.st_size <= _MOST_SOURCE


def _columns(tb: TracebackType, code: CodeType) -> dict[str, Any]:
    """Where in its line a frame was, as `FrameSummary` takes it; nothing before Python 3.11."""
    if sys.version_info < (3, 11) or tb.tb_lasti < 0:
        return {}
    positions = next(islice(code.co_positions(), tb.tb_lasti // 2, None), None)
    if positions is None or positions[0] is None:
        return {}
    start, end, column, end_column = positions
    if end is not None and end - start > 100:  # a huge literal: do not print its lines
        return {}
    return {"end_lineno": end, "colno": column, "end_colno": end_column}
