"""Which platform, which kind of run, which ids: by stand-ins that behave and misbehave."""

from __future__ import annotations

import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from laketrace import runtime
from laketrace.runtime import (
    RuntimeContext,
    RuntimeDetector,
    RuntimePlatform,
    RuntimeType,
    detect_runtime,
    find_run_id,
    findings,
    record_context,
    run_context,
    signals,
)
from tests.runtime import platforms
from tests.runtime.platforms import JavaNotebookContext, ReplContext, Surroundings


def where() -> tuple[str, str]:
    context = detect_runtime()
    return context.platform.value, context.runtime_type.value


def error_of(signal: str) -> str:
    return next(f.error or "" for f in findings() if f.signal == signal)


# --- nowhere ------------------------------------------------------------------------------------


def test_empty_machine_is_local(machine: Surroundings):
    """Without any signal the platform and the kind of run are local, and no id is invented."""
    assert where() == ("local", "local")
    assert run_context() == {}
    assert record_context() == {}


def test_laptop_with_clients_of_the_platforms_is_local(machine: Surroundings):
    """Credentials, client settings and an installed stub module do not make a laptop a platform."""
    machine.env(
        DATABRICKS_HOST="https://adb-7007.azuredatabricks.net",
        DATABRICKS_TOKEN="dapi-secret",
        DATABRICKS_CLUSTER_ID="0123-cluster",
        FABRIC_WORKSPACE_ID="ws-1",
        DB_JOB_ID="11",
    )
    machine.module("notebookutils", runtime=SimpleNamespace(context={}, getCurrentWorkspaceId=None))

    assert where() == ("local", "local")
    assert run_context() == {}
    assert not any("secret" in str(finding) for finding in findings())


def test_databricks_connect_runs_where_its_client_runs(machine: Surroundings):
    """A session on a cluster of Databricks leaves a laptop a laptop: a script with Spark."""
    machine.env(
        DATABRICKS_HOST="https://adb-7007.azuredatabricks.net", SPARK_CONNECT_MODE_ENABLED="1"
    )
    platforms.connect_session(machine, platforms.ServerlessConf({"spark.app.id": "app-7"}))

    assert where() == ("spark", "script")
    assert run_context() == {"spark_app_id": "app-7"}


def test_jupyter_on_a_laptop_is_a_local_notebook(machine: Surroundings):
    """An IPython kernel makes a notebook of any platform; a terminal's IPython does not."""
    machine.ipython(kernel=False)
    assert where() == ("local", "local")

    machine.ipython(kernel=True)
    RuntimeDetector.reset_cache()
    assert where() == ("local", "notebook")


def test_a_platform_without_word_on_the_kind_runs_a_script(machine: Surroundings):
    """On a platform that names neither notebook nor job the process is a script."""
    platforms.databricks(machine)

    assert where() == ("databricks", "script")


# --- Fabric -------------------------------------------------------------------------------------


def test_fabric_spark_notebook(machine: Surroundings):
    """The kernel's notebookutils gives the ids; the context file fills what it left open."""
    platforms.fabric_spark_notebook(machine)

    assert where() == ("fabric", "notebook")
    values = run_context()
    assert values["notebook_name"] == "Load orders"
    assert values["platform_run_id"] == find_run_id() == "activity-1"
    assert values["capacity_id"] == "cap-1"
    assert record_context() == {
        "workspace_id": "ws-1",
        "notebook_id": "nb-1",
        "cluster_id": "cluster-1",
    }


def test_fabric_context_leaves_out_what_is_empty_and_who_it_is(machine: Surroundings):
    """Null and empty values are absent, and the user's name is not taken."""
    platforms.fabric_spark_notebook(machine)

    values = run_context()

    assert not {"reference_run_id", "parent_run_id", "repl_id"} & set(values)
    assert "someone@example.com" not in values.values()


def test_fabric_notebook_in_a_shared_session_has_its_own_repl(machine: Surroundings):
    """High concurrency: notebooks share the Spark application, so its id is no id of the run."""
    context = {**platforms.NOTEBOOK_CONTEXT, "hcReplId": "repl-1"}
    platforms.fabric_spark_notebook(machine, context)
    platforms.classic_session(machine, platforms.Conf({}), app_id="application_1_0001")

    values = run_context()

    assert (values["repl_id"], values["spark_app_id"]) == ("repl-1", "application_1_0001")
    assert find_run_id() == "activity-1"


def test_fabric_python_notebook(machine: Surroundings):
    """A Python notebook has no context file, only its variable and notebookutils."""
    platforms.fabric_python_notebook(machine)

    assert where() == ("fabric", "notebook")
    assert run_context()["lakehouse_name"] == "bronze"


def test_fabric_object_in_the_notebook_counts_as_loaded(machine: Surroundings):
    """Where notebookutils is a name of the notebook and no module, it is found too."""
    machine.env(MSNOTEBOOKUTILS_RUNTIME_TYPE="jupyter")
    runtime = SimpleNamespace(context=platforms.NOTEBOOK_CONTEXT)
    machine.ipython(notebookutils=SimpleNamespace(runtime=runtime))

    assert run_context()["notebook_name"] == "Load orders"


def test_fabric_spark_job_definition(machine: Surroundings):
    """A job definition has no notebookutils loaded; the context file names job and session."""
    platforms.fabric_spark_job(machine)

    assert where() == ("fabric", "job")
    assert run_context() == {
        "platform_run_id": "session-1",
        "workspace_id": "ws-1",
        "lakehouse_id": "lh-1",
        "lakehouse_workspace_id": "ws-lakehouse",
        "capacity_id": "cap-1",
        "job_id": "artifact-1",
    }


def test_secrets_in_the_context_file_are_not_looked_at(machine: Surroundings):
    """Only named keys come out of the file, neither as values nor as findings."""
    platforms.fabric_spark_notebook(machine)

    detect_runtime()

    assert "do-not-read" not in f"{run_context()} {findings()}"


class RaisingContext:
    def __getattr__(self, name: str) -> Any:
        raise platforms.Py4JError(name)


class RuntimeThatRaises:
    @property
    def context(self) -> Any:
        raise RuntimeError("session is not ready")


def test_fabric_context_that_raises_falls_back_to_the_file(machine: Surroundings):
    """A notebookutils that fails costs nothing but what only it knows, and the failure is kept."""
    platforms.fabric_spark_notebook(machine)
    machine.module("notebookutils", runtime=RuntimeThatRaises())

    assert where() == ("fabric", "notebook")
    assert run_context()["notebook_id"] == "artifact-1"
    assert find_run_id() == "session-1"
    assert error_of("notebookutils runtime.context") == "RuntimeError: session is not ready"


@pytest.mark.parametrize("context", [{}, None, RaisingContext()], ids=["empty", "none", "raising"])
def test_fabric_context_without_keys_falls_back_to_the_file(machine: Surroundings, context: Any):
    """Missing keys, no context at all, or one whose every method raises: the file answers."""
    platforms.fabric_spark_notebook(machine, context)

    assert where() == ("fabric", "notebook")
    assert run_context()["workspace_id"] == "ws-1"


def test_fabric_context_that_hangs_is_left_behind(machine: Surroundings):
    """A read that does not come back is given up, said, and not waited for again."""
    machine.give_up_after(0.02)
    platforms.fabric_spark_notebook(machine, SimpleNamespace(get=machine.hang))

    assert where() == ("fabric", "notebook")
    assert run_context()["workspace_id"] == "ws-1"
    assert error_of("notebookutils") == "no answer within 0.02 s"
    assert signals.within("notebookutils", lambda: None) is False


def test_fabric_unreadable_context_file_is_a_finding(machine: Surroundings):
    """A file that cannot be opened is told and survived."""
    platforms.fabric_spark_job(machine)
    real_open = open

    def refuse(path: Any, *args: Any, **kwargs: Any) -> Any:
        if str(path).endswith(".trident-context"):
            raise PermissionError(13, "Permission denied")
        return real_open(path, *args, **kwargs)

    machine.patch.setattr("builtins.open", refuse)

    assert where() == ("fabric", "script")
    assert "PermissionError" in error_of("file /home/trusted-service-user/.trident-context")


def test_fabric_file_with_broken_bytes_is_read(machine: Surroundings):
    """Bytes that are no UTF-8 cost their own line at most."""
    platforms.fabric_spark_job(machine)
    path = signals.under_root("/home/trusted-service-user/.trident-context")
    with open(path, "ab") as file:
        file.write(b"\xff\xfe=\xff\n\x00\n")

    assert run_context()["job_id"] == "artifact-1"


# --- Synapse ------------------------------------------------------------------------------------


def test_synapse_notebook(machine: Surroundings):
    """Synapse is told by its service, and its ids by mssparkutils."""
    platforms.synapse_notebook(machine)

    assert where() == ("synapse", "notebook")
    assert find_run_id() == "pipe-1"
    values = run_context()
    assert values["workspace_name"] == "syn-ws"
    assert values["task_run_id"] == "act-1"
    assert record_context()["notebook_name"] == "nightly"


def test_synapse_without_mssparkutils(machine: Surroundings):
    """The service alone is Synapse, a script with the workspace of the environment."""
    machine.env(AZURE_SERVICE="Microsoft.ProjectArcadia", SYNAPSE_WORKSPACE_NAME="syn-ws")

    assert where() == ("synapse", "script")
    assert run_context() == {"workspace_name": "syn-ws"}


def test_the_shared_service_with_another_cluster_type_is_fabric(machine: Surroundings):
    """Where Spark's defaults name a type of cluster that is not Synapse's, it is Fabric."""
    machine.env(AZURE_SERVICE="Microsoft.ProjectArcadia")
    machine.file("/opt/spark/conf/spark-defaults.conf", "spark.cluster.type   trident\n")

    assert where()[0] == "fabric"


def test_mssparkutils_that_raises_is_survived(machine: Surroundings):
    """Each call that fails is a finding; Synapse stays Synapse."""
    platforms.synapse_notebook(machine)
    machine.module("notebookutils", mssparkutils=SimpleNamespace(runtime=RuntimeThatRaises()))

    assert where() == ("synapse", "script")
    assert "AttributeError" in error_of("mssparkutils getPoolName")


# --- Databricks ---------------------------------------------------------------------------------


def test_databricks_notebook(machine: Surroundings):
    """An interactive notebook has ids of notebook, workspace and cluster, and no run of its own."""
    context = platforms.databricks_notebook(machine)

    assert where() == ("databricks", "notebook")
    assert run_context()["notebook_name"] == "Load orders.py"
    assert record_context() == {
        "workspace_id": "7007",
        "notebook_id": "42",
        "cluster_id": "0123-cluster",
    }
    assert "platform_run_id" not in run_context()
    assert context.token_was_read is False


def test_databricks_notebook_as_a_task(machine: Surroundings):
    """A notebook that a job runs is a notebook, with the ids of job and task run."""
    platforms.databricks_notebook_job(machine)

    assert where() == ("databricks", "notebook")
    assert find_run_id() == "2002"
    assert record_context()["job_id"] == "11"
    assert record_context()["task_run_id"] == "2002"


def test_databricks_python_task_in_a_kernel_is_a_job(machine: Surroundings):
    """The platform's word is stronger than the shell that it happens to use."""
    platforms.databricks(machine, ReplContext(isInJob=True, jobId="11", idInJob="2002"))
    machine.ipython()

    assert where() == ("databricks", "job")


def test_databricks_container_has_only_the_version_file(machine: Surroundings):
    """Clusters with a container of the user's own lack the variable."""
    machine.file("/databricks/DBR_VERSION", "16.4\n")

    assert where() == ("databricks", "script")
    assert run_context() == {"runtime_version": "16.4"}


@pytest.mark.parametrize(
    "variables",
    [{"DATABRICKS_RUNTIME_VERSION": "client.5.1"}, {"DATABRICKS_ENV_VERSION": "5"}],
)
def test_databricks_serverless(machine: Surroundings, variables: dict[str, str]):
    """Serverless is told by either variable."""
    machine.env(**variables)

    assert where()[0] == "databricks"
    assert run_context()["compute"] == "serverless"


def test_databricks_package_without_its_context_module_loaded(machine: Surroundings):
    """Where only the package is loaded and its module cannot be had, that is a finding."""
    platforms.databricks(machine)
    machine.module("dbruntime")

    assert where() == ("databricks", "script")
    assert "ModuleNotFoundError" in error_of("dbruntime.databricks_repl_context")


def test_dbutils_answer_where_there_is_no_repl_context(machine: Surroundings):
    """The notebook context behind dbutils gives the ids, by method, tag or extra context."""
    platforms.databricks(machine)
    context = JavaNotebookContext(
        refused=("jobId", "workspaceId"), jobId="11", idInJob="2002", orgId="7007",
        notebookPath="/Repos/a/etl",
    )  # fmt: skip
    machine.ipython(dbutils=platforms.dbutils(context))

    values = run_context()

    assert where() == ("databricks", "notebook")
    assert values["job_id"] == "11"
    assert values["workspace_id"] == "7007"
    assert values["notebook_name"] == "etl"
    assert values["repl_id"] == "ReplId-2"
    assert find_run_id() == "2002"
    assert "Py4JError" in error_of("dbutils jobId")


def test_dbutils_whose_entry_point_is_refused(machine: Surroundings):
    """Serverless has no entry point: one finding, no ids, no error."""
    platforms.databricks(machine, version="client.5.1")
    machine.ipython(dbutils=platforms.dbutils(None, entry_point_works=False))

    assert where() == ("databricks", "notebook")
    assert "whitelisted" not in str(run_context())
    assert error_of("dbutils getContext").startswith("Py4JError: An error occurred")


def test_dbutils_that_refuse_every_method(machine: Surroundings):
    """Standard compute that whitelists nothing leaves the environment's ids."""
    platforms.databricks(machine)
    machine.env(DB_CLUSTER_ID="0123-cluster")
    refused = ("jobId", "idInJob", "notebookPath", "workspaceId", "tags")
    machine.ipython(dbutils=platforms.dbutils(JavaNotebookContext(refused)))

    assert record_context() == {"cluster_id": "0123-cluster"}


def test_dbutils_are_not_asked_for_a_job_where_there_is_none(machine: Surroundings):
    """An interactive notebook's context is enough: what it has not got is not searched for."""
    platforms.databricks_notebook(machine)
    machine.ipython(dbutils=platforms.dbutils(JavaNotebookContext(jobId="11")))

    assert "job_id" not in run_context()
    assert not any(finding.signal.startswith("dbutils") for finding in findings())


def test_dbutils_that_hang_are_left_behind(machine: Surroundings):
    """What was found before the hanging call is kept."""
    machine.give_up_after(0.02)
    platforms.databricks(machine, ReplContext(isInJob=True, workspaceId=None))
    entry_point = SimpleNamespace(getDbutils=machine.hang)
    machine.ipython(dbutils=SimpleNamespace(notebook=SimpleNamespace(entry_point=entry_point)))

    assert where() == ("databricks", "job")
    assert run_context()["cluster_id"] == "0123-cluster"
    assert error_of("databricks context") == "no answer within 0.02 s"


def test_repl_context_that_raises_is_survived(machine: Surroundings):
    """A context module of another make is a finding, not an error."""
    platforms.databricks(machine)

    def broken() -> Any:
        raise TypeError("get_context() needs a session")

    machine.module("dbruntime.databricks_repl_context", get_context=broken)

    assert where() == ("databricks", "script")
    assert "TypeError" in error_of("dbruntime get_context")


# --- everything at once -------------------------------------------------------------------------


class Hostile:
    """An object that raises whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise platforms.Py4JError(name)

    def __bool__(self) -> bool:
        raise platforms.Py4JError("__bool__")

    def __str__(self) -> str:
        raise platforms.Py4JError("__str__")


@pytest.mark.parametrize(
    "variables",
    [
        {"MSNOTEBOOKUTILS_RUNTIME_TYPE": "jupyter"},
        {"AZURE_SERVICE": "Microsoft.ProjectArcadia"},
        {"DATABRICKS_RUNTIME_VERSION": "18.1"},
        {},
    ],
)
@pytest.mark.parametrize("shell", [True, False])
def test_nothing_raises_where_every_object_does(
    machine: Surroundings, variables: dict[str, str], shell: bool
):
    """Whatever the platform's objects do, each public function answers."""
    hostile = Hostile()
    machine.env(**variables)
    machine.module("notebookutils", runtime=hostile, mssparkutils=hostile)
    machine.module("dbruntime.databricks_repl_context", get_context=lambda: hostile)
    machine.module("pyspark.taskcontext", TaskContext=hostile)
    machine.module("pyspark", SparkContext=hostile)
    machine.module("pyspark.sql.session", SparkSession=hostile)
    machine.module("pyspark.sql.connect.session", SparkSession=hostile)
    if shell:
        machine.module("IPython", get_ipython=lambda: hostile)
    else:
        machine.ipython(dbutils=hostile, notebookutils=hostile, mssparkutils=hostile)

    assert where()[0] in ("fabric", "synapse", "databricks", "local")
    assert runtime.active_session() is None
    assert runtime.is_executor() is False
    assert runtime.spark_settings(["level"]) == {}
    runtime.stop_spark_if_active()
    assert all(isinstance(text, str) for text in (runtime.default_name(), runtime.local_disk()))
    assert isinstance(RuntimeDetector.get_runtime_metadata(), dict)
    assert isinstance(find_run_id(hostile), str)
    assert isinstance(record_context(), dict)


# --- run ids ------------------------------------------------------------------------------------


def test_run_ids_go_by_their_strength(machine: Surroundings):
    """Argument, LAKETRACE_RUN_ID, LAKEHOUSE_CONTEXT_RUN_ID, platform, then the names of 1.x."""
    generated = find_run_id()
    machine.env(RUN_ID="generic")
    assert find_run_id() == "generic" != generated
    machine.env(DB_JOB_RUN_ID="job-run")
    assert find_run_id() == "job-run"

    platforms.fabric_spark_job(machine)
    RuntimeDetector.reset_cache()
    assert find_run_id() == "session-1"

    machine.env(LAKEHOUSE_CONTEXT_RUN_ID="context")
    assert find_run_id() == "context"
    machine.env(LAKETRACE_RUN_ID="ours")
    assert find_run_id() == "ours"
    assert find_run_id(4711) == "4711"
    assert find_run_id("") == "ours"
    assert run_context()["platform_run_id"] == "session-1"


def test_argument_whose_text_raises_is_not_the_run_id(machine: Surroundings):
    """Nothing that is given as a run id reaches the caller as an error."""

    class Broken:
        def __str__(self) -> str:
            raise ValueError("no text")

    assert find_run_id(Broken()) == find_run_id()


# --- the context object -------------------------------------------------------------------------


def test_context_is_frozen_and_pickles(machine: Surroundings):
    """Attributes and metadata cannot be changed; a copy in another process is equal."""
    platforms.fabric_spark_job(machine)
    context = detect_runtime()

    with pytest.raises(AttributeError):
        context.platform = RuntimePlatform.LOCAL  # type: ignore[misc]
    with pytest.raises(TypeError):
        context.metadata["pid"] = 1  # type: ignore[index]
    assert pickle.loads(pickle.dumps(context)) == context
    assert context.metadata["workspace_id"] == "ws-1"
    assert context.run_id == "session-1"


def test_context_is_built_as_in_1x():
    """The constructor of 1.x works, with enumeration members or their values."""
    context = RuntimeContext(
        platform=RuntimePlatform.SPARK, runtime_type=RuntimeType.SCRIPT, hostname="h", pid=1
    )

    assert context.metadata == {}
    assert context.run_id is None
    assert context == RuntimeContext("spark", "script", "h", 1)
    with pytest.raises(ValueError, match="mainframe"):
        RuntimeContext("mainframe", "script", "h", 1)


def test_detector_of_1x(machine: Surroundings):
    """The class methods of 1.x answer, and metadata is the caller's own dict."""
    platforms.databricks_notebook_job(machine)

    assert RuntimeDetector.detect_platform() is RuntimePlatform.DATABRICKS
    assert RuntimeDetector.detect_runtime_type() is RuntimeType.NOTEBOOK
    metadata = RuntimeDetector.get_runtime_metadata()
    metadata["pid"] = 0
    assert detect_runtime().pid != 0
    assert metadata["job_id"] == "11"


def test_detection_is_kept_until_it_is_reset(machine: Surroundings):
    """A changed environment is seen after reset_cache(), and not before."""
    assert where()[0] == "local"
    platforms.databricks(machine)
    assert where()[0] == "local"

    RuntimeDetector.reset_cache()

    assert where()[0] == "databricks"
