"""What may be given to `log.add`, and what a handler takes over from its logger.

Floor 5. Stands on: config, core.levels, core.stdlib, errors.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from laketrace.config import SETTINGS, LakeTraceConfig, problem, unknown
from laketrace.core.levels import Level, get_level
from laketrace.core.stdlib import is_stdlib
from laketrace.errors import ConfigError

_FILE_ONLY = ("rotation", "retention", "compression", "timezone")
_ADDABLE = (
    "level", "filter", "format", "serialize", "schema", "enqueue", "catch", "queue_size",
    "overflow", "overflow_timeout", *_FILE_ONLY,
)  # fmt: skip
# What is said for each handler anew; the rest (redaction, JSON or text, ...) is the logger's.
_ITS_OWN: dict[str, Any] = {
    "rotation": None, "rotation_mb": None, "retention": None, "retention_files": None,
    "compression": "none", "serialize": False, "formatter": None, "format": None, "filter": None,
    "enqueue": False,
}  # fmt: skip


def check_added(
    own: LakeTraceConfig, sink: Any, settings: Mapping[str, Any]
) -> tuple[LakeTraceConfig, Level | None]:
    """The settings and the level of a handler to be added; None follows the logger's level.

    Raises `ConfigError` with all problems at once.

    >>> config, level = check_added(LakeTraceConfig(), print, {"level": "error"})
    >>> level, config["enqueue"]
    ('ERROR', False)
    """
    known = {name: SETTINGS[name] for name in _ADDABLE}
    given = dict(settings)
    problems = [unknown(name, given.pop(name), known) for name in list(given) if name not in known]
    problems += _no_name(sink) if is_path(sink) else _no_file(sink, given)
    level = None
    try:
        wanted = given.pop("level", None)
        level = None if wanted is None else get_level(wanted)
    except ValueError as error:
        problems.append(problem("level", wanted, error))
    base = {**own.to_dict(), **_ITS_OWN}
    if given.get("format") is not None:
        base.update(json=False, schema=None)
    try:
        config = LakeTraceConfig({**base, **given}, environment={})
    except ConfigError as error:
        problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    return config, level


def _no_name(sink: Any) -> list[str]:
    """The problems of a path that names no file."""
    path = os.fspath(sink)
    if isinstance(path, str) and os.path.basename(path) and not os.path.isdir(path):
        return []
    return [problem("sink", path, ValueError("no file. Use a path like 'errors.log'."))]


def _no_file(sink: Any, given: dict[str, Any]) -> list[str]:
    """The problems of a sink that is no file."""
    problems = [
        f"{name}: only a file has it. Give a path, or leave it out."
        for name in _FILE_ONLY
        if given.pop(name, None) is not None
    ]
    if not callable(sink) and not hasattr(sink, "write") and not is_stdlib(sink):
        text = "no sink. Use a path, a stream, a function or a handler of logging."
        problems.append(problem("sink", sink, ValueError(text)))
    return problems


def is_path(sink: Any) -> bool:
    """Whether a sink is the path of a file."""
    return isinstance(sink, (str, os.PathLike)) and not hasattr(sink, "write")
