"""The settings: one row each, from which everything else about them follows.

Floor 4. Stands on: core.levels, core.text, errors, files.compression, files.retention,
files.rotation, files.units.

A row has a name, a default, the forms that are accepted (in words), a check and one line of
documentation. The environment variable `LAKETRACE_<NAME>`, the Spark conf `spark.laketrace.<name>`
and the page in the docs follow from it. The nearer to the code, the stronger: keyword, dict,
environment, Spark conf, default. All problems are found at once, before anything is opened.
(why so long: half of it is the table, which is one place on purpose.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from laketrace.core.levels import get_level
from laketrace.core.text import compile_format
from laketrace.errors import ConfigError
from laketrace.files.compression import parse_compression
from laketrace.files.retention import parse_retention
from laketrace.files.rotation import parse_rotation, parse_timezone
from laketrace.files.units import parse_duration, parse_size

DEFAULT_LOG_DIR = "/tmp/laketrace_logs"


class Setting(NamedTuple):
    """One setting."""

    name: str
    default: Any
    forms: str
    check: Callable[[Any], Any]
    doc: str
    in_text: bool = True
    """Whether an environment variable or a Spark conf can give it."""


_YES = {"yes", "on", "true", "1"}
_NO = {"no", "off", "false", "0"}


def boolean(value: Any) -> bool:
    """True or False, also as `yes no on off true false 1 0`.

    >>> boolean("no"), boolean("On"), boolean(1)
    (False, True, True)
    """
    if isinstance(value, str) and value.strip().lower() in _YES | _NO:
        return value.strip().lower() in _YES
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise ValueError("neither yes nor no. Use True or False ('yes', 'no', 'on', 'off').")


def _choice(*choices: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if isinstance(value, str) and value.strip().lower() in choices:
            return value.strip().lower()
        raise ValueError(f"not one of the choices. Use one of {', '.join(map(repr, choices))}.")

    return check


def _optional(check: Callable[[Any], Any], *empty: Any) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        return None if value is None or value in empty else check(value)

    return checked


def _count(least: int, what: str) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        number = int(value) if isinstance(value, str) and value.strip().isdigit() else value
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ValueError(f"not a number of {what}. Use a whole number from {least} up.")
        return number

    return check


def seconds(value: Any) -> float:
    """A time span in seconds: a number of seconds, `"5 minutes"`, a `timedelta`.

    >>> seconds("2 minutes"), seconds(1.5)
    (120.0, 1.5)
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value >= 0 and value < float("inf"):
            return float(value)
        raise ValueError("not a time span. Use a number of seconds from 0 up, or '5 minutes'.")
    if isinstance(value, str) and value.strip().replace(".", "", 1).isdigit():
        return float(value)
    return parse_duration(value).total_seconds()


def _directory(value: Any) -> str:
    if isinstance(value, (str, os.PathLike)):
        path = os.fspath(value)
        if isinstance(path, str) and "\0" not in path:
            return os.path.expanduser(path)
    raise ValueError("not the path of a directory. Use a text or a Path, e.g. '/tmp/logs'.")


def _level(value: Any) -> Any:
    return get_level(int(value) if isinstance(value, str) and value.isdigit() else value)


def _callable(value: Any) -> Any:
    if callable(value):
        return value
    raise ValueError("cannot be called. Use a function of one record.")


def _filter(value: Any) -> Any:
    if callable(value) or isinstance(value, (str, Mapping)):
        return value
    raise ValueError(
        "no filter. Use a function of one record, the beginning of a logger's name, "
        "or a dict from such names to levels."
    )


def _template(value: Any) -> Any:
    if callable(value):
        return value
    compile_format(value)
    return value


def _megabytes(value: Any) -> int:
    number = float(value) if isinstance(value, str) and value.strip() else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not number > 0:
        raise ValueError("not a number of megabytes. Use a number above 0, e.g. 10.")
    return max(1, int(number * (1 << 20)))


def _stdout(value: Any) -> Any:
    if isinstance(value, str) and value.strip().lower() in ("auto", "json", "text"):
        return value.strip().lower()
    try:
        return "auto" if boolean(value) else False
    except ValueError:
        raise ValueError(
            "not a form of output. Use True, False, 'auto', 'json' or 'text'."
        ) from None


def _names(value: Any) -> Any:
    if isinstance(value, str) and value.strip().lower() not in _YES | _NO:
        return tuple(name.strip() for name in value.split(",") if name.strip())
    if isinstance(value, (list, tuple, set, frozenset)):
        if all(isinstance(name, str) and name for name in value):
            return tuple(value)
        raise ValueError("an item of it is no name. Use a list of texts, e.g. ['iban'].")
    return boolean(value)


def _patterns(value: Any) -> Any:
    import re

    items = [value] if isinstance(value, (str, re.Pattern)) else value
    try:
        return tuple(re.compile(item) for item in items)
    except (re.error, TypeError) as error:
        raise ValueError(
            f"no list of regular expressions: {error}. Use e.g. [r'K-\\d+']."
        ) from None


def _size(value: Any) -> int:
    return parse_size(value)


def _destination(value: Any) -> str:
    if isinstance(value, (str, os.PathLike)) and os.fspath(value):
        return str(os.fspath(value))
    raise ValueError("not a destination. Use a path, a URL or, for a table, catalog.schema.table.")


def _positive_seconds(value: Any) -> float:
    span = seconds(value)
    if span <= 0:
        raise ValueError("not a time span above 0. Use a number of seconds, or '5 minutes'.")
    return span


def _mapping(value: Any) -> Any:
    if isinstance(value, Mapping):
        return value
    raise ValueError("no dict of options. Use names and texts, as obstore has them.")


_rows = (
    Setting("log_dir", DEFAULT_LOG_DIR, "path; empty or None: no file", _optional(_directory, ""),
            "Directory of the log files; for a mount that cannot append, they are spooled."),
    Setting("level", "INFO", "name in any case, or number", _level,
            "Records below this level are not emitted."),
    Setting("json", True, "boolean", boolean,
            "One JSON object a line; False writes text lines."),
    Setting("serialize", False, "boolean", boolean,
            "Adds thread, process, module, caller and elapsed time to each JSON line."),
    Setting("schema", None, "'ecs', 'otel', 'gcp', 'datadog', 'spark' or None",
            _optional(_choice("ecs", "otel", "gcp", "datadog", "spark"), ""),
            "Names of the JSON fields: a published schema instead of LakeTrace's own."),
    Setting("stdout", True, "boolean, 'auto', 'json' or 'text'", _stdout,
            "Also write to the current sys.stdout: readable for a person, JSON into a pipe."),
    Setting("rotation", None, "size, interval, clock time, weekday, keyword, callable, list, dict",
            _optional(lambda value: value, ""), "When the file becomes a segment."),
    Setting("rotation_mb", 10, "number of megabytes, or None", _optional(_megabytes, ""),
            "Rotation by size, used where `rotation` is not set."),
    Setting("retention", None, "count, age, total size, callable, list, dict",
            _optional(parse_retention, ""), "Which segments of this logger are kept."),
    Setting("retention_files", 5, "number of files, or None", _optional(_count(1, "files"), ""),
            "Number of segments kept, used where `retention` is not set."),
    Setting("compression", "none", "'gz', 'bz2', 'xz', 'zip', 'zst', 'none' or a callable",
            parse_compression, "How segments are compressed, in the background."),
    Setting("timezone", None, "'local', 'UTC', an IANA name, a tzinfo", parse_timezone,
            "Time zone of clock times and calendar borders in `rotation`."),
    Setting("enqueue", False, "boolean", boolean,
            "Write in one background thread; ERROR and above are still on disk at once."),
    Setting("queue_size", 10_000, "number of records", _count(1, "records"),
            "How many records may wait for the background thread."),
    Setting("overflow", "block", "'block', 'drop_new' or 'drop_old'",
            _choice("block", "drop_new", "drop_old"), "What happens when the queue is full."),
    Setting("overflow_timeout", 1.0, "seconds or a time span", seconds,
            "How long `block` waits for room before the record is counted as dropped."),
    Setting("close_timeout", 10.0, "seconds or a time span", seconds,
            "How long close() and the exit of the program may take to write what waits."),
    Setting("caller_level", "WARNING", "name or number of a level", _level,
            "From this level up a record has file, line and function of the caller."),
    Setting("max_record_size", "16 MB", "size", _size,
            "A longer record is cut, with a marker."),
    Setting("filter", None, "callable, name or dict of levels", _optional(_filter, ""),
            "Which records the file and stdout take.", False),
    Setting("formatter", None, "callable", _optional(_callable, ""),
            "Makes the text of a record; stronger than `json` and `format`.", False),
    Setting("format", None, "template or callable", _optional(_template, ""),
            "Template of text lines, used where `json` is False."),
    Setting("redact", True, "boolean, or names to redact besides the usual ones", _names,
            "Values of fields with names like password or token are not written."),
    Setting("redact_patterns", (), "regular expressions", _patterns,
            "What these match is masked in messages, fields and exceptions.", False),
    Setting("mask_pii", False, "boolean", boolean,
            "Masks personal data and credentials inside values and texts."),
    Setting("add_runtime_context", True, "boolean", boolean,
            "Puts the platform's ids on a run's first record, and those that matter on each."),
    Setting("secure_file_permissions", True, "boolean", boolean,
            "Files readable by the owner alone (0600)."),
    Setting("sanitize_messages", True, "boolean", boolean,
            "Functions that make texts get message and fields with control characters escaped."),
    Setting("catch", True, "boolean", boolean,
            "Kept from 1.x: a fault at run time is always counted and never raised."),
    Setting("upload_target", None, "path, mount or URL", _optional(_destination, ""),
            "Where finished segments are copied to, once each."),
    Setting("upload_table", None, "path, URL or catalog.schema.table", _optional(_destination, ""),
            "The Delta table that gets a row for each record, once each."),
    Setting("upload_every", None, "seconds or a time span", _optional(_positive_seconds, ""),
            "How often the active file is finished and shipped in the background."),
    Setting("upload_at_exit", True, "boolean", boolean,
            "Ship at close() and at exit too, for at most 30 seconds."),
    Setting("upload_delete_after", False, "boolean", boolean,
            "Remove a local segment when all its destinations have confirmed it."),
    Setting("upload_retries", 5, "number of tries after the first", _count(0, "tries"),
            "How often a passing fault of a store or table is tried again."),
    Setting("upload_request_timeout", 30.0, "seconds or a time span", _positive_seconds,
            "How long one request to a store may take."),
    Setting("upload_timeout", 120.0, "seconds or a time span", _positive_seconds,
            "How long one upload may take in all."),
    Setting("upload_options", None, "dict of a store's options", _optional(_mapping),
            "Credentials and endpoint of the store; never shown.", False),
    Setting("spool_dir", None, "path", _optional(_directory, ""),
            "Where files lie while `log_dir` is a mount that cannot append."),
)  # fmt: skip

SETTINGS: dict[str, Setting] = {row.name: row for row in _rows}
"""All settings by name."""


class LakeTraceConfig(Mapping[str, Any]):
    """Checked settings: a read-only mapping with an attribute for each setting.

    `LakeTraceConfig({"level": "debug"})` checks a dict as `get_logger` does. Raises `ConfigError`
    with all problems at once.

    >>> config = LakeTraceConfig({"level": "debug", "rotation": "500 MB"})
    >>> config.level, config["rotation"], config.get("json"), config.given
    ('DEBUG', '500 MB', True, {'level': 'debug', 'rotation': '500 MB'})
    """

    DEFAULTS: Mapping[str, Any] = {row.name: row.default for row in _rows}
    VALID_LEVELS = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")
    VALID_COMPRESSIONS = ("none", "gz", "bz2", "xz", "zip", "zst")

    __slots__ = ("_checked", "_shown", "given")

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        spark: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        problems: list[str] = []
        self.given = _together(config, settings, problems)
        variables = _environment() if environment is None else environment
        texts = {**(spark or {}), **variables}
        # Only what differs from the defaults: most loggers have the same forty settings.
        self._shown: dict[str, Any] = {}
        self._checked: dict[str, Any] = {}
        rotation = "rotation"  # where it comes from
        for row in _rows:
            if row.name in self.given:
                self._take(row, row.name, self.given[row.name], problems)
            elif row.in_text and row.name in texts:
                variable, conf = f"LAKETRACE_{row.name.upper()}", f"spark.laketrace.{row.name}"
                name = variable if row.name in variables else conf
                self._take(row, name, texts[row.name], problems)
                rotation = name if row.name == "rotation" else rotation
        if not self._checked.keys().isdisjoint(_TOGETHER):
            self._take_rotation(rotation, problems)
        if problems:
            raise ConfigError(problems)

    def _take(self, row: Setting, name: str, value: Any, problems: list[str]) -> None:
        """Check one setting, which was given under `name`."""
        try:
            self._checked[row.name] = row.check(value)
        except (ValueError, TypeError) as error:
            problems.append(problem(name, value, error))
            return
        self._shown[row.name] = self._checked[row.name] if _simple(row) else value

    def _take_rotation(self, name: str, problems: list[str]) -> None:
        """`rotation`, which was given under `name`, needs the time zone; the old names come last.

        It stands before `rotation_mb`, and `retention` before `retention_files`.
        """
        checked, rotation = self._checked, self["rotation"]
        try:
            checked["rotation"] = parse_rotation(rotation, self.checked("timezone"))
        except (ValueError, TypeError) as error:
            problems.append(problem(name, rotation, error))
            return
        megabytes, files = self.checked("rotation_mb"), self.checked("retention_files")
        if checked["rotation"] is None and megabytes is not None:
            checked["rotation"] = parse_rotation(megabytes)
        if "retention" not in self._shown or checked["retention"] is None:
            checked["retention"] = parse_retention(files)

    def checked(self, name: str) -> Any:
        """What the check made of a setting: a `Rotation`, a number of seconds, a `Level`."""
        return self._checked[name] if name in self._checked else _defaults()[1][name]

    def __getitem__(self, name: str) -> Any:
        return self._shown[name] if name in self._shown else _defaults()[0][name]

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no setting {name!r}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(SETTINGS)

    def __len__(self) -> int:
        return len(SETTINGS)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LakeTraceConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def to_dict(self) -> dict[str, Any]:
        """All settings as a dict."""
        return {**_defaults()[0], **self._shown}

    def __reduce__(self) -> tuple[Any, ...]:
        return LakeTraceConfig, (self.given,)

    def __repr__(self) -> str:
        secret = {"upload_options": "..."}
        given = {name: secret.get(name, value) for name, value in self.given.items()}
        return f"LakeTraceConfig({given!r})"


# Settings that are read together: with one of them, rotation and retention are made anew.
_TOGETHER = ("rotation", "rotation_mb", "timezone", "retention", "retention_files")


@lru_cache(maxsize=1)
def _defaults() -> tuple[dict[str, Any], dict[str, Any]]:
    """The default settings, as shown and as checked."""
    checked = {row.name: row.check(row.default) for row in _rows}
    shown = {row.name: checked[row.name] if _simple(row) else row.default for row in _rows}
    checked["rotation"] = parse_rotation(checked["rotation_mb"])
    checked["retention"] = parse_retention(checked["retention_files"])
    return shown, checked


def _simple(row: Setting) -> bool:
    """Whether a setting is shown as checked; the others are shown as they were given."""
    return row.check in (boolean, _level, _stdout, seconds, _positive_seconds)


def _together(
    config: Mapping[str, Any] | None, settings: Mapping[str, Any], problems: list[str]
) -> dict[str, Any]:
    """Dict and keywords, keywords stronger; names that do not exist become problems."""
    if config is not None and not isinstance(config, Mapping):
        problems.append(f"config={config!r}: settings are a dict. Use e.g. {{'level': 'DEBUG'}}.")
        config = None
    given = {**(config or {}), **settings}
    for name in [name for name in given if name not in SETTINGS]:
        problems.append(unknown(name, given.pop(name), SETTINGS))
    return given


def unknown(name: Any, value: Any, known: Mapping[str, Any]) -> str:
    """The line about a setting that does not exist, with the nearest one that does."""
    from difflib import get_close_matches  # needed by nobody who spells right

    near = get_close_matches(str(name).lower(), list(known), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}."
    shown = "..." if near == ["upload_options"] else _short(value)
    return f"{name}={shown}: no such setting.{hint}"


def problem(name: str, value: Any, error: Exception) -> str:
    """The line about a wrong value: setting and value, rule, way out."""
    shown = "..." if name.lower().endswith("upload_options") else _short(value)
    return f"{name}={shown}: {error}"


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 200 else f"{text[:200]}..."


def _environment() -> dict[str, str]:
    """Settings from `LAKETRACE_<NAME>`; empty variables count as not set."""
    found = {}
    for name in SETTINGS:
        value = os.environ.get(f"LAKETRACE_{name.upper()}")
        if value:
            found[name] = value
    return found
