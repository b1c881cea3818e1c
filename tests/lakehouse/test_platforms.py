"""Uploads through the platforms' own file utilities, by stand-ins that fail as those do.

`notebookutils.fs` says by a Boolean whether `cp` worked, `dbutils.fs` raises; both raise what the
JVM says for a missing folder. The stand-ins keep their files on local disk.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
import types
from typing import Any

import pytest

from laketrace.errors import ConfigError
from laketrace.lakehouse import upload
from laketrace.lakehouse.tables.delta_rs import DeltaRsTable
from laketrace.lakehouse.tables.names import parse_table
from laketrace.lakehouse.targets import open_target, parse_target
from laketrace.lakehouse.targets.objects import ObjectTarget
from tests.lakehouse.logs import LogDir, copies_in, manifested_in

ABFSS = "abfss://logs@acme.dfs.core.windows.net/ops"


class Item:
    """What `ls` lists: a name (folders end with a slash) and a size."""

    def __init__(self, path: str) -> None:
        self.name = os.path.basename(path) + ("/" if os.path.isdir(path) else "")
        self.size = os.path.getsize(path)
        self.path = path


class PlatformFiles:
    """The `fs` of a platform over a local folder; `faults` are done by the next calls of `cp`.

    `false`: says no and does nothing. `half`: says yes and writes half. `raise`: a broken network.
    `hang`: comes back when it is let go. `denied`: local files are out of reach (Databricks, newer
    compute).
    """

    def __init__(self, root: str, says: bool) -> None:
        self.root = root
        self.says = says
        self.faults: list[str] = []
        self.copied = 0
        self.let_go = threading.Event()

    def _local(self, path: str) -> str:
        if path.startswith("file:"):
            return path.removeprefix("file:")
        return os.path.join(self.root, path.partition("://")[2] or path.partition(":/")[2])

    def ls(self, path: str) -> list[Item]:
        folder = self._local(path)
        if not os.path.isdir(folder):
            raise RuntimeError(
                "An error occurred while calling o42.ls.\n: java.io.FileNotFoundException: "
                f"Operation failed: The specified path does not exist. {path}"
            )
        return [Item(os.path.join(folder, name)) for name in sorted(os.listdir(folder))]

    def cp(self, source: str, to: str, recurse: bool = False) -> bool:
        self.copied += 1
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "denied":
            raise RuntimeError("LocalFilesystemAccessDeniedException: access to file: is denied")
        if fault == "hang":
            self.let_go.wait(300)
        if fault == "raise":
            raise RuntimeError("java.net.SocketTimeoutException: Read timed out")
        if fault == "false":
            return False
        os.makedirs(os.path.dirname(self._local(to)), exist_ok=True)
        shutil.copyfile(self._local(source), self._local(to))
        if fault == "half":
            os.truncate(self._local(to), os.path.getsize(self._local(to)) // 2)
        return True

    def put(self, path: str, text: str, overwrite: bool = False) -> bool:
        os.makedirs(os.path.dirname(self._local(path)), exist_ok=True)
        with open(self._local(path), "w", encoding="utf-8") as file:
            file.write(text)
        return True

    def rm(self, path: str, recurse: bool = False) -> bool:
        os.unlink(self._local(path))
        return True


def no_token(audience: str) -> str:
    raise RuntimeError("no token for this identity")


@pytest.fixture
def fabric(tmp_path, monkeypatch):
    """A Fabric notebook without a token for storage, so `notebookutils.fs` has to do."""
    files = PlatformFiles(str(tmp_path / "onelake"), says=True)
    module: Any = types.ModuleType("notebookutils")
    module.fs, module.credentials = files, types.SimpleNamespace(getToken=no_token)
    module.runtime = types.SimpleNamespace(context={})
    monkeypatch.setitem(sys.modules, "notebookutils", module)
    return files


@pytest.fixture
def databricks(tmp_path, monkeypatch):
    """A Databricks notebook: `dbutils` in its namespace, no DBFS mount."""
    files = PlatformFiles(str(tmp_path / "dbfs"), says=False)
    monkeypatch.setitem(sys.modules, "dbutils", types.SimpleNamespace(fs=files))
    return files


@pytest.fixture
def log(tmp_path):
    return LogDir(str(tmp_path / "logs")).fill(3)


@pytest.mark.parametrize(
    ("platform", "target"),
    [("fabric", ABFSS), ("databricks", ABFSS), ("databricks", "dbfs:/ops/logs"),
     ("databricks", "s3://bucket/logs")],
)  # fmt: skip
def test_the_platforms_credentials_are_enough(log, request, platform, target):
    """Each segment arrives once, with its manifest, and again nothing the second time."""
    files = request.getfixturevalue(platform)

    report = upload(log.path, target)
    copied = files.copied
    again = upload(log.path, target)

    assert report.ok and report.segments == 3, report
    assert again.did_nothing and files.copied == copied
    assert copies_in(files.root) == log.files
    assert set(manifested_in(files.root)) == set(log.files)


@pytest.mark.extra("obstore", "deltalake", "pyarrow")
def test_the_storage_token_of_fabric_opens_files_and_tables(fabric):
    """With obstore and delta-rs, and without options of the user's, which would come first."""
    asked = []
    sys.modules["notebookutils"].credentials = types.SimpleNamespace(
        getToken=lambda audience: asked.append(audience) or "a-token"
    )
    onelake = "abfss://ws@onelake.dfs.fabric.microsoft.com/lh.Lakehouse"
    table = parse_table(f"{onelake}/Tables/logs")

    target = open_target(parse_target(f"{onelake}/Files/logs"), {}, lambda size: 5.0)
    by_token, by_user = DeltaRsTable(table, {}, 5.0), DeltaRsTable(table, {"sas_token": "x"}, 5.0)

    assert asked == ["storage", "storage"]
    assert isinstance(target, ObjectTarget) and target._options == {"bearer_token": "a-token"}
    assert by_token._options == {"bearer_token": "a-token", "use_fabric_endpoint": "true"}
    assert by_user._options == {"sas_token": "x"}
    assert target._store() is not None  # obstore takes them


@pytest.mark.parametrize("fault", ["false", "half", "raise"])
def test_a_copy_that_did_not_work_is_made_again(log, fabric, fault):
    """A `False`, half a file and an error are all the same: not there yet."""
    fabric.faults = ["", fault]

    report = upload(log.path, ABFSS)

    assert report.ok and report.segments == 3, report
    assert copies_in(fabric.root) == log.files


def test_a_copy_that_never_works_is_reported(log, fabric):
    """The result of `cp` is looked at."""
    fabric.faults = ["false"] * 50

    report = upload(log.path, ABFSS, retries=1)

    assert report.segments == 0
    assert "did not copy" in report.failed[0].reason


def test_a_call_that_hangs_costs_its_time_and_no_more(log, databricks):
    """The call runs in the JVM and has no limit of its own."""
    databricks.faults = ["hang"] * 9
    begin = time.monotonic()

    report = upload(log.path, "dbfs:/ops", request_timeout=0.2, timeout=1, retries=1)

    databricks.let_go.set()
    assert time.monotonic() - begin < 60
    assert "took longer than" in report.failed[0].reason


def test_compute_that_hides_local_files_says_what_to_use(log, databricks):
    """Newer Databricks compute copies nothing from local disk; a volume works."""
    databricks.faults = ["denied"] * 9

    report = upload(log.path, "dbfs:/ops")

    assert "/Volumes/<catalog>/<schema>/<volume>/<folder>" in report.failed[0].reason


def test_a_relative_path_on_fabric_is_below_its_default_lakehouse(log, fabric):
    """Without one there is an error that says what would do, and nothing on local disk."""
    report = upload(log.path, "Files/logs")

    assert "needs a default lakehouse" in report.failed[0].reason
    with pytest.raises(ConfigError, match="Files/<folder>"):
        upload(log.path, "logs")
    with pytest.raises(ConfigError, match="without the first slash"):
        upload(log.path, "/Files/logs")


def test_a_default_lakehouse_is_found_by_the_context(log, fabric, monkeypatch):
    """Its OneLake path is made of the ids that the platform tells."""
    sys.modules["notebookutils"].runtime.context = {
        "currentWorkspaceId": "ws-1", "defaultLakehouseId": "lh-2",
        "defaultLakehouseWorkspaceId": "ws-3",
    }  # fmt: skip
    monkeypatch.setenv("MSNOTEBOOKUTILS_RUNTIME_TYPE", "jupyter")
    fresh_runtime()

    report = upload(log.path, "Files/logs")

    assert report.ok, report
    assert copies_in(f"{fabric.root}/ws-3@onelake.dfs.fabric.microsoft.com/lh-2/Files/logs")


def fresh_runtime() -> None:
    from laketrace.runtime import RuntimeDetector

    RuntimeDetector.reset_cache()


@pytest.fixture(autouse=True)
def _forget_the_platform():
    fresh_runtime()
    yield
    fresh_runtime()
