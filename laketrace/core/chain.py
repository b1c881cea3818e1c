"""An exception and all that hangs on it, read without trusting any of its code.

Floor 1. Stands on: core.cut, core.sparkerrors, core.stack.

`read` turns an exception with its causes, contexts, groups, notes and stacks into `Link`s that
hold nothing but plain values: reading executes `__str__` and properties of exceptions, and each of
them may raise. Limits: `MOST_LINKS` exceptions in all, `MOST_IN_CHAIN` of one chain (the nearest
and the deepest ones), `MOST_IN_GROUP` members of a group, and the wanted number of frames of each
stack (the outermost and the innermost ones). What was left out is counted.
Time is linear in the number of frames and links. Threads and forks: nothing is kept.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from laketrace.core.cut import cut
from laketrace.core.stack import Stack, read_stack

if TYPE_CHECKING:
    from laketrace.core.sparkerrors import SparkFacts

MOST_LINKS = 64
MOST_IN_CHAIN = 12
MOST_IN_GROUP = 15  # the width that the traceback module prints
MOST_NESTED = 24  # levels of the object; the encoder stops at 32
_MOST_NOTES = 100
_JVM_SECONDS = 2.0  # for one record, whatever hangs on the exception
_JVM_LINES = 36  # likewise; fewer than 40 may stay


class Position(NamedTuple):
    """Where a SyntaxError is; each value as the error gives it, if it has the right type."""

    file: str | None
    line: int | None
    offset: int | None
    text: str | None
    end_line: int | None
    end_offset: int | None


class Link:
    """One exception of a chain or group, as plain values."""

    __slots__ = (
        "group", "group_left_out", "notes", "position", "relation", "shown", "spark", "stack",
        "then_left_out", "type", "value",
    )  # fmt: skip

    def __init__(self, type_name: str, value: str, stack: Stack | None) -> None:
        self.type = type_name
        self.value = value
        self.shown = value  # what the traceback prints behind the type
        self.stack = stack  # None: never raised
        self.notes: list[str] = []
        self.position: Position | None = None
        self.spark: SparkFacts | None = None
        self.group: list[list[Link]] | None = None  # each member is a chain of its own
        self.group_left_out = 0
        self.relation = ""  # of the next link to this one: "cause" or "context"
        self.then_left_out = 0  # links of the chain between this one and the next


Scrub = Callable[[str], str]


def read(exc: BaseException, frames: int, most: int, scrub: Scrub | None = None) -> list[Link]:
    """The chain of `exc`: itself, its cause or context, that one's, and so on.

    `frames` is the number of frames that stay of each stack, `most` the bytes of each text.
    `scrub` takes secrets out of texts; it does so before they are cut.
    """
    return _Reader(frames, most, scrub).chain(exc, 1)


class _Reader:
    """Reads one exception; holds what is counted over all of it."""

    def __init__(self, frames: int, most: int, scrub: Scrub | None) -> None:
        self.frames = frames
        self.most = most
        self.scrub = scrub
        self.links_left = MOST_LINKS
        self.jvm_until: float | None = None
        self.jvm_lines = _JVM_LINES
        self.files: set[str] = set()

    def chain(self, exc: BaseException, level: int) -> list[Link]:
        found = list(_walk(exc))
        most = max(1, min(MOST_IN_CHAIN, MOST_NESTED - level, self.links_left))
        left_out = max(0, len(found) - most)
        head = most - most // 2
        if left_out:
            found = found[:head] + found[len(found) - (most - head) :]
        links = []
        for number, (each, relation) in enumerate(found):
            self.links_left -= 1
            link = self._link(each, level + number)
            link.relation = relation
            links.append(link)
        if left_out:
            links[head - 1].then_left_out = left_out
        return links

    def _link(self, exc: BaseException, level: int) -> Link:
        tb = _TRACEBACK(exc)
        stack = read_stack(tb, self.frames, self.files, self.scrub) if tb is not None else None
        if _is_spark(type(exc)):
            link = self._spark_link(exc, stack)
        else:
            link = Link(type_name(exc), self._fitting(_text(exc, "exception")), stack)
        if issubclass(type(exc), SyntaxError):
            link.position = _position(exc, self.scrub)
            link.shown = self._fitting(_text(_safely(getattr, exc, "msg", None), "exception"))
        link.notes = [self._fitting(note) for note in _notes(exc)]
        self._members(exc, link, level)
        return link

    def _spark_link(self, exc: BaseException, stack: Stack | None) -> Link:
        from laketrace.core import sparkerrors

        if self.jvm_until is None:
            self.jvm_until = monotonic() + _JVM_SECONDS
        # The first one takes two thirds at most, so that an error behind it has some.
        lines = min(_JVM_LINES * 2 // 3, self.jvm_lines)
        facts = sparkerrors.read_spark(exc, self.jvm_until - monotonic(), lines)
        if facts.jvm is not None:
            self.jvm_lines -= facts.jvm.lines
        link = Link(type_name(exc), self._fitting(facts.value), stack)
        link.shown = self._fitting(facts.shown)
        link.spark = facts if self.scrub is None else sparkerrors.scrubbed(facts, self.scrub)
        return link

    def _fitting(self, text: str) -> str:
        """The text without secrets and within its limit.

        Half a secret does not look like one, so the limit comes last; a first, generous one keeps
        the work small, and its edge lies in the middle, which the second one leaves out.
        """
        if self.scrub is None:
            return cut(text, self.most)
        return cut(self.scrub(cut(text, 16 * self.most)), self.most)

    def _members(self, exc: BaseException, link: Link, level: int) -> None:
        if not any(issubclass(type(exc), kind) for kind in _group_types()):
            return
        members = _safely(list, _safely(getattr, exc, "exceptions", None), default=[])
        link.group = []
        for member in members[:MOST_IN_GROUP]:
            # A member of a group is two levels down: the list, and the member in it.
            if self.links_left <= 0 or level + 2 >= MOST_NESTED:
                break
            if issubclass(type(member), BaseException):
                link.group.append(self.chain(member, level + 2))
        link.group_left_out = len(members) - len(link.group)


# The C getters of the four attributes: a subclass may hide them behind properties that raise.
_CAUSE: Callable[[BaseException], Any] = vars(BaseException)["__cause__"].__get__
_CONTEXT: Callable[[BaseException], Any] = vars(BaseException)["__context__"].__get__
_SUPPRESS: Callable[[BaseException], Any] = vars(BaseException)["__suppress_context__"].__get__
_TRACEBACK: Callable[[BaseException], TracebackType | None] = vars(BaseException)[
    "__traceback__"
].__get__


def _walk(exc: BaseException) -> Iterator[tuple[BaseException, str]]:
    """The exceptions that a traceback shows, nearest first, each with what the next is to it.

    A cycle ends where it closes, as in the traceback module.
    """
    seen = set()
    current: BaseException | None = exc
    while current is not None:
        seen.add(id(current))
        cause = _CAUSE(current)
        following = cause
        if cause is None and not _SUPPRESS(current):
            following = _CONTEXT(current)
        if following is None or id(following) in seen:
            yield current, ""
            return
        yield current, "cause" if cause is not None else "context"
        current = following


def _safely(function: Callable[..., Any], *args: Any, default: Any = None) -> Any:
    """What `function` returns, or `default` when it raises anything but Ctrl-C.

    The result may be anything: ask `issubclass(type(result), ...)`, for `isinstance` reads
    its `__class__`, and that may raise.
    """
    try:
        return function(*args)
    except KeyboardInterrupt:
        raise
    except BaseException:  # an exception's own code may raise even SystemExit
        return default


def type_name(exc: BaseException) -> str:
    """The class as a traceback names it: bare for builtins and `__main__`, else with its module.

    >>> import json
    >>> type_name(KeyError("a")), type_name(json.JSONDecodeError("bad", "", 0))
    ('KeyError', 'json.decoder.JSONDecodeError')
    """
    kind = type(exc)
    name = _safely(getattr, kind, "__qualname__")
    if not issubclass(type(name), str):
        name = vars(type)["__name__"].__get__(kind)
    module = _safely(getattr, kind, "__module__")
    if type(module) is str and module in ("builtins", "__main__"):
        return cut(name, 200)
    return cut(f"{module}.{name}" if issubclass(type(module), str) else f"<unknown>.{name}", 400)


def _text(value: Any, what: str) -> str:
    """`str(value)` as a plain `str`; what cannot be shown says so in the traceback's words."""
    shown = _safely(str, value)
    return f"<{what} str() failed>" if shown is None else str.__str__(shown)


def _notes(exc: BaseException) -> list[str]:
    notes = _safely(getattr, exc, "__notes__", None)
    if notes is None:
        return []
    if not issubclass(type(notes), (list, tuple)):
        shown = _safely(repr, notes)
        return ["<__notes__ repr() failed>" if shown is None else str.__str__(shown)]
    notes = _safely(list, notes, default=[])
    kept = [_text(note, "note") for note in notes[:_MOST_NOTES]]
    if len(notes) > _MOST_NOTES:
        kept.append(f"[{len(notes) - _MOST_NOTES} notes left out]")
    return kept


def _position(exc: BaseException, scrub: Scrub | None) -> Position:
    def only(kind: type, name: str) -> Any:
        value = _safely(getattr, exc, name, None)
        return value if type(value) is kind else None

    text = only(str, "text")
    if text is not None and scrub is not None:
        text = scrub(text)
    file = only(str, "filename")
    return Position(
        None if file is None else cut(file, 1000), only(int, "lineno"), only(int, "offset"),
        None if text is None or len(text) > 1000 else text,
        only(int, "end_lineno"), only(int, "end_offset"),
    )  # fmt: skip


def _group_types() -> list[type]:
    """Where exception groups come from: the language from 3.11 on, a backport if it is loaded."""
    places = (sys.modules["builtins"], sys.modules.get("exceptiongroup"))
    found = [getattr(place, "BaseExceptionGroup", None) for place in places]
    return [kind for kind in found if isinstance(kind, type)]


def _is_spark(kind: type) -> bool:
    """Whether the class, or one that it inherits from, is PySpark's or Py4J's."""
    for base in kind.__mro__:
        module = _safely(getattr, base, "__module__")
        if type(module) is str and module.partition(".")[0] in ("pyspark", "py4j"):
            return True
    return False
