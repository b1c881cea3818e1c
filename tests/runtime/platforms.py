"""Stand-ins for the platforms, built from the signals that they document, faults included.

`Surroundings` is an empty machine: no platform's variable, file or module. The functions below
turn it into a platform. What the real platforms do is written down beside each stand-in; what
nobody outside has seen is not imitated.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from laketrace.runtime import RuntimeDetector, signals

PREFIXES = (
    "DATABRICKS_", "DB_", "FABRIC_", "SYNAPSE_", "MSNOTEBOOKUTILS_", "AZURE_SERVICE", "LAKETRACE_",
    "LAKEHOUSE_CONTEXT_", "RUN_ID", "ONELAKE_", "JPY_", "SPARK_", "PYTHON_WORKER_", "IS_SERVERLESS",
)  # fmt: skip
MODULES = ("notebookutils", "dbruntime", "dbruntime.databricks_repl_context", "IPython")


class Surroundings:
    """A machine without platform, whose environment, files and modules a test fills."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: str) -> None:
        self.patch = monkeypatch
        self.root = root
        self.let_go = threading.Event()
        self.hanging = threading.Event()
        for name in list(os.environ):
            if name.startswith(PREFIXES):
                monkeypatch.delenv(name)
        for name in MODULES:
            monkeypatch.delitem(sys.modules, name, raising=False)
        for name in [name for name in sys.modules if name.partition(".")[0] == "pyspark"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(signals, "ROOT", root)
        RuntimeDetector.reset_cache()

    def env(self, **variables: str) -> None:
        """Set environment variables."""
        for name, value in variables.items():
            self.patch.setenv(name, value)

    def file(self, path: str, text: str) -> None:
        """Write a file of the platform, `path` being its place on the real machine."""
        real = Path(self.root, path.strip("/"))
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_text(text, encoding="utf-8")

    def module(self, name: str, **attributes: Any) -> None:
        """Put a module among the loaded ones, with its parent packages."""
        module = ModuleType(name)
        vars(module).update(attributes)
        self.patch.setitem(sys.modules, name, module)
        parent, _, child = name.rpartition(".")
        if parent:
            if parent not in sys.modules:
                self.module(parent)
            setattr(sys.modules[parent], child, module)

    def ipython(self, *, kernel: bool = True, **user_ns: Any) -> None:
        """Run inside IPython: a kernel, or a terminal."""
        shell = SimpleNamespace(user_ns=user_ns, kernel=object() if kernel else None)
        self.module("IPython", get_ipython=lambda: shell)

    def hang(self, *_: Any) -> Any:
        """Answer when the test is over, and not before."""
        self.hanging.set()
        self.let_go.wait()

    def give_up_after(self, seconds: float) -> None:
        """Wait so long for what hangs; for what is only slow, on a busy machine, to its end."""
        join = threading.Thread.join

        def wait(thread: threading.Thread, timeout: float | None = None) -> None:
            while timeout == seconds and thread.is_alive() and not self.hanging.is_set():
                join(thread, 0.001)
            join(thread, timeout)
            self.hanging.clear()

        self.patch.setattr(signals, "PATIENCE", seconds)
        self.patch.setattr(threading.Thread, "join", wait)

    def clear(self) -> None:
        """End what hangs and forget what was found."""
        self.let_go.set()
        RuntimeDetector.reset_cache()


# --- Fabric -------------------------------------------------------------------------------------

# The keys that the public plugin reads, and a secret that must not come out of the file.
TRIDENT_CONTEXT = """\
trident.capacity.id=cap-1
trident.artifact.workspace.id=ws-1
trident.artifact.id=artifact-1
trident.artifact.type={artifact_type}
trident.workspace.id=ws-lakehouse
trident.lakehouse.id=lh-1
trident.activity.id=session-1
trident.session.token=do-not-read
a line of no form
"""

# https://learn.microsoft.com/fabric/data-engineering/notebookutils/notebookutils-runtime: outside
# of reference runs and high concurrency some values are null or empty.
NOTEBOOK_CONTEXT: dict[str, Any] = {
    "currentNotebookName": "Load orders",
    "currentNotebookId": "nb-1",
    "currentWorkspaceName": "Sales",
    "currentWorkspaceId": "ws-1",
    "defaultLakehouseName": "bronze",
    "defaultLakehouseId": "lh-1",
    "defaultLakehouseWorkspaceId": "ws-1",
    "activityId": "activity-1",
    "clusterId": "cluster-1",
    "poolName": "Starter Pool",
    "environmentId": "env-1",
    "userName": "someone@example.com",
    "isForPipeline": True,
    "isReferenceRun": False,
    "currentRunId": "",
    "parentRunId": None,
    "hcReplId": None,
}


def fabric_spark_notebook(machine: Surroundings, context: Any = NOTEBOOK_CONTEXT) -> None:
    """A Fabric Spark notebook: the context file, and `notebookutils` loaded by the kernel."""
    text = TRIDENT_CONTEXT.format(artifact_type="SynapseNotebook")
    machine.file("/home/trusted-service-user/.trident-context", text)
    machine.module("notebookutils", runtime=SimpleNamespace(context=context))
    machine.ipython()


def fabric_python_notebook(machine: Surroundings) -> None:
    """A Fabric Python notebook: its variable, no Spark."""
    machine.env(MSNOTEBOOKUTILS_RUNTIME_TYPE="jupyter")
    context = {**NOTEBOOK_CONTEXT, "currentKernel": "python3.11"}
    machine.module("notebookutils", runtime=SimpleNamespace(context=context))
    machine.ipython()


def fabric_spark_job(machine: Surroundings) -> None:
    """A Spark job definition: the context file says all, `notebookutils` is not loaded."""
    text = TRIDENT_CONTEXT.format(artifact_type="SparkJobDefinition")
    machine.file("/home/trusted-service-user/.trident-context", text)


# --- Synapse ------------------------------------------------------------------------------------


def synapse_notebook(machine: Surroundings) -> None:
    """A Synapse notebook in a pipeline, with `mssparkutils` as its page describes it."""
    machine.env(AZURE_SERVICE="Microsoft.ProjectArcadia")
    machine.file(
        "/opt/spark/conf/spark-defaults.conf", "# defaults\nspark.cluster.type synapse\nlonely\n"
    )
    machine.module(
        "notebookutils",
        mssparkutils=SimpleNamespace(
            env=SimpleNamespace(
                getWorkspaceName=lambda: "syn-ws",
                getPoolName=lambda: "pool-1",
                getClusterId=lambda: "cluster-9",
                getJobId=lambda: "job-9",
            ),
            runtime=SimpleNamespace(
                context={
                    "notebookname": "nightly",
                    "pipelinejobid": "pipe-1",
                    "activityrunid": "act-1",
                }
            ),
        ),
    )


# --- Databricks ---------------------------------------------------------------------------------


class ReplContext:
    """`dbruntime.databricks_repl_context`'s object: plain attributes, and a token among them."""

    def __init__(self, **attributes: Any) -> None:
        self.isInJob = self.isInNotebook = False
        self.jobId = self.idInJob = self.jobType = None
        self.notebookId = self.notebookPath = None
        self.clusterId, self.workspaceId = "0123-cluster", "7007"
        self.workspaceUrl = "adb-7007.azuredatabricks.net"
        self.replId, self.commandRunId = "ReplId-1", "command-1"
        self.token_was_read = False
        for name, value in attributes.items():
            setattr(self, name, value)

    @property
    def apiToken(self) -> str:
        self.token_was_read = True
        return "dapi-do-not-read"


def databricks(machine: Surroundings, context: Any = None, version: str = "18.1") -> None:
    """Databricks compute by its variable; with a REPL context if one is given."""
    machine.env(DATABRICKS_RUNTIME_VERSION=version)
    if context is not None:
        machine.module("dbruntime.databricks_repl_context", get_context=lambda: context)


def databricks_notebook(machine: Surroundings) -> ReplContext:
    """An interactive notebook."""
    path = "/Users/a/Load orders.py"
    context = ReplContext(isInNotebook=True, notebookId="42", notebookPath=path)
    databricks(machine, context)
    machine.ipython()
    return context


def databricks_notebook_job(machine: Surroundings) -> ReplContext:
    """A notebook that runs as the task of a job: the platform says both."""
    context = databricks_notebook(machine)
    context.isInJob = True
    context.jobId, context.idInJob, context.jobType = "11", "2002", "NORMAL"
    return context


class Option:
    """A Scala `Option` as py4j hands it out: `get()` of an empty one raises."""

    def __init__(self, value: Any = None) -> None:
        self._value = value

    def isDefined(self) -> bool:
        return self._value is not None

    def get(self) -> Any:
        if self._value is None:
            raise Py4JJavaError("java.util.NoSuchElementException: None.get")
        return self._value


class Py4JJavaError(Exception):
    """What py4j raises for an exception of the JVM."""


class Py4JError(Exception):
    """What py4j raises where standard compute refuses a method."""

    def __init__(self, method: str) -> None:
        super().__init__(
            f"An error occurred while calling o1.{method}. Trace:\n"
            f"py4j.security.Py4JSecurityException: Method public {method} is not whitelisted on "
            "class class com.databricks.backend.common.rpc.CommandContext"
        )


class JavaNotebookContext:
    """The notebook context behind `dbutils`; the methods in `refused` are not whitelisted."""

    def __init__(self, refused: tuple[str, ...] = (), **values: Any) -> None:
        self._refused = refused
        self._values = values

    def __getattr__(self, method: str) -> Any:
        if method in self._refused:
            raise Py4JError(method)
        return lambda: Option(self._values.get(method))

    def tags(self) -> Any:
        if "tags" in self._refused:
            raise Py4JError("tags")
        return SimpleNamespace(get=lambda key: Option(self._values.get(key)))

    def extraContext(self) -> Any:
        return SimpleNamespace(get=lambda key: Option(self._values.get(key)))


def dbutils(context: Any, *, entry_point_works: bool = True) -> Any:
    """`dbutils` as a notebook has it, leading to `context`; without entry point on serverless."""

    class EntryPoint:
        def getDbutils(self) -> Any:
            if not entry_point_works:
                raise Py4JError("getDbutils")
            return SimpleNamespace(notebook=lambda: SimpleNamespace(getContext=lambda: context))

        def getReplId(self) -> str:
            return "ReplId-2"

    entry_point = EntryPoint()
    return SimpleNamespace(
        notebook=SimpleNamespace(entry_point=entry_point), entry_point=entry_point
    )


# --- Spark --------------------------------------------------------------------------------------


class Conf:
    """`spark.conf` without a list of everything; counts what it is asked."""

    def __init__(self, values: dict[str, str]) -> None:
        self.values = values
        self.asked: list[str] = []

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.append(key)
        return self.values.get(key, default)


class ServerlessConf(Conf):
    """Databricks serverless: an unknown key raises, with a default too."""

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.append(key)
        if key not in self.values:
            raise AnalysisException(f"[CONFIG_NOT_AVAILABLE] Configuration {key} is not available.")
        return self.values[key]


class ListingConf(Conf):
    """A Connect conf of pyspark 4.0+, which can list its settings with one call."""

    @property
    def getAll(self) -> dict[str, str]:
        self.asked.append("*")
        return dict(self.values)


class AnalysisException(Exception):
    """Spark's."""


def connect_session(machine: Surroundings, conf: Conf) -> Any:
    """An active Spark Connect session, as `pyspark.sql.connect.session` keeps it."""
    name = "pyspark.sql.connect.session"
    kind: Any = type("SparkSession", (), {"__module__": name})
    session: Any = kind()
    session.conf, session.is_stopped = conf, False

    def stop() -> None:
        session.is_stopped = True

    session.stop = stop
    kind._active_session, kind._default_session = threading.local(), session
    machine.module(name, SparkSession=kind)
    return session


def classic_session(machine: Surroundings, conf: Conf, app_id: str = "app-1") -> Any:
    """An active classic session, as `pyspark.sql.session` keeps it."""
    name = "pyspark.sql.session"
    kind: Any = type("SparkSession", (), {"__module__": name, "_activeSession": None})
    session: Any = kind()
    session.conf = conf
    session._sc = session.sparkContext = SimpleNamespace(_jsc=object(), applicationId=app_id)
    contexts = SimpleNamespace(_active_spark_context=session._sc)

    def stop() -> None:
        session._sc._jsc = contexts._active_spark_context = None

    session.stop = stop
    kind._instantiatedSession = session
    machine.module("pyspark", SparkContext=contexts)
    machine.module(name, SparkSession=kind)
    return session
