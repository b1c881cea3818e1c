"""Values become JSON text, whatever they are.

Floor 1. Stands on: core.values.

A field costs at most its own value, never the record: what JSON does not know has a defined
form, what cannot be shown becomes a short marker that says so. The text is one line of RFC 8259
JSON that strict readers take (Spark, DuckDB, Rust): no NaN, no integer beyond 64 bits, no raw
control character, no lone surrogate. Time and memory are linear in what is encoded, also where one
object stands in it many times: it is encoded once for each depth, and after 16 MB of repetitions a
marker stands for it.
Threads: an `Encoder` may be used from any thread; each of its caches holds at most 4,096 names, or
256 messages, of at most 200 characters.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Container, Iterable, Mapping
from json.encoder import encode_basestring as _quote_unicode
from json.encoder import encode_basestring_ascii as _quote_ascii
from typing import Any, Protocol

from laketrace.core.values import as_text, base_of, form_of, shown, unprintable

MAX_DEPTH = 32
_MAX_KEYS = 4096
_MAX_MESSAGES = 256
_LONGEST_KEPT = 200  # characters
MAX_ITEMS = 100_000
_SHORT = 64  # characters that are encoded again rather than kept
_MOST_AGAIN = 16 << 20  # characters
_MAX_FLOAT = sys.float_info.max

# encode_basestring leaves these as they are: DEL, C1 controls (0x9b drives terminals), the two
# Unicode line separators, the bidirectional controls, which show a line in another order than it is
# (CVE-2021-42574), and lone surrogates, which UTF-8 cannot carry.
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class NameRule(Protocol):
    """What the encoder asks of a redactor; `core.redact.Redactor` is the one there is."""

    def is_secret(self, name: str, /) -> bool:
        """Whether the value under this name must not be shown."""
        ...

    def scrub(self, text: str, /) -> str:
        """The text without what looks like a secret or personal data."""
        ...

    def redacted(self, value: Any, /) -> Any:
        """A copy of a value with secrets masked at any depth."""
        ...

    @property
    def scrubs(self) -> bool:
        """Whether `scrub` may change anything."""
        ...


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    # A surrogate becomes its six-character text, since strict readers refuse the JSON escape too.
    return f"\\\\u{code:04x}" if code >= 0xD800 and code <= 0xDFFF else f"\\u{code:04x}"


def quote(text: str) -> str:
    r"""A JSON string literal for `text`, safe to print on a terminal.

    >>> print(quote('caf\u00e9 "x"\n\x1b[2J'))
    "café \"x\"\n\u001b[2J"
    """
    if text.isascii():
        return _quote_ascii(text)
    return _UNSAFE.sub(_escape, _quote_unicode(text))


class FreeNames:
    """The names of one object, each once: of those that are alike, the later get a number.

    >>> names = FreeNames()
    >>> [names.take(name) for name in ("a", "a_2", "a", "a")]
    ['a', 'a_2', 'a_3', 'a_4']
    """

    __slots__ = ("_numbers", "_taken")

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}  # where to go on, so that many cost no more each

    def take(self, name: str) -> str:
        """The name, or the first of `name_2`, `name_3` and so on that is free; taken from now."""
        taken = self._taken
        if name in taken:
            number = self._numbers.get(name, 2)
            while f"{name}_{number}" in taken:
                number += 1
            self._numbers[name] = number + 1
            name = f"{name}_{number}"
        taken.add(name)
        return name


class _Walk:
    """The texts of what was met on the way through one value, for when it is met again.

    They go by depth too, because the limit of depth cuts the same object elsewhere. The objects
    are kept with them: the number of one that is gone is given to another.
    """

    __slots__ = ("left", "texts")

    def __init__(self) -> None:
        self.texts: dict[tuple[int, int], tuple[Any, str]] = {}
        self.left = _MOST_AGAIN

    def again(self, text: str) -> str:
        """The text, as long as repetitions have room."""
        if len(text) > self.left:
            return '"<shown before>"'
        self.left -= len(text)
        return text


class Encoder:
    """Encodes fields and values, with names and texts redacted as the redactor says.

    >>> Encoder().members({"rows": 3, "share": float("nan"), "day": {1, }})
    ',"rows":3,"share":"NaN","day":[1]'
    """

    def __init__(self, redactor: NameRule | None = None, mask: str = "[REDACTED]") -> None:
        self.redactor = redactor
        self._mask = quote(mask)
        self._is_secret = redactor.is_secret if redactor is not None else _never
        self._scrub = redactor.scrub if redactor is not None and redactor.scrubs else None
        self._keys: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self.messages: dict[str, str] = {}
        """The JSON texts of messages that were logged before: they come again."""

    def members(self, fields: Mapping[str, Any]) -> str:
        """The fields as JSON members, each with a comma before it; the fast path's work horse.

        The common types are spelled out here and keys come ready-made from a cache: a call of
        `value` for each field would cost as much again as the whole record.
        """
        text = ""
        keys = self._keys
        if self._scrub is not None:
            fields = self._scrubbed(fields)
        for key, value in fields.items():
            start = keys.get(key)
            if start is None:
                start = self._start(key)
                if start is None:
                    text += f",{quote(key)}:{self._mask}"
                    continue
            kind = type(value)
            if kind is str and self._scrub is None:
                text += start + (_quote_ascii(value) if value.isascii() else quote(value))
            elif (kind is int and -0x8000000000000000 <= value <= 0xFFFFFFFFFFFFFFFF) or (
                kind is float and -_MAX_FLOAT <= value <= _MAX_FLOAT  # False for NaN
            ):
                text += start + repr(value)
            else:
                text += start + self.value(value)
        return text

    def _start(self, key: str) -> str | None:
        """`,"key":` for a name that may be shown, None for a secret one; remembered."""
        if self._is_secret(key):
            return None
        if type(key) is not str:
            key = str.__str__(key)
        start = f",{quote(key)}:"
        if len(key) <= _LONGEST_KEPT:
            if len(self._keys) >= _MAX_KEYS:
                self._keys.clear()
            self._keys[key] = start
        return start

    def _scrubbed(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields under names that may be shown; of two that become alike, both stay."""
        names = FreeNames()
        return {names.take(self._shown_name(key)): value for key, value in fields.items()}

    def _shown_name(self, name: str) -> str:
        """A name without what looks like a secret; the same where nothing is asked for."""
        if self._scrub is None:
            return name
        shown = self._names.get(name)
        if shown is None:
            shown = self._scrub(name)
            if len(name) <= _LONGEST_KEPT:
                if len(self._names) >= _MAX_KEYS:
                    self._names.clear()
                self._names[name] = shown
        return shown

    def text(self, text: str) -> str:
        """A string value, scrubbed where that is asked for."""
        return quote(text if self._scrub is None else self._scrub(text))

    def message(self, text: str) -> str:
        """A message that is not among `messages`, which from now on it is, if it is no long one.

        >>> encoder = Encoder()
        >>> encoder.message("table loaded"), encoder.messages
        ('"table loaded"', {'table loaded': '"table loaded"'})
        """
        shown = self.text(text)
        if len(text) <= _LONGEST_KEPT:
            if len(self.messages) >= _MAX_MESSAGES:
                self.messages.clear()
            self.messages[text] = shown
        return shown

    def value(self, value: Any) -> str:
        """Any value as JSON text; never raises.

        >>> Encoder().value({"when": None, "deep": [True, b"\\xff"]})
        '{"when":null,"deep":[true,"\\\\\\\\xff"]}'
        """
        try:
            plain = _PLAIN.get(type(value))
            return self._value(value, (), _Walk()) if plain is None else plain(value)
        except Exception as error:
            return quote(unprintable(value, error))

    def _value(self, value: Any, path: tuple[int, ...], walk: _Walk) -> str:
        """The text of a value that stands inside the objects of `path`."""
        kind = type(value)
        plain = _PLAIN.get(kind)
        if plain is not None:
            return plain(value)
        if kind is str and len(value) <= _SHORT:
            return self.text(value)
        number = id(value)
        if number in path:
            return '"<cycle>"'
        if len(path) >= MAX_DEPTH:
            return f'"<nested deeper than {MAX_DEPTH} levels>"'
        met = walk.texts.get((number, len(path)))
        if met is not None:
            return walk.again(met[1])
        inside = (*path, number)
        if kind is str:
            text = self.text(value)
        elif kind in _ITERATE or kind is dict:
            text = self._container(value, inside, walk)
        else:
            text = self._converted(value, inside, walk)
        if len(text) > _SHORT:
            walk.texts[number, len(path)] = (value, text)
        return text

    def _container(self, value: Any, path: tuple[int, ...], walk: _Walk) -> str:
        if isinstance(value, dict):
            return self._object(dict.items(value), path, walk)
        items = list(_ITERATE[base_of(value)](value))
        texts = [self._safe(item, path, walk) for item in items[:MAX_ITEMS]]
        if len(items) > MAX_ITEMS:
            texts.append(f'"<{len(items) - MAX_ITEMS} more>"')
        return f"[{','.join(texts)}]"

    def _object(self, items: Iterable[tuple[Any, Any]], path: tuple[int, ...], walk: _Walk) -> str:
        texts: list[str] = []
        names = FreeNames()
        for key, value in items:
            if len(texts) >= MAX_ITEMS:
                texts.append('"<more>":"<more members than 100000>"')
                break
            name = key if type(key) is str else as_text(key)
            secret = self._is_secret(name)
            shown_name = quote(names.take(self._shown_name(name)))
            text = self._mask if secret else self._safe(value, path, walk)
            texts.append(f"{shown_name}:{text}")
        return "{" + ",".join(texts) + "}"

    def _safe(self, value: Any, path: tuple[int, ...], walk: _Walk) -> str:
        try:
            return self._value(value, path, walk)
        except Exception as error:
            return quote(unprintable(value, error))

    def _converted(self, value: Any, path: tuple[int, ...], walk: _Walk) -> str:
        """A value of a type that JSON does not know, through the form that stands for it."""
        kind, form = form_of(value)
        if kind == "text":
            return self.text(form)
        if kind == "container":
            return self._container(form, path, walk)
        if kind == "members":
            return self._object(form, path, walk)
        if form is value:
            return self.text(shown(value))
        return self._safe(form, path, walk)


def to_json(value: Any, redactor: NameRule | None = None) -> str:
    """`value` as one line of JSON; never raises.

    >>> to_json({"a": {1: "x", "1": "y"}})
    '{"a":{"1":"x","1_2":"y"}}'
    """
    return Encoder(redactor).value(value)


def _never(name: str) -> bool:
    return False


def _integer(value: int) -> str:
    if -0x8000000000000000 <= value <= 0xFFFFFFFFFFFFFFFF:
        return int.__repr__(value)
    if value.bit_length() > 10_000:  # decimal digits cost quadratic time, and CPython refuses
        return f'"{hex(value)}"'
    return f'"{int.__repr__(value)}"'


def _float(value: float) -> str:
    if math.isfinite(value):
        return float.__repr__(value)
    return '"NaN"' if value != value else '"Infinity"' if value > 0 else '"-Infinity"'


_PLAIN: dict[type, Callable[[Any], str]] = {
    type(None): lambda value: "null",
    bool: lambda value: "true" if value else "false",
    int: _integer,
    float: _float,
}
_ITERATE: dict[type, Callable[[Any], Iterable[Any]]] = {
    list: list.__iter__,
    tuple: tuple.__iter__,
    set: set.__iter__,
    frozenset: frozenset.__iter__,
}


def not_taken(name: str, taken: Container[Any]) -> str:
    """The first of `name`, `name_2`, `name_3` and so on that is not taken.

    >>> not_taken("a", {}), not_taken("a", {"a", "a_2"})
    ('a', 'a_3')
    """
    if name not in taken:
        return name
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"
