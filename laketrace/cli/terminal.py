"""What a command says: text for people, or one JSON document; progress on stderr.

Floor 7. Stands on: core.clean, core.console, core.encode, errors.

Text from logs can drive no terminal: whatever goes through `say` and `table` is cleaned. A
progress bar appears only where stderr is a terminal and the package rich is installed.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from laketrace.core.clean import clean, value_text
from laketrace.core.console import wants_color
from laketrace.core.encode import to_json
from laketrace.errors import LakeTraceError

DONE, FAILED, WRONG_USAGE = 0, 1, 2


class UsageError(LakeTraceError, ValueError):
    """The command line asks for what makes no sense; the text says what would."""


class Output:
    """Where a command's results go: to people, or with `json` into one document.

    >>> Output(json=False).table(["log", "bytes"], [["orders", 1200], ["stock", 7]])
    log     bytes
    orders  1,200
    stock       7
    """

    def __init__(self, json: bool) -> None:
        self.json = json

    def say(self, text: str = "", style: str = "") -> None:
        """A line for people, nothing where a document is wanted; `style` is a code of terminals."""
        if not self.json:
            text = clean(text)
            print(f"\x1b[{style}m{text}\x1b[0m" if style and wants_color(sys.stdout) else text)

    def wrapped(self, text: str, indent: int = 0, under: str = "") -> list[str]:
        """A text in lines that fit a terminal behind `indent`; one line where none is looked at.

        >>> Output(json=False).wrapped("as long as it is: a pipe has no width", 70)
        ['as long as it is: a pipe has no width']
        """
        if not _is_terminal(sys.stdout):
            return [text] if text else []
        width = max(30, shutil.get_terminal_size((80, 24)).columns - indent)
        return textwrap.wrap(text, width, subsequent_indent=under, break_on_hyphens=False)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[Any]], indent: str = "") -> None:
        """Rows in aligned columns, numbers to the right; nothing where a document is wanted."""
        if self.json:
            return
        for line in table_lines(heads, rows):
            print(f"{indent}{line}")

    def document(self, value: Any) -> None:
        """The one JSON document; nothing for people."""
        if self.json:
            print(to_json(value))

    def fail(self, error: BaseException) -> None:
        """Why the command failed: on stderr, and with `json` in the document too."""
        print(f"laketrace: {_cleaned_lines(str(error) or type(error).__name__)}", file=sys.stderr)
        self.document({"ok": False, "error": str(error), "kind": type(error).__name__})


def table_lines(
    heads: Sequence[str], rows: Sequence[Sequence[Any]], grouped: bool = True
) -> list[str]:
    """Rows as aligned text lines; a column of numbers stands to the right.

    `grouped` is for amounts; a year, a pid or an order's number is written without separators.

    >>> table_lines(["n"], [[None], [1234.5]])
    ['      n', '', '1,234.5']
    """
    cells = [[_cell(value, grouped) for value in row] for row in rows]
    right = [bool(column) and all(map(_is_number, column)) for column in zip(*rows, strict=True)]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    lines = []
    for texts in (list(heads), *cells):
        padded = [
            text.rjust(width) if at < len(right) and right[at] else text.ljust(width)
            for at, (text, width) in enumerate(zip(texts, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return lines


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _cell(value: Any, grouped: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:,}" if grouped else str(value)
    return clean(value) if isinstance(value, str) else value_text(value)


def _cleaned_lines(text: str) -> str:
    """`text` with its own line breaks and nothing else that could drive a terminal."""
    return "\n".join(clean(line) for line in text.expandtabs(2).splitlines())


def shown_bytes(number: int) -> str:
    """A number of bytes for people.

    >>> shown_bytes(999), shown_bytes(1536), shown_bytes(3 << 30)
    ('999 B', '1.5 KB', '3.0 GB')
    """
    size = float(number)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{number} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"


class Progress(Protocol):
    """How far long work has come; `shown` tells whether anybody sees it."""

    shown: bool

    def to(self, done: float, total: float | None = None) -> None:
        """Show that `done` of `total` is done."""
        ...


class _Silent:
    shown = False

    def to(self, done: float, total: float | None = None) -> None:
        """Nobody looks."""


class _Bar:
    shown = True

    def __init__(self, bars: Any, task: Any) -> None:
        self._bars, self._task = bars, task

    def to(self, done: float, total: float | None = None) -> None:
        """Move the bar."""
        self._bars.update(self._task, completed=done, total=total)


@contextmanager
def progress(title: str, total: float | None = None) -> Iterator[Progress]:
    """A progress bar on stderr for as long as the block; none when stderr is not a terminal.

    >>> with progress("reading", 2) as bar:
    ...     bar.to(1)
    """
    if not _is_terminal(sys.stderr):
        yield _Silent()
        return
    try:
        from rich.console import Console
        from rich.progress import Progress as Bars
    except ImportError:  # the extra [cli] is not installed
        yield _Silent()
        return
    bars = Bars(
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=_is_terminal(sys.stdout),  # lines above the bar; not those into a pipe
    )
    with bars:
        yield _Bar(bars, bars.add_task(title, total=total))


@contextmanager
def polled(bar: Progress, done: Callable[[], float], total: float) -> Iterator[None]:
    """Move a bar for as long as the block, to what `done` says several times a second.

    >>> with progress("copying") as bar, polled(bar, lambda: 1, total=2):
    ...     pass
    """
    if not bar.shown:
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            with suppress(Exception):  # a bar that stands still harms nobody
                bar.to(done(), total)

    watcher = threading.Thread(target=watch, name="laketrace-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except Exception:  # closed, absent or not a stream
        return False
