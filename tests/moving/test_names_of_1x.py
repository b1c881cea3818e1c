"""Every name that a user of 1.0.2 could have typed: it is here, or the page says why it is not.

Settings and their values are in `tests/test_settings.py`, bugs in `test_bugs_of_1x.py`.
"""

from __future__ import annotations

import datetime as dt
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

import laketrace
from laketrace import get_logger

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "moving-from-1x.md"

NAMES = {
    "laketrace": [
        *("Logger", "create_logger", "detect_runtime", "escape_format_strings", "escape_newlines"),
        *("get_logger", "mask_pii", "sanitize_message", "stop_spark_if_active", "__version__"),
    ],
    "laketrace.config": ["LakeTraceConfig"],
    "laketrace.init": ["Logger", "detect_runtime", "get_logger", "stop_spark_if_active"],
    "laketrace.logger": ["Logger", "create_logger", "get_logger"],
    "laketrace.runtime": [
        *("RuntimeContext", "RuntimeDetector", "RuntimePlatform", "RuntimeType"),
        *("detect_runtime", "get_run_id_from_environment", "stop_spark_if_active"),
    ],
    "laketrace.security": [
        *("DataEncryption", "DataLeakDetector", "FieldWhitelist", "LogIntegrityVerifier"),
        *("SecurityConfig", "SensitiveDataRedactor", "escape_format_strings", "escape_newlines"),
        *("get_secure_file_opener", "mask_pii", "mask_value", "sanitize_message"),
    ],
}
# What was inside the engine of 1.x. The page has each of them, with what to use instead.
GONE = {
    "laketrace.compression": ["make_compression_function"],
    "laketrace.core_logger": [
        *("BoundLogger", "FileHandler", "Handler", "JSONFormatter", "LogLevel", "LogRecord"),
        *("StreamHandler", "TextFormatter", "_CoreLogger"),
    ],
    "laketrace.retention": ["make_retention_function"],
    "laketrace.rotation": ["make_rotation_function", "Rotation"],
    "laketrace.spark_integration": [
        *("SparkLogHandler", "setup_logging_with_spark", "stop_spark_and_upload_logs"),
    ],
    "laketrace.string_parsers": [
        *("parse_daytime", "parse_daytime_with_weekday", "parse_duration", "parse_frequency"),
        "parse_size",
    ],
}
LEVELS = ["trace", "debug", "info", "success", "warning", "error", "critical"]
METHODS = [
    *(*LEVELS, "exception", "log_structured", "bind", "tail", "close"),
    "upload_log_to_lakehouse",
]


@pytest.fixture
def log(tmp_path: Path) -> Any:
    """A logger as 1.x made it, with a dict."""
    made = get_logger("orders", {"log_dir": str(tmp_path), "stdout": False, "level": "TRACE"})
    yield made
    made.close()


def written(log: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.log_file_path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in NAMES.items() for name in names]
)
def test_a_name_of_1x_can_be_imported_from_where_it_was(module: str, name: str) -> None:
    """An import of a 1.x program goes on working."""
    assert getattr(importlib.import_module(module), name) is not None


@pytest.mark.parametrize("module", GONE)
def test_a_module_that_is_gone_is_on_the_page(module: str) -> None:
    """The page names the module and everything in it, and the module is truly gone."""
    page = PAGE.read_text("utf-8")

    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(module)
    assert [name for name in [module, *GONE[module]] if f"`{name}`" not in page] == []


@pytest.mark.parametrize("level", LEVELS)
def test_level_methods_take_a_message_and_fields(log: Any, level: str) -> None:
    """`log.info(message, **fields)`, also on a bound logger."""
    getattr(log, level)("table loaded", table="orders")
    getattr(log.bind(stage="bronze"), level)("table loaded", table="orders")

    first, second = written(log)
    assert first["level"] == level.upper() and first["table"] == "orders"
    assert second["stage"] == "bronze"


@pytest.mark.parametrize("method", METHODS)
def test_a_bound_logger_can_do_everything(log: Any, method: str) -> None:
    """What `BoundLogger` of 1.x did not have, it has."""
    assert callable(getattr(log.bind(stage="bronze"), method))


def test_exception_has_the_fields_of_1x(log: Any) -> None:
    """`type`, `value` and `traceback` are where they were."""
    try:
        raise ValueError("no rows")
    except ValueError:
        log.exception("load failed")

    exception = written(log)[0]["exception"]
    assert (exception["type"], exception["value"]) == ("ValueError", "no rows")
    assert exception["traceback"].startswith("Traceback (most recent call last)")


def test_log_structured_puts_data_into_fields(log: Any) -> None:
    """The items of `data` are at the top of the record; personal data is masked by default."""
    log.log_structured("loaded", level="WARNING", data={"rows": 3, "by": "bob@example.com"})
    log.log_structured("loaded", data={"by": "bob@example.com"}, mask_sensitive=False)

    masked, plain = written(log)
    assert (masked["level"], masked["rows"]) == ("WARNING", 3)
    assert "bob" not in masked["by"] and plain["by"] == "bob@example.com"


def test_tail_prints_and_zero_prints_nothing(log: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """`tail(n)` prints the last lines."""
    for number in range(5):
        log.info(f"record {number}")
    log.tail(0)
    nothing = capsys.readouterr().out
    log.tail(2)
    printed = capsys.readouterr().out

    assert nothing == ""
    assert "record 4" in printed and "record 3" in printed and "record 2" not in printed


def test_the_attributes_of_1x_are_there(tmp_path: Path) -> None:
    """`name`, `config`, `run_id`, `runtime_metadata`, `log_file_path`."""
    log = laketrace.Logger("orders", {"log_dir": tmp_path, "stdout": False}, run_id="nightly-7")

    assert (log.name, log.run_id) == ("orders", "nightly-7")
    assert log.config.level == log.config.get("level") == log.config["level"] == "INFO"
    assert log.log_file_path == tmp_path / "orders.log"
    assert log.runtime_metadata.platform.value == "local"
    assert {"hostname", "pid", "run_id", "metadata"} <= set(dir(log.runtime_metadata))
    log.close()


def test_upload_log_to_lakehouse_says_whether_it_worked(log: Any, tmp_path: Path) -> None:
    """It returns a bool and never raises, as in 1.x."""
    log.info("table loaded")

    assert log.upload_log_to_lakehouse(str(tmp_path / "lake"), max_retries=0) is True
    assert log.upload_log_to_lakehouse("") is False


def test_the_same_name_is_the_same_logger(log: Any) -> None:
    """`get_logger` keeps one logger a name; `create_logger` and `Logger` give it too."""
    assert get_logger("orders") is log
    assert laketrace.create_logger("orders") is log


def test_a_record_has_the_fields_of_1x_in_order(log: Any) -> None:
    """Readers of the JSON lines find what they know, where they know it."""
    log.bind(stage="bronze").info("table loaded", rows=3)

    assert list(written(log)[0]) == [
        *("timestamp", "level", "message", "logger_name", "hostname", "pid"),
        *("platform", "runtime_type", "run_id", "stage", "rows"),
    ]
    assert dt.datetime.fromisoformat(written(log)[0]["timestamp"]).utcoffset() == dt.timedelta(0)


def test_serialize_adds_thread_and_process(tmp_path: Path) -> None:
    """`serialize=True` adds `thread_id` and `process_id`."""
    log = get_logger("orders", {"log_dir": tmp_path, "stdout": False, "serialize": True})
    log.info("table loaded")
    log.close()

    assert {"thread_id", "process_id"} <= set(written(log)[0])


def test_callables_get_the_record_of_1x(tmp_path: Path) -> None:
    """A filter and a formatter find the attributes that they had."""
    seen: list[Any] = []
    attributes = ["level", "message", "logger_name", "timestamp", "extra", "exception"]

    def keep(record: Any) -> bool:
        seen.append([getattr(record, name) for name in [*attributes, "hostname", "process_id"]])
        return bool(record.level.value >= 20 and record.level.name != "WARNING")

    def show(record: Any) -> str:
        return f"{record.level.name} {record.message} {record.extra['rows']}\n"

    config = {"log_dir": tmp_path, "stdout": False, "filter": keep, "formatter": show}
    log = get_logger("orders", config)
    log.info("table loaded", rows=3)
    log.warning("not kept", rows=0)
    log.close()

    assert (tmp_path / "orders.log").read_text() == "INFO table loaded 3\n"
    assert len(seen) == 2


def test_rotated_files_keep_their_names(tmp_path: Path) -> None:
    """A backup is `<name>.log.YYYYMMDD_HHMMSS` with the suffix of its compression."""
    config = {"log_dir": tmp_path, "stdout": False, "rotation": 2000, "compression": "gz"}
    log = get_logger("orders", config)
    for number in range(30):
        log.info("record", number=number)
    log.close()

    names = {path.name for path in tmp_path.glob("orders.log*")}
    assert "orders.log" in names
    assert all(name.endswith(".gz") for name in names - {"orders.log"}) and len(names) > 1


@pytest.mark.parametrize(
    ("variable", "value"),
    [("LAKEHOUSE_CONTEXT_RUN_ID", "run-1"), ("RUN_ID", "run-2"), ("FABRIC_RUN_ID", "run-3")],
)
def test_the_run_id_comes_from_the_variables_of_1x(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`LAKEHOUSE_CONTEXT_RUN_ID`, and those that 1.x only looked at for its metadata."""
    monkeypatch.setenv(variable, value)
    log = get_logger("orders", log_dir=None, stdout=False)
    try:
        assert log.run_id == value
    finally:
        log.close()
