"""Which run is this, in which job, notebook and workspace, and what is it called?

Floor 3. Stands on: runtime.databricks, runtime.executor, runtime.place, runtime.session,
runtime.signals.

Every answer is text and never a credential; what is not known is absent. Nothing raises.
Forks: the generated run id is drawn when LakeTrace is imported, so a forked child belongs to its
parent's run; a process of its own (spawn, subprocess) begins its own run unless it is told
`LAKETRACE_RUN_ID`.
"""

from __future__ import annotations

import os
import sys
import time

from laketrace.runtime import signals
from laketrace.runtime.databricks import SESSION_CONF, task_values
from laketrace.runtime.executor import is_executor
from laketrace.runtime.place import here, in_kernel
from laketrace.runtime.session import spark_facts

_RUN_VARIABLES = ("LAKETRACE_RUN_ID", "LAKEHOUSE_CONTEXT_RUN_ID")
_RUN_VARIABLES_OF_1X = ("DB_JOB_RUN_ID", "FABRIC_RUN_ID", "RUN_ID")
_ON_EVERY_RECORD = ("workspace_id", "notebook_id", "job_id", "task_run_id", "cluster_id")
_MAX_NAME = 100
_ENDINGS = ("py", "ipynb", "sql", "scala", "r")


def new_run_id(now_ns: int, random: bytes) -> str:
    """A run id that sorts by time: the UTC second of `now_ns` (Unix time in ns), random hex.

    >>> new_run_id(1_000_000_000 * 10**9, b"\\x0f\\xa0")
    '20010909T014640Z-0fa0'
    """
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now_ns // 10**9))}-{random.hex()}"


_generated = new_run_id(time.time_ns(), os.urandom(6))


def find_run_id(explicit: object = None) -> str:
    """The id of this run.

    The first that there is: `explicit`; the environment's `LAKETRACE_RUN_ID`, then
    `LAKEHOUSE_CONTEXT_RUN_ID`; the platform's own (Fabric's activity, Databricks' task run,
    Synapse's pipeline run); the variables of 1.x `DB_JOB_RUN_ID`, `FABRIC_RUN_ID`, `RUN_ID`; else
    one generated for this process.

    >>> find_run_id("nightly-7"), find_run_id() == find_run_id()
    ('nightly-7', True)
    """
    if explicit is not None:
        value = signals.ask("run_id argument", lambda: explicit)
        if value is not None:
            return value
    return (
        _first_set(_RUN_VARIABLES)
        or here().values.get("platform_run_id")
        or _first_set(_RUN_VARIABLES_OF_1X)
        or _generated
    )


def get_run_id_from_environment() -> str | None:
    """The run id that the environment gives, or None; the platform's own is not among them.

    >>> get_run_id_from_environment() is None
    True
    """
    return _first_set(_RUN_VARIABLES + _RUN_VARIABLES_OF_1X)


def run_context() -> dict[str, str]:
    """The ids and names of this run that are known, for its first record.

    As far as the platform gives them: `platform_run_id` (also when another run id was chosen),
    `job_id`, `task_run_id`, `notebook_id`, `notebook_name`, `workspace_id`, `cluster_id`,
    `lakehouse_id` and their like, and `spark_app_id` if a Spark session is active **already**.
    None of the names is reserved in a record.

    >>> run_context()
    {}
    """
    place = here()
    on_databricks = place.platform == "databricks"
    if is_executor():
        more = task_values() if on_databricks else {}
    else:
        more = spark_facts(SESSION_CONF if on_databricks else {})
    return {**more, **place.values}


def record_context() -> dict[str, str]:
    """The few ids of `run_context()` that matter on every record.

    `workspace_id`, `notebook_id`, `job_id`, `task_run_id`, `cluster_id`; where a notebook has no
    id, its `notebook_name`.

    >>> record_context()
    {}
    """
    values = run_context()
    chosen = {name: values[name] for name in _ON_EVERY_RECORD if name in values}
    if "notebook_id" not in values and "notebook_name" in values:
        chosen["notebook_name"] = values["notebook_name"]
    return chosen


def default_name() -> str:
    """A name for the logger of this program: the notebook's or the script's, else `laketrace`.

    >>> default_name() != ""
    True
    """
    name = here().values.get("notebook_name")
    if name is None and in_kernel():
        name = _kernel_notebook()
    elif name is None and not is_executor():
        name = _script()
    return _clean(name or "") or "laketrace"


def _kernel_notebook() -> str | None:
    """The notebook's path as Jupyter Server (2.0+) or VS Code tell their kernel."""
    path = signals.env("JPY_SESSION_NAME")
    if path is None:
        name = "__vsc_ipynb_file__"
        path = signals.ask("VS Code notebook", lambda: signals.notebook_object(name))
    return None if path is None else _last_part(path)


def _script() -> str | None:
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    if not isinstance(path, str):  # an interactive interpreter, or `python -c`
        return None
    folder, _, name = path.replace("\\", "/").rpartition("/")
    # `python -m package` runs package/__main__.py: then the package is the program.
    return _last_part(folder) if name == "__main__.py" else name


def _last_part(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _clean(name: str) -> str:
    """Letters, digits, `.`, `_` and `-` of `name`, without a script's or notebook's ending."""
    name = name.strip()
    stem, _, ending = name.rpartition(".")
    stem = stem if stem and ending.lower() in _ENDINGS else name
    kept = "".join(char if char.isalnum() or char in "._-" else "_" for char in stem)
    return kept.strip("._-")[:_MAX_NAME]


def _first_set(variables: tuple[str, ...]) -> str | None:
    for variable in variables:
        value = signals.env(variable)
        if value is not None:
            return value
    return None
