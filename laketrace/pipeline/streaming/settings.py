"""The settings of a guarded stream: checked all at once, before anything starts.

Floor 7. Stands on: config, errors, files.units, pipeline.streaming.intervals,
pipeline.streaming.places.

One row a setting, as in `laketrace.config`. A checkpoint and a place for dead letters have no
default: a stream without them forgets where it was, or loses what it cannot read. What may lose
rows in silence (`failOnDataLoss=false`) takes a second setting that says so by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from laketrace.config import boolean
from laketrace.errors import ConfigError
from laketrace.files.units import did_you_mean, parse_size, shown
from laketrace.pipeline.streaming.intervals import parse_trigger, parse_watermark
from laketrace.pipeline.streaming.places import canonical, overlap, shared

AVAILABLE_NOW = "available now"
_SPARK_NAME = "failOnDataLoss"


class StreamSettings(Mapping[str, Any]):
    """The checked settings of a stream, as attributes and as a read-only mapping.

    >>> checked = validate_streaming_config({"streaming": {"checkpoint": "/c", "dlq_path": "/d"}})
    >>> checked.event_time, checked["dlq_format"], checked.max_bad_percent
    ('event_time', 'delta', None)
    """

    checkpoint: str
    dlq_path: str
    table: str | None
    name: str | None
    format: str
    dlq_format: str
    output_mode: str
    watermark: str | None
    event_time: str
    trigger_interval: str | None
    max_files_per_trigger: int | None
    max_bytes_per_trigger: int | None
    max_records_per_file: int | None
    max_bad_percent: float | None
    schema: Any
    read_options: Mapping[str, str]
    write_options: Mapping[str, str]
    fail_on_data_loss: bool
    allow_data_loss: bool

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("checked settings do not change")

    def __getitem__(self, name: str) -> Any:
        return self.__dict__[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__)

    def __len__(self) -> int:
        return len(self.__dict__)

    def __repr__(self) -> str:
        return f"StreamSettings({self.__dict__!r})"


class _Row(NamedTuple):
    """One setting: its default and its check."""

    default: Any
    check: Callable[[Any], Any]


def _text(value: Any) -> str:
    if isinstance(value, str) and value.strip() and "\0" not in value:
        return value.strip()
    raise ValueError("not a name. Use a text.")


def _path(value: Any) -> str:
    text = value if isinstance(value, str) else getattr(value, "__fspath__", lambda: None)()
    if isinstance(text, str) and text.strip() and "\0" not in text:
        return text.strip()
    raise ValueError("not a path. Use a text, e.g. 'abfss://.../checkpoints/orders'.")


def _format(value: Any) -> str:
    """The name of a format, in small letters; the class of a source keeps its own."""
    name = _text(value)
    return name if "." in name else name.lower()


def _output_mode(value: Any) -> str:
    if isinstance(value, str) and value.lower() in ("append", "update", "complete"):
        return value.lower()
    raise ValueError("no output mode of Spark. Use 'append', 'update' or 'complete'.")


def _watermark(value: Any) -> str:
    parse_watermark(value)
    return str(value)


def _trigger(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = f"{value} seconds"
    if isinstance(value, str) and value.strip().lower().replace("_", " ") in (
        AVAILABLE_NOW,
        "availablenow",
    ):
        return AVAILABLE_NOW
    parse_trigger(value)
    return str(value)


def _count(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise ValueError("not a count. Use a whole number from 1 up.")


def _percent(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 100:
        return float(value)
    raise ValueError("not a share of the rows. Use a number of percent from 0 to 100.")


def _schema(value: Any) -> Any:
    if (isinstance(value, str) and value.strip()) or hasattr(value, "fieldNames"):
        return value
    raise ValueError("no schema. Use a StructType or a text, e.g. 'id bigint, amount double'.")


def _options(value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError("no options. Use a dict of names to values.")
    return {
        name: str(item).lower() if isinstance(item, bool) else str(item)
        for name, item in value.items()
    }


_REQUIRED = ("checkpoint", "dlq_path")
_ROWS: Mapping[str, _Row] = MappingProxyType(
    {
        "checkpoint": _Row(None, _path),
        "dlq_path": _Row(None, _path),
        "table": _Row(None, _path),
        "name": _Row(None, _text),
        "format": _Row("delta", _format),
        "dlq_format": _Row("delta", _format),
        "output_mode": _Row("append", _output_mode),
        "watermark": _Row(None, _watermark),
        "event_time": _Row("event_time", _text),
        "trigger_interval": _Row(None, _trigger),
        "max_files_per_trigger": _Row(None, _count),
        "max_bytes_per_trigger": _Row(None, parse_size),
        "max_records_per_file": _Row(None, _count),
        "max_bad_percent": _Row(None, _percent),
        "schema": _Row(None, _schema),
        "read_options": _Row({}, _options),
        "write_options": _Row({}, _options),
        "fail_on_data_loss": _Row(True, boolean),
        "allow_data_loss": _Row(False, boolean),
    }
)
_FORBIDDEN = {
    "read_options": {
        "maxfilespertrigger": "max_files_per_trigger",
        "maxbytespertrigger": "max_bytes_per_trigger",
    },
    "write_options": {
        "checkpointlocation": "checkpoint",
        "maxrecordsperfile": "max_records_per_file",
    },
}


def validate_streaming_config(cfg: Mapping[str, Any]) -> StreamSettings:
    """The checked settings of the section `streaming` of `cfg`; other sections are not looked at.

    `checkpoint` and `dlq_path` (the dead letters) are mandatory, differ from each other and from
    the output `table`, and belong to no other query that is live or that is recorded at the place.
    `watermark` (`"10 minutes"`, read as Spark does) applies to the column `event_time`.
    `trigger_interval` is an interval, a number of seconds or `"available now"`. Limits:
    `max_files_per_trigger`, `max_bytes_per_trigger` (a size), `max_records_per_file`, and
    `max_bad_percent`, the share of a batch (0 to 100) above which the stream stops. Also `name`,
    `schema` (what a source row must be), `format`, `dlq_format`, `output_mode`, `read_options` and
    `write_options`. `fail_on_data_loss=False` is refused without `allow_data_loss=True`.

    Raises one `ConfigError` with all problems.

    >>> validate_streaming_config({"streaming": {"watermark": "10m", "checkpoint": "/lake/c"}})
    Traceback (most recent call last):
    ...
    laketrace.errors.ConfigError: 2 settings are wrong:
      - watermark='10m': '10m' has no space between number and unit, e.g. '10 minutes'.
      - dlq_path: a stream needs a place for dead letters. Use e.g. dlq_path='/lake/dlq/a'.
    """
    return checked(cfg)


def checked(
    cfg: Mapping[str, Any], table: Any = None, checkpoint: Any = None, foreach: bool = False
) -> StreamSettings:
    """The settings, with a table and a checkpoint that were given beside them.

    `foreach` says that batches are written one by one. Raises `ConfigError`.
    """
    section = _section(cfg)
    problems: list[str] = []
    values = _known(section, problems)
    for name, given in (("table", table), ("checkpoint", checkpoint)):
        _join(values, name, given, problems)
    _missing(values, section, problems)
    _places(values, problems)
    _losses(values, section, problems)
    if foreach and values["output_mode"] == "complete":
        problems.append(
            "output_mode='complete': with a transform each batch is added. Use 'append'."
        )
    if problems:
        raise ConfigError(problems)
    return StreamSettings(values)


def _section(cfg: Any) -> dict[str, Any]:
    if isinstance(cfg, StreamSettings):
        return dict(cfg)
    section = cfg.get("streaming") if isinstance(cfg, Mapping) else None
    if not isinstance(section, Mapping):
        raise ConfigError(
            [
                f"streaming={shown(section)}: the settings of a stream are a section of their own. "
                "Use {'streaming': {'checkpoint': ..., 'dlq_path': ...}}."
            ]
        )
    return dict(section)


def _known(section: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """The value of each setting; None or the default for what is wrong, with a problem."""
    if _SPARK_NAME in section:
        section.setdefault("fail_on_data_loss", section.pop(_SPARK_NAME))
    values: dict[str, Any] = {}
    for name, row in _ROWS.items():
        values[name] = row.default
        if section.get(name) is not None:
            try:
                values[name] = row.check(section[name])
            except ValueError as error:
                problems.append(f"{name}={shown(section[name])}: {error}")
    for name in section:
        if name not in _ROWS:
            hint = did_you_mean(str(name), tuple(_ROWS))
            problems.append(f"{name}={shown(section[name])}: no such setting.{hint}")
    return values


def _join(values: dict[str, Any], name: str, given: Any, problems: list[str]) -> None:
    """A value that came as an argument: it stands for the section's, and agrees with it."""
    if given is None:
        return
    try:
        value = _path(given)
    except ValueError as error:
        problems.append(f"{name}={shown(given)}: {error}")
        return
    if values[name] is not None and canonical(values[name]) != canonical(value):
        problems.append(
            f"{name}={shown(value)}: the section says {shown(values[name])}. Give it once, or "
            "the same twice."
        )
    values[name] = value


def _missing(values: Mapping[str, Any], section: Mapping[str, Any], problems: list[str]) -> None:
    what = {
        "checkpoint": "a stream needs a checkpoint. Use e.g. checkpoint='/lake/chk/orders'.",
        "dlq_path": "a stream needs a place for dead letters. Use e.g. dlq_path='/lake/dlq/a'.",
    }
    for name in _REQUIRED:
        if values[name] is None and section.get(name) is None:
            problems.append(f"{name}: {what[name]}")


def _places(values: Mapping[str, Any], problems: list[str]) -> None:
    names = [name for name in (*_REQUIRED, "table") if values[name] is not None]
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            how = overlap(values[first], values[second])
            if how:
                problems.append(
                    f"{first}={shown(values[first])}: it {how} {second}={shown(values[second])}. "
                    "Use a place of its own for each."
                )
    problems += shared(values["checkpoint"], values["dlq_path"], values["table"])


def _losses(values: dict[str, Any], section: Mapping[str, Any], problems: list[str]) -> None:
    """What would lose rows in silence, and options that are settings."""
    read = {name.lower(): value for name, value in values["read_options"].items()}
    losing = read.pop(_SPARK_NAME.lower(), "true").strip().lower() == "false"
    if losing:
        values["fail_on_data_loss"] = False
    if not values["fail_on_data_loss"] and not values["allow_data_loss"]:
        problems.append(
            "fail_on_data_loss=False: rows that the source has lost would be skipped in silence. "
            "Leave it out, or say allow_data_loss=True as well."
        )
    for setting, forbidden in _FORBIDDEN.items():
        for name in values[setting]:
            way = forbidden.get(name.lower())
            if name.lower() in ("txnappid", "txnversion"):
                problems.append(f"{setting}[{name!r}]: the batch's own. Leave it out.")
            elif way:
                problems.append(f"{setting}[{name!r}]: a setting of its own. Use {way}=....")
