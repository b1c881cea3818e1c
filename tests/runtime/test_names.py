"""What the logger is called when nobody says it, and where its files may lie."""

from __future__ import annotations

import os
import sys
import tempfile
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laketrace.runtime import default_name, local_disk, signals
from laketrace.runtime.identity import _clean, new_run_id
from tests.runtime import platforms
from tests.runtime.platforms import Surroundings


def main_module(machine: Surroundings, **attributes: Any) -> None:
    machine.patch.setitem(sys.modules, "__main__", SimpleNamespace(**attributes))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/jobs/load orders.py", "load_orders"),
        ("etl.v2.py", "etl.v2"),
        ("/usr/bin/airflow", "airflow"),
        ("/src/pipeline/__main__.py", "pipeline"),
        ("/jobs/ладога.py", "ладога"),
        ("/jobs/....py", "laketrace"),
    ],
)
def test_script_gives_its_name(machine: Surroundings, path: str, name: str):
    """A script's file name without ending, made safe; a package's for its __main__."""
    main_module(machine, __file__=path)

    assert default_name() == name


def test_interactive_interpreter_gives_the_packages_name(machine: Surroundings):
    """Without a file the name is laketrace."""
    main_module(machine)

    assert default_name() == "laketrace"


def test_notebook_of_a_platform_gives_its_name(machine: Surroundings):
    """The platform's notebook wins over the file that its kernel was started from."""
    platforms.fabric_spark_notebook(machine)
    main_module(machine, __file__="/opt/livy/repl.py")

    assert default_name() == "Load_orders"


def test_notebook_on_databricks_gives_the_last_part_of_its_path(machine: Surroundings):
    """The path is cut to its last part, the ending goes."""
    platforms.databricks_notebook(machine)

    assert default_name() == "Load_orders"


def test_jupyter_and_vs_code_tell_their_notebook(machine: Surroundings):
    """Jupyter Server by its variable, VS Code by a name in the kernel."""
    machine.ipython(__vsc_ipynb_file__="C:\\work\\sales.ipynb")
    assert default_name() == "sales"

    machine.env(JPY_SESSION_NAME="/home/a/Orders 2026.ipynb")
    assert default_name() == "Orders_2026"


def test_kernel_that_tells_nothing_gives_the_packages_name(machine: Surroundings):
    """The file that a kernel was launched from names no notebook."""
    machine.ipython()
    main_module(machine, __file__="/site-packages/ipykernel_launcher.py")

    assert default_name() == "laketrace"


def test_worker_gives_the_packages_name(machine: Surroundings):
    """On a worker `__main__` is Spark's daemon, which is nobody's name."""
    machine.env(PYTHON_WORKER_FACTORY_PORT="1")
    main_module(machine, __file__="/spark/python/pyspark/daemon.py")

    assert default_name() == "laketrace"


@given(st.text())
def test_cleaned_names_are_safe(name: str):
    """Whatever the notebook is called, its name has no separator, dot at an end, or blank."""
    cleaned = _clean(name)

    assert all(char.isalnum() or char in "._-" for char in cleaned)
    assert len(cleaned) <= 100
    assert not cleaned.startswith(".")


@given(st.integers(0, 4 * 10**18), st.integers(0, 4 * 10**18))
def test_generated_run_ids_sort_by_time(first: int, second: int):
    """A later second gives a run id that sorts behind."""
    earlier, later = sorted((first, second))

    if earlier // 10**9 < later // 10**9:
        assert new_run_id(earlier, b"\xff") < new_run_id(later, b"\x00")


def test_local_disk_is_the_cluster_disk_on_databricks(machine: Surroundings):
    """The cluster's own disk is taken where it exists, and only on Databricks."""
    disk = signals.under_root("/local_disk0/tmp")
    os.makedirs(disk)
    assert local_disk() == tempfile.gettempdir()

    platforms.databricks(machine)
    platforms.RuntimeDetector.reset_cache()
    assert local_disk() == disk


def test_local_disk_without_cluster_disk_is_the_temporary_directory(machine: Surroundings):
    """Serverless has no cluster disk."""
    platforms.databricks(machine, version="client.5.1")

    assert local_disk() == tempfile.gettempdir()


def test_local_disk_without_temporary_directory_is_the_working_directory(machine: Surroundings):
    """A machine without any temporary directory is told, not raised."""

    def nowhere() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    machine.patch.setattr(tempfile, "gettempdir", nowhere)

    assert local_disk() == os.getcwd()
