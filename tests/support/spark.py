"""Real Spark for the tests: `spark`, `spark_cluster`, `spark_connect`, `sail`, and two in turn:
`any_spark`, `any_connect`.

All are session-scoped. Tests with Spark run behind all others, which so see a process without it.
A process of a user has one kind of session, so those of Connect end before the first classic one,
and that of `spark` before `spark_cluster` (one JVM holds one SparkContext). The Connect server is a
process of its own; a test on it has `SPARK_CONNECT_MODE_ENABLED` set, as a Connect client has.

Each session has Delta Lake. `spark_environ` is the environment of all of them: a program started
with it (`subprocess.run(..., env={**os.environ, **spark_environ})`) gets the same from a plain
`SparkSession.builder.getOrCreate()` or `.remote("local[2]")`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.jars import NoJars, delta_jars
from tests.support.java import NoJava, java_home
from tests.support.processes import ROOT, free_port, server

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JVM = {"spark", "spark_cluster", "spark_connect", "spark_environ"}
LAST = ("spark_environ", "sail", "spark_connect", "spark", "spark_cluster")
CONNECT = ("spark_connect", "sail")
JVM_SESSIONS = ("spark_connect", "spark")
MODE = "SPARK_CONNECT_MODE_ENABLED"
NEEDS_SPARK = pytest.mark.extra("pyspark", "py4j")  # py4j: the whole of Spark, not its client only
NEEDS_SAIL = pytest.mark.extra("pyspark", "pysail")

QUIET = """\
rootLogger.level = error
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n
"""


OPEN: list[Any] = []  # Connect sessions that are alive


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Mark what starts Spark, and put it behind the rest, in the order of `LAST`."""
    for item in items:
        names = _names(item)
        if names & JVM:
            item.add_marker("spark")
            item.add_marker(NEEDS_SPARK)
        if "sail" in names:
            item.add_marker("sail")
            item.add_marker(NEEDS_SAIL)
    yield
    items.sort(key=_rank)


def _names(item: pytest.Item) -> set[str]:
    """The fixtures that a test asks for, also those that a parameter names."""
    parameters = getattr(item, "callspec", None)
    by_parameter = parameters.params.values() if parameters else ()
    asked = getattr(item, "fixturenames", ())
    return {*asked, *(name for name in by_parameter if isinstance(name, str))}


def _rank(item: pytest.Item) -> int:
    names = _names(item)
    return max((place for place, name in enumerate(LAST, 1) if name in names), default=0)


@pytest.fixture(scope="session")
def spark_environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables under which any Spark driver, also a subprocess, has Delta and is quiet."""
    folder = tmp_path_factory.mktemp("spark")
    environ = {
        "SPARK_CONF_DIR": str(folder),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")])),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SPARK_HOME", raising=False)
        try:
            environ["JAVA_HOME"] = java_home()
            for name, value in environ.items():
                patch.setenv(name, value)
            jars = delta_jars(_pyspark_version())
        except (NoJava, NoJars) as why:
            pytest.skip(str(why))
        lines = [f"{key} {value}\n" for key, value in _settings(jars, str(folder)).items()]
        (folder / "spark-defaults.conf").write_text("".join(lines))
        (folder / "log4j2.properties").write_text(QUIET)
        yield environ


@pytest.fixture(scope="session")
def spark(spark_environ: dict[str, str]) -> Iterator[SparkSession]:
    """A classic session in this process, `local[2]`."""
    yield from _classic_session("local[2]")


@pytest.fixture(scope="session")
def spark_cluster(spark_environ: dict[str, str]) -> Iterator[SparkSession]:
    """A classic session in this process whose two executors are processes of their own."""
    yield from _classic_session("local-cluster[2,1,1024]")


@pytest.fixture(scope="session")
def spark_connect(spark_environ: dict[str, str]) -> Iterator[SparkSession]:
    """A Spark Connect session with a server in another process."""
    port = free_port()
    command = [sys.executable, "-m", "tests.support.connect_server", str(port)]
    environ = {name: value for name, value in os.environ.items() if name != MODE}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline() == "listening\n", "the Spark Connect server ended early"
        yield from _connect_session(port)
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(timeout=240)


@pytest.fixture(scope="session")
def sail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A Spark Connect session with Sail: no JVM. It ignores `txnAppId` and `txnVersion`."""
    port = free_port()
    start = f"from pysail.spark import SparkConnectServer as S; S('127.0.0.1', {port})"
    command = [sys.executable, "-c", f"{start}.start(background=False)"]
    with server(command, port, str(tmp_path_factory.mktemp("sail") / "log")):
        yield from _connect_session(port)


@pytest.fixture(params=CONNECT)
def any_connect(request: pytest.FixtureRequest) -> Any:
    """A Spark Connect session, of Spark and of Sail in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=JVM_SESSIONS)
def any_spark(request: pytest.FixtureRequest) -> Any:
    """A session of Spark, classic and Connect in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture(autouse=True)
def _connect_mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test on a Connect session meets the process of a Connect client: that session, no other."""
    for name in CONNECT:
        if name in _names(request.node):
            session = request.getfixturevalue(name)
            type(session)._default_session = type(session)._active_session.session = session
            monkeypatch.setenv(MODE, "1")


def _classic_session(master: str) -> Iterator[SparkSession]:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    while OPEN:
        OPEN.pop().stop()
    if SparkContext._active_spark_context is not None:
        SparkContext._active_spark_context.stop()
    session = SparkSession.builder.master(master).appName("laketrace-tests").getOrCreate()
    yield session
    session.stop()  # does nothing where `spark_cluster` has stopped it


def _connect_session(port: int) -> Iterator[SparkSession]:
    from pyspark.sql.connect.session import SparkSession as Client
    from pyspark.sql.connect.streaming.readwriter import DataStreamWriter

    with pytest.MonkeyPatch.context() as patch:
        start = _started_again(DataStreamWriter._start_internal)
        patch.setattr(DataStreamWriter, "_start_internal", start)
        session = Client.builder.remote(f"sc://127.0.0.1:{port}").create()
        OPEN.append(session)
        yield session
        if session in OPEN:
            OPEN.remove(session)
            session.stop()


def _started_again(start: Callable[..., Any]) -> Callable[..., Any]:
    """`start`, again where Spark has given the process of a `foreachBatch` up.

    It waits 10 seconds for that, which no setting makes longer, and a busy machine may need more.
    Nothing has begun then.
    """

    def started(*arguments: Any, **options: Any) -> Any:
        for _ in range(5):
            try:
                return start(*arguments, **options)
            except Exception as error:
                if "Python worker failed to connect back" not in str(error):
                    raise
        return start(*arguments, **options)

    return started


def _pyspark_version() -> str:
    import pyspark

    return pyspark.__version__


def _settings(jars: list[str], folder: str) -> dict[str, str]:
    return {
        "spark.jars": ",".join(jars),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": os.path.join(folder, "warehouse"),
        "spark.local.dir": os.path.join(folder, "local"),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.ui.port": "0",  # any free one; the status API is there
        "spark.ui.showConsoleProgress": "false",
    }
