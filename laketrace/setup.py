"""Settings become a running logger: there is one a name in a process.

Floor 5. Stands on: annexes, assembly, config, core.ending, core.fork, core.living, core.logger,
core.notice, errors, files.janitor, runtime, runtime.worker.

`get_logger` makes it, or applies other settings to the living one, so that a re-run notebook cell
changes what it says and doubles nothing. Threads: any; one lock. After a fork the child keeps its
loggers, which write files of their own. At exit what is queued is written, within a bounded time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from laketrace.annexes import destination_problems
from laketrace.assembly import AT_EXIT_SECONDS, Assembly
from laketrace.config import SETTINGS, LakeTraceConfig
from laketrace.core import fork
from laketrace.core.ending import AtExit
from laketrace.core.living import Living
from laketrace.core.logger import Logger
from laketrace.core.notice import say
from laketrace.errors import ConfigError
from laketrace.files import janitor
from laketrace.runtime import default_name, is_executor, spark_settings

clock: Callable[[], int] = time.time_ns
"""The time of every logger made from now on; tests put a clock of their own here."""

# Of the driver's settings, those that hold on a Spark worker, which has no file and no console.
_ON_WORKERS = frozenset(
    ("level", "caller_level", "filter", "redact", "redact_patterns", "mask_pii", "max_record_size")
)

on_made: list[Callable[[Logger], object]] = []
"""Called with each logger that is made; for tools that watch all of them, as a test's fixture."""


def restore(
    name: str,
    given: dict[str, Any],
    fields: dict[str, Any],
    run_id: str,
    left_out: tuple[str, ...] = (),
) -> Logger:
    """A pickled logger arrives: the one of that name here, or a new one with its settings."""
    if is_executor():
        return _restore_on_worker(name, given, fields, run_id)
    if left_out:
        say(f"settings of {name} that do not pickle were left out: {', '.join(left_out)}")
    with _registry.lock:
        setup = _registry.setups.get(name)
        if setup is None:
            setup = _registry.make(name, LakeTraceConfig(given), run_id)
    return setup.logger.bind(**fields)


def _restore_on_worker(
    name: str, given: dict[str, Any], fields: dict[str, Any], run_id: str
) -> Logger:
    """The logger of that name, for the run that sent it: Spark uses its workers again and again."""
    from laketrace.runtime.worker import stage_fields

    given = {setting: value for setting, value in given.items() if setting in _ON_WORKERS}
    with _registry.lock:
        setup = _registry.setups.get(name)
        if setup is None:
            setup = _registry.make(name, _worker_config(given), run_id)
        elif setup.config.given != given or setup.run_id != run_id:
            setup.apply(_worker_config(given), run_id)
    return setup.logger.bind(**{**fields, **stage_fields()})


def _worker_config(given: dict[str, Any]) -> LakeTraceConfig:
    """The driver's settings; a wrong one, also of the worker's environment, costs no task."""
    for settings, environment in ((given, None), (given, {})):
        try:
            return LakeTraceConfig(settings, environment=environment)
        except ConfigError:
            continue
    return LakeTraceConfig(environment={})


class _Registry:
    """The living loggers of this process."""

    fork_rank = 0

    def __init__(self) -> None:
        self.setups: dict[str, Assembly] = {}
        self.closing: Living[Assembly] = Living()  # closed, or cut off by an interrupt before it
        self.lock = threading.RLock()
        fork.register(self)

    def make(self, name: str, config: LakeTraceConfig, run_id: str | None) -> Assembly:
        setup = Assembly(name, config, run_id, clock, self.forget)
        setup.start()
        self.setups[name] = setup
        for listener in list(on_made):
            listener(setup.logger)
        return setup

    def forget(self, setup: Assembly) -> None:
        with self.lock:
            if self.setups.get(setup.name) is setup:
                self.closing.add(setup)
                del self.setups[setup.name]

    def hold(self) -> None:
        """Over a fork: no logger is half made."""
        self.lock.acquire(timeout=1)

    def release(self) -> None:
        """After a fork, in the parent."""
        fork.give_back(self.lock)

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
        problems.append(f"run_id={run_id!r}: a run is named by a text. Or leave it out.")
    try:
        # On a worker of Connect there may be a session; to ask it would need thread and socket.
        spark = {} if is_executor() else spark_settings(SETTINGS)
        checked = LakeTraceConfig(config, spark=spark, **settings)
    except ConfigError as error:
        given = {**(config if isinstance(config, Mapping) else {}), **settings}
        problems += error.problems
        problems += destination_problems(given.get("upload_target"), given.get("upload_table"))
        raise ConfigError(problems) from None
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


def _at_exit() -> None:
    """Write what waits, within a bounded time, and count what could not be written."""
    started = time.monotonic()
    cut_off = [setup for setup in _registry.closing if not setup.engine.closed]
    setups = [*_registry.setups.values(), *cut_off]
    for local in (True, False):  # a callable that hangs must not use up the time of the files
        for setup in setups:
            end = started + setup.config.checked("close_timeout")
            setup.engine.drain_at_exit(max(0.0, end - time.monotonic()), local)
    for setup in setups:
        setup.restore_files()
    end = time.monotonic() + AT_EXIT_SECONDS
    for setup in setups:
        setup.engine.run_closing(max(0.0, end - time.monotonic()))
    janitor.wait(None, 10.0)


AtExit(_at_exit)
