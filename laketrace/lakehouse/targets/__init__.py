"""Places for files, and which way leads to each of them.

Floor 7. Stands on: errors, lakehouse.targets.base, lakehouse.targets.directory,
lakehouse.targets.objects, lakehouse.targets.paths, lakehouse.targets.platform, runtime,
runtime.signals.

Directories and mounts are written directly. URLs go through `obstore` where the user gave
`upload_options` or no platform is there; on Fabric with the token of its storage, and without
obstore through `notebookutils.fs`; on Databricks through `dbutils.fs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from laketrace.errors import UploadError
from laketrace.lakehouse.targets.base import Target, Timeout, remote_name
from laketrace.lakehouse.targets.directory import DirectoryTarget
from laketrace.lakehouse.targets.objects import ObjectTarget
from laketrace.lakehouse.targets.paths import Location, check_mount, parse_target
from laketrace.lakehouse.targets.platform import PlatformTarget
from laketrace.runtime import run_context, signals

__all__ = ["Location", "Target", "open_target", "parse_target", "remote_name"]

_ONELAKE = "onelake.dfs.fabric.microsoft.com"


def open_target(location: Location, options: Mapping[str, str], timeout: Timeout) -> Target:
    """The target at `location`; nothing is sent yet.

    Raises `UploadError` when the platform lacks what the place needs, and `MissingExtraError`.
    """
    if location.kind in ("directory", "mount"):
        return DirectoryTarget(location, timeout)
    if location.kind == "lakehouse":
        return _open_lakehouse(location, options, timeout)
    if location.kind == "dbfs":
        fs = _fs("dbutils")
        if fs is None:
            raise UploadError(f"{location.shown} needs Databricks: there is no dbutils here.")
        return PlatformTarget(fs, location.path, location.shown, timeout)
    if not options:
        target = _open_by_platform(location, timeout)
        if target is not None:
            return target
    return ObjectTarget(location, options, timeout)


def _open_by_platform(location: Location, timeout: Timeout) -> Target | None:
    if location.scheme == "abfss" and (fs := _fs("notebookutils")) is not None:
        token = storage_token()
        if token is not None and find_spec("obstore") is not None:
            return ObjectTarget(location, {"bearer_token": token}, timeout)
        return PlatformTarget(fs, location.shown, location.shown, timeout)
    if (fs := _fs("dbutils")) is not None:
        return PlatformTarget(fs, location.shown, location.shown, timeout)
    return None


def _open_lakehouse(location: Location, options: Mapping[str, str], timeout: Timeout) -> Target:
    """Below the default lakehouse: its mount where there is one, else its OneLake URL."""
    mount = Location("mount", f"/lakehouse/default/{location.path}", location.shown)
    try:
        check_mount(mount)
    except FileNotFoundError:
        return open_target(parse_target(lakehouse_url(location.path)), options, timeout)
    return DirectoryTarget(mount, timeout)


def lakehouse_url(path: str) -> str:
    """The OneLake URL of a path below the default lakehouse.

    Raises `UploadError` when none is attached.
    """
    context = run_context()
    workspace = context.get("lakehouse_workspace_id") or context.get("workspace_id")
    lakehouse = context.get("lakehouse_id")
    if not workspace or not lakehouse:
        raise UploadError(
            f"{path!r} needs a default lakehouse, and none is attached. Attach one, or use "
            "abfss://<workspace>@onelake.dfs.fabric.microsoft.com/<item>.Lakehouse/Files/<folder>."
        )
    return f"abfss://{workspace}@{_ONELAKE}/{lakehouse}/{path}"


def storage_token() -> str | None:
    """Fabric's token for storage; None elsewhere."""
    credentials = getattr(signals.notebook_object("notebookutils"), "credentials", None)
    if credentials is None:
        return None
    try:
        return str(credentials.getToken("storage")) or None
    except Exception:  # the way without a token says what is wrong
        return None


def _fs(name: str) -> Any:
    return getattr(signals.notebook_object(name), "fs", None)
