"""The session that is there already, by stand-ins; real Spark is in test_real_spark.py."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from laketrace.runtime import (
    RuntimeDetector,
    active_session,
    detect_runtime,
    findings,
    run_context,
    spark_settings,
    stop_spark_if_active,
)
from tests.runtime import platforms
from tests.runtime.platforms import Conf, ListingConf, ServerlessConf, Surroundings

SETTINGS = {"spark.laketrace.level": "DEBUG", "spark.laketrace.rotation": "10 MB", "spark.x": "1"}


def test_without_session_nothing_is_asked(machine: Surroundings):
    """No session, no thread, no answer."""
    before = set(threading.enumerate())

    assert spark_settings(["level"]) == {}
    assert active_session() is None
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("conf", [Conf(SETTINGS), ServerlessConf(SETTINGS)])
@pytest.mark.parametrize("session", [platforms.classic_session, platforms.connect_session])
def test_settings_are_read_key_by_key(machine: Surroundings, session: Any, conf: Conf):
    """Set keys come back without prefix; an unknown one costs nothing, also where it raises."""
    session(machine, conf)

    found = spark_settings(["level", "retention", "rotation"])

    assert found == {"level": "DEBUG", "rotation": "10 MB"}


def test_settings_of_connect_are_one_call_where_it_can_list_them(machine: Surroundings):
    """One round trip instead of one a key."""
    conf = ListingConf(SETTINGS)
    platforms.connect_session(machine, conf)

    assert spark_settings(["level", "retention"]) == {"level": "DEBUG"}
    assert conf.asked == ["*"]


def test_settings_are_read_key_by_key_where_listing_is_refused(machine: Surroundings):
    """A server that refuses the list is asked for each key."""

    class Refusing(Conf):
        @property
        def getAll(self) -> Any:
            raise platforms.AnalysisException("[UNSUPPORTED]")

    platforms.connect_session(machine, Refusing(SETTINGS))

    assert spark_settings(["level"]) == {"level": "DEBUG"}
    assert any(f.signal == "spark.conf getAll" and f.error for f in findings())


def test_settings_of_a_server_that_hangs_are_given_up(machine: Surroundings):
    """What came before the hanging key is there, and the next call does not wait again."""
    machine.give_up_after(0.05)

    class Hanging(Conf):
        def get(self, key: str, default: Any = None) -> Any:
            return super().get(key) if key.endswith("level") else machine.hang()

    platforms.classic_session(machine, Hanging(SETTINGS))

    assert spark_settings(["level", "rotation"]) == {"level": "DEBUG"}
    assert spark_settings(["level"]) == {}


def test_session_makes_a_script_on_spark_of_a_local_process(machine: Surroundings):
    """A session that is started after the first look is seen."""
    assert detect_runtime().platform == "local"

    platforms.classic_session(machine, Conf({}))

    assert detect_runtime().platform == "spark"
    assert detect_runtime().runtime_type == "script"


def test_stopped_session_is_none(machine: Surroundings):
    """A session that was stopped is not asked any more."""
    platforms.connect_session(machine, Conf(SETTINGS))
    stop_spark_if_active()
    assert active_session() is None

    platforms.classic_session(machine, Conf(SETTINGS))
    assert active_session() is not None
    stop_spark_if_active()
    assert active_session() is None


def test_stop_that_raises_is_survived(machine: Surroundings):
    """stop_spark_if_active never raises."""
    session = platforms.classic_session(machine, Conf({}))

    def broken() -> None:
        raise platforms.Py4JError("stop")

    session.stop = broken

    stop_spark_if_active()

    assert findings()[-1].signal == "spark stop"


def test_half_imported_pyspark_is_no_session(machine: Surroundings):
    """Modules without their classes, or with other insides, mean: no session."""
    machine.module("pyspark.sql.session")
    machine.module("pyspark.sql.connect.session")
    assert active_session() is None

    broken = type("SparkSession", (), {"_default_session": object()})
    machine.module("pyspark.sql.connect.session", SparkSession=broken)
    assert active_session() is None
    assert detect_runtime().platform == "local"


def test_application_id_is_asked_once_a_session(machine: Surroundings):
    """The id comes with the session and goes with it; it is not asked for each logger."""
    conf = Conf({"spark.app.id": "app-7"})
    platforms.connect_session(machine, conf)

    assert [run_context()["spark_app_id"] for _ in range(3)] == ["app-7"] * 3
    assert conf.asked == ["spark.app.id"]

    platforms.connect_session(machine, Conf({"spark.app.id": "app-8"}))
    assert run_context()["spark_app_id"] == "app-8"
    stop_spark_if_active()
    assert "spark_app_id" not in run_context()


def test_databricks_fills_ids_from_the_session(machine: Surroundings):
    """Cluster and workspace come from the conf where the contexts do not tell them."""
    platforms.databricks(machine)
    conf = ServerlessConf({"spark.databricks.clusterUsageTags.clusterId": "0123-conf"})
    platforms.classic_session(machine, conf, app_id="app-9")

    values = run_context()

    assert values["cluster_id"] == "0123-conf"
    assert values["spark_app_id"] == "app-9"
    assert "workspace_url" not in values


def test_standard_compute_without_spark_context(machine: Surroundings):
    """Where `sparkContext` is refused, the application id is absent and the rest is there."""
    session = platforms.classic_session(machine, Conf(SETTINGS))
    del session.sparkContext

    assert "spark_app_id" not in run_context()
    assert spark_settings(["level"]) == {"level": "DEBUG"}


def test_detection_asks_no_session(machine: Surroundings):
    """detect_runtime() needs no answer of a server, not even of one that is there."""
    conf = Conf(SETTINGS)
    platforms.connect_session(machine, conf)
    platforms.databricks(machine)

    detect_runtime()

    assert conf.asked == []
    assert RuntimeDetector.get_runtime_metadata()["platform"] == "databricks"
    assert conf.asked != []
