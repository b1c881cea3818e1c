"""What the demo shows to people: headings, and records that fit a terminal of 80 columns.

Floor 7. Stands on: cli.terminal, core.clean, core.console, core.record, core.text.

Colours follow the console's own rules (a terminal, NO_COLOR, FORCE_COLOR). Only a few records of
each kind are shown; all of them are in the files.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from laketrace.cli.terminal import Output
from laketrace.core.clean import field_text
from laketrace.core.console import wants_color
from laketrace.core.record import Message, Record
from laketrace.core.text import compile_format

_OF_A_KIND = 2
_HEAD = "<dim>{timestamp:HH:mm:ss.SSS}</dim> <level>{level: <8} {message}</level>"
_INDENT = "   "
_UNDER = " " * len(f"{_INDENT}14:38:40.123 ")


class Screen:
    """The demo's part of the screen; says nothing where a document is wanted."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._width = max(60, min(100, shutil.get_terminal_size((80, 24)).columns))
        self._head = compile_format(_HEAD, color=wants_color(sys.stdout))
        self._kinds: Counter[str] = Counter()
        self._steps = 0

    def step(self, title: str) -> None:
        """The heading of the next step, with its number."""
        self._steps += 1
        self.heading(f"{self._steps}  {title}")

    def heading(self, text: str) -> None:
        """A line that stands out."""
        self._out.say()
        self._out.say(text, "1")

    def code(self, text: str) -> None:
        """Lines that could be typed."""
        for line in text.splitlines():
            self._out.say(f"{_INDENT}{line}", "36")

    def verdict(self, good: bool, text: str) -> None:
        """How a comparison came out."""
        self._out.say(f"{_INDENT}{text}", "32" if good else "31;1")

    def text(self, text: str) -> None:
        """A paragraph."""
        for line in textwrap.wrap(text, self._width - len(_INDENT)):
            self.line(line)

    def line(self, text: str = "") -> None:
        """A line as it is."""
        self._out.say(f"{_INDENT}{text}" if text else "")

    def takes(self, record: Record) -> bool:
        """Whether a record is shown: the first ones of its kind are."""
        if self._out.json:
            return False
        self._kinds[record.message] += 1
        return self._kinds[record.message] <= _OF_A_KIND

    def form(self, record: Record) -> str:
        """A record in lines that fit: its head, and under it its fields."""
        return "\n".join([_INDENT + self._head(record), *self._fields(record)])

    def show(self, message: Message) -> None:
        """Show a record: the sink."""
        with suppress(BrokenPipeError):  # the next heading finds it too, and ends the demo
            sys.stdout.write(message)
            sys.stdout.flush()

    def _fields(self, record: Record) -> Iterator[str]:
        """The fields, as many as fit in a line; one that does not fit any is cut."""
        room, line = self._width - len(_UNDER), ""
        for name, value in record.extra.items():
            text = field_text(name, value)
            text = text if len(text) <= room else f"{text[: room - 3]}..."
            if line and len(line) + 1 + len(text) > room:
                yield _UNDER + line
                line = ""
            line = f"{line} {text}" if line else text
        if line:
            yield _UNDER + line
