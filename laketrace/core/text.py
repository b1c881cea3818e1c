r"""A record as text for people: one `str.format` template, colour tags, exactly one line.

Floor 1. Stands on: core.clean, core.colors, core.encode, core.record, core.timetokens, core.values.

A template names fields of the record, with format specs: `{level: <8}`, `{timestamp:%H:%M:%S}`,
`{extra[table]}`. It is checked once, when it is compiled, and gives no access to anything else:
no attributes, no calls. Whatever a record carries, its text is one line that does not begin with
white space, plus, for an exception and for line breaks in the template, lines that do: no line
can be taken for another record. A value that a format spec does not fit is shown without it.
Threads: a compiled template is a pure function.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from laketrace.core.clean import clean, escaped, fields_text, value_text
from laketrace.core.colors import Markup, Part
from laketrace.core.encode import Encoder
from laketrace.core.record import Record
from laketrace.core.timetokens import time_format
from laketrace.core.values import as_text

DEFAULT_FORMAT = (
    "<dim>{timestamp}</dim> | <level>{level: <8}</level> | <cyan>{logger_name}</cyan> | "
    "<level>{message}</level> <dim>{extra}</dim>"
)

INDENT = "    "
_NEW_LINE = "\n" + INDENT
_NOTHING = "-"  # what a field shows that this record does not have, like `line` below caller_level

_Getter = Callable[["Record"], Any]
_TEXTS: dict[str, _Getter] = {
    "level": lambda record: record.level,
    "logger_name": lambda record: record.logger_name,
    "message": lambda record: record.message,
    "file": lambda record: record.file,
    "function": lambda record: record.function,
    "module": lambda record: record.module,
    "hostname": lambda record: record.hostname,
    "platform": lambda record: record.platform,
    "runtime_type": lambda record: record.runtime_type,
    "run_id": lambda record: record.run_id,
    "thread_name": lambda record: record.thread_name,
    "process_name": lambda record: record.process_name,
}
_NUMBERS: dict[str, _Getter] = {
    "line": lambda record: record.line,
    "pid": lambda record: record.pid,
    "thread_id": lambda record: record.thread_id,
    "elapsed": lambda record: record.elapsed,
    "level.no": lambda record: record.level.no,
}
# The names that loguru's templates use for the same things.
_ALIASES = {
    "time": "timestamp",
    "name": "logger_name",
    "level.name": "level",
    "file.path": "file",
    "process": "pid",
    "process.id": "pid",
    "process_id": "pid",
    "process.name": "process_name",
    "thread": "thread_id",
    "thread.id": "thread_id",
    "thread.name": "thread_name",
}
_KNOWN = ("timestamp", *_TEXTS, *_NUMBERS, "extra", "extra[name]", "exception")
_EXTRA_PATH = re.compile(r"extra((?:\[[^\[\]]+\])+)\Z")
_ALIGNED = re.compile(r".?[>^=]")
_LEADING_SPACE = re.compile(r"((?:\x1b\[[\d;]*m)*)(\s)")
_CONVERSIONS: dict[str | None, Callable[[Any], Any]] = {"s": as_text, "r": repr, "a": ascii}


def compile_format(
    template: str,
    *,
    color: bool = False,
    append_fields: bool = False,
    encoder: Encoder | None = None,
) -> Callable[[Record], str]:
    """The function that renders a record as `template` says, without a newline at its end.

    `color` turns the colour tags into terminal codes; otherwise they are dropped.
    `append_fields` puts the record's fields behind `{message}` as ` [k=v, ...]` when the
    template has no place for them, as the `format` setting did in 1.x. An exception is added at
    the end when the template does not place `{exception}`. `encoder` makes text of values that
    are no strings, and redacts what is nested in them.

    Raises `ValueError` for a template that is not well formed, or that names a placeholder or a
    colour tag which does not exist.

    >>> compile_format("{levl} {message}")
    Traceback (most recent call last):
    ...
    ValueError: {levl} is not a field of a record. Use one of timestamp, level, logger_name, \
message, file, function, module, hostname, platform, runtime_type, run_id, thread_name, \
process_name, line, pid, thread_id, elapsed, level.no, extra, extra[name], exception; \
{extra[levl]} shows a field of your own.
    """
    if not isinstance(template, str):
        raise ValueError(f"a template is a text, not {type(template).__name__}. Use '{{message}}'.")
    template = re.sub("\r\n?", "\n", template)
    pieces = list(_pieces(template))
    names = {name for _, name, _, _ in pieces}
    append_fields = append_fields and not any(name.startswith("extra") for name in names)
    markup = Markup(color)
    fields = _Fields(encoder or Encoder())
    parts: list[Part] = []
    for literal, name, spec, conversion in pieces:
        parts += markup.parse(literal.replace("\n", _NEW_LINE))
        if name == "exception":
            _drop_space(parts)
            parts.append(_exception)
        elif name == "extra" and not spec and not conversion:
            parts.append(fields.spaced if _drop_space(parts, 1) else fields.all)
        elif name:
            parts.append(fields.part(name, spec, conversion))
            if name == "message" and append_fields:
                parts.append(fields.appended)
    markup.finish()
    if "exception" not in names:
        parts.append(_exception)
    return _renderer(parts, flush_left=not _indented_by_design(pieces))


def _renderer(parts: list[Part], flush_left: bool) -> Callable[[Record], str]:
    def render(record: Record) -> str:
        text = "".join([part if isinstance(part, str) else part(record) for part in parts])
        if text.endswith((" ", "\n")):
            text = text.rstrip(" \n")
        if flush_left:
            leading = _LEADING_SPACE.match(text)
            if leading is not None:
                text = leading[1] + escaped(leading[2]) + text[leading.end() :]
        return text

    return render


def _pieces(template: str) -> Iterator[tuple[str, str, str, str | None]]:
    """(literal, field, spec, conversion) in order; the field is "" where only text is left."""
    from string import Formatter

    try:
        for literal, name, spec, conversion in Formatter().parse(template):
            if name is None:
                yield literal, "", "", None
            elif spec and ("{" in spec or "}" in spec):
                raise ValueError("a format spec cannot hold a placeholder")
            else:
                yield literal, _checked(name, conversion), spec or "", conversion
    except ValueError as error:
        if str(error).startswith("{"):
            raise
        raise ValueError(
            f"{template!r} is not a template: {error}. Write {{{{ and }}}} for braces."
        ) from None


def _checked(name: str, conversion: str | None) -> str:
    """The canonical name of a placeholder."""
    if conversion is not None and conversion not in _CONVERSIONS:
        raise ValueError(f"{{{name}!{conversion}}} has no such conversion. Use !s, !r or !a.")
    name = _ALIASES.get(name, name)
    if name in _KNOWN[:-2] or name == "exception" or _EXTRA_PATH.match(name):
        return name
    way_out = f"; {{extra[{name}]}} shows a field of your own" if name.isidentifier() else ""
    raise ValueError(
        f"{{{name}}} is not a field of a record. Use one of {', '.join(_KNOWN)}{way_out}."
    )


class _Fields:
    """The parts that show fields, with the encoder that shows their values."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def part(self, name: str, spec: str, conversion: str | None) -> Callable[[Record], str]:
        """One placeholder; raises `ValueError` for a spec that cannot fit it."""
        if name == "timestamp":
            return self._shown(time_format(spec), "", conversion)
        if name in _TEXTS:
            _try_spec(name, spec, "x", conversion)
            return self._shown(_TEXTS[name], spec, conversion)
        if name in _NUMBERS:
            _try_spec(name, spec, 0.5 if name == "elapsed" else 0, conversion)
            if name == "elapsed" and not spec:
                spec = ".6f"
            return self._shown(_NUMBERS[name], spec, conversion)
        if name == "extra":
            return self._shown(self.all, spec, conversion)
        return self._shown(_extra_getter(name), spec, conversion)

    def _shown(self, get: _Getter, spec: str, conversion: str | None) -> Callable[[Record], str]:
        """The value, converted, formatted and made harmless; never raises."""
        convert = _CONVERSIONS.get(conversion)
        encoder = self._encoder

        def part(record: Record) -> str:
            value = get(record)
            if value is None:
                value = _NOTHING
            try:
                if convert is not None:  # of what is not a scalar, JSON stays the only form
                    scalar = isinstance(value, (str, int, float))
                    value = convert(value) if scalar else encoder.value(value)
                return clean(format(value, spec)) if spec else value_text(value, encoder)
            except Exception:
                return value_text(value, encoder)

        return part

    def all(self, record: Record) -> str:
        """Every field."""
        return fields_text(record.extra, self._encoder) if record.extra else ""

    def spaced(self, record: Record) -> str:
        """Every field, with the space before the first."""
        return " " + fields_text(record.extra, self._encoder) if record.extra else ""

    def appended(self, record: Record) -> str:
        """Every field as 1.x put them behind the message."""
        if not record.extra:
            return ""
        return f" [{fields_text(record.extra, self._encoder, ', ')}]"


def _try_spec(name: str, spec: str, sample: Any, conversion: str | None) -> None:
    try:
        format(sample if conversion is None else _CONVERSIONS[conversion](sample), spec)
    except ValueError as error:
        raise ValueError(
            f"{{{name}:{spec}}}: {error}. Use a format spec like {{{name}: <8}}."
        ) from None


def _extra_getter(name: str) -> _Getter:
    path = re.findall(r"\[([^\[\]]+)\]", name)

    def get(record: Record) -> Any:
        value: Any = record.extra
        for key in path:
            if not isinstance(value, dict) or key not in value:
                return None
            value = value[key]
        return value

    return get


def _exception(record: Record) -> str:
    """The traceback, each line indented; nothing without an exception."""
    shown = record.exception
    if not shown:
        return ""
    text = shown.get("traceback") or f"{shown.get('type')}: {shown.get('value')}"
    lines = as_text(text).rstrip("\n").split("\n")
    return _NEW_LINE + _NEW_LINE.join([clean(line) for line in lines])


def _drop_space(parts: list[Part], count: int | None = None) -> bool:
    """Take the white space before an optional field away (`count` characters, or all of it)."""
    for index in range(len(parts) - 1, -1, -1):
        part = parts[index]
        if not isinstance(part, str):
            return False
        if part.startswith("\x1b"):
            continue
        kept = part.rstrip(" \n") if count is None else part.removesuffix(" " * count)
        parts[index] = kept
        return kept != part
    return False


def _indented_by_design(pieces: list[tuple[str, str, str, str | None]]) -> bool:
    """Whether the template itself begins with white space, or with a field that is aligned."""
    for literal, name, spec, _ in pieces:
        text = re.sub("<[^<>]*>", "", literal)
        if text:
            return text[0].isspace()
        if name:
            return _ALIGNED.match(spec) is not None or (name in _NUMBERS and spec[:1].isdigit())
    return False
