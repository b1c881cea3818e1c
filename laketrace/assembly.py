"""One logger, put together from its settings: engine, places, sinks, queues, handlers.

Floor 5. Stands on: adding, annexes, config, core.clean, core.console, core.context, core.engine,
core.handler, core.logger, core.making, core.notice, core.queue, core.record, core.stdlib,
core.values, errors, files.place, files.read, files.recovery, files.runs, files.segment, files.sink,
forms, opening, runtime, runtime.worker.

Other settings for a living logger are put into force by building the new handlers, letting the
records go to them in one step, and only then closing the old ones; a file that goes on under
other settings is handed from the old sink to the new one, with its lock.
Threads: the registry in `setup` lets one at a time build. After a fork nothing needs to be done
here: engine and sinks renew themselves. On a Spark executor no file, thread or socket is opened.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from laketrace.adding import check_added, is_path
from laketrace.annexes import destination_problems, start_shipping
from laketrace.config import SETTINGS, LakeTraceConfig
from laketrace.core.clean import clean
from laketrace.core.console import StreamSink
from laketrace.core.context import fields_now
from laketrace.core.engine import Engine
from laketrace.core.handler import Form, Handler, TextSink
from laketrace.core.logger import Logger
from laketrace.core.making import PLAIN, merge
from laketrace.core.notice import cause, say
from laketrace.core.queue import LineSink, RecordQueue
from laketrace.core.record import Source
from laketrace.core.stdlib import StdlibSink, is_stdlib
from laketrace.core.values import as_text
from laketrace.errors import ConfigError
from laketrace.files.place import Place
from laketrace.files.read import last_lines
from laketrace.files.recovery import Finding
from laketrace.files.runs import lost_runs
from laketrace.files.segment import Segment, safe_stem
from laketrace.files.sink import FileSink
from laketrace.forms import (
    console_form,
    encoder_of,
    form_of,
    make_filter,
    stream_form,
)
from laketrace.opening import Files, ships
from laketrace.runtime import (
    detect_runtime,
    find_run_id,
    is_executor,
    record_context,
    run_context,
)

if TYPE_CHECKING:
    from pathlib import Path

S = TypeVar("S")
_SETTLE_SECONDS = 10.0
AT_EXIT_SECONDS = 30.0  # for what asked to run at the end, after all queues are written


class Assembly:
    """How one logger was set up and how that is changed; its bound loggers share it."""

    def __init__(
        self,
        name: str,
        config: LakeTraceConfig,
        run_id: str | None,
        clock: Callable[[], int],
        on_close: Callable[[Assembly], None],
    ) -> None:
        self.name = name
        self.config = config
        self.run_id = run_id
        self.clock = clock
        self._on_close = on_close
        self.runtime = detect_runtime()
        self.place: Place | None = None
        self._shipping = False
        source = Source(
            name,
            self.runtime.hostname,
            os.getpid(),
            self.runtime.platform.value,
            self.runtime.runtime_type.value,
            find_run_id(run_id),
        )
        self.engine = Engine(source, encoder=encoder_of(config), clock=clock)
        on_each = record_context() if config.checked("add_runtime_context") else {}
        self._files = Files(name, self.engine, clock, self._tell)
        self.logger = Logger.over(self.engine, dict(on_each), PLAIN, self)

    # -- the handlers that settings ask for ---------------------------------------------------

    def start(self) -> None:
        """Open what the settings ask for, and say where this run runs.

        Raises `ConfigError` for a destination of uploads that cannot be meant.
        """
        _check_destination(self.config)
        self._follow()
        for handler in self._own_handlers([]):
            self._add(handler)
        self._tell_runtime()
        self._end_lost_runs()
        self._ship()

    def _tell_runtime(self) -> None:
        """A run's first record says where it runs, as far as that is known."""
        if self.config.checked("add_runtime_context") and not is_executor():
            context = run_context()
            if context:
                self.logger.info("run started", event="runtime", **context)

    def _ship(self) -> None:
        """Let the annex ship what is written here, where there is a destination or was one."""
        spooled = self.place is not None and self.place.spooled
        if not (spooled or self._shipping or ships(self.config)) or is_executor():
            return
        self._shipping = True
        try:
            start_shipping(self.logger)
        except Exception as error:  # logging goes on, and the files wait for a later upload
            say(f"uploads of {self.name} do not start: {cause(error)}", key=f"upload {self.name}")

    def _end_lost_runs(self) -> None:
        """Write the end of runs that were killed, in their name."""
        sink = self._file()
        if sink is None or sink.path != os.path.join(sink.log_dir, f"{safe_stem(self.name)}.log"):
            return  # a second process or a forked child: the first one may still be running
        for lost in lost_runs(sink.path):
            options = PLAIN._replace(run_id=lost.run_id)
            Logger.over(self.engine, {}, options, self).error(
                "run lost", event="run_end", status="lost", run_name=lost.name, lost_pid=lost.pid
            )

    def apply(self, config: LakeTraceConfig, run_id: str | None) -> None:
        """Put other settings into force; records go to the old handlers until the new ones are.

        A `run_id` other than before begins that run.
        """
        if config != self.config:
            self._change(config)
        if run_id is not None and run_id != self.run_id:
            self.run_id = run_id
            before = self.engine.source.run_id
            self.engine.source = self.engine.source._replace(run_id=run_id)
            self.engine.refresh()
            if run_id != before:
                self._tell_runtime()

    def _change(self, config: LakeTraceConfig) -> None:
        _check_destination(config)
        self.config = config
        self._follow()
        old = [handler for handler in self.engine.handlers.values() if handler.own]
        for handler in old:  # what waits goes where it was meant to, in the form that it has
            if handler.sink.local:
                handler.settle(_SETTLE_SECONDS)
        new = self._own_handlers(old)
        self.engine.replace(old, new)
        for handler in new:
            self._begin(handler)
        self._ship()

    def _add(self, handler: Handler) -> None:
        self.engine.add(handler)
        self._begin(handler)

    def _begin(self, handler: Handler) -> None:
        """What is said of a file goes to its own handler too, so that has to be in place."""
        if isinstance(handler.sink, FileSink):
            handler.sink.begin()

    def _follow(self) -> None:
        """Let the engine follow level, encoder and limits of the settings."""
        config, engine = self.config, self.engine
        engine.encoder = encoder_of(config)
        engine.caller_no = config.checked("caller_level").no
        engine.max_record = config.checked("max_record_size")
        engine.set_level(config.checked("level"))

    def _own_handlers(self, earlier: list[Handler]) -> list[Handler]:
        """What the settings ask for, each sink in succession to the earlier one of its kind."""
        config = self.config
        if is_executor():
            from laketrace.runtime.worker import WorkerSink

            return [self._handler(WorkerSink(self.name), "worker", config, None, own=True)]
        handlers = []
        form = form_of(config, self.engine.encoder)
        self.place = None
        if config.checked("log_dir") is not None:
            place = self._files.place(config, config.checked("log_dir"))
            before = _first(FileSink, earlier)
            self.place, sink = self._files.open(config, place, safe_stem(self.name), True, before)
            handlers.append(self._handler(sink, _path_of(sink), config, form, own=True))
        if config.checked("stdout"):
            stream = StreamSink("stdout")
            watched = True if self.runtime.runtime_type == "notebook" else None
            shown = console_form(config, self.engine.encoder, stream, watched)
            earlier = [handler for handler in earlier if handler.name == "stdout"]
            out = TextSink("stdout", stream.write, predecessor=_first(TextSink, earlier))
            handlers.append(self._handler(out, "stdout", config, shown, own=True))
        return handlers

    def _tell(self, finding: Finding) -> None:
        """What was found on disk is itself logged."""
        self.logger.log(finding.level, finding.message, event=finding.event, **finding.fields)

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
        if config.checked("enqueue") and not is_executor():
            queue = RecordQueue(
                sink,
                capacity=config.checked("queue_size"),
                overflow=config.checked("overflow"),
                patience=config.checked("overflow_timeout"),
                clock=self.clock,
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
        config, level = check_added(self.config, sink, settings)
        name, made, form = self._sink_for(sink, config)
        handler = self._handler(made, name, config, form, level=level)
        self._add(handler)
        return handler.id

    def _sink_for(self, sink: Any, config: LakeTraceConfig) -> tuple[str, LineSink, Form | None]:
        form = form_of(config, self.engine.encoder)
        if is_path(sink) and is_executor():
            from laketrace.runtime.worker import NoFile

            path = os.fspath(sink)
            return path, NoFile(path), form
        if is_path(sink):
            path = os.path.expanduser(os.fspath(sink))
            base = self.place.directory if self.place is not None else os.getcwd()
            directory, name = os.path.split(os.path.join(base, path))
            place = (
                self._files.place(self.config, directory)
                if directory != base
                else Place(base, None, "")
            )
            stem = safe_stem(name[:-4] if name.endswith(".log") else name)
            _, file = self._files.open(config, place, stem, False, None)
            return _path_of(file), file, form
        if is_stdlib(sink):
            made = StdlibSink(sink, formatted=config["format"] is not None)
            return made.name, made, form
        if hasattr(sink, "write"):
            target = {id(sys.stdout): "stdout", id(sys.stderr): "stderr"}.get(id(sink), sink)
            stream = StreamSink(target)
            shown = stream_form(config, self.engine.encoder, stream)
            return stream.name, TextSink(stream.name, stream.write), shown
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
            print(clean(line.decode("utf-8", "backslashreplace").rstrip("\n")))
        print("---")

    def finish_segment(self) -> Segment | None:
        """`Logger.finish_segment`."""
        sink = self._file()
        if sink is None:
            return None
        self.engine.flush(self.config.checked("close_timeout"))
        return sink.rotate()

    @property
    def log_file_path(self) -> Path | None:
        """`Logger.log_file_path`."""
        from pathlib import Path

        sink = self._file()
        return None if sink is None else Path(sink.path)

    def _file(self) -> FileSink | None:
        for handler in self.engine.handlers.values():
            if handler.own and isinstance(handler.sink, FileSink):
                return handler.sink
        return None

    def restore_files(self) -> None:
        """Save what is in files that were deleted, at the end of the process."""
        for handler in self.engine.handlers.values():
            if isinstance(handler.sink, FileSink):
                handler.sink.restore()

    def close(self) -> None:
        """`Logger.close`."""
        self._on_close(self)
        self.engine.close(self.config.checked("close_timeout"), AT_EXIT_SECONDS)

    def state(self, bound: Mapping[str, Any]) -> tuple[Any, ...]:
        """What a pickled logger consists of: name, settings other than the defaults, fields, run.

        The fields that hold here and now (`contextualize`) go with those that are bound. The last
        item names the settings that do not pickle, where there are any.
        """
        changed = {
            name: value
            for name, value in self.config.items()
            # Uploads are the parent's: its credentials do not travel with a closure.
            if value != SETTINGS[name].default and not name.startswith("upload_")
        }
        given = {name: value for name, value in changed.items() if _pickles(value)}
        left_out = tuple(name for name in changed if name not in given)
        held = merge(bound, fields_now.get())
        fields = {key: value if _pickles(value) else as_text(value) for key, value in held.items()}
        return (
            self.name,
            given,
            fields,
            self.engine.source.run_id,
            *([left_out] if left_out else ()),
        )


def _check_destination(config: LakeTraceConfig) -> None:
    if ships(config) and not is_executor():
        problems = destination_problems(config["upload_target"], config["upload_table"])
        if problems:
            raise ConfigError(problems)


def _path_of(sink: LineSink) -> str:
    return str(getattr(sink, "path", "") or getattr(sink, "name", "file"))


def _first(kind: type[S], handlers: list[Handler]) -> S | None:
    """The sink of this kind, where one of the handlers has it."""
    found = (handler.sink for handler in handlers)
    return next((sink for sink in found if isinstance(sink, kind)), None)


def _pickles(value: Any) -> bool:
    import pickle

    try:
        pickle.dumps(value)
    except Exception:
        return False
    return True
