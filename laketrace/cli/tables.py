"""A Delta table for reading, without Spark.

Floor 7. Stands on: errors, lakehouse.tables, lakehouse.targets.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from laketrace.errors import LakeTraceError, need
from laketrace.lakehouse.tables import TableName, parse_table
from laketrace.lakehouse.targets import lakehouse_url, storage_token


class TableError(LakeTraceError, RuntimeError):
    """A Delta table cannot be read from here; the text says why."""


def open_delta(text: str, options: Mapping[str, str] | None = None) -> Any:
    """The `deltalake.DeltaTable` at a path or URL; None where there is no table yet.

    Raises `ValueError` for what can be no table, `TableError`, and `MissingExtraError`.
    """
    deltalake: Any = need("deltalake", "delta", "reading a Delta table without Spark")
    place = _place(parse_table(text))
    given = dict(options or {})
    if not given and (token := _token(place)) is not None:
        given["bearer_token"] = token
        if "fabric.microsoft.com" in place:
            given["use_fabric_endpoint"] = "true"
    try:
        return deltalake.DeltaTable(place, storage_options=given or None)
    except deltalake.exceptions.TableNotFoundError:
        return None
    except (deltalake.exceptions.DeltaError, OSError) as error:
        raise TableError(f"the Delta table {text} cannot be read: {error}") from None


def _place(name: TableName) -> str:
    """Where delta-rs finds a table."""
    location = name.location
    if location is None:
        raise TableError(
            f"{name.shown} is a name in a catalog, which only a Spark session knows. Use the path "
            "or URL where the table lies (in Spark: DESCRIBE DETAIL)."
        )
    if location.kind in ("directory", "mount"):
        return location.path
    if location.kind == "lakehouse":
        mounted = f"/lakehouse/default/{location.path}"
        return mounted if os.path.isdir(mounted) else lakehouse_url(location.path)
    return location.shown


def _token(place: str) -> str | None:
    return storage_token() if place.startswith("abfss:") else None
