"""The same record under the field names of another world: ecs, otel, gcp, datadog, spark.

Floor 1. Stands on: core.encode, core.levels, core.record, core.timestamp, core.values.

A preset is a function from a record to the object that is written instead of LakeTrace's own.
It renames and rearranges: no field is left out, and one of the user's that bears a name of the
schema is kept as `extra_<name>`. Of an exception, type, value and traceback have a place in these
schemas (causes and notes stand in the traceback), Spark's error class and state become fields.
`trace_id` and `span_id` (hex, as OpenTelemetry writes them) become the schema's own. The names:
ecs: Elastic's ecs-logging `spec.json`, with ECS 1.6 field names in their dotted form;
otel: the OpenTelemetry Logs Data Model, attributes by the semantic conventions; nanoseconds are
a string, as in OTLP/JSON, because JSON readers lose the digits of such a number;
gcp: Google Cloud's special fields of structured logging, for what a process prints on stdout;
datadog: Datadog's reserved and standard attributes;
spark: `pyspark.logger.SPARK_LOG_SCHEMA`, where every field is a string in `context`.
Threads: presets are pure functions; the environment is read once, when one is made.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from laketrace.core.encode import Encoder, not_taken
from laketrace.core.levels import Level
from laketrace.core.record import Record
from laketrace.core.timestamp import iso
from laketrace.core.values import as_text

Schema = Callable[[Record], dict[str, Any]]

_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}\Z")
_SPAN_ID = re.compile(r"(?!0{16})[0-9a-f]{16}\Z")
_ECS_KEY = re.compile(r"[.*\\]")


def preset(name: str, encoder: Encoder | None = None) -> Schema:
    """The schema `name`: a function from a record to the object that is written for it.

    `encoder` makes text of values where a schema takes strings only.

    Raises `ValueError` for an unknown name.

    >>> from laketrace.core.levels import WARNING
    >>> from laketrace.core.record import Source
    >>> source = Source("etl", "node-1", 7, "local", "script", "run-1")
    >>> written = preset("gcp")(Record(source, WARNING, "late", 0, {"batch": 12}))
    >>> written["severity"], written["message"], written["batch"]
    ('WARNING', 'late', 12)
    """
    make = _SCHEMAS.get(name.lower()) if isinstance(name, str) else None
    if make is None:
        known = list(_SCHEMAS)
        raise ValueError(f"{name!r} is not a schema. Use {', '.join(known[:-1])} or {known[-1]}.")
    return make(encoder or Encoder())


def _ecs(encoder: Encoder) -> Schema:
    service = os.environ.get("ELASTIC_APM_SERVICE_NAME") or os.environ.get("OTEL_SERVICE_NAME")

    def schema(record: Record) -> dict[str, Any]:
        trace_id, span_id, fields = _ids(_fields(record))
        written: dict[str, Any] = {
            "@timestamp": iso(record.timestamp_ns),
            "log.level": record.level.name,
            "message": record.message,
            "ecs.version": "1.6.0",
            "log.logger": record.logger_name,
            "host.hostname": record.hostname,
            "process.pid": record.pid,
        }
        if service:
            written.update({"service.name": service, "event.dataset": f"{service}.log"})
        _put(written, "trace.id", trace_id)
        _put(written, "span.id", span_id)
        labels: dict[str, Any] = _run(record)
        for key, value in fields.items():
            plain = value is None or isinstance(value, (str, bool, int, float))
            name = _free(_ECS_KEY.sub("_", as_text(key)), labels)
            labels[name] = value if plain else encoder.value(value)
        written["labels"] = labels
        _put(written, "process.thread.name", record.thread_name)
        _put(written, "log.origin.file.name", record.file)
        _put(written, "log.origin.file.line", record.line)
        _put(written, "log.origin.function", record.function)
        if record.exception:
            kind, value, traceback = _error(record.exception)
            written["error.type"] = kind
            written["error.message"] = value
            written["error.stack_trace"] = traceback
        return written

    return schema


def _otel(encoder: Encoder) -> Schema:
    service = os.environ.get("OTEL_SERVICE_NAME")

    def schema(record: Record) -> dict[str, Any]:
        trace_id, span_id, fields = _ids(_fields(record))
        attributes: dict[str, Any] = {}
        _put(attributes, "thread.name", record.thread_name)
        _put(attributes, "thread.id", record.thread_id or None)
        _put(attributes, "code.file.path", record.file)
        _put(attributes, "code.line.number", record.line)
        _put(attributes, "code.function.name", record.function)
        if record.exception:
            kind, value, traceback = _error(record.exception)
            attributes["exception.type"] = kind
            attributes["exception.message"] = value
            attributes["exception.stacktrace"] = traceback
        _add(attributes, fields)
        written: dict[str, Any] = {
            "Timestamp": str(record.timestamp_ns),
            "ObservedTimestamp": str(record.timestamp_ns),
            "SeverityText": record.level.name,
            "SeverityNumber": severity_number(record.level),
            "Body": record.message,
        }
        _put(written, "TraceId", trace_id)
        _put(written, "SpanId", span_id)
        written["Resource"] = {
            "service.name": service or record.logger_name,
            "host.name": record.hostname,
            "process.pid": record.pid,
            **{f"laketrace.{name}": value for name, value in _run(record).items()},
        }
        written["InstrumentationScope"] = {"name": record.logger_name}
        written["Attributes"] = attributes
        return written

    return schema


def severity_number(level: Level) -> int:
    """OpenTelemetry's SeverityNumber, 1 to 24, as its Python SDK maps the same numbers.

    >>> from laketrace.core import levels
    >>> [severity_number(level) for level in (levels.TRACE, levels.INFO, levels.CRITICAL)]
    [1, 9, 21]
    """
    number = level.no
    if number < 10:
        return 1 + min(max(number - 5, 0), 3)
    tens = min(number // 10, 5)
    return 1 + 4 * tens + min(number - 10 * tens, 3)


# Names that Google reads a meaning into, also where the record has nothing to say under them.
_GCP_READ = ("timestamp", "timestampSeconds", "timestampNanos", "stack_trace")


def _gcp(encoder: Encoder) -> Schema:
    project = os.environ.get("GOOGLE_CLOUD_PROJECT") or os.environ.get("GCP_PROJECT")
    special = "logging.googleapis.com/"

    def schema(record: Record) -> dict[str, Any]:
        trace_id, span_id, fields = _ids(_fields(record))
        written: dict[str, Any] = {
            "severity": _named(record.level, _GCP_SEVERITY),
            "message": record.message,
            "time": iso(record.timestamp_ns),
            special + "labels": {
                "level": record.level.name,
                "logger_name": record.logger_name,
                "hostname": record.hostname,
                "pid": str(record.pid),
                **_run(record),
            },
        }
        if record.file is not None:
            written[special + "sourceLocation"] = {
                "file": record.file,
                "line": str(record.line),
                "function": record.function,
            }
        if trace_id:
            trace = f"projects/{project}/traces/{trace_id}" if project else trace_id
            written[special + "trace"] = trace
        _put(written, special + "spanId", span_id)
        if record.exception:
            written["stack_trace"] = _error(record.exception)[2]
        for key, value in fields.items():
            name = as_text(key)
            if name.startswith(special) or name in _GCP_READ:
                name = f"extra_{name}"
            written[_free(name, written)] = value
        return written

    return schema


# Datadog looks for the time under this name before it looks under `timestamp` (log configuration,
# preprocessing for JSON logs: date attributes).
_DATADOG_READ = ("@timestamp",)


def _datadog(encoder: Encoder) -> Schema:
    service, env, version = (os.environ.get(f"DD_{name}") for name in ("SERVICE", "ENV", "VERSION"))
    tags = ",".join(
        f"{key}:{value}" for key, value in (("env", env), ("version", version)) if value
    )

    def schema(record: Record) -> dict[str, Any]:
        trace_id, span_id, fields = _ids(_fields(record))
        written: dict[str, Any] = {
            "timestamp": iso(record.timestamp_ns),
            "status": _named(record.level, _DATADOG_STATUS),
            "message": record.message,
            "level": record.level.name,
            "service": service or record.logger_name,
            "host": record.hostname,
            "ddsource": "python",
        }
        _put(written, "ddtags", tags)
        written.update({"logger.name": record.logger_name, "pid": record.pid, **_run(record)})
        _put(written, "logger.thread_name", record.thread_name)
        _put(written, "logger.method_name", record.function)
        _put(written, "file", record.file)
        _put(written, "line", record.line)
        if trace_id and span_id:  # Datadog's ids are the lower 64 bits, in decimal digits
            written["dd.trace_id"] = str(int(trace_id[16:], 16))
            written["dd.span_id"] = str(int(span_id, 16))
        if record.exception:
            kind, value, traceback = _error(record.exception)
            written["error.kind"] = kind
            written["error.message"] = value
            written["error.stack"] = traceback
        _add(written, fields, _DATADOG_READ)
        return written

    return schema


def _spark(encoder: Encoder) -> Schema:
    def text(value: Any) -> str | None:
        if value is None:
            return None
        return str.__str__(value) if isinstance(value, str) else encoder.value(value)

    def schema(record: Record) -> dict[str, Any]:
        context: dict[str, Any] = {
            "hostname": record.hostname,
            "pid": str(record.pid),
            **_run(record),
        }
        if record.file is not None:
            context.update(file=record.file, line=str(record.line), function=record.function)
        _add(context, {key: text(value) for key, value in _fields(record).items()})
        written: dict[str, Any] = {
            "ts": iso(record.timestamp_ns),
            "level": record.level.name,
            "logger": record.logger_name,
            "msg": record.message,
            "context": context,
        }
        if record.exception:
            kind, value, _ = _error(record.exception)
            written["exception"] = {
                "class": kind,
                "msg": value,
                "stacktrace": [_spark_frame(frame) for frame in record.exception.get("frames", ())],
            }
        return written

    return schema


def _spark_frame(frame: Mapping[str, Any]) -> dict[str, str | None]:
    line = frame.get("line")
    return {
        "class": None,
        "method": frame.get("function"),
        "file": frame.get("file"),
        "line": None if line is None else str(line),
    }


_SCHEMAS: dict[str, Callable[[Encoder], Schema]] = {
    "ecs": _ecs,
    "otel": _otel,
    "gcp": _gcp,
    "datadog": _datadog,
    "spark": _spark,
}
# Names by the least level that has them, so that a level of the user's own falls into a range.
_GCP_SEVERITY = (
    (50, "CRITICAL"), (40, "ERROR"), (30, "WARNING"), (25, "NOTICE"), (20, "INFO"), (0, "DEBUG"),
)  # fmt: skip
_DATADOG_STATUS = tuple((least, name.lower()) for least, name in _GCP_SEVERITY)


def _named(level: Level, names: tuple[tuple[int, str], ...]) -> str:
    return next((name for least, name in names if level.no >= least), names[-1][1])


def _run(record: Record) -> dict[str, Any]:
    """What the schemas have no name for, under LakeTrace's own names."""
    return {
        "platform": record.platform,
        "runtime_type": record.runtime_type,
        "run_id": record.run_id,
    }


def _fields(record: Record) -> Mapping[str, Any]:
    """The record's fields, with what Spark says of its error and the schemas have no place for."""
    found = record.exception or {}
    facts: dict[str, Any] = {
        name: found[name] for name in ("error_class", "sqlstate") if name in found
    }
    return {**facts, **record.extra} if facts else record.extra


def _ids(extra: Mapping[str, Any]) -> tuple[str | None, str | None, Mapping[str, Any]]:
    """Trace id, span id and the other fields; what is not an id in W3C form stays a field."""
    trace_id = extra.get("trace_id")
    if not isinstance(trace_id, str) or not _TRACE_ID.match(trace_id):
        return None, None, extra
    fields = dict(extra)
    span_id = extra.get("span_id")
    if not isinstance(span_id, str) or not _SPAN_ID.match(span_id):
        span_id = None
    else:
        del fields["span_id"]
    del fields["trace_id"]
    return trace_id, span_id, fields


def _error(exception: Mapping[str, Any]) -> tuple[str, str, str]:
    """Type, value and traceback of the record's `exception` object, as texts."""
    kind, value = as_text(exception.get("type", "")), as_text(exception.get("value", ""))
    return kind, value, as_text(exception.get("traceback") or f"{kind}: {value}")


def _put(target: dict[str, Any], name: str, value: Any) -> None:
    if value is not None and value != "":
        target[name] = value


def _add(target: dict[str, Any], fields: Mapping[str, Any], reserved: Collection[str] = ()) -> None:
    for key, value in fields.items():
        name = as_text(key)
        target[_free(f"extra_{name}" if name in reserved else name, target)] = value


def _free(name: str, taken: Mapping[str, Any]) -> str:
    """`name`, or `extra_<name>` where the schema has it already."""
    return not_taken(f"extra_{name}", taken) if name in taken else name
