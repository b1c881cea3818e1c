"""An exception becomes the `exception` object of a record.

Floor 1. Stands on: core.chain, core.cut.

The object holds `type`, `value`, `traceback` (the text that Python prints, of the whole chain),
`frames`, and where there are any `cause` or `context`, `group`, `notes`, `position` (of a
SyntaxError), and for errors of PySpark and Py4J `error_class`, `sqlstate`, `message_parameters`,
`python_traceback` and `jvm`. Causes and members of groups have the same form without `traceback`.
It never raises and has a limit: what does not fit is left out and said, in the text and in the
fields `frames_left_out`, `chain_left_out` and `group_left_out`. Time is linear in frames and links.
Threads and forks: nothing is kept between calls.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from laketrace.core.chain import Link, read
from laketrace.core.cut import cut, json_size

if TYPE_CHECKING:
    from laketrace.core.sparkerrors import SparkFacts

_ROOM_FOR_RECORD = 8  # the rest of the record has an eighth of the limit
_LEAST = 2048  # bytes; with less left a link is left out
_PER_FRAME = 70  # bytes of names and punctuation of one frame


def describe(
    exc: BaseException,
    *,
    frames: int = 50,
    text: int = 65536,
    scrub: Callable[[str], str] | None = None,
) -> dict[str, Any]:
    """The exception as plain dicts, lists, strings and numbers; never raises.

    `frames` is how many frames stay of each stack: half of them the outermost, half the
    innermost. `text` is the limit for one record in bytes of JSON; the exception takes at most
    seven eighths of it. `scrub` takes secrets out of messages, notes and source lines, before they
    are cut: half a secret would not be recognised. `type` is named as in a traceback: bare for
    builtins and `__main__`.

    Ctrl-C passes through. Code of the exception that runs for ever (its `__str__`) is not stopped;
    questions to Spark's JVM are, after two seconds in all.

    >>> try:
    ...     raise KeyError("order_id") from ValueError("no orders")
    ... except KeyError as error:
    ...     found = describe(error)
    >>> found["type"], found["value"], found["frames"][0]["line"], found["cause"]["value"]
    ('KeyError', "'order_id'", 2, 'no orders')
    >>> print(found["traceback"].splitlines()[-1])
    KeyError: 'order_id'
    """
    try:
        total = max(8 * _LEAST, text)
        total -= total // _ROOM_FOR_RECORD
        chain = read(exc, frames, total // 8, scrub)
        writer = _Writer(total * 5 // 8)
        described = writer.link(chain, 0)
        # The text has what is left, and that is three eighths at least.
        printed = cut("".join(_printed(chain)).rstrip("\n"), writer.left + total * 3 // 8)
        return {
            "type": described.pop("type"), "value": described.pop("value"),
            "traceback": printed, **described,
        }  # fmt: skip
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # RecursionError, MemoryError: say what can still be said
        # No call from here: the stack may be at its end.
        kind, why = type(exc).__name__, f"<not described: {type(error).__name__}>"
        return {"type": kind, "value": why, "traceback": f"{kind}: {why}", "frames": []}


class _Writer:
    """Links as dicts, within a number of bytes that all of them share."""

    def __init__(self, total: int) -> None:
        self.left = total
        self.share = total // 4  # the most that one text or list may take

    def text(self, text: str, most: int) -> str:
        kept = cut(text, max(0, min(most, self.left // 2)))
        self.left -= json_size(kept) + 20
        return kept

    def link(self, chain: list[Link], number: int) -> dict[str, Any]:
        link = chain[number]
        value = self.text(link.value, self.share)
        found: dict[str, Any] = {"type": self.text(link.type, 400), "value": value, "frames": []}
        if link.position is not None:
            names = ("file", "line", "offset", "text")
            found["position"] = {name: getattr(link.position, name) for name in names}
            self.left -= 60 + sum(json_size(str(part)) for part in link.position)
        if link.spark is not None:
            self._spark(found, link.spark)
        if link.notes:
            found["notes"] = [self.text(note, self.share // 4) for note in link.notes]
        self._frames(found, link)
        self._following(found, chain, number)
        self._group(found, link)
        return found

    def _frames(self, found: dict[str, Any], link: Link) -> None:
        """As many frames as fit, taken out of the middle."""
        if link.stack is None:
            return
        shown = []
        sizes = []
        for frame in link.stack.frames:
            entry: dict[str, Any] = {
                "file": cut(frame.file, 500),
                "line": frame.line,
                "function": cut(frame.function, 200),
            }
            if frame.module is not None:
                entry["module"] = cut(frame.module, 200)
            if frame.code:
                entry["code"] = cut(frame.code, 200)
            if frame.repeated:
                entry["repeated"] = frame.repeated
            shown.append(entry)
            texts = (value for value in entry.values() if isinstance(value, str))
            sizes.append(_PER_FRAME + sum(map(json_size, texts)))
        left_out = link.stack.left_out
        room = min(self.left // 2, self.share)
        taken = sum(sizes)
        while shown and taken > room:
            middle = len(shown) // 2
            left_out += 1 + shown.pop(middle).get("repeated", 0)
            taken -= sizes.pop(middle)
        self.left -= taken
        found["frames"] = shown
        if left_out:
            found["frames_left_out"] = left_out

    def _following(self, found: dict[str, Any], chain: list[Link], number: int) -> None:
        link = chain[number]
        left_out = link.then_left_out
        if number + 1 < len(chain):
            if self.left >= _LEAST:
                found[link.relation] = self.link(chain, number + 1)
            else:
                left_out += sum(1 + later.then_left_out for later in chain[number + 1 :])
        if left_out:
            found["chain_left_out"] = left_out

    def _group(self, found: dict[str, Any], link: Link) -> None:
        if link.group is None:
            return
        members = found["group"] = []
        for chain in link.group:
            if self.left < _LEAST:
                break
            members.append(self.link(chain, 0))
        left_out = link.group_left_out + len(link.group) - len(members)
        if left_out:
            found["group_left_out"] = left_out

    def _spark(self, found: dict[str, Any], facts: SparkFacts) -> None:
        for name in ("error_class", "sqlstate", "python_traceback"):
            value = getattr(facts, name)
            if value is not None:
                found[name] = self.text(value, self.share)
        if facts.message_parameters is not None:
            found["message_parameters"] = {
                cut(name, 100): self.text(value, self.share // 8)
                for name, value in list(facts.message_parameters.items())[:20]
            }
        if facts.jvm is not None:
            found["jvm"] = {
                "type": self.text(facts.jvm.type, 400),
                "message": self.text(facts.jvm.message, self.share // 2),
                "stack": self.text(facts.jvm.stack, self.share),
                "lines_left_out": facts.jvm.lines_left_out,
            }


# --- the text, as the traceback module prints it -------------------------------------------------

_BETWEEN = {
    "cause": "\nThe above exception was the direct cause of the following exception:\n\n",
    "context": "\nDuring handling of the above exception, another exception occurred:\n\n",
}
_TITLE = "Traceback (most recent call last):\n"


def _printed(chain: list[Link]) -> Iterator[str]:
    """The lines for a chain, deepest cause first; members of groups in a frame of their own."""
    yield from _Printer().chain(chain)


class _Printer:
    """Draws nested groups as CPython's traceback module does since 3.11."""

    def __init__(self) -> None:
        self.depth = 0
        self.need_close = False

    def chain(self, chain: list[Link]) -> Iterator[str]:
        for link in reversed(chain):
            if link.then_left_out:
                yield from self._lines(f"\n[... {link.then_left_out} exceptions left out ...]\n")
            if link.relation:
                yield from self._lines(_BETWEEN[link.relation])
            if link.group is None:
                if link.stack is not None:
                    yield from self._lines(_TITLE)
                yield from self._body(link)
            else:
                yield from self._group(link, link.group)

    def _group(self, link: Link, group: list[list[Link]]) -> Iterator[str]:
        outermost = self.depth == 0
        if outermost:
            self.depth = 1
        if link.stack is not None:
            yield from self._lines("Exception Group " + _TITLE, "+" if outermost else "|")
        yield from self._body(link)
        more = 1 if link.group_left_out else 0
        self.need_close = False
        for number in range(len(group) + more):
            last = number == len(group) + more - 1
            self.need_close = self.need_close or last
            beyond = number == len(group)
            title = "..." if beyond else str(number + 1)
            corner = "+-" if number == 0 else "  "
            yield f"{'  ' * self.depth}{corner}+---------------- {title} ----------------\n"
            self.depth += 1
            if beyond:
                plural = "s" if link.group_left_out > 1 else ""
                yield from self._lines(f"and {link.group_left_out} more exception{plural}\n")
            else:
                yield from self.chain(group[number])
            if last and self.need_close:
                yield f"{'  ' * self.depth}+------------------------------------\n"
                self.need_close = False
            self.depth -= 1
        if outermost:
            self.depth = 0

    def _body(self, link: Link) -> Iterator[str]:
        if link.stack is not None:
            for line in link.stack.printed():
                yield from self._lines(line)
        for line in _headline(link):
            yield from self._lines(line)
        for note in link.notes:
            yield from self._lines(note + "\n")

    def _lines(self, text: str, margin: str = "|") -> Iterator[str]:
        if not self.depth:
            yield text
            return
        for line in text.split("\n")[:-1]:
            yield f"{'  ' * self.depth}{margin} {line}\n"


def _headline(link: Link) -> Iterator[str]:
    """`type: value`, and before it the place in the source that a SyntaxError speaks of."""
    ending = f"{link.type}: {link.shown}\n" if link.shown else f"{link.type}\n"
    if link.position is not None:
        copy = SyntaxError(link.shown, link.position)
        try:
            *before, last = traceback.format_exception_only(SyntaxError, copy)
            yield from before
            ending = link.type + last.removeprefix("SyntaxError")
        except Exception:  # an impossible position: the message says enough
            pass
    yield ending
