"""Output presets: the record under the published names of other schemas."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laketrace.core.encode import Encoder
from laketrace.core.levels import Level, get_level
from laketrace.core.presets import preset, severity_number
from laketrace.core.record import Record, Source

AT = 1_795_000_000_123_456_789
ISO = "2026-11-18T11:06:40.123456+00:00"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"
SCHEMAS = ("ecs", "otel", "gcp", "datadog", "spark")

# elastic/ecs-logging, spec/spec.json: name -> (required, position, nesting allowed)
ECS_SPEC = {
    "@timestamp": (True, 0),
    "log.level": (True, 1),
    "message": (True, 2),
    "ecs.version": (True, None),
    "labels": (False, None),
    "trace.id": (False, None),
    "service.name": (False, None),
    "event.dataset": (False, None),
}
# ECS 1.6, field reference: base, log, error, process, host, tracing
ECS_FIELDS = {
    *ECS_SPEC, "log.logger", "log.origin.file.name", "log.origin.file.line",
    "log.origin.function", "error.type", "error.message", "error.stack_trace", "process.pid",
    "process.thread.name", "host.hostname", "span.id",
}  # fmt: skip
# opentelemetry-specification, logs/data-model.md
OTEL_FIELDS = {
    "Timestamp", "ObservedTimestamp", "TraceId", "SpanId", "TraceFlags", "SeverityText",
    "SeverityNumber", "Body", "Resource", "InstrumentationScope", "Attributes", "EventName",
}  # fmt: skip
# cloud.google.com/logging/docs/structured-logging, special fields; LogSeverity of LogEntry
GCP_FIELDS = {
    "severity", "message", "time", "stack_trace", "logging.googleapis.com/labels",
    "logging.googleapis.com/sourceLocation", "logging.googleapis.com/trace",
    "logging.googleapis.com/spanId", "logging.googleapis.com/trace_sampled",
}  # fmt: skip
GCP_SEVERITIES = {
    "DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY",
}  # fmt: skip
# docs.datadoghq.com/standard-attributes (reserved and source code), log intake, dd.* correlation
DATADOG_FIELDS = {
    "timestamp", "status", "message", "service", "host", "ddsource", "ddtags", "logger.name",
    "logger.thread_name", "logger.method_name", "error.kind", "error.message", "error.stack",
    "dd.trace_id", "dd.span_id",
}  # fmt: skip
SPARK_FIELDS = {"ts", "level", "msg", "context", "exception", "logger"}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in (
        "ELASTIC_APM_SERVICE_NAME", "OTEL_SERVICE_NAME", "GOOGLE_CLOUD_PROJECT", "GCP_PROJECT",
        "DD_SERVICE", "DD_ENV", "DD_VERSION",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


def full_record(**extra: Any) -> Record:
    source = Source("orders_etl", "host-1", 4711, "databricks", "job", "run-1")
    record = Record(source, get_level("ERROR"), "load failed", AT, extra)
    record.file, record.line, record.function, record.module = "/app/etl.py", 42, "load", "etl"
    record.thread_id, record.thread_name = 7, "MainThread"
    record.exception = {
        "type": "ValueError",
        "value": "bad row",
        "traceback": "Traceback (most recent call last):\nValueError: bad row",
        "frames": [{"file": "/app/etl.py", "line": 42, "function": "load", "module": "etl"}],
    }
    return record


def written(name: str, record: Record) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(Encoder().value(preset(name)(record)))
    return result


def test_unknown_schema_is_refused_with_the_known_ones():
    """A schema that does not exist names those that do."""
    with pytest.raises(ValueError) as caught:
        preset("ecs2")

    assert str(caught.value) == ("'ecs2' is not a schema. Use ecs, otel, gcp, datadog or spark.")


def test_schema_names_ignore_letter_case():
    """`ECS` is ecs, as for every human string of a setting."""
    assert preset("ECS")(full_record())["ecs.version"] == "1.6.0"


def test_ecs_has_the_required_fields_first_and_in_order():
    """The spec's required fields stand at their positions, under their dotted names."""
    record = written("ecs", full_record(table="orders"))

    for name, (required, position) in ECS_SPEC.items():
        assert not required or name in record
        assert position is None or list(record)[position] == name
    assert set(record) <= ECS_FIELDS


def test_ecs_carries_error_origin_trace_and_labels():
    """Exception, place in the source, trace and the user's fields have their ECS names."""
    record = written(
        "ecs",
        full_record(trace_id=TRACE_ID, span_id=SPAN_ID, rows=3, **{"a.b*c": 1, "tree": {"x": [1]}}),
    )

    assert record["@timestamp"] == ISO
    assert record["error.type"] == "ValueError"
    assert record["error.stack_trace"].startswith("Traceback")
    assert (record["log.origin.file.line"], record["log.origin.function"]) == (42, "load")
    assert (record["trace.id"], record["span.id"]) == (TRACE_ID, SPAN_ID)
    assert record["labels"] == {
        "platform": "databricks", "runtime_type": "job", "run_id": "run-1",
        "rows": 3, "a_b_c": 1, "tree": '{"x":[1]}',
    }  # fmt: skip


def test_ecs_service_comes_from_the_agents_environment(monkeypatch):
    """A configured service name sets `event.dataset`, as the spec asks."""
    monkeypatch.setenv("ELASTIC_APM_SERVICE_NAME", "orders")

    record = written("ecs", full_record())

    assert (record["service.name"], record["event.dataset"]) == ("orders", "orders.log")


def test_otel_has_the_names_of_the_data_model():
    """Fields are those of the Logs Data Model; nanoseconds keep all their digits."""
    record = written("otel", full_record(trace_id=TRACE_ID, span_id=SPAN_ID, rows=3))

    assert set(record) <= OTEL_FIELDS
    assert record["Timestamp"] == str(AT)
    assert (record["SeverityText"], record["SeverityNumber"]) == ("ERROR", 17)
    assert record["Body"] == "load failed"
    assert (record["TraceId"], record["SpanId"]) == (TRACE_ID, SPAN_ID)
    assert record["InstrumentationScope"] == {"name": "orders_etl"}
    assert record["Resource"]["service.name"] == "orders_etl"
    assert record["Attributes"]["rows"] == 3


@pytest.mark.extra("opentelemetry.semconv")
def test_otel_attributes_are_those_of_the_semantic_conventions():
    """Each attribute that the preset writes exists in the published conventions."""
    from importlib import import_module

    conventions = import_module("opentelemetry.semconv.attributes")
    published = {
        value
        for module in ("code", "exception", "service")
        for value in vars(import_module(f"{conventions.__name__}.{module}_attributes")).values()
        if isinstance(value, str)
    }
    incubating = import_module("opentelemetry.semconv._incubating.attributes")
    for module in ("thread", "host", "process"):
        attributes = import_module(f"{incubating.__name__}.{module}_attributes")
        published |= {value for value in vars(attributes).values() if isinstance(value, str)}

    record = written("otel", full_record())

    assert set(record["Attributes"]) <= published
    assert {name for name in record["Resource"] if "laketrace" not in name} <= published


@pytest.mark.parametrize(
    ("name", "span"),
    [
        ("TRACE", range(1, 5)), ("DEBUG", range(5, 9)), ("INFO", range(9, 13)),
        ("SUCCESS", range(9, 13)), ("WARNING", range(13, 17)), ("ERROR", range(17, 21)),
        ("CRITICAL", range(21, 25)),
    ],
)  # fmt: skip
def test_otel_severity_lies_in_the_range_of_the_data_model(name, span):
    """Each level has a number of its range; the one that names the range has its smallest."""
    number = severity_number(get_level(name))

    assert number in span
    assert (number == span.start) == (name != "SUCCESS")


def test_otel_severity_stays_in_its_range_for_any_level():
    """TRACE and own levels of any number are 1 to 24, and never fall as the level rises."""
    numbers = [severity_number(Level("X", number)) for number in range(101)]

    assert numbers == sorted(numbers)
    assert (numbers[5], numbers[0], numbers[-1]) == (1, 1, 24)


def test_gcp_has_the_special_fields_of_structured_logging():
    """Severity is of Google's enum, the source line a string, the labels a map of strings."""
    record = written("gcp", full_record(rows=3, trace_id=TRACE_ID, span_id=SPAN_ID))

    assert set(record) - {"rows"} <= GCP_FIELDS
    assert record["severity"] == "ERROR"
    assert record["time"] == ISO
    assert record["logging.googleapis.com/sourceLocation"] == {
        "file": "/app/etl.py", "line": "42", "function": "load",
    }  # fmt: skip
    assert all(isinstance(v, str) for v in record["logging.googleapis.com/labels"].values())
    assert record["logging.googleapis.com/trace"] == TRACE_ID
    assert record["stack_trace"].endswith("ValueError: bad row")
    assert record["rows"] == 3


def test_gcp_trace_is_a_full_resource_name_where_the_project_is_known(monkeypatch):
    """With a project in the environment the trace is `projects/<project>/traces/<id>`."""
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "lake-1")

    record = written("gcp", full_record(trace_id=TRACE_ID))

    assert record["logging.googleapis.com/trace"] == f"projects/lake-1/traces/{TRACE_ID}"


@pytest.mark.parametrize("number", [1, 5, 10, 20, 25, 30, 35, 40, 50, 99])
def test_every_level_has_a_severity_that_google_and_datadog_know(number):
    """Own levels take the name of the range that they fall into."""
    record = full_record()
    record.level = Level("AUDIT", number)

    assert preset("gcp")(record)["severity"] in GCP_SEVERITIES - {"DEFAULT"}
    assert preset("datadog")(record)["status"] in {
        "debug", "info", "notice", "warning", "error", "critical",
    }  # fmt: skip


def test_datadog_has_reserved_and_standard_attributes(monkeypatch):
    """Names are Datadog's; ids are decimal, the trace's lower 64 bits."""
    monkeypatch.setenv("DD_SERVICE", "orders")
    monkeypatch.setenv("DD_ENV", "prod")

    record = written("datadog", full_record(rows=3, trace_id=TRACE_ID, span_id=SPAN_ID))

    own = {"level", "pid", "platform", "runtime_type", "run_id", "file", "line", "rows"}
    assert set(record) - own <= DATADOG_FIELDS
    assert (record["service"], record["ddtags"]) == ("orders", "env:prod")
    assert record["dd.trace_id"] == str(0xA3CE929D0E0E4736)
    assert record["dd.span_id"] == str(0x00F067AA0BA902B7)
    assert record["error.kind"] == "ValueError"


def test_a_field_cannot_date_a_record_of_datadog():
    """Datadog would take `@timestamp` for the record's time before it looks at `timestamp`."""
    record = written("datadog", full_record(**{"@timestamp": "2000-01-01"}))

    assert record["timestamp"] == ISO
    assert "@timestamp" not in record and record["extra_@timestamp"] == "2000-01-01"


def test_spark_has_exactly_the_columns_of_spark_log_schema():
    """Six columns; context is a map of strings, a stack line's number a string."""
    record = written(
        "spark", full_record(rows=3, deep={"a": 1}, none=None, ok=True, trace_id=TRACE_ID)
    )

    assert set(record) == SPARK_FIELDS
    assert record["ts"] == ISO
    assert record["context"] == {
        "hostname": "host-1", "pid": "4711", "platform": "databricks", "runtime_type": "job",
        "run_id": "run-1", "file": "/app/etl.py", "line": "42", "function": "load",
        "rows": "3", "deep": '{"a":1}', "none": None, "ok": "true", "trace_id": TRACE_ID,
    }  # fmt: skip
    assert record["exception"] == {
        "class": "ValueError",
        "msg": "bad row",
        "stacktrace": [{"class": None, "method": "load", "file": "/app/etl.py", "line": "42"}],
    }


@pytest.mark.spark("4.0")
def test_spark_reads_the_preset_with_its_own_schema(spark, tmp_path):
    """Real Spark reads every column, the time to the microsecond, by `SPARK_LOG_SCHEMA`."""
    from pyspark import logger

    path = tmp_path / "log.jsonl"
    path.write_text(Encoder().value(preset("spark")(full_record(rows=3, none=None))) + "\n")
    session = spark.newSession()
    session.conf.set("spark.sql.session.timeZone", "America/New_York")

    frame = session.read.schema(logger.SPARK_LOG_SCHEMA).json(str(path))
    row = frame.selectExpr("*", "unix_micros(ts) AS micros").first()

    assert row is not None
    assert row["micros"] == AT // 1000
    assert (row["level"], row["msg"], row["logger"]) == ("ERROR", "load failed", "orders_etl")
    assert row["context"]["rows"] == "3"
    assert row["exception"]["stacktrace"][0]["method"] == "load"


@pytest.mark.parametrize("schema", SCHEMAS)
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    extra=st.dictionaries(
        st.sampled_from(
            [
                "severity", "time", "stack_trace", "status", "service", "host", "error.kind",
                "logging.googleapis.com/trace", "hostname", "platform", "a.b", "a_b", "ts", "x",
                "exception.type", "code.line.number", "dd.trace_id", "extra_status", "labels",
            ]
        ),
        st.one_of(st.text(max_size=5), st.integers(), st.none(), st.lists(st.integers())),
        max_size=8,
    )
)  # fmt: skip
def test_a_field_can_forge_nothing_and_is_never_lost(schema, extra):
    """Whatever a field is called, the schema's own values stay and the field's is there too."""
    plain = written(schema, full_record())

    record = full_record()
    record.extra = extra
    forged = written(schema, record)

    def leaves(tree: Any) -> int:
        return sum(leaves(v) if isinstance(v, dict) else 1 for v in tree.values())

    assert leaves(forged) == leaves(plain) + len(extra)
    for name, value in plain.items():
        own = dict(forged[name], **value) if isinstance(value, dict) else value
        assert forged[name] == own


@pytest.mark.parametrize("schema", SCHEMAS)
def test_error_class_and_state_of_spark_are_fields(schema):
    """What Spark says of an error can be queried under every schema."""
    record = full_record(rows=3)
    assert record.exception is not None
    record.exception.update(error_class="DIVIDE_BY_ZERO", sqlstate="22012")

    text = Encoder().value(preset(schema)(record))

    assert '"error_class":"DIVIDE_BY_ZERO","sqlstate":"22012","rows":' in text


@pytest.mark.parametrize("schema", SCHEMAS)
def test_ids_that_are_not_ids_stay_fields(schema):
    """A `trace_id` that is no W3C id is an ordinary field."""
    text = Encoder().value(preset(schema)(full_record(trace_id="not-hex", span_id="0" * 16)))

    assert '"trace_id":"not-hex"' in text
    assert "0" * 16 in text


@pytest.mark.parametrize("schema", SCHEMAS)
def test_records_without_caller_or_exception_have_no_empty_fields(schema):
    """What a record does not have is absent, not null."""
    source = Source("etl", "h", 1, "local", "script", "r")
    record = Record(source, get_level("INFO"), "hi", AT, {})

    text = Encoder().value(preset(schema)(record))

    assert "null" not in text and '""' not in text
