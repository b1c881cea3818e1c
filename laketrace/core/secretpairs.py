"""Secrets in free text that stand behind their name: `password=...`, `"api_key": "..."`.

Floor 1. Stands on: core.secretnames.

A name is a word before `=`, `:`, `:=` or `=>`, or an option of a command line (`--password x`);
`core.secretnames` decides whether it is a secret's. The value is what is quoted, with everything
between the quotes (also quotes within JSON within JSON), a whole object or list in brackets, or
the word behind it: up to a blank, or to a comma, semicolon, `&`, bracket or quote that ends it.
Behind `Authorization`, `Cookie` and connection strings it is the rest of the line. Values are
replaced whole by `MASK`; quotes around them stay, so that JSON stays JSON. Where a quote does not
close, the line is the value; where a bracket does not close, the rest of the text is.
Every character is read a bounded number of times. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heapreplace

from laketrace.core.secretnames import MASK, SecretNames, words

_PAIR = re.compile(
    # Some names have a blank inside: `API key`.
    r"(?:\.+|(--?))?((?:(?:api|access|account|private|secret|connection) )?\w[\w.-]*)"
    r"(?:\\*[\"'])?(?:[ \t]{0,3}(?::=|=>|[=:])[ \t]{0,3}|(?(1)[ ]+|(?!)))",
    re.IGNORECASE,
)
_REST_OF_NAME = re.compile(r"[\w.-]+")
_SCHEME = re.compile(
    r"(?:Bearer|Basic|Token|ApiKey|Negotiate|Digest|SharedKey)[ \t]+", re.IGNORECASE
)
_LINE = re.compile(r"[^\n\r\"']*")
_WHOLE_LINE = re.compile(r"[^\n\r]*")
_QUOTES = {'"': re.compile(r'(?<!\\)(\\*)"'), "'": re.compile(r"(?<!\\)(\\*)'")}
# A value without quotes: a sign that may end it does so where nothing, a blank, another such sign
# or the next pair stands behind it.
_PLAIN = re.compile(
    r"(?:[^\s,;&)\]}>\"']"
    r"|[,;&)\]}>\"'](?!\s|\Z|[,;&)\]}>\"'.\\]|[\w.-]{1,64}(?:\\*[\"'])?[ \t]{0,3}[=:]))+",
    re.ASCII,
)
_BRACKETS = re.compile(r"[\[\]{}]|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'", re.DOTALL)
_REST_OF_LINE = ("_authorization_", "_cookie_", "_cookies_", "_connection_string_", "_conn_str_")


class PairScrubber:
    """Takes the values of secret names out of texts.

    >>> PairScrubber(SecretNames()).scrub('user=bob password="two words" rows=3')
    'user=bob password="[REDACTED]" rows=3'
    """

    __slots__ = ("_is_secret", "_stems")

    def __init__(self, names: SecretNames, is_secret: Callable[[str], bool] | None = None) -> None:
        """`is_secret` may be a faster answer than that of `names`, e.g. one with a memory."""
        self._is_secret = is_secret or names.holds
        self._stems = names.stems()

    def scrub(self, text: str) -> str:
        """`text` with `MASK` for each value that stands behind the name of a secret."""
        if "=" not in text and ":" not in text and "-" not in text:
            return text
        small = text.replace("\u0130", "i").lower()  # the one letter that two small ones stand for
        parts = []
        done = position = 0
        for at in _occurrences(small, self._stems):
            if at < position:
                continue
            start = at  # the name begins behind what was read before: nothing is read twice
            while start > position and (text[start - 1].isalnum() or text[start - 1] in "_.-"):
                start -= 1
            match = _PAIR.match(text, start)
            if match is None:
                rest = _REST_OF_NAME.match(text, at)
                position = at + 1 if rest is None else rest.end()
                continue
            position = match.end()
            if not self._is_secret(match.group(2)):
                continue
            start, end = _value(text, position, words(match.group(2)))
            if end > start:
                parts += [text[done:start], MASK]
                done = end
            position = max(position, end)
        return text if not done else "".join([*parts, text[done:]])


def _occurrences(text: str, stems: list[str]) -> Iterator[int]:
    """Where any of the stems begins, in order."""
    found = [(at, stem) for stem in stems if (at := text.find(stem)) >= 0]
    heapify(found)
    while found:
        at, stem = found[0]
        yield at
        following = text.find(stem, at + 1)
        if following >= 0:
            heapreplace(found, (following, stem))
        else:
            heappop(found)


def _value(text: str, start: int, name: str) -> tuple[int, int]:
    """Where the value behind the name begins and ends; quotes are no part of it."""
    sign = text[start : start + 1]
    if sign in ("{", "[") and not text.startswith(MASK, start):
        return start, _bracket_end(text, start)
    quote = start
    while text[quote : quote + 1] == "\\":  # JSON within JSON: \"...\"
        quote += 1
    if text[quote : quote + 1] in ("'", '"'):
        return _quoted(text, start, quote)
    if any(phrase in name for phrase in _REST_OF_LINE):
        scheme = _SCHEME.match(text, start)
        if scheme is None or scheme.group().strip().lower() == "digest":
            return start, _end(_LINE, text, start)
        return start, _end(_PLAIN, text, scheme.end())
    if text.startswith(MASK, start):  # scrubbed before: nothing to do, unless more follows
        end = start + len(MASK)
        rest = _end(_PLAIN, text, end)
        return start, rest if rest > end else start
    return start, _end(_PLAIN, text, start)


def _quoted(text: str, start: int, quote: int) -> tuple[int, int]:
    r"""What is between the quote at `quote` and the one that closes it, else the rest of the line.

    JSON n times within JSON writes a quote with k = 2**n - 1 backslashes. A quote closes the text
    when the backslashes before it are k and any number of escaped backslashes, each 2 * (k + 1).
    """
    depth = quote - start
    position = quote + 1
    while (match := _QUOTES[text[quote]].search(text, position)) is not None:
        if len(match.group(1)) % (2 * depth + 2) == depth:
            return quote + 1, match.end() - depth - 1
        position = match.end()
    return start, _end(_WHOLE_LINE, text, start)


def _bracket_end(text: str, start: int) -> int:
    depth = 0
    for match in _BRACKETS.finditer(text, start):
        sign = match.group()
        depth += (sign in "[{") - (sign in "]}")
        if depth == 0:
            return match.end()
    return len(text)


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return start if match is None else match.end()
