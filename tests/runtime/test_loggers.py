"""What a logger takes from where it runs: its name, its run, its ids, and settings of Spark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from laketrace import ConfigError, Logger, get_logger, read
from tests.runtime import platforms
from tests.runtime.platforms import Conf, ServerlessConf, Surroundings


class Made:
    """Makes loggers with a file, and reads from it what they logged from the very first."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._loggers: list[Logger] = []

    def __call__(self, name: str | None = None, **settings: Any) -> Logger:
        log = get_logger(name, log_dir=self._folder, stdout=False, **settings)
        self._loggers.append(log)
        return log

    @property
    def records(self) -> list[dict[str, Any]]:
        return list(read(self._folder))

    def close(self) -> None:
        for log in self._loggers:
            log.close()


@pytest.fixture
def make(machine: Surroundings, tmp_path: Path) -> Iterator[Made]:
    """`machine` comes first: what a logger is made on."""
    made = Made(tmp_path / "logs")
    yield made
    made.close()


PLATFORMS = {
    "fabric notebook": (
        platforms.fabric_spark_notebook,
        ("fabric", "notebook", "activity-1"),
        {"workspace_id": "ws-1", "notebook_id": "nb-1", "cluster_id": "cluster-1"},
        {"lakehouse_id": "lh-1", "capacity_id": "cap-1", "notebook_name": "Load orders"},
    ),
    "fabric job": (
        platforms.fabric_spark_job,
        ("fabric", "job", "session-1"),
        {"workspace_id": "ws-1", "job_id": "artifact-1"},
        {"lakehouse_id": "lh-1"},
    ),
    "synapse": (
        platforms.synapse_notebook,
        ("synapse", "notebook", "pipe-1"),
        {"task_run_id": "act-1", "cluster_id": "cluster-9", "notebook_name": "nightly"},
        {"workspace_name": "syn-ws"},
    ),
    "databricks task": (
        platforms.databricks_notebook_job,
        ("databricks", "notebook", "2002"),
        {"workspace_id": "7007", "job_id": "11", "task_run_id": "2002", "notebook_id": "42"},
        {"workspace_url": "adb-7007.azuredatabricks.net"},
    ),
}


def place_of(record: dict[str, Any]) -> tuple[str, str, str]:
    return record["platform"], record["runtime_type"], record["run_id"]


each_platform = pytest.mark.parametrize(
    ("build", "place", "each", "first"), PLATFORMS.values(), ids=list(PLATFORMS)
)


@each_platform
def test_ids_are_on_the_first_record_and_those_that_matter_on_all(
    machine: Surroundings, make: Made, build: Any, place: Any, each: Any, first: Any
) -> None:
    """A run begins with a `runtime` record that knows everything; later ones bear a few ids."""
    build(machine)

    make("orders").info("ready")

    runtime, ready = make.records
    assert (runtime["event"], runtime["message"]) == ("runtime", "run started")
    assert {**each, **first}.items() <= runtime.items()
    assert each.items() <= ready.items()
    assert not first.keys() & ready.keys()
    assert place_of(runtime) == place_of(ready) == place


@each_platform
def test_without_runtime_context_there_are_no_ids(
    machine: Surroundings, make: Made, build: Any, place: Any, each: Any, first: Any
) -> None:
    """`add_runtime_context=False`: no first record, no ids; platform and run are fields of all."""
    build(machine)

    make("orders", add_runtime_context=False).info("ready")

    (ready,) = make.records
    assert not (each.keys() | first.keys() | {"event"}) & ready.keys()
    assert place_of(ready) == place


@each_platform
def test_no_token_is_on_any_record(
    machine: Surroundings, make: Made, build: Any, place: Any, each: Any, first: Any
) -> None:
    """What the platforms hold in secret does not come out of their contexts."""
    build(machine)
    machine.env(DATABRICKS_TOKEN="do-not-read", AZURE_CLIENT_SECRET="do-not-read")

    make("orders").info("ready")

    assert "do-not-read" not in str(make.records)


def test_a_logger_without_name_has_the_notebooks(machine: Surroundings, make: Made) -> None:
    """`get_logger()` takes the name of the notebook."""
    platforms.fabric_spark_notebook(machine)

    assert make().name == "Load_orders"


def test_the_run_that_is_named_wins(machine: Surroundings, make: Made) -> None:
    """`run_id=` before `LAKETRACE_RUN_ID` before the platform's; that one stays a field."""
    platforms.fabric_spark_notebook(machine)
    machine.env(LAKETRACE_RUN_ID="from-environment")

    assert make("first").run_id == "from-environment"
    assert make("second", run_id="mine").run_id == "mine"
    assert make.records[-1]["platform_run_id"] == "activity-1"


def test_a_run_that_begins_on_a_living_logger_has_its_first_record(
    machine: Surroundings, make: Made
) -> None:
    """A cell that names another run begins that run: its first record knows everything."""
    platforms.fabric_spark_notebook(machine)
    make("orders", run_id="run-1")

    make("orders", run_id="run-1")
    make("orders", run_id="run-2")

    begun = [(record["event"], record["run_id"]) for record in make.records]
    assert begun == [("runtime", "run-1"), ("runtime", "run-2")]


# --- settings of an active session ----------------------------------------------------------------


@pytest.mark.parametrize("conf", [Conf, ServerlessConf])
@pytest.mark.parametrize("session", [platforms.classic_session, platforms.connect_session])
def test_settings_of_spark_are_between_default_and_environment(
    machine: Surroundings, make: Made, session: Any, conf: type[Conf]
) -> None:
    """`spark.laketrace.*` is stronger than a default, weaker than environment and argument."""
    session(
        machine,
        conf({
            "spark.laketrace.level": "DEBUG",
            "spark.laketrace.rotation": "10 MB",
            "spark.laketrace.retention": "3 files",
        }),
    )  # fmt: skip
    machine.env(LAKETRACE_ROTATION="20 MB", LAKETRACE_RETENTION="4 files")

    config = make("orders", retention="5 files").config

    settings = [config[name] for name in ("level", "rotation", "retention", "enqueue")]
    assert settings == ["DEBUG", "20 MB", "5 files", False]


def test_wrong_setting_of_spark_is_named(machine: Surroundings, make: Made) -> None:
    """A setting of the session that nobody can read is told like any other."""
    platforms.connect_session(machine, Conf({"spark.laketrace.level": "LOUD"}))

    with pytest.raises(ConfigError, match=r"spark\.laketrace\.level='LOUD': "):
        make("orders")


def test_session_that_refuses_every_setting_costs_nothing(
    machine: Surroundings, make: Made
) -> None:
    """On serverless compute each unknown key raises, and the logger is made all the same."""
    platforms.databricks(machine, version="client.5.1")
    conf = ServerlessConf({})
    platforms.connect_session(machine, conf)

    log = make("orders")

    assert log.config["level"] == "INFO"
    assert "spark.laketrace.level" in conf.asked


def test_logger_of_a_worker_asks_no_session(machine: Surroundings, make: Made) -> None:
    """On a worker a session, if there is one, is another process's: nothing is asked of it."""
    machine.env(PYTHON_WORKER_FACTORY_PORT="1")
    machine.module("pyspark.taskcontext", TaskContext=SimpleNamespace(get=lambda: None))
    conf = Conf({"spark.laketrace.level": "DEBUG"})
    platforms.connect_session(machine, conf)

    assert make("orders").config["level"] == "INFO"
    assert conf.asked == []
