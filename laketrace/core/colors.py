r"""Colour tags in a template become the codes of a terminal.

Floor 1. Stands on: core.record.

The tags are loguru's: `<red>`, `<RED>` (background), `<light-blue>`, `<bold>`, `<dim>`,
`<fg 208>`, `<bg #00005f>`, `<level>` (the colour of the record's level), closed by `</red>` or
`</>`, nested as one likes; `\<red>` is the text itself. Tags are read in templates only, never in
what a record carries.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from laketrace.core.record import Record

Part = str | Callable[[Record], str]

RESET = "\x1b[0m"
_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_INITIALS = ("k", "r", "g", "y", "e", "m", "c", "w")
_STYLES = {
    "bold": (1, "b"),
    "dim": (2, "d"),
    "normal": (22, "n"),
    "italic": (3, "i"),
    "underline": (4, "u"),
    "blink": (5, "l"),
    "reverse": (7, "v"),
    "hide": (8, "h"),
    "strike": (9, "s"),
}
_TAG = re.compile(r"(\\?)<(/?)((?:[fb]g\s+)?[A-Za-z#0-9,-]*)>")
_LEVELS = (
    (50, "\x1b[41m\x1b[1m"),
    (40, "\x1b[31m\x1b[1m"),
    (30, "\x1b[33m\x1b[1m"),
    (25, "\x1b[32m\x1b[1m"),
    (20, "\x1b[1m"),
    (10, "\x1b[34m\x1b[1m"),
    (0, "\x1b[36m\x1b[1m"),
)


def _named_codes() -> dict[str, str]:
    codes: dict[str, str] = {}
    for style, (number, short) in _STYLES.items():
        codes[style] = codes[short] = f"\x1b[{number}m"
    for index, (name, initial) in enumerate(zip(_COLOURS, _INITIALS, strict=True)):
        codes[name] = codes[initial] = f"\x1b[{30 + index}m"
        codes[name.upper()] = codes[initial.upper()] = f"\x1b[{40 + index}m"
        codes[f"light-{name}"] = codes[f"l{initial}"] = f"\x1b[{90 + index}m"
        codes[f"LIGHT-{name.upper()}"] = codes[f"L{initial.upper()}"] = f"\x1b[{100 + index}m"
    return codes


_CODES = _named_codes()


def level_code(record: Record) -> str:
    """The colour of a record's level; one registered by the user has that of the next lower."""
    number = record.level.no
    for least, code in _LEVELS:
        if number >= least:
            return code
    return ""


class Markup:
    """Reads the literal texts of one template in order; tags may span the fields between them.

    >>> Markup(color=True).parse("<red>stop</red>")
    ['\\x1b[31m', 'stop', '\\x1b[0m']
    """

    def __init__(self, color: bool) -> None:
        self._color = color
        self._open: list[tuple[str, Part]] = []

    def parse(self, literal: str) -> list[Part]:
        """The parts that this text becomes; without colour its texts only.

        Raises `ValueError` for a tag that does not exist, or that closes what is not open.
        """
        parts: list[Part] = []
        end = 0
        for match in _TAG.finditer(literal):
            escape, closing, name = match.groups()
            parts.append(literal[end : match.start()])
            end = match.end()
            if escape:
                parts.append(match.group()[1:])
            elif not name and not closing:
                parts.append(match.group())
            else:
                codes = self._close(name) if closing else self._opened(name)
                if self._color:
                    parts += codes
        parts.append(literal[end:])
        return [part for part in parts if part != ""]

    def finish(self) -> None:
        """Raises `ValueError` when a tag is still open at the end of the template."""
        if self._open:
            name = self._open[-1][0]
            raise ValueError(f"<{name}> is never closed. Write </{name}> after the coloured text.")

    def _opened(self, name: str) -> list[Part]:
        code: Part = level_code if name in ("level", "lvl") else _code(name)
        self._open.append((name, code))
        return [code]

    def _close(self, name: str) -> list[Part]:
        if not self._open:
            raise ValueError(f"</{name}> closes nothing. Open it before with <{name or 'red'}>.")
        inner = self._open[-1][0]
        if name and name != inner:
            raise ValueError(
                f"</{name}> stands where </{inner}> is due. Close the inner tag first."
            )
        self._open.pop()
        return [RESET, *(code for _, code in self._open)]


def _code(name: str) -> str:
    code = _CODES.get(name) or _extended(name)
    if code is None:
        raise ValueError(
            f"<{name}> is not a colour tag. Use level, {', '.join(_STYLES)}, "
            f"{', '.join(_COLOURS)}, light-red ..., RED ... for the background, or "
            f"<fg 208>, <fg #ff8700>, <bg 0,0,95>; \\<{name}> is the text itself."
        )
    return code


def _extended(name: str) -> str | None:
    """`fg 208`, `bg #00005f`, `fg 0,95,135`, `bg red`."""
    ground, _, colour = name.partition(" ")
    colour = colour.strip()
    if ground not in ("fg", "bg") or not colour:
        return None
    plane = 38 if ground == "fg" else 48
    if colour in _COLOURS or colour.removeprefix("light-") in _COLOURS:
        return _CODES[colour if ground == "fg" else colour.upper()]
    if colour.isdecimal() and colour.isascii() and int(colour) <= 255:
        return f"\x1b[{plane};5;{int(colour)}m"
    if re.fullmatch(r"#(?:[0-9a-fA-F]{3}){1,2}", colour):
        digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
        red, green, blue = (int(digits[at : at + 2], 16) for at in (0, 2, 4))
        return f"\x1b[{plane};2;{red};{green};{blue}m"
    if re.fullmatch(r"\d{1,3},\d{1,3},\d{1,3}", colour, re.ASCII):
        numbers = [int(number) for number in colour.split(",")]
        if max(numbers) <= 255:
            return f"\x1b[{plane};2;{numbers[0]};{numbers[1]};{numbers[2]}m"
    return None
