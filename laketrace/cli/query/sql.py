"""What a user's SQL says about the view `logs`, and how its fields are reached.

Floor 7. Stands on: lakehouse.columns.

Only words are looked at, never grammar, and only to be faster or friendlier: what cannot be judged
is taken for the slower or plainer case. `fields->>'$.order.id'` finds the field `id` inside of
`order` and the field called `order.id` alike, and binds as tightly as a function call (DuckDB's
arrows bind more loosely than `=`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import NamedTuple

from laketrace.lakehouse.columns import NAMES

LINE = "_line"
"""A column of the view that stands for `fields` where that is the same; `*` would show it."""

_TOKEN = re.compile(
    r"""(?P<string>[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
      |(?P<comment>--[^\n]*|/\*.*?\*/)
      |(?P<space>\s+)
      |(?P<word>[^\W\d]\w*|"(?:[^"]|"")*")
      |(?P<other>->>|->|\d[\w.]*|.)""",
    re.VERBOSE | re.DOTALL,
)
_SIMPLE_PATH = re.compile(r"\$((?:\.\w+)+)")
_MAY_SHOW_ALL = {"columns", "natural", "pivot", "unpivot", "summarize", "describe", "show"}
_MOST_PARTS = 5  # 16 readings of a path with dots are enough


class Token(NamedTuple):
    """A piece of SQL text; `kind` is string, comment, space, word or other."""

    kind: str
    text: str

    @property
    def name(self) -> str:
        """A word as the name that it stands for, in lower case."""
        text = self.text
        return (text[1:-1].replace('""', '"') if text.startswith('"') else text).lower()


def tokens_of(sql: str) -> list[Token]:
    """The tokens of a text; put together they are the text.

    >>> [token.text for token in tokens_of("a ->> 'it''s' -- x")]
    ['a', ' ', '->>', ' ', "'it''s'", ' ', '-- x']
    """
    return [Token(str(match.lastgroup), match[0]) for match in _TOKEN.finditer(sql)]


class Arrow(NamedTuple):
    """A `[alias.]fields ->> 'path'`: the tokens from `first` to before `end`."""

    first: int
    column: int
    end: int
    text: str
    keys: list[str]


class Query:
    """A user's query over `logs`.

    >>> query = Query("select level, l.fields->>'$.rows' r from logs l where segment > 'a';")
    >>> query.may_name("segment"), query.may_name("offset"), query.may_use_line
    (True, False, True)
    >>> print(query.text(use_line=True))
    select level, json_extract_string(l._line, '$."rows"') r from logs l where segment > 'a'
    """

    def __init__(self, sql: str) -> None:
        self._tokens = tokens_of(sql)
        while self._tokens and _says_nothing(self._tokens[-1]):
            self._tokens.pop()
        self._arrows = list(_arrows(self._tokens))
        words = [token.name for token in self._tokens if token.kind == "word"]
        self._words = set(words)
        self._shows_all = _may_show_all(self._tokens)
        # A bare `fields` may come back under that name from a subquery, which has no `_line`.
        bare = words.count("fields") > len(self._arrows)
        self.may_use_line = bool(self._arrows) and not bare and not self._shows_all

    def may_name(self, column: str) -> bool:
        """Whether the query may use this column of `logs`."""
        return self._shows_all or column in self._words

    def text(self, use_line: bool) -> str:
        """The query to be run; with `use_line`, over a view that has the column `_line`."""
        texts, at = [], 0
        for arrow, expression in self._expressions(use_line):
            texts += [token.text for token in self._tokens[at : arrow.first]]
            texts.append(expression)
            at = arrow.end
        return "".join([*texts, *(token.text for token in self._tokens[at:])])

    def names(self, use_line: bool) -> dict[str, str]:
        """The expressions that stand for fields, with the name that a column of them gets."""
        return {
            expression: ".".join(arrow.keys) for arrow, expression in self._expressions(use_line)
        }

    def _expressions(self, use_line: bool) -> Iterator[tuple[Arrow, str]]:
        for arrow in self._arrows:
            column = self._tokens[arrow.column].text
            if use_line and arrow.keys[0] not in NAMES:
                column = LINE
            alias = "".join(token.text for token in self._tokens[arrow.first : arrow.column])
            yield arrow, _extraction(alias + column, arrow.text, arrow.keys)


def _says_nothing(token: Token) -> bool:
    return token.kind in ("space", "comment") or token.text == ";"


def _arrows(tokens: list[Token]) -> Iterator[Arrow]:
    at = 0
    while at < len(tokens):
        column = at
        while _is_dotted(tokens, column):
            column += 2
        found = None
        if tokens[column].kind == "word" and tokens[column].name == "fields":
            found = _arrow(tokens, at, column)
        if found is not None:
            yield found
        at = column + 1 if found is None else found.end


def _is_dotted(tokens: list[Token], at: int) -> bool:
    """Whether a name is followed by a dot and another name."""
    there = tokens[at : at + 3]
    return len(there) == 3 and [there[0].kind, there[1].text, there[2].kind] == [
        "word",
        ".",
        "word",
    ]


def _arrow(tokens: list[Token], first: int, column: int) -> Arrow | None:
    arrow = _next(tokens, column)
    path = _next(tokens, arrow)
    if path >= len(tokens) or tokens[arrow].text not in ("->", "->>"):
        return None
    keys = _keys(tokens[path].text)
    return None if keys is None else Arrow(first, column, path + 1, tokens[arrow].text, keys)


def _next(tokens: list[Token], at: int) -> int:
    at += 1
    while at < len(tokens) and tokens[at].kind in ("space", "comment"):
        at += 1
    return at


def _may_show_all(tokens: list[Token]) -> bool:
    """Whether the columns of `logs` may appear without being named."""
    tokens = [token for token in tokens if not _says_nothing(token)]
    texts = [token.text.lower() for token in tokens]
    for at, token in enumerate(tokens):
        before = texts[at - 1] if at else "("
        if token.text == "*" and not (before == "(" and texts[at + 1 : at + 2] == [")"]):
            return True
        if token.kind != "word":
            continue
        if token.name in _MAY_SHOW_ALL or (
            token.name == "from" and before in ("(", "union", "all")
        ):
            return True
        if (
            token.name == "logs"
            and before not in ("from", "join")
            and texts[at + 1 : at + 2] != ["."]
        ):
            return True
    return False


def _keys(literal: str) -> list[str] | None:
    """The keys that a path leads through; None for a path that is to be left to DuckDB."""
    if not literal.startswith("'"):
        return None
    path = literal[1:-1].replace("''", "'")
    match = _SIMPLE_PATH.fullmatch(path)
    if match is not None:
        return match[1][1:].split(".")
    if not path or path[0] in "$/" or any(char in path for char in '*?"\\[]'):
        return None
    return [path]


def _extraction(column: str, arrow: str, keys: list[str]) -> str:
    function = "json_extract_string" if arrow == "->>" else "json_extract"
    paths = [_path(reading) for reading in readings(keys)]
    calls = [f"{function}({column}, {path})" for path in paths]
    return calls[0] if len(calls) == 1 else f"coalesce({', '.join(calls)})"


def readings(keys: list[str]) -> list[list[str]]:
    """What keys with dots between them can mean: nested objects, or fields with dots in names.

    >>> readings(["order", "id"])
    [['order', 'id'], ['order.id']]
    """
    if len(keys) > _MOST_PARTS:
        return [keys, [".".join(keys)]]
    found = []
    for number in range(len(keys) - 1, -1, -1):
        for borders in combinations(range(1, len(keys)), number):
            edges = [0, *borders, len(keys)]
            parts = pairwise(edges)
            found.append([".".join(keys[first:end]) for first, end in parts])
    return found


def _path(keys: list[str]) -> str:
    text = "$" + "".join(f'."{key}"' for key in keys)
    return "'" + text.replace("'", "''") + "'"
