"""Microsoft Fabric: is this process there, and what does it call itself?

Floor 3. Stands on: runtime.context, runtime.executor, runtime.signals.

Signals and keys are those of Microsoft's own `fabric-analytics-notebook-plugin` and of
https://learn.microsoft.com/fabric/data-engineering/notebookutils/notebookutils-runtime. An
installed `notebookutils` proves nothing (a stub is on PyPI), and it is never imported here: its
import may start Spark, and an import that hangs cannot be given up. Notebooks have it loaded;
elsewhere the file `.trident-context` says the most.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from laketrace.runtime import signals
from laketrace.runtime.context import JOB, NOTEBOOK, Place
from laketrace.runtime.executor import is_executor

CONTEXT_FILE = "/home/trusted-service-user/.trident-context"
SPARK_DEFAULTS = "/opt/spark/conf/spark-defaults.conf"
# What Fabric and Synapse call the service that both run on; SynapseML, core/platform/Platform.py.
SERVICE = "Microsoft.ProjectArcadia"

_NOTEBOOKUTILS = {
    "platform_run_id": "activityId",
    "notebook_id": "currentNotebookId",
    "notebook_name": "currentNotebookName",
    "workspace_id": "currentWorkspaceId",
    "workspace_name": "currentWorkspaceName",
    "cluster_id": "clusterId",
    "pool_name": "poolName",
    "environment_id": "environmentId",
    "lakehouse_id": "defaultLakehouseId",
    "lakehouse_name": "defaultLakehouseName",
    "lakehouse_workspace_id": "defaultLakehouseWorkspaceId",
    "repl_id": "hcReplId",
    "reference_run_id": "currentRunId",
    "parent_run_id": "parentRunId",
    "root_run_id": "rootRunId",
    "root_notebook_id": "rootNotebookId",
}
_FILE = {
    "platform_run_id": "trident.activity.id",
    "workspace_id": "trident.artifact.workspace.id",
    "lakehouse_id": "trident.lakehouse.id",
    "lakehouse_workspace_id": "trident.workspace.id",
    "capacity_id": "trident.capacity.id",
}
_ARTIFACT_ID = "trident.artifact.id"
_ARTIFACT_TYPE = "trident.artifact.type"
_CLUSTER_TYPE = "spark.cluster.type"
_ENVIRONMENT = {"workspace_id": "FABRIC_WORKSPACE_ID", "lakehouse_id": "FABRIC_LAKEHOUSE_ID"}


def is_here() -> bool:
    """Whether this is Fabric: a Python notebook by its variable, Spark by its context file.

    Without both, the service that Fabric shares with Synapse, if Spark's defaults name a type of
    cluster and it is not Synapse's.
    """
    if _is_python_notebook() or signals.file_exists(CONTEXT_FILE):
        return True
    if signals.env("AZURE_SERVICE") != SERVICE:
        return False
    defaults = signals.file_pairs(SPARK_DEFAULTS, {_CLUSTER_TYPE}, None)
    return defaults.get(_CLUSTER_TYPE, "synapse") != "synapse"


def look() -> Place:
    """What Fabric says about this process, from `notebookutils` if loaded, file, environment."""
    values = _from_notebookutils()
    keys = {*_FILE.values(), _ARTIFACT_ID, _ARTIFACT_TYPE}
    artifact = signals.file_pairs(CONTEXT_FILE, keys, "=")
    for name, key in _FILE.items():
        if key in artifact:
            values.setdefault(name, artifact[key])
    kind = _kind(values, artifact.get(_ARTIFACT_TYPE))
    if _ARTIFACT_ID in artifact and kind is not None:
        values.setdefault("notebook_id" if kind == NOTEBOOK else "job_id", artifact[_ARTIFACT_ID])
    for name, variable in _ENVIRONMENT.items():
        value = None if name in values else signals.env(variable)
        if value is not None:
            values[name] = value
    return Place("fabric", kind, values)


def _is_python_notebook() -> bool:
    return (signals.env("MSNOTEBOOKUTILS_RUNTIME_TYPE") or "").lower().startswith("jupyter")


def _kind(values: dict[str, str], artifact_type: str | None) -> str | None:
    if _is_python_notebook() or artifact_type == "SynapseNotebook":
        return NOTEBOOK
    if artifact_type is not None:  # SparkJobDefinition, and whatever else Microsoft takes for one
        return JOB
    if "notebook_id" in values or "notebook_name" in values:
        return NOTEBOOK
    return JOB if signals.env("FABRIC_JOB_ID") else None


def _from_notebookutils() -> dict[str, str]:
    values: dict[str, str] = {}
    utils = signals.notebook_object("notebookutils")
    if utils is None or is_executor() or signals.forked():
        return values
    signals.within("notebookutils", partial(_read_notebookutils, utils, values))
    return dict(values)


def _read_notebookutils(utils: Any, values: dict[str, str]) -> None:
    context = signals.fetch("notebookutils runtime.context", lambda: utils.runtime.context)
    if context is not None:
        signals.fill(values, _NOTEBOOKUTILS, "notebookutils", lambda key: context.get(key))
