"""Settings become a running logger.

Floor 5. Stands on: config, core.console, core.encode, core.engine, core.fork, core.handler, core.levels, core.logger, core.notice, core.presets, core.queue, core.record, core.redact, core.text, errors, files.place, files.read, files.recovery, files.sink, runtime.

There is one logger a name in a process. `get_logger` makes it, or applies other settings to the
living one: the new handlers are in place before the old ones are closed, so a re-run notebook
cell loses and doubles nothing. Threads: any; one lock. After a fork the child keeps its loggers,
which write files of their own. On a Spark executor no file, thread or socket is opened.
"""

from __future__ import annotations

import atexit
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from laketrace.config import SETTINGS, LakeTraceConfig, problem, unknown
from laketrace.core import fork
from laketrace.core.console import ConsoleForm, StreamSink
from laketrace.core.encode import Encoder, as_text
from laketrace.core.engine import PLAIN, Engine
from laketrace.core.handler import Filter, Form, Handler, TextSink
from laketrace.core.levels import get_level
from laketrace.core.logger import Logger
from laketrace.core.notice import say
from laketrace.core.presets import preset
from laketrace.core.queue import LineSink, RecordQueue
from laketrace.core.record import Record, Source
from laketrace.core.redact import MASK, Redactor
from laketrace.core.text import DEFAULT_FORMAT, compile_format
from laketrace.errors import ConfigError
from laketrace.files import janitor
from laketrace.files.place import Place, find_place
from laketrace.files.read import last_lines
from laketrace.files.recovery import Finding
from laketrace.files.segment import Segment, safe_stem
from laketrace.files.sink import FileSink
from laketrace.runtime import (
    default_name,
    detect_runtime,
    find_run_id,
    is_executor,
    local_disk,
    record_context,
    run_context,
    spark_settings,
)

clock: Callable[[], int] = time.time_ns
"""The time of every logger made from now on; tests put a clock of their own here."""

_AT_EXIT_SECONDS = 30.0  # for what asked to run at the end, after all queues are written
_FILE_ONLY = ("rotation", "retention", "compression", "timezone")
_ADDABLE = (
    "level", "filter", "format", "serialize", "schema", "enqueue", "catch", "queue_size",
    "overflow", "overflow_timeout", *_FILE_ONLY,
)  # fmt: skip


class Setup:
    """How one logger was set up and how that is changed; its bound loggers share it."""

    def __init__(self, name: str, config: LakeTraceConfig, run_id: str | None) -> None:
        self.name = name
        self.config = config
        self.run_id = run_id
        self.runtime = detect_runtime()
        self.place: Place | None = None
        source = Source(
            name,
            self.runtime.hostname,
            os.getpid(),
            self.runtime.platform,
            self.runtime.runtime_type,
            find_run_id(run_id),
        )
        self.engine = Engine(source, encoder=_encoder(config), clock=clock)
        on_each = record_context() if config.checked("add_runtime_context") else {}
        self.logger = Logger.over(self.engine, dict(on_each), PLAIN, self)

    # -- the handlers that settings ask for ---------------------------------------------------

    def start(self) -> None:
        """Open what the settings ask for, and say where this run runs."""
        self._follow()
        for handler in self._own_handlers(None):
            self.engine.add(handler)
        if self.config.checked("add_runtime_context") and not is_executor():
            context = run_context()
            if context:
                self.logger.info("run started", event="runtime", **context)

    def apply(self, config: LakeTraceConfig, run_id: str | None) -> None:
        """Put other settings into force; records go to the old handlers until the new ones are."""
        if run_id is not None and run_id != self.run_id:
            self.run_id = run_id
            self.engine.source = self.engine.source._replace(run_id=run_id)
            self.engine.refresh()
        if config == self.config:
            return
        self.config = config
        self._follow()
        old = [handler for handler in self.engine.handlers.values() if handler.own]
        files = [handler.sink for handler in old if isinstance(handler.sink, FileSink)]
        new = self._own_handlers(files[0] if files else None)
        self.engine.replace(old, new)

    def _follow(self) -> None:
        """Let the engine follow level, encoder and limits of the settings."""
        config, engine = self.config, self.engine
        engine.encoder = _encoder(config)
        engine.caller_no = config.checked("caller_level").no
        engine.max_record = config.checked("max_record_size")
        engine.set_level(config.checked("level"))

    def _own_handlers(self, earlier: FileSink | None) -> list[Handler]:
        config = self.config
        if is_executor():
            from laketrace.runtime.worker import WorkerSink

            return [self._handler(WorkerSink(self.name), "worker", config, None, own=True)]
        handlers = []
        form = _form(config, self.engine.encoder)
        self.place = None
        if config.checked("log_dir") is not None:
            self.place = self._place(config.checked("log_dir"))
            sink = self._file_sink(self.place, safe_stem(self.name), config, earlier)
            handlers.append(self._handler(sink, _path_of(sink), config, form, own=True))
        if config.checked("stdout"):
            stream = StreamSink("stdout")
            shown = self._console_form(stream, form, config.checked("stdout"))
            sink = TextSink("stdout", stream.write)
            handlers.append(self._handler(sink, "stdout", config, shown, own=True))
        return handlers

    def _console_form(self, stream: StreamSink, form: Form | None, mode: str) -> Form:
        config = self.config
        if config.checked("formatter") is not None and form is not None:
            return form
        template = config.checked("format")
        if callable(template) and form is not None and not config.checked("json"):
            return form
        watched = True if self.runtime.runtime_type == "notebook" else None
        return ConsoleForm(
            stream,
            form or self._json,
            mode=mode,  # type: ignore[arg-type]  # checked by config: auto, json or text
            template=template if isinstance(template, str) else DEFAULT_FORMAT,
            watched=watched,
        )

    def _json(self, record: Record) -> str:
        return record.to_json(self.engine.encoder)

    def _place(self, log_dir: str) -> Place:
        root = self.config.checked("spool_dir") or os.path.join(local_disk(), "laketrace_spool")
        place = find_place(log_dir, root)
        if place.spooled:
            say(
                f"log files for {place.target} are kept in {place.directory}: {place.reason}",
                key=f"spool {place.directory}",
            )
        return place

    def _file_sink(
        self, place: Place, stem: str, config: LakeTraceConfig, earlier: FileSink | None
    ) -> LineSink:
        """Open a log file; where that fails, a sink that counts each record as failed."""
        same = earlier is not None and (earlier.log_dir, earlier.stem) == (place.directory, stem)
        try:
            return FileSink(
                place.directory,
                stem,
                logger_name=self.name,
                rotation=config.checked("rotation"),
                retention=config.checked("retention"),
                compression=config.checked("compression"),
                private=config.checked("secure_file_permissions"),
                shipped=place.spooled or _ships(config),
                clock=clock,
                make_line=self._line_maker(config),
                on_finding=self._tell,
                predecessor=earlier if same else None,
            )
        except OSError as error:
            path = os.path.join(place.directory, f"{stem}.log")
            return TextSink(path, _refuser(error))

    def _line_maker(self, config: LakeTraceConfig) -> Callable[[str, dict[str, Any]], bytes]:
        form = _form(config, self.engine.encoder)

        def make(message: str, fields: dict[str, Any]) -> bytes:
            return self.engine.make_line(message, fields, form)

        return make

    def _tell(self, finding: Finding) -> None:
        """What was found on disk is itself logged."""
        self.logger.warning(finding.message, event=finding.event, **finding.fields)

    def _tell_drops(self, dropped: dict[str, int]) -> None:
        """What a full queue cost is told once, when it moves again."""
        self.logger.warning("records were dropped", event="records_dropped", dropped=dropped)

    def _handler(
        self,
        sink: LineSink,
        name: str,
        config: LakeTraceConfig,
        form: Form | None,
        *,
        level: Any = None,
        own: bool = False,
    ) -> Handler:
        queue = None
        if config.checked("enqueue"):
            queue = RecordQueue(
                sink,
                capacity=config.checked("queue_size"),
                overflow=config.checked("overflow"),
                patience=config.checked("overflow_timeout"),
                clock=clock,
                on_recovered=self._tell_drops,
            )
        return Handler(
            self.engine.next_number(),
            name,
            sink,
            level=level,
            filter=make_filter(config.checked("filter")),
            form=form,
            queue=queue,
            own=own,
            details=config.checked("serialize"),
        )

    # -- what a logger asks for ---------------------------------------------------------------

    def add(self, sink: Any, settings: Mapping[str, Any]) -> int:
        """`Logger.add`."""
        config, level = self._checked_for_add(sink, settings)
        name, made, form = self._sink_for(sink, config)
        handler = self._handler(made, name, config, form, level=level)
        self.engine.add(handler)
        return handler.id

    def _checked_for_add(
        self, sink: Any, settings: Mapping[str, Any]
    ) -> tuple[LakeTraceConfig, Any]:
        problems = []
        known = {name: SETTINGS[name] for name in _ADDABLE}
        given = dict(settings)
        for name in [name for name in given if name not in known]:
            problems.append(unknown(name, given.pop(name), known))
        if not _is_path(sink):
            for name in [name for name in _FILE_ONLY if given.pop(name, None) is not None]:
                problems.append(f"{name}: only a file has it. Give a path, or leave it out.")
            if not callable(sink) and not hasattr(sink, "write") and not hasattr(sink, "emit"):
                text = "no sink. Use a path, a stream, a function or a handler of logging."
                problems.append(problem("sink", sink, ValueError(text)))
        level = given.pop("level", None)
        template = given.get("format")
        inherited = {"json": self.config["json"], "schema": self.config["schema"]}
        if template is not None:
            inherited = {"json": False}
        unset = {"rotation_mb": None, "retention_files": None, "enqueue": False}
        base = {**self.config.given, **unset, "filter": None, **inherited}
        for name in ("rotation", "retention", "compression", "serialize", "formatter", "format"):
            base.pop(name, None)
        try:
            config = LakeTraceConfig({**base, **given}, environment={})
        except ConfigError as error:
            problems.extend(error.problems)
        try:
            level = None if level is None else get_level(level)
        except ValueError as error:
            problems.append(problem("level", level, error))
        if problems:
            raise ConfigError(problems)
        return config, level

    def _sink_for(
        self, sink: Any, config: LakeTraceConfig
    ) -> tuple[str, LineSink, Form | None]:
        form = _form(config, self.engine.encoder)
        if _is_path(sink):
            path = os.path.expanduser(os.fspath(sink))
            base = self.place.directory if self.place is not None else os.getcwd()
            directory, name = os.path.split(os.path.join(base, path))
            place = self._place(directory) if directory != base else Place(base, None, "")
            stem = safe_stem(name[:-4] if name.endswith(".log") else name)
            made = self._file_sink(place, stem, config, None)
            return _path_of(made), made, form
        if hasattr(sink, "emit") and hasattr(sink, "handle"):
            from laketrace.core.stdlib import StdlibSink

            return repr(sink), StdlibSink(sink), form
        if hasattr(sink, "write"):
            target = {id(sys.stdout): "stdout", id(sys.stderr): "stderr"}.get(id(sink), sink)
            stream = StreamSink(target)
            shown = form if config["format"] is not None else None
            if shown is None and not config.checked("serialize"):
                shown = ConsoleForm(stream, form or self._json)
            return stream.name, TextSink(stream.name, stream.write), shown or form
        name = getattr(sink, "__qualname__", repr(sink))
        return name, TextSink(name, sink, wants_record=True), form

    def tail(self, number: int) -> None:
        """`Logger.tail`."""
        path = self.log_file_path
        self.engine.flush(1.0)
        if path is None or number <= 0:
            return
        lines = last_lines(str(path), number)
        print(f"--- last {len(lines)} lines of {path} ---")
        for line in lines:
            print(line.decode("utf-8", "backslashreplace").rstrip("\n"))
        print("---")

    def finish_segment(self) -> Segment | None:
        """`Logger.finish_segment`."""
        sink = self._file()
        if sink is None:
            return None
        self.engine.flush(self.config.checked("close_timeout"))
        return sink.rotate()

    @property
    def log_file_path(self) -> Any:
        """`Logger.log_file_path`."""
        from pathlib import Path

        sink = self._file()
        return None if sink is None else Path(sink.path)

    def _file(self) -> FileSink | None:
        for handler in self.engine.handlers.values():
            if handler.own and isinstance(handler.sink, FileSink):
                return handler.sink
        return None

    def close(self) -> None:
        """`Logger.close`."""
        with _registry.lock:
            if _registry.setups.get(self.name) is self:
                del _registry.setups[self.name]
        self.engine.close(self.config.checked("close_timeout"), _AT_EXIT_SECONDS)

    def reduce(self, bound: Mapping[str, Any]) -> tuple[Any, ...]:
        """`Logger.__reduce__`: name, settings that differ from the defaults, fields, run."""
        given = {
            name: value
            for name, value in self.config.items()
            if value != SETTINGS[name].default and _pickles(value)
        }
        left_out = tuple(
            name for name, value in self.config.items() if not _pickles(value)
        )
        fields = {key: value if _pickles(value) else as_text(value) for key, value in bound.items()}
        state = (self.name, given, fields, self.engine.source.run_id)
        return _restore, (*state, left_out) if left_out else state


def _restore(
    name: str,
    given: dict[str, Any],
    fields: dict[str, Any],
    run_id: str,
    left_out: tuple[str, ...] = (),
) -> Logger:
    """A pickled logger arrives: the one of that name here, or a new one with its settings."""
    if left_out:
        say(f"settings of {name} that do not pickle were left out: {', '.join(left_out)}")
    with _registry.lock:
        setup = _registry.setups.get(name)
        if setup is None:
            setup = _registry.make(name, LakeTraceConfig({} if is_executor() else given), run_id)
    return setup.logger.bind(**fields)


class _Registry:
    """The living loggers of this process."""

    fork_rank = 0

    def __init__(self) -> None:
        self.setups: dict[str, Setup] = {}
        self.lock = threading.RLock()
        self._held = False
        fork.register(self)

    def make(self, name: str, config: LakeTraceConfig, run_id: str | None) -> Setup:
        setup = Setup(name, config, run_id)
        setup.start()
        self.setups[name] = setup
        return setup

    def hold(self) -> None:
        """Over a fork: no logger is half made."""
        self._held = self.lock.acquire(timeout=1)

    def release(self) -> None:
        """After a fork, in the parent."""
        if self._held:
            self.lock.release()

    def renew(self) -> None:
        """In a forked child: a free lock."""
        self.lock = threading.RLock()


_registry = _Registry()


def get_logger(
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    run_id: str | None = None,
    **settings: Any,
) -> Logger:
    """The logger of this name: made at the first call, the same one ever after.

    `name` is by default the notebook's or the script's. Settings come as a dict, as keywords
    (stronger), from `LAKETRACE_<NAME>` and from `spark.laketrace.<name>`; with other settings
    than before, the living logger gets them. `run_id` names the run; by default it is the
    platform's own.

    Raises `ConfigError` with all problems at once, before anything is opened.

    >>> log = get_logger("doctest", log_dir=None)
    >>> log.info("table loaded", table="orders", rows=3)   # doctest: +ELLIPSIS
    {"timestamp":"...","level":"INFO","message":"table loaded","logger_name":"doctest",...}
    >>> log.close()
    """
    if name is None:
        name = default_name()
    problems = []
    if not isinstance(name, str) or not name.strip():
        problems.append(f"name={name!r}: a logger has a name. Use a text, e.g. 'orders_etl'.")
    if run_id is not None and (not isinstance(run_id, str) or not run_id):
        problems.append(f"run_id={run_id!r}: a run is named by a text. Leave it out for the default.")
    try:
        checked = LakeTraceConfig(config, spark=spark_settings(SETTINGS), **settings)
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from None
    if problems:
        raise ConfigError(problems)
    with _registry.lock:
        setup = _registry.setups.get(name)
        if setup is None:
            setup = _registry.make(name, checked, run_id)
        elif checked.given or run_id is not None:
            setup.apply(checked if checked.given else setup.config, run_id)
        return setup.logger


def create_logger(
    name: str, config: Mapping[str, Any] | None = None, run_id: str | None = None
) -> Logger:
    """What `Logger(name, config, run_id)` of 1.x did: `get_logger`, with the settings applied."""
    return get_logger(name, config, run_id)


def loggers() -> list[Logger]:
    """The living loggers of this process, in the order in which they were made."""
    return [setup.logger for setup in list(_registry.setups.values())]


# -- from settings to parts ----------------------------------------------------------------------


def _encoder(config: LakeTraceConfig) -> Encoder:
    redact = config.checked("redact")
    pii, patterns = config.checked("mask_pii"), config.checked("redact_patterns")
    if redact is False and not pii and not patterns:
        return Encoder()
    return Encoder(Redactor(redact, pii=pii, patterns=patterns), MASK)


def _form(config: LakeTraceConfig, encoder: Encoder) -> Form | None:
    """What a record looks like; None for LakeTrace's own JSON line."""
    if config.checked("formatter") is not None:
        form: Form = config.checked("formatter")
        return form
    template = config.checked("format")
    if not config.checked("json"):
        if callable(template):
            return template  # type: ignore[no-any-return]
        return compile_format(template or DEFAULT_FORMAT, append_fields=template is not None)
    if config.checked("schema"):
        schema = preset(config.checked("schema"), encoder)
        return lambda record: encoder.value(schema(record))
    if config.checked("serialize"):
        return lambda record: record.to_json(encoder, details=True)
    return None


def make_filter(value: Any) -> Filter | None:
    """A filter from a setting: a callable, the beginning of logger names, or levels by name.

    >>> source = Source("etl.orders", "host", 1, "local", "script", "run")
    >>> record = Record(source, get_level("INFO"), "x", 0, {})
    >>> make_filter("etl")(record), make_filter({"": "ERROR", "etl": "DEBUG"})(record)
    (True, True)
    """
    if value is None or callable(value):
        return value  # type: ignore[no-any-return]
    if isinstance(value, str):
        return lambda record: _below(record.name, value)
    levels = {str(name): get_level(level).no for name, level in value.items()}

    def by_level(record: Record) -> bool:
        names = [name for name in levels if _below(record.name, name)]
        return not names or record.level.no >= levels[max(names, key=len)]

    return by_level


def _below(name: str, prefix: str) -> bool:
    return not prefix or name == prefix or name.startswith(f"{prefix}.")


def _ships(config: LakeTraceConfig) -> bool:
    return bool(config.get("upload_target") or config.get("upload_table"))


def _is_path(sink: Any) -> bool:
    return isinstance(sink, (str, os.PathLike)) and not hasattr(sink, "write")


def _path_of(sink: LineSink) -> str:
    return str(getattr(sink, "path", "") or getattr(sink, "name", "file"))


def _refuser(error: OSError) -> Callable[[str], object]:
    def refuse(text: str) -> object:
        raise error

    return refuse


def _pickles(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:
        return False
    return True


def _at_exit() -> None:
    """Write what waits, within a bounded time, and count what could not be written."""
    for setup in list(_registry.setups.values()):
        setup.engine.drain_at_exit(setup.config.checked("close_timeout"))
        setup.engine.run_closing(_AT_EXIT_SECONDS)
    janitor.wait(None, 10.0)


atexit.register(_at_exit)
