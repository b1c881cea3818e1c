"""Settings: from where they come, what they may be, and how wrong ones are told."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from laketrace import ConfigError, get_logger
from laketrace.config import SETTINGS, LakeTraceConfig

# Each key of 1.0.2 with its default and every form that it accepted and that did no harm.
KEYS_OF_1X: dict[str, tuple[Any, list[Any]]] = {
    "log_dir": ("/tmp/laketrace_logs", ["/tmp/x", Path("/tmp/x"), ""]),
    "rotation_mb": (10, [1, 0.5, None]),
    "rotation": (
        None,
        [
            *("500 MB", "1.5 gb", "10KB", "100 B", 1000, 1e6, dt.timedelta(hours=1), dt.time(12)),
            *("1 hour", "0.5 days", "2 weeks", "1 month", "1 year", "30 minutes", "45 seconds"),
            *("daily", "weekly", "monthly", "yearly", "00:00", "9:30", "23:59:59", "monday 12:00"),
            *(["500 MB", "1 hour"], ("1 day",), {"1 day"}, lambda text, file: False),
        ],
    ),
    "retention_files": (5, [1, 10, None]),
    "retention": (
        None,
        ["10 files", "1 file", "7 days", "1 hour", 3, dt.timedelta(days=1), lambda paths: None],
    ),
    "level": ("INFO", ["TRACE", "debug", "Info", "SUCCESS", "WARNING", "ERROR", "critical"]),
    "json": (True, [True, False]),
    "serialize": (False, [True, False]),
    "stdout": (True, [True, False]),
    "compression": ("none", ["gz", "BZ2", "zip", "none", None]),
    "add_runtime_context": (True, [True, False]),
    "enqueue": (False, [True, False]),
    "catch": (True, [True, False]),
    "filter": (None, [lambda record: True, None]),
    "formatter": (None, [lambda record: "x", None]),
    "format": (None, ["{timestamp} {level} {logger_name} {message}", None]),
    "sanitize_messages": (True, [True, False]),
    "mask_pii": (False, [True, False]),
    "secure_file_permissions": (True, [True, False]),
}


@pytest.mark.parametrize("name", KEYS_OF_1X)
def test_every_key_of_1x_is_there_with_its_default(name: str) -> None:
    """All 19 keys of 1.x keep their names and defaults."""
    assert LakeTraceConfig(environment={})[name] == (
        "auto" if name == "stdout" else KEYS_OF_1X[name][0]
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, (_, values) in KEYS_OF_1X.items() for value in values],
)
def test_every_form_that_1x_accepted_is_accepted(name: str, value: object) -> None:
    """A valid configuration of 1.x is a valid one today."""
    LakeTraceConfig({name: value}, environment={})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rotation", "hourly"),
        ("rotation", "30 min"),
        ("rotation", "1h"),
        ("rotation", "1 day 2 hours"),
        ("rotation", "100 KiB"),
        ("rotation", "1 TB"),
        ("rotation", "monday"),
        ("rotation", "midnight"),
        ("rotation", {"size": "500 MB", "time": "00:00"}),
        ("retention", "100 MB"),
        ("retention", "30d"),
        ("retention", {"count": 3, "age": "7 days"}),
        ("compression", "gzip"),
        ("compression", "xz"),
        ("level", "warn"),
        ("level", 15),
        ("json", "no"),
        ("timezone", "Europe/Berlin"),
    ],
)
def test_what_1x_refused_or_misread_is_understood(name: str, value: object) -> None:
    """Forms that users reach for work, and mean what they say."""
    config = LakeTraceConfig({name: value}, environment={})

    assert config["json"] is (name != "json")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rotation", 0),
        ("rotation", -1),
        ("rotation", True),
        ("rotation", []),
        ("rotation", "500 MBB"),
        ("retention", 0),
        ("retention", -1),
        ("retention", True),
        ("retention_files", 0),
        ("level", "LOUD"),
        ("json", "maybe"),
        ("compression", "rar"),
        ("queue_size", 0),
        ("overflow", "explode"),
        ("format", "{levl}"),
        ("filter", 7),
        ("formatter", "x"),
        ("timezone", "Mars/Phobos"),
        ("schema", "xml"),
        ("max_record_size", "big"),
        ("log_dir", 7),
        ("redact_patterns", ["("]),
    ],
)
def test_a_wrong_value_is_told_with_rule_and_remedy(name: str, value: object) -> None:
    """The error names setting and value, the rule, and a way out."""
    with pytest.raises(ConfigError) as caught:
        LakeTraceConfig({name: value}, environment={})

    (problem,) = caught.value.problems
    assert problem.startswith(f"{name}={value!r}: ")
    assert "Use " in problem


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """One error lists every wrong setting, and nothing was opened."""
    with pytest.raises(ConfigError) as caught:
        get_logger("wrong", {"rotation": "500 MBB", "retension": "7 days"}, log_dir=tmp_path / "x")

    assert str(caught.value) == (
        "2 settings are wrong:\n"
        "  - retension='7 days': no such setting. Did you mean 'retention'?\n"
        "  - rotation='500 MBB': 'MBB' is not a unit of size. Use B, KB, MB, GB or TB, "
        "e.g. rotation='500 MB'."
    )
    assert isinstance(caught.value, ValueError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["upload_options", "upload_option", "Upload_Options"])
@pytest.mark.parametrize("value", [{"key": "s3cret"}, "key=s3cret", ["s3cret"]])
def test_no_text_shows_the_options_of_a_store(name: str, value: object) -> None:
    """Neither the error about a wrong value or a misspelt name, nor the settings themselves."""
    try:
        text = repr(LakeTraceConfig({name: value}, environment={}))
    except ConfigError as error:
        text = str(error)

    assert name in text and "s3cret" not in text


def test_the_nearer_to_the_code_the_stronger() -> None:
    """Keyword, dict, environment, Spark conf, default: in this order."""
    spark = {"level": "TRACE", "enqueue": "on", "queue_size": "5", "caller_level": "ERROR"}
    environment = {"level": "DEBUG", "enqueue": "no", "queue_size": "6"}

    config = LakeTraceConfig(
        {"level": "ERROR", "enqueue": True}, environment=environment, spark=spark, level="CRITICAL"
    )

    assert config["level"] == "CRITICAL"
    assert config["enqueue"] is True
    assert config.checked("queue_size") == 6
    assert config["caller_level"] == "ERROR"


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "true", "false", "1", "0", "No", "ON"])
def test_booleans_mean_what_they_say(word: str) -> None:
    """`"no"` is not a truthy text any more."""
    config = LakeTraceConfig({"json": word}, environment={"serialize": word})

    assert config["json"] is config["serialize"] is (word.lower() in ("yes", "on", "true", "1"))


def test_a_wrong_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names each variable, so that it can be found."""
    monkeypatch.setenv("LAKETRACE_LEVEL", "LOUD")
    monkeypatch.setenv("LAKETRACE_ROTATION", "5x")

    with pytest.raises(ConfigError) as raised:
        LakeTraceConfig()

    level, rotation = raised.value.problems
    assert level.startswith("LAKETRACE_LEVEL='LOUD': 'LOUD' is not a level")
    assert rotation.startswith("LAKETRACE_ROTATION='5x': 'x' is not a unit of time")


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_documented_and_its_default_is_valid(name: str) -> None:
    """A row has forms and a line of documentation, and accepts its own default."""
    row = SETTINGS[name]

    assert row.doc.endswith(".") and row.forms
    row.check(row.default)


@pytest.mark.parametrize("empty", [None, ""])
def test_no_log_dir_means_no_file(empty: str | None) -> None:
    """`log_dir=None` and `""` both mean: no file."""
    log = get_logger("nowhere", log_dir=empty, stdout=False)
    try:
        assert log.log_file_path is None and not log.handlers
    finally:
        log.close()


def test_a_logger_has_a_name() -> None:
    """An empty name is refused before anything is opened."""
    with pytest.raises(ConfigError, match="a logger has a name"):
        get_logger("  ")


def test_config_is_the_mapping_of_1x() -> None:
    """`get`, `[]`, `in`, `to_dict()` and one attribute a setting."""
    config = LakeTraceConfig({"level": "debug"}, environment={})

    assert config.get("level") == config["level"] == config.level == "DEBUG"
    assert "level" in config and config.to_dict()["rotation_mb"] == 10
    assert set(config) == set(SETTINGS) == set(LakeTraceConfig.DEFAULTS)
