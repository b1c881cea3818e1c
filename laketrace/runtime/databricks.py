"""Databricks: is this process there, and what does it call itself?

Floor 3. Stands on: runtime.context, runtime.executor, runtime.signals.

Signals and their order are those of MLflow (`mlflow/utils/databricks_utils.py`): first the REPL
context, in memory, whose `apiToken` is never touched; then the notebook context behind `dbutils`,
which standard and serverless compute refuse in part (`Py4JSecurityException`). A variable like
`DATABRICKS_HOST` says where a client connects to, not where it runs.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

from laketrace.runtime import signals
from laketrace.runtime.context import JOB, NOTEBOOK, Place
from laketrace.runtime.executor import is_executor, task_property

VERSION_FILE = "/databricks/DBR_VERSION"
# Settings of the session that fill what the contexts left open; see `session.spark_facts`.
SESSION_CONF = {
    "cluster_id": "spark.databricks.clusterUsageTags.clusterId",
    "workspace_url": "spark.databricks.workspaceUrl",
}

_REPL_MODULE = "dbruntime.databricks_repl_context"
_REPL_CONTEXT = {
    "job_id": "jobId",
    "task_run_id": "idInJob",
    "job_type": "jobType",
    "notebook_id": "notebookId",
    "notebook_path": "notebookPath",
    "cluster_id": "clusterId",
    "workspace_id": "workspaceId",
    "workspace_url": "workspaceUrl",
    "repl_id": "replId",
    "command_run_id": "commandRunId",
}
# Name: method of the notebook context, then the tag that says the same.
_NOTEBOOK_CONTEXT = {
    "job_id": ("jobId", "jobId"),
    "task_run_id": ("idInJob", "idInJob"),
    "notebook_path": ("notebookPath", None),
    "workspace_id": ("workspaceId", "orgId"),
}
_OF_A_JOB = ("job_id", "task_run_id")
_OF_A_NOTEBOOK = ("notebook_path",)
_TASK_PROPERTIES = {
    "notebook_id": "spark.databricks.notebook.id",
    "notebook_path": "spark.databricks.notebook.path",
}
# Names that 1.x read; no public page says that the platform sets them.
_ENVIRONMENT = {
    "cluster_id": "DB_CLUSTER_ID",
    "job_id": "DB_JOB_ID",
    "job_run_id": "DB_JOB_RUN_ID",
}


def is_here() -> bool:
    """Whether this is Databricks compute: by its version, in the environment or in its file.

    Clusters with a container of the user's own have only the file.
    """
    return (
        signals.env("DATABRICKS_RUNTIME_VERSION") is not None
        or signals.env("DATABRICKS_ENV_VERSION") is not None
        or signals.file_exists(VERSION_FILE)
    )


def look() -> Place:
    """What Databricks says about this process, from its contexts and the environment."""
    values: dict[str, str] = {}
    flags: dict[str, str | None] = {}
    version = signals.env("DATABRICKS_RUNTIME_VERSION") or signals.file_text(VERSION_FILE)
    if version is not None:
        values["runtime_version"] = version
    if signals.env("DATABRICKS_ENV_VERSION") or (version or "").startswith("client."):
        values["compute"] = "serverless"
    if not is_executor():
        _look_on_driver(values, flags)
    for name, variable in _ENVIRONMENT.items():
        value = None if name in values else signals.env(variable)
        if value is not None:
            values[name] = value
    if "task_run_id" in values:
        values["platform_run_id"] = values["task_run_id"]
    if "notebook_path" in values:
        values["notebook_name"] = values["notebook_path"].rstrip("/").rpartition("/")[2]
    return Place("databricks", _kind(values, flags), values)


def task_values() -> dict[str, str]:
    """On a worker: which notebook the running task belongs to.

    Not a part of `look()`, whose answer is kept: workers are reused, also by other notebooks.
    """
    values: dict[str, str] = {}
    signals.fill(values, _TASK_PROPERTIES, "task", task_property)
    return values


def _look_on_driver(values: dict[str, str], flags: dict[str, str | None]) -> None:
    # In the caller's thread, as MLflow does it: which thread may see the context is not documented.
    context = _repl_context()
    found: dict[str, str] = {}
    asked: dict[str, str | None] = {}
    signals.within("databricks context", partial(_read_contexts, context, found, asked))
    values.update(dict(found))
    flags.update(dict(asked))


def _repl_context() -> Any:
    get_context = signals.loaded(_REPL_MODULE, "get_context")
    if get_context is None and signals.loaded("dbruntime", "__name__"):
        # The package is there, its small module (a class and a variable) not yet.
        module = signals.fetch(_REPL_MODULE, lambda: import_module(_REPL_MODULE))
        get_context = getattr(module, "get_context", None)
    return None if get_context is None else signals.fetch("dbruntime get_context", get_context)


def _read_contexts(context: Any, values: dict[str, str], flags: dict[str, str | None]) -> None:
    if context is not None:
        for flag in ("isInJob", "isInNotebook"):
            flags[flag] = signals.ask(f"dbruntime {flag}", partial(getattr, context, flag, None))
        signals.fill(values, _REPL_CONTEXT, "dbruntime", lambda key: getattr(context, key, None))
    missing = [name for name in _NOTEBOOK_CONTEXT if name not in values]
    if flags.get("isInJob") == "false":
        missing = [name for name in missing if name not in _OF_A_JOB]
    if flags.get("isInNotebook") == "false":
        missing = [name for name in missing if name not in _OF_A_NOTEBOOK]
    if missing and not signals.forked():
        _read_dbutils(missing, values)


def _read_dbutils(missing: list[str], values: dict[str, str]) -> None:
    dbutils = signals.notebook_object("dbutils")
    if dbutils is None:
        return
    context = signals.fetch(
        "dbutils getContext",
        lambda: dbutils.notebook.entry_point.getDbutils().notebook().getContext(),
    )
    for name in missing if context is not None else ():
        method, tag = _NOTEBOOK_CONTEXT[name]
        value = signals.ask(f"dbutils {method}", partial(_option, context, method))
        if value is None and tag is not None:
            value = signals.ask(f"dbutils tag {tag}", partial(_tag, context, tag))
        if value is None and name == "notebook_path":
            value = signals.ask("dbutils notebook_path", partial(_extra, context, "notebook_path"))
        if value is not None:
            values[name] = value
    if "repl_id" not in values:
        value = signals.ask("dbutils getReplId", lambda: dbutils.entry_point.getReplId())
        if value is not None:
            values["repl_id"] = value


def _option(context: Any, method: str) -> Any:
    return _unwrap(getattr(context, method)())


def _tag(context: Any, key: str) -> Any:
    return _unwrap(context.tags().get(key))


def _extra(context: Any, key: str) -> Any:
    return _unwrap(context.extraContext().get(key))


def _unwrap(option: Any) -> Any:
    """The content of a Scala `Option`, None for `None`; `get()` on an empty one would raise."""
    return option.get() if option.isDefined() else None


def _kind(values: dict[str, str], flags: dict[str, str | None]) -> str | None:
    if flags.get("isInNotebook") == "true":
        return NOTEBOOK
    if flags.get("isInJob") == "true":
        return JOB
    if "notebook_path" in values or signals.env("DATABRICKS_SOURCE_CODE_CELL_FILENAME"):
        return NOTEBOOK
    return JOB if "job_id" in values else None
