"""What a user holds: a logger, with its fields.

Floor 1. Stands on: annexes, core.catching, core.clean, core.context, core.encode, core.engine,
core.handler, core.levels, core.making, core.record, core.stats, core.timestamp, core.values,
errors.

A `Logger` is small: a reference to the engine of its name and the fields bound to it, encoded
once. `bind`, `opt` and `patch` return another one over the same engine. Loggers pickle by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from sys import modules
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, overload

from laketrace.annexes import Added, annexed, new_logger, restored_logger
from laketrace.core.catching import Catcher, F, Kinds
from laketrace.core.clean import clean, fields_text
from laketrace.core.context import context_fields, contextualize, fields_now
from laketrace.core.encode import Encoder
from laketrace.core.engine import Engine
from laketrace.core.handler import Handler
from laketrace.core.levels import (
    CRITICAL,
    DEBUG,
    ERROR,
    INFO,
    SUCCESS,
    TRACE,
    WARNING,
    Level,
    get_level,
)
from laketrace.core.making import ABSENT, PLAIN, Call, Options, Patch, masked, merge, redacted
from laketrace.core.record import RESERVED
from laketrace.core.stats import Stats
from laketrace.core.timestamp import iso
from laketrace.core.values import as_text
from laketrace.errors import checked

if TYPE_CHECKING:
    from pathlib import Path

    from laketrace.assembly import Assembly
    from laketrace.config import LakeTraceConfig
    from laketrace.files.segment import Segment
    from laketrace.runtime import RuntimeContext

_OPENTELEMETRY = "opentelemetry.trace"
_SPECIAL = RESERVED | {"exc_info"}


class Logger(Added):
    """Logs records with fields; made by `laketrace.get_logger`, never by hand.

    Every method may be called from any thread, and none raises because of a sink. The methods
    named after levels take a message (also as the keyword `message`), optional %-arguments and
    fields as keywords; the keyword `exc_info` (True, an exception) adds an exception.
    """

    __slots__ = ("_bound", "_encoder", "_engine", "_options", "_setup", "_taken", "_text")

    _engine: Engine
    _bound: Mapping[str, Any]
    _options: Options
    _setup: Assembly
    _taken: frozenset[str]
    _encoder: Encoder
    _text: str

    def __new__(
        cls, name: str, config: Mapping[str, Any] | None = None, run_id: str | None = None
    ) -> Logger:
        """`Logger(name, config)` of 1.x: what `get_logger` gives."""
        log: Logger = new_logger(name, config, run_id)
        return log

    @classmethod
    def over(cls, engine: Engine, bound: Mapping[str, Any], options: Options, setup: Any) -> Logger:
        """A logger over an engine that is there."""
        log = object.__new__(cls)
        log._engine = engine
        log._bound = bound
        log._options = options
        log._setup = setup
        # Fields of a call that are none of these need no merging: one look decides.
        log._taken = _SPECIAL.union(bound) if bound else _SPECIAL
        log._encode_bound()
        return log

    def _encode_bound(self) -> None:
        self._encoder = self._engine.encoder
        self._text = self._encoder.members(self._bound)

    # -- logging ------------------------------------------------------------------------------
    # Each method compares a number before anything else: a call below the level costs little
    # more than calling an empty method.

    def trace(self, message: object = ABSENT, /, *args: object, **fields: Any) -> None:
        """Log at TRACE (5): the finest detail."""
        if self._engine.threshold <= 5:
            self._log(TRACE, message, args, fields)

    def debug(self, message: object = ABSENT, /, *args: object, **fields: Any) -> None:
        """Log at DEBUG (10): what helps when something is wrong."""
        if self._engine.threshold <= 10:
            self._log(DEBUG, message, args, fields)

    def info(self, message: object = ABSENT, /, *args: object, **fields: Any) -> None:
        """Log at INFO (20): what the job does."""
        if self._engine.threshold <= 20:
            self._log(INFO, message, args, fields)

    def success(self, message: object = ABSENT, /, *args: object, **fields: Any) -> None:
        """Log at SUCCESS (25): something worth doing is done."""
        if self._engine.threshold <= 25:
            self._log(SUCCESS, message, args, fields)

    def warning(self, message: object = ABSENT, /, *args: object, **fields: Any) -> None:
        """Log at WARNING (30): the job goes on, somebody should look."""
        if self._engine.threshold <= 30:
            self._log(WARNING, message, args, fields)

    def error(self, message: object = ABSENT, /, *args: object, **fields: Any) -> None:
        """Log at ERROR (40): something failed."""
        if self._engine.threshold <= 40:
            self._log(ERROR, message, args, fields)

    def critical(self, message: object = ABSENT, /, *args: object, **fields: Any) -> None:
        """Log at CRITICAL (50): the job cannot go on."""
        if self._engine.threshold <= 50:
            self._log(CRITICAL, message, args, fields)

    def exception(self, message: object = ABSENT, /, *args: object, **fields: Any) -> None:
        """Log at ERROR with the exception that is being handled, if there is one."""
        if self._engine.threshold <= 40:
            fields.setdefault("exc_info", True)
            self._log(ERROR, message, args, fields)

    def log(
        self, level: str | int, message: object = ABSENT, /, *args: object, **fields: Any
    ) -> None:
        """Log at any level, by name (also one registered with `add_level`) or number.

        An unknown level name costs nothing but its name: the record is logged at INFO with the
        field `unknown_level`.
        """
        try:
            found = get_level(level)
        except Exception:  # also one whose `repr` raises
            found = INFO
            fields["unknown_level"] = as_text(level)
        if self._engine.threshold <= found.no:
            self._log(found, message, args, fields)

    def log_structured(
        self,
        message: object,
        level: str | int = "INFO",
        data: Mapping[str, Any] | None = None,
        mask_sensitive: bool = True,
    ) -> None:
        """Log the items of `data` as fields: the form of 1.x.

        Unless `mask_sensitive` is False, personal data in values is masked as with `mask_pii`.
        """
        fields = dict(data if isinstance(data, Mapping) else {"data": data} if data else {})
        if mask_sensitive:
            fields = masked(fields)
        self.log(level, message, **{str(key): value for key, value in fields.items()})

    def _log(
        self, level: Level, message: object, args: tuple[Any, ...], fields: dict[str, Any]
    ) -> None:
        """The fast path: one text, one encoding, one write for each handler.

        Everything unusual goes to `Engine.emit`, which gives the same bytes. What remains is
        spelled out in one function because each call of another one costs some 3 % of a record.
        """
        engine = self._engine
        context = context_fields() if _OPENTELEMETRY in modules else fields_now.get()
        shown = {**context, **fields} if context else fields
        plan = engine.plans.get(level) or engine.plan(level)
        if plan.holds is not None and not plan.holds():
            engine.refresh()
            plan = engine.plan(level)
        writers = plan.writers
        if (
            writers is None
            or args
            or type(message) is not str
            or self._options is not PLAIN
            or not self._taken.isdisjoint(shown)
        ):
            engine.emit(Call(level, message, args, fields, self._bound, self._options))
            return
        encoder = engine.encoder
        if encoder is not self._encoder:
            self._encode_bound()
        said = encoder.messages.get(message) or encoder.message(message)
        ns = engine.clock()
        line = (
            f'{{"timestamp":"{iso(ns)}{plan.head}{said}{engine.tail}'
            f"{self._text}{encoder.members(shown)}}}\n"
        ).encode()
        if len(line) > engine.max_record:
            engine.emit(Call(level, message, args, fields, self._bound, self._options))
            return
        for write in writers:
            write(line, ns)

    # -- loggers over the same engine ---------------------------------------------------------

    def bind(self, /, **fields: Any) -> Logger:
        """A logger that puts `fields` on every record, besides those bound already."""
        return Logger.over(self._engine, merge(self._bound, fields), self._options, self._setup)

    def unbind(self, *names: str) -> Logger:
        """A logger without some of the bound fields."""
        left = {key: value for key, value in self._bound.items() if key not in names}
        return Logger.over(self._engine, left, self._options, self._setup)

    def opt(self, *, depth: int = 0, exception: Any = None, lazy: bool = False) -> Logger:
        """A logger with options for its next calls.

        `depth` is how many frames above the caller `file`, `line` and `function` are taken from;
        `exception` is True (the one being handled) or an exception; with `lazy`, arguments and
        fields that are callable are called, and only if a handler takes the record.
        """
        before = self._options
        exception = before.exception if exception is None else exception
        depth, lazy = before.depth + depth, before.lazy or lazy
        options = before._replace(depth=depth, exception=exception, lazy=lazy)
        return Logger.over(self._engine, self._bound, options, self._setup)

    def patch(self, enricher: Patch) -> Logger:
        """A logger whose records pass through `enricher(record)`.

        It returns a mapping of fields to add, or changes `record.extra` itself. When it raises,
        the record is written with a field `patch_error`, and `stats().patch_failures` counts it.
        """
        options = self._options._replace(patches=(*self._options.patches, enricher))
        return Logger.over(self._engine, self._bound, options, self._setup)

    def contextualize(self, /, **fields: Any) -> AbstractContextManager[None]:
        """Put fields on every record of every logger inside a `with` block (see `core.context`)."""
        return contextualize(**fields)

    @overload
    def catch(self, message: F, /) -> F: ...

    @overload
    def catch(
        self, message: str = ..., *, level: str | int = ..., exception: Kinds = ...,
        exclude: Kinds = ..., reraise: bool = ..., default: Any = ...,
        onerror: Callable[[BaseException], object] | None = ...,
    ) -> Catcher: ...  # fmt: skip

    def catch(
        self,
        message: Any = "an error has been caught",
        *,
        level: str | int = "ERROR",
        exception: Kinds = Exception,
        exclude: Kinds = (),
        reraise: bool = False,
        default: Any = None,
        onerror: Callable[[BaseException], object] | None = None,
    ) -> Any:
        """Log an exception: as a context manager or as a decorator, also bare (`@log.catch`).

        Functions, coroutines, generators and asynchronous generators can be decorated. The
        exception is swallowed unless `reraise`; a decorated function then returns `default`.
        `exception` and `exclude` say which ones; `onerror` is called with the exception.
        """
        catcher = Catcher(self, level, exception, exclude, reraise, default, onerror)
        if callable(message) and not isinstance(message, str):
            return catcher(message)
        catcher.message = message
        return catcher

    # -- handlers and level -------------------------------------------------------------------

    def add(self, sink: Any, **settings: Any) -> int:
        """Deliver to `sink` as well; the id that `remove` takes.

        `sink` is a path (relative ones lie in `log_dir`), a stream, a callable that gets the
        text (a `str` with `.record`), or a handler of `logging`. Settings: `level`, `filter`,
        `format` (template or callable), `serialize`, `enqueue`, `catch`; for a path also
        `rotation`, `retention`, `compression`.

        Raises `ConfigError` for wrong settings, before anything is opened.
        """
        return self._setup.add(sink, settings)

    def remove(self, number: int | None = None) -> None:
        """Remove a handler by its id, or all of them; what it has taken is written first.

        Raises `ConfigError` for an id that is not there.
        """
        for item in list(self._engine.handlers) if number is None else [number]:
            self._engine.remove(item)

    @property
    def handlers(self) -> Mapping[int, Handler]:
        """The handlers by id, as they are now."""
        return MappingProxyType(self._engine.handlers)

    def set_level(self, level: str | int) -> None:
        """Change the level of this name's own handlers; raises `ConfigError` for an unknown one."""
        self._engine.set_level(checked("level", level, get_level))

    def is_enabled_for(self, level: str | int) -> bool:
        """Whether a record of this level would be emitted."""
        return self._engine.threshold <= checked("level", level, get_level).no

    # -- accounts and end ---------------------------------------------------------------------

    def stats(self) -> Stats:
        """The accounts: `emitted = written + sum(dropped.values()) + failed + queued`."""
        return self._engine.stats()

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait at most `timeout` seconds until all emitted before is on its sink; whether it is."""
        return self._engine.flush(timeout)

    def tail(self, n: int = 50) -> None:
        """Print the last `n` lines of the log file, also over a rotation."""
        self._setup.tail(n)

    def finish_segment(self) -> Segment | None:
        """Make a segment of the active file now; it, or None when there was nothing in it."""
        return self._setup.finish_segment()

    def at_close(self, callback: Callable[[float], None]) -> None:
        """Call `callback(seconds_left)` in `close()` and at exit, after all is on disk."""
        self._engine.closing.append(callback)

    def close(self) -> None:
        """Write what waits and close the sinks; a later call of a method is counted as dropped."""
        self._setup.close()

    def __enter__(self) -> Logger:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # -- who am I -----------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name given to `get_logger`."""
        return self._engine.source.logger_name

    @property
    def run_id(self) -> str:
        """The run that the records belong to."""
        return self._engine.source.run_id

    @property
    def config(self) -> LakeTraceConfig:
        """The checked settings, as a read-only mapping with an attribute a setting."""
        return self._setup.config

    @property
    def runtime_metadata(self) -> RuntimeContext:
        """The `RuntimeContext`: platform, kind of runtime, ids."""
        return self._setup.runtime

    @property
    def log_file_path(self) -> Path | None:
        """The path of the active file, or None when there is no file."""
        return self._setup.log_file_path

    @property
    def bound(self) -> Mapping[str, Any]:
        """The fields bound to this logger."""
        return MappingProxyType(dict(self._bound))

    def __repr__(self) -> str:
        encoder = self._engine.encoder
        bound = self._bound if encoder.redactor is None else redacted(self._bound, encoder.redactor)
        return f"<Logger {clean(self.name)}{' ' if bound else ''}{fields_text(bound, encoder)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return restored_logger, self._setup.state(self._bound)

    def __copy__(self) -> Logger:
        return self

    def __deepcopy__(self, memo: Any) -> Logger:
        return self


annexed(Logger)
