"""Workers, forks, threads, and what a look around costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from laketrace.runtime import (
    active_session,
    detect_runtime,
    find_run_id,
    is_executor,
    run_context,
    signals,
    spark_settings,
    stop_spark_if_active,
)
from tests.runtime import platforms
from tests.runtime.platforms import Conf, Surroundings

# --- driver or executor -------------------------------------------------------------------------


def test_driver_is_no_executor(machine: Surroundings):
    """A driver with Spark's own variables is none; SPARK_BUFFER_SIZE is set there too."""
    machine.env(SPARK_BUFFER_SIZE="65536", SPARK_HOME="/opt/spark")
    machine.module("pyspark.taskcontext", TaskContext=SimpleNamespace(get=lambda: None))

    assert is_executor() is False


@pytest.mark.parametrize("name", ["PORT", "SECRET", "SOCK_PATH", "SOCK_DIR"])
def test_worker_variables_make_an_executor(machine: Surroundings, name: str):
    """Every variable of the worker's factory counts, those of Unix sockets too."""
    machine.env(**{f"PYTHON_WORKER_FACTORY_{name}": "x"})

    assert is_executor() is True


def test_running_task_makes_an_executor(machine: Surroundings):
    """A task that runs here is enough."""
    machine.module("pyspark.taskcontext", TaskContext=SimpleNamespace(get=lambda: object()))

    assert is_executor() is True


def test_main_module_of_pyspark_makes_an_executor(machine: Surroundings):
    """The worker of foreachBatch on Connect has no task, but Spark's main module."""
    name = "pyspark.sql.connect.streaming.worker.foreach_batch_worker"
    main = SimpleNamespace(__spec__=SimpleNamespace(name=name))
    machine.patch.setitem(sys.modules, "__main__", main)

    assert is_executor() is True


def test_answer_follows_the_process(machine: Surroundings):
    """Nothing is kept: a process that becomes a worker is one."""
    assert is_executor() is False
    machine.env(PYTHON_WORKER_FACTORY_PORT="1")
    assert is_executor() is True


def test_half_imported_pyspark_has_no_task(machine: Surroundings):
    """A module without TaskContext is survived."""
    machine.module("pyspark.taskcontext")

    assert is_executor() is False


def test_worker_asks_neither_platform_objects_nor_threads(machine: Surroundings):
    """On a worker the ids come from the task's properties and from files only."""
    platforms.databricks(machine, platforms.ReplContext(isInNotebook=True, notebookId="driver's"))
    properties = {
        "spark.databricks.notebook.id": "42",
        "spark.databricks.notebook.path": "/Users/a/Load orders.py",
    }
    task = SimpleNamespace(getLocalProperty=properties.get)
    machine.module("pyspark.taskcontext", TaskContext=SimpleNamespace(get=lambda: task))
    started: list[Any] = []
    machine.patch.setattr(signals, "within", lambda *call: started.append(call))

    assert detect_runtime().platform == "databricks"
    assert detect_runtime().runtime_type == "script"
    assert run_context()["notebook_id"] == "42"
    assert started == []


def test_worker_of_plain_spark_is_on_spark(machine: Surroundings):
    """A worker has no session, and still its platform is Spark."""
    machine.env(PYTHON_WORKER_FACTORY_PORT="1")

    assert detect_runtime().platform == "spark"
    assert detect_runtime().runtime_type == "script"


# --- fork and threads ---------------------------------------------------------------------------


def in_child(read: Any) -> Any:
    """What `read()` gives in a forked child."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, json.dumps(read()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(answer)


fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@fork
def test_forked_child_has_its_own_pid_and_its_parents_run(machine: Surroundings):
    """The context is right again after a fork, and the run is the same, generated or not."""
    detect_runtime()

    child_pid, child_run, child_platform = in_child(
        lambda: [detect_runtime().pid, find_run_id(), detect_runtime().platform]
    )

    assert child_pid != os.getpid()
    assert child_run == find_run_id()
    assert child_platform == "local"
    assert detect_runtime().pid == os.getpid()


@fork
def test_forked_child_keeps_what_the_platform_told_its_parent(machine: Surroundings):
    """The ids are inherited, and the parent's connections are not used for them."""
    platforms.fabric_spark_notebook(machine)
    known = run_context()

    assert in_child(run_context) == known


@fork
def test_forked_child_that_looks_first_reads_files_only(machine: Surroundings):
    """A child that inherits platform objects does not speak over their sockets."""
    platforms.fabric_spark_notebook(machine)

    values = in_child(run_context)

    assert "notebook_name" not in values
    assert values["notebook_id"] == "artifact-1"


@fork
def test_forked_child_leaves_its_parents_session_alone(machine: Surroundings):
    """Spark is known to be there, but it is neither asked nor stopped."""
    conf = Conf({"spark.laketrace.level": "DEBUG"})
    session = platforms.classic_session(machine, conf)

    def look() -> list[Any]:
        stop_spark_if_active()
        return [
            detect_runtime().platform,
            active_session() is None,
            spark_settings(["level"]),
            conf.asked,
            session._sc._jsc is not None,
        ]

    assert in_child(look) == ["spark", True, {}, [], True]
    assert spark_settings(["level"]) == {"level": "DEBUG"}


def test_threads_that_come_first_find_the_same(machine: Surroundings):
    """Eight threads that detect at once agree."""
    platforms.databricks_notebook_job(machine)
    barrier = threading.Barrier(8)
    found = []

    def look() -> None:
        barrier.wait()
        found.append((detect_runtime(), run_context(), find_run_id()))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert all(one == found[0] for one in found)


def test_machine_without_threads_is_survived(machine: Surroundings):
    """Where no thread can be started, the platform's objects are not asked."""

    def refuse(thread: Any) -> None:
        raise RuntimeError("can't start new thread")

    platforms.fabric_spark_notebook(machine)
    machine.patch.setattr(threading.Thread, "start", refuse)

    assert detect_runtime().platform == "fabric"
    assert run_context()["workspace_id"] == "ws-1"


# --- cost ---------------------------------------------------------------------------------------

WATCHED = """
import json, os, sys, threading
import laketrace.runtime as runtime
from laketrace.runtime import signals

class NoPyspark:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pyspark", "notebookutils", "dbruntime", "IPython"):
            raise SystemExit(f"{name} was imported")

sys.meta_path.insert(0, NoPyspark())
signals.ROOT = sys.argv[1]
seen = []

def watch(event, args):
    if event in ("open", "import", "os.fork", "os.system", "subprocess.Popen") or (
        event.startswith("socket.")
    ):
        seen.append(f"{event} {args[0]}")

sys.addaudithook(watch)
cold = runtime.detect_runtime()
counts = [list(seen)]
seen.clear()
threads = threading.active_count()
for _ in range(100):
    runtime.detect_runtime()
    runtime.is_executor()
    runtime.run_context()
    runtime.record_context()
    runtime.find_run_id()
    runtime.default_name()
    runtime.spark_settings(["level"])
    runtime.stop_spark_if_active()
    runtime.active_session()
    runtime.findings()
counts.append(list(seen))
counts.append(threading.active_count() - threads)
counts.append(cold.platform.value)
runtime.local_disk()
print(json.dumps(counts))
"""


def watched(root: str, **variables: str) -> list[Any]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(platforms.PREFIXES)
    }
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, root],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    answer: list[Any] = json.loads(done.stdout)
    return answer


def test_local_detection_reads_and_imports_nothing(machine: Surroundings):
    """A cold look on a laptop opens no file, imports nothing and connects to nothing."""
    assert watched(machine.root) == [[], [], 0, "local"]


def test_databricks_detection_reads_nothing(machine: Surroundings):
    """The variable is enough; the version file is not opened."""
    assert watched(machine.root, DATABRICKS_RUNTIME_VERSION="18.1") == [[], [], 0, "databricks"]


def test_fabric_detection_reads_one_file(machine: Surroundings):
    """The context file is read once, and never again."""
    platforms.fabric_spark_job(machine)
    path = signals.under_root("/home/trusted-service-user/.trident-context")

    cold, warm, threads, platform = watched(machine.root)

    assert [event for event in cold if "encodings" not in event] == [f"open {path}"]
    assert (warm, threads, platform) == ([], 0, "fabric")
