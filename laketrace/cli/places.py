"""What a PATH, DIR or NAME on the command line means: a directory of logs and stems in it.

Floor 7. Stands on: cli.terminal, config, files.place, files.segment, runtime.

Nothing is created or written to find out.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from laketrace.cli.terminal import UsageError
from laketrace.config import LakeTraceConfig
from laketrace.files.place import spool_directory
from laketrace.files.segment import (
    active_files,
    find_segments,
    own_stems,
    parse_segment,
    safe_stem,
)
from laketrace.runtime import local_disk


class Logs(NamedTuple):
    """Logs in a directory: all of them (`stems` None), some, or one finished segment of one."""

    directory: str
    stems: tuple[str, ...] | None = None
    segment: str | None = None

    def living_stems(self) -> list[str]:
        """The stems to be read now; with `stems` None also those that have come since."""
        return list(self.stems) if self.stems is not None else stems_in(self.directory)


def stems_in(directory: str) -> list[str]:
    """The stems of all logs in a directory, by name.

    >>> stems_in("/no/such/directory")
    []
    """
    active = {os.path.basename(path)[: -len(".log")] for path in active_files(directory)}
    return sorted(active | {segment.stem for segment in find_segments(directory)})


def log_directories() -> list[str]:
    """Where loggers of this machine write by their settings: `log_dir`, or its spool."""
    config = LakeTraceConfig()
    log_dir = config.checked("log_dir")
    if log_dir is None:
        return []
    return [log_dir, spool_directory(log_dir, spool_root(config))]


def spool_root(config: LakeTraceConfig) -> str:
    """Where the spools of this machine are."""
    return config.checked("spool_dir") or os.path.join(local_disk(), "laketrace_spool")


def find_logs(text: str | None) -> Logs:
    """The logs that an argument means: a directory, a file, or the name of a logger.

    None means all logs where the settings say. Raises `UsageError` when there is nothing.
    """
    if text is None:
        return _by_settings()
    if os.path.isdir(text):
        return Logs(os.path.abspath(text))
    directory, name = os.path.split(os.path.abspath(text))
    if os.path.exists(text):
        if parse_segment(name) is not None:
            return Logs(directory, segment=os.path.join(directory, name))
        if name.endswith(".log"):
            return Logs(directory, (name[: -len(".log")],))
        raise UsageError(
            f"{text} is no log file: its name ends neither in .log nor like a segment."
        )
    stem = name.removesuffix(".log")
    if os.sep in text or name.endswith(".log"):
        if stem in stems_in(directory):
            return Logs(directory, (stem,))
        raise UsageError(f"there is no log at {text}.{_instead(directory)}")
    return _by_name(text)


def _by_settings() -> Logs:
    places = log_directories()
    for place in places:
        if stems_in(place):
            return Logs(place)
    where = f" in {places[0]}" if places else ""
    raise UsageError(f"there is no log{where}. Name a directory, a file or a logger.")


def _by_name(name: str) -> Logs:
    places = log_directories()
    for place in places:
        stems = own_stems(place, safe_stem(name), name)
        if stems:
            return Logs(place, tuple(stems))
    where = places[0] if places else os.getcwd()
    raise UsageError(
        f"there is no log called {name!r} in {where}.{_instead(where)} "
        f"One that lies elsewhere is named with its directory: <directory>/{name}."
    )


def _instead(directory: str) -> str:
    stems = stems_in(directory)
    if not stems:
        return f" There are no logs in {directory}." if os.path.isdir(directory) else ""
    more = f" and {len(stems) - 8} more" if len(stems) > 8 else ""
    return f" There are: {', '.join(stems[:8])}{more}."
