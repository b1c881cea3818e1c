"""Records on a stream that somebody reads: a terminal, a notebook, a pipe.

Floor 1. Stands on: core.encode, core.record, core.text.

`StreamSink("stdout")` writes to the `sys.stdout` of the moment, because notebooks and tests
replace it. Each record is one write of whole lines, flushed, so that what was logged before a kill
has left the process; a text that the stream's encoding lacks is escaped as JSON does it, because it
may be JSON. A stream that is closed,
broken or absent raises to the handler, which counts the delivery as failed; nothing stays behind
in the stream's buffer to fail again at exit.
`ConsoleForm` chooses what is written: coloured text where a person looks, JSON into a pipe.
Threads: a write is one call of the stream; the handler lets one thread in at a time.
"""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Callable
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any, Literal, NamedTuple, TextIO

from laketrace.core.encode import Encoder
from laketrace.core.record import Record
from laketrace.core.text import DEFAULT_FORMAT, compile_format

Target = Literal["stdout", "stderr"] | TextIO

# Streams behind which a person sits although they are no terminal: those of Jupyter's and
# Databricks' kernels, and the one that Livy's shell puts in place of sys.stdout (Synapse, Fabric).
_NOTEBOOK_PACKAGES = ("ipykernel", "dbruntime")
_NOTEBOOK_TYPES = ("UnicodeDecodingStringIO",)


ESCAPE = "laketrace.escape"
"""The name of an error handler for `str.encode`: `\\u00e9` for what an encoding lacks."""


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return re.sub("....", r"\\u\g<0>", units.hex()), error.end


codecs.register_error(ESCAPE, _escape)


class StreamGoneError(OSError):
    """There is no stream to write to: it is None, as under pythonw, or closed."""


class StreamSink:
    """Writes whole texts to a stream, or to whatever `sys.stdout` or `sys.stderr` is by then.

    The stream is not ours: it is flushed, never closed.

    >>> StreamSink("stdout").write("table loaded\\n")
    table loaded
    """

    def __init__(self, target: Target = "stdout") -> None:
        self._target = target

    @property
    def name(self) -> str:
        """What to call it: `stdout`, `stderr`, or the stream's own name."""
        target = self._target
        return target if isinstance(target, str) else str(getattr(target, "name", "stream"))

    @property
    def stream(self) -> Any:
        """The stream of the moment, or None."""
        target = self._target
        return getattr(sys, target, None) if isinstance(target, str) else target

    def write(self, text: str) -> None:
        """Write `text` in one piece and flush it.

        Raises whatever the stream raises; `StreamGoneError` when there is none.
        """
        stream = self.stream
        if stream is None or getattr(stream, "closed", False) is True:
            raise StreamGoneError(f"{self.name} is closed")
        if isinstance(self._target, str) and _is_standard(stream):
            _write_through(stream, text)
            return
        try:
            stream.write(text)
        except UnicodeEncodeError as error:
            encoding = error.encoding
            stream.write(text.encode(encoding, ESCAPE).decode(encoding))
        _flush(stream)


def _flush(stream: Any) -> None:
    flush = getattr(stream, "flush", None)
    if flush is not None:
        flush()


def _is_standard(stream: Any) -> bool:
    """Whether this is what the interpreter opens for itself: text over a buffer over a file."""
    buffer = getattr(stream, "buffer", None)
    return (
        os.name == "posix"
        and type(stream) is TextIOWrapper
        and type(buffer) is BufferedWriter
        and type(buffer.raw) is FileIO
    )


def _write_through(stream: TextIOWrapper, text: str) -> None:
    """Past the stream's buffer, behind what the program has printed before.

    Bytes that a broken pipe leaves in the buffer would be tried again when the interpreter ends,
    and turn the exit code of the job into 120.
    """
    stream.flush()
    data = memoryview(text.encode(stream.encoding or "utf-8", ESCAPE))
    descriptor = stream.fileno()
    while data:
        data = data[os.write(descriptor, data) :]


def is_watched(stream: Any) -> bool:
    """Whether a person looks at `stream`: a terminal or the output of a notebook cell.

    >>> import io
    >>> is_watched(io.StringIO())
    False
    """
    if stream is None:
        return False
    try:
        if stream.isatty():
            return True
    except Exception:  # closed, or without isatty
        pass
    kind = type(stream)
    return (
        str(kind.__module__).partition(".")[0] in _NOTEBOOK_PACKAGES
        or kind.__name__ in _NOTEBOOK_TYPES
    )


def wants_color(stream: Any) -> bool:
    """Whether to colour what goes to `stream`.

    `NO_COLOR` (https://no-color.org) forbids it, `FORCE_COLOR` asks for it, `TERM=dumb` says that
    a terminal cannot; in this order, as in CPython's own tracebacks. Otherwise a stream that is
    watched has colours.
    """
    if os.environ.get("NO_COLOR"):
        return False
    forced = os.environ.get("FORCE_COLOR")
    if forced:
        return forced != "0"
    return os.environ.get("TERM") != "dumb" and is_watched(stream)


class _Choice(NamedTuple):
    """What was decided for one stream."""

    stream: Any
    form: Callable[[Record], str] | None


class ConsoleForm:
    """How a record looks on the stream that `sink` has at that moment.

    With `mode="auto"` it is text where a person looks and `json(record)` anywhere else; "text" and
    "json" are always that. Without `json` it is the logger's own line, which the handler may take
    as it is (`takes_line`). `watched` answers the question in advance, for a notebook whose streams
    tell nothing. Text is made as `compile_format` does, coloured where `wants_color` says so. The
    decision is made once for each stream.

    Raises `ValueError` for a template that `compile_format` refuses.
    """

    def __init__(
        self,
        sink: StreamSink,
        json: Callable[[Record], str] | None = None,
        *,
        mode: Literal["auto", "text", "json"] = "auto",
        template: str = DEFAULT_FORMAT,
        watched: bool | None = None,
        append_fields: bool = False,
        encoder: Encoder | None = None,
    ) -> None:
        self._sink = sink
        self._json = json
        self._mode = mode
        self._template = template
        self._watched = watched
        self._append_fields = append_fields
        self._encoder = encoder or Encoder()
        compile_format(template)
        self._choice: _Choice | None = None

    def __call__(self, record: Record) -> str:
        """The text of `record`, without a newline at its end."""
        form = self._chosen()
        return record.to_json(self._encoder) if form is None else form(record)

    def takes_line(self) -> bool:
        """Whether the stream of the moment gets the logger's own JSON line."""
        return self._chosen() is None

    def _chosen(self) -> Callable[[Record], str] | None:
        stream = self._sink.stream
        choice = self._choice
        if choice is None or choice.stream is not stream:
            choice = self._choice = _Choice(stream, self._form(stream))
        return choice.form

    def _form(self, stream: Any) -> Callable[[Record], str] | None:
        watched = is_watched(stream) if self._watched is None else self._watched
        if self._mode == "json" or (self._mode == "auto" and not watched):
            return self._json
        return compile_format(
            self._template,
            color=wants_color(stream),
            append_fields=self._append_fields,
            encoder=self._encoder,
        )
