"""Azure Synapse: is this process there, and what does it call itself?

Floor 3. Stands on: runtime.context, runtime.executor, runtime.fabric, runtime.signals.

`mssparkutils` is asked only if it is loaded:
https://learn.microsoft.com/azure/synapse-analytics/spark/microsoft-spark-utilities. Not seen on
the platform: in which letters Python gets the keys of its runtime context.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from laketrace.runtime import signals
from laketrace.runtime.context import NOTEBOOK, Place
from laketrace.runtime.executor import is_executor
from laketrace.runtime.fabric import SERVICE

_ENV_METHODS = {
    "workspace_name": "getWorkspaceName",
    "pool_name": "getPoolName",
    "cluster_id": "getClusterId",
    "job_id": "getJobId",
}
_CONTEXT = {
    "notebook_name": "Notebookname",
    "platform_run_id": "Pipelinejobid",
    "task_run_id": "Activityrunid",
}


def is_here() -> bool:
    """Whether this is Synapse; Fabric, which shares the service, is to be asked first."""
    return signals.env("AZURE_SERVICE") == SERVICE


def look() -> Place:
    """What Synapse says about this process, from `mssparkutils` if loaded, and environment."""
    values: dict[str, str] = {}
    utils = signals.notebook_object("mssparkutils")
    if utils is None:
        utils = signals.loaded("notebookutils", "mssparkutils")
    if utils is not None and not is_executor() and not signals.forked():
        signals.within("mssparkutils", partial(_read_mssparkutils, utils, values))
        values = dict(values)
    workspace = signals.env("SYNAPSE_WORKSPACE_NAME")
    if workspace is not None:
        values.setdefault("workspace_name", workspace)
    notebook = "notebook_name" in values or signals.env("SYNAPSE_COMPUTATION_ENDPOINT_HOSTNAME")
    return Place("synapse", NOTEBOOK if notebook else None, values)


def _read_mssparkutils(utils: Any, values: dict[str, str]) -> None:
    context = signals.fetch("mssparkutils runtime.context", lambda: utils.runtime.context)
    if context is not None:
        # In small letters, as public notebooks read them, or as the page writes them.
        signals.fill(
            values,
            _CONTEXT,
            "mssparkutils",
            lambda key: context.get(key.lower()) or context.get(key),
        )
    signals.fill(values, _ENV_METHODS, "mssparkutils", lambda name: getattr(utils.env, name)())
