"""Secrets stay out of the log: by the name of a field, and where asked for by the form of a value.

Floor 1. Stands on: core.encode, core.secretnames, core.secretpairs, core.secretvalues, core.values.

A `Redactor` answers two questions, fast: is this the name of a secret (then the value under it is
replaced whole, whatever it holds), and what of this text may stay. Everything that goes is replaced
by `MASK`, one mark for all kinds, so that neither a character nor the length of it stays.
Threads: may be used from any; at most 4,096 names are remembered. Forks: nothing to do.
Equal settings make equal redactors, which can share what is built upon them.
The rules for forms are loaded with the first redactor that needs them.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any

from laketrace.core.encode import MAX_DEPTH, MAX_ITEMS, FreeNames
from laketrace.core.secretnames import MASK, SecretNames
from laketrace.core.values import as_text, attribute, names_of

__all__ = ["MASK", "Redactor", "by_name_and_form", "masked"]

_MOST_NAMES = 4096
_LONGEST_NAME = 256  # characters of a name that is remembered
# By number and depth of an object: the object itself, which so keeps its number, and its copy.
_Made = dict[tuple[int, int], tuple[Any, Any]]


_CONTAINERS = (Mapping, list, tuple, set, frozenset, deque)


class Redactor:
    """What must not be shown, by name and by form.

    `names`: True for the usual names of secrets (`core.secretnames`), False for none, or names of
    the program's own, which are added to the usual ones. `pii`: also take e-mail addresses, phone,
    card and social security numbers, IBANs, IP addresses, keys, tokens and `name=value` pairs of
    secrets out of free text. `patterns`: regular expressions whose matches go too; they run first,
    and their speed is the caller's matter.

    Raises `ValueError` for a pattern that does not compile or that matches the empty text, and for
    names that are no texts.

    >>> redactor = Redactor(["customer_no"], pii=True)
    >>> redactor.is_secret("db.password"), redactor.is_secret("customerNo")
    (True, True)
    >>> redactor.scrub("bob@example.com sent token: abc123")
    '[REDACTED] sent token: [REDACTED]'
    """

    __slots__ = ("_forms", "_known", "_names", "_patterns", "_settings", "scrubs")

    def __init__(
        self,
        names: bool | Iterable[str] = True,
        pii: bool = False,
        patterns: Iterable[str | re.Pattern[str]] = (),
    ) -> None:
        own = () if isinstance(names, bool) else _checked_names(names)
        self._patterns = _checked_patterns(patterns)
        self._settings = (names if isinstance(names, bool) else own, bool(pii), self._patterns)
        self._names = None if names is False else SecretNames(own)
        self._known: dict[str, bool] = {}
        self._forms = self._rules_for_forms() if pii else None
        self.scrubs = bool(pii or self._patterns)
        """Whether `scrub` may change a text."""

    def _rules_for_forms(self) -> Callable[[str], str]:
        from laketrace.core.secretpairs import PairScrubber
        from laketrace.core.secretvalues import scrub_values

        # Pairs in texts go also where fields keep their values.
        names = self._names or SecretNames()
        pairs = PairScrubber(names, self.is_secret if self._names else None)
        return lambda text: scrub_values(pairs.scrub(text))

    def is_secret(self, name: str) -> bool:
        """Whether the value under this name must not be shown, at whatever depth.

        >>> Redactor().is_secret("X-Api-Key"), Redactor().is_secret("tokenizer")
        (True, False)
        """
        known = self._known.get(name)
        if known is None:
            known = self._names is not None and self._names.holds(name)
            if len(name) <= _LONGEST_NAME:
                if len(self._known) >= _MOST_NAMES:
                    self._known.clear()
                self._known[name] = known
        return known

    def scrub(self, text: str) -> str:
        """`text` without what looks like a secret; the same object where nothing is asked for.

        >>> Redactor().scrub("bob@example.com")
        'bob@example.com'
        """
        for pattern in self._patterns:
            text = pattern.sub(MASK, text)
        return text if self._forms is None else self._forms(text)

    def redacted(self, value: Any) -> Any:
        """A copy of nested dicts and lists without secrets; other values come back as they are.

        Where texts are scrubbed, the keys of dicts are too.

        >>> Redactor().redacted({"user": "bob", "login": {"password": ["a", "b"]}})
        {'user': 'bob', 'login': {'password': '[REDACTED]'}}
        """
        return self._copy(value, (), {})

    def _copy(self, value: Any, path: tuple[int, ...], made: _Made) -> Any:
        if isinstance(value, str):
            return self.scrub(value)
        if not isinstance(value, _CONTAINERS) and not _is_dataclass(value):
            return value
        number = id(value)
        if number in path:
            return "<cycle>"
        if len(path) >= MAX_DEPTH:  # not looked into, so not shown
            return f"<nested deeper than {MAX_DEPTH} levels>"
        # What stands in it many times is copied once for each depth, so that time stays linear.
        known = made.get((number, len(path)))
        if known is not None:
            return known[1]
        copy = self._copy_of_container(value, (*path, number), made)
        made[number, len(path)] = (value, copy)
        return copy

    def _copy_of_container(self, value: Any, path: tuple[int, ...], made: _Made) -> Any:
        if isinstance(value, Mapping):
            return self._copy_of_mapping(value, path, made)
        if isinstance(value, tuple) and (names := names_of(value)) is not None:
            return self._copy_of_named_tuple(value, names, path, made)
        if not isinstance(value, _CONTAINERS):
            return self._copy_of_dataclass(value, path, made)
        items = [self._copy(item, path, made) for item in value]
        for kind in (tuple, set, frozenset, deque):
            if isinstance(value, kind):
                return kind(items)
        return items

    def _copy_of_mapping(
        self, value: Mapping[Any, Any], path: tuple[int, ...], made: _Made
    ) -> dict[Any, Any]:
        copy: dict[Any, Any] = {}
        names = FreeNames()
        # A mapping of the user's need not end; of more items than this none are written anyway.
        items = value.items() if isinstance(value, dict) else islice(value.items(), MAX_ITEMS + 1)
        for key, item in items:
            name = key
            if self.scrubs and isinstance(key, str):
                name = names.take(self.scrub(key))  # two addresses as keys: both values stay
            copy[name] = MASK if self.is_secret(as_text(key)) else self._copy(item, path, made)
        return copy

    def _copy_of_dataclass(self, value: Any, path: tuple[int, ...], made: _Made) -> Any:
        """One of the same class, so that who reads the record finds its attributes."""
        names = type(value).__dataclass_fields__
        fields = {name: attribute(value, name) for name in names}
        masked_fields = self._copy_of_mapping(fields, path, made)
        try:
            copy = object.__new__(type(value))
            for name, item in {**getattr(value, "__dict__", {}), **masked_fields}.items():
                object.__setattr__(copy, name, item)
        except Exception:  # a class that cannot be made in this way
            return masked_fields
        return copy

    def _copy_of_named_tuple(
        self, value: tuple[Any, ...], names: Sequence[str], path: tuple[int, ...], made: _Made
    ) -> tuple[Any, ...]:
        items = [
            MASK if self.is_secret(name) else self._copy(item, path, made)
            for name, item in zip(names, tuple.__iter__(value), strict=True)
        ]
        copy: Any = tuple.__new__(type(value), items)
        if hasattr(value, "__fields__"):  # a Row has its names beside the items
            copy.__fields__ = names
        return copy  # type: ignore[no-any-return]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Redactor) and self._settings == other._settings

    def __hash__(self) -> int:
        return hash(self._settings)

    def __reduce__(self) -> tuple[Any, ...]:
        return Redactor, self._settings

    def __repr__(self) -> str:
        names, pii, patterns = self._settings
        return f"Redactor({names!r}, pii={pii}, patterns={len(patterns)})"


def _is_dataclass(value: Any) -> bool:
    return isinstance(getattr(type(value), "__dataclass_fields__", None), dict)


def _checked_names(names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ValueError(f"{names!r} is one text. Use a list of names, e.g. ['customer_no'].")
    own = tuple(sorted(set(names), key=str))
    for name in own:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{name!r} is not a name. Use a list of texts, e.g. ['customer_no'].")
    return own


def _checked_patterns(patterns: Iterable[str | re.Pattern[str]]) -> tuple[re.Pattern[str], ...]:
    if isinstance(patterns, (str, re.Pattern)):
        raise ValueError(
            f"{patterns!r} is one pattern. Use a list of patterns, e.g. [r'ACC-\\d+']."
        )
    compiled = []
    for pattern in patterns:
        try:
            made = re.compile(pattern)
        except (re.error, TypeError, RecursionError) as error:
            raise ValueError(
                f"{pattern!r} is not a regular expression: {error}. Check it with re.compile()."
            ) from None
        if isinstance(made.pattern, bytes):
            raise ValueError(f"{pattern!r} is for bytes. Use a pattern for text.")
        if made.match("") is not None:
            raise ValueError(f"{pattern!r} matches the empty text. Let it need one character.")
        compiled.append(made)
    return tuple(compiled)


@cache
def by_name_and_form() -> Redactor:
    """The redactor that takes out the usual names and all forms; made once.

    >>> by_name_and_form() == Redactor(pii=True)
    True
    """
    return Redactor(pii=True)


def masked(data: Mapping[str, Any], redactor: Redactor | None = None) -> dict[str, Any]:
    """A copy of `data` without secrets by name and, unless a redactor says otherwise, by form.

    >>> masked({"token": 7, "note": "ask bob@example.com", "rows": [3]})
    {'token': '[REDACTED]', 'note': 'ask [REDACTED]', 'rows': [3]}
    """
    copy: dict[str, Any] = (redactor or by_name_and_form()).redacted(data)
    return copy
