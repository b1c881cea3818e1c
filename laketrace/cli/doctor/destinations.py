"""The doctor looks at upload targets and tables: can they be written?

Floor 7. Stands on: cli.doctor.disk, cli.doctor.finding, cli.tables, errors, lakehouse.options,
lakehouse.retry, lakehouse.tables, lakehouse.tables.shape, lakehouse.targets.

A small file is sent, read back and removed again, in a table beside its data under a name that
readers of Delta pass over. Nothing else is written: no table is made, no row added.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from laketrace.cli.doctor.disk import nothing_left
from laketrace.cli.doctor.finding import NOTE, OK, PROBLEM, Finding
from laketrace.cli.tables import open_delta
from laketrace.errors import LakeTraceError, MissingExtraError
from laketrace.lakehouse.options import reason_of
from laketrace.lakehouse.retry import Deadline
from laketrace.lakehouse.tables import parse_table
from laketrace.lakehouse.tables.shape import check_features, check_properties, check_shape
from laketrace.lakehouse.targets import Location, open_target, parse_target

_PROBE = b"LakeTrace was here to see whether it can write. This file can be removed.\n"
_REMEDIES = (
    (("permission", "forbidden", "403", "denied", "unauthorized", "401", "authentication"),
     "Give this identity the right to write there, or other credentials: the usual variables "
     "(AWS_*, AZURE_*, GOOGLE_*) or the setting upload_options."),
    (("does not exist", "not mounted", "no such", "not found", "404", "no default lakehouse",
      "has no /"),
     "Create or attach it, or correct the path."),
    (("read-only", "no space", "quota"), "Free space there, or use another place."),
    (("timed out", "time", "connect", "dns", "resolve", "network"),
     "Check network, proxy and endpoint; uploads try again by themselves."),
)  # fmt: skip


def look_at_target(text: str, options: Mapping[str, str], seconds: float) -> Iterator[Finding]:
    """Whether files can be sent to an upload target within some seconds."""
    try:
        location = parse_target(text)
    except ValueError as error:
        yield Finding(PROBLEM, "target", str(error), "Write it in that form.")
        return
    yield _probe("target", location, "laketrace-probe", options, seconds)


def look_at_table(text: str, options: Mapping[str, str], seconds: float) -> Iterator[Finding]:
    """Whether rows can be appended to a table."""
    try:
        name = parse_table(text)
    except ValueError as error:
        yield Finding(PROBLEM, "table", str(error), "Write it in that form.")
        return
    if name.location is None:
        yield Finding(
            NOTE, "table", f"{text} is a name in a catalog, which only a Spark session knows",
            "Look from a notebook (DESCRIBE DETAIL), or name the path where it lies.",
        )  # fmt: skip
        return
    yield _look_into(text, options)
    yield _probe("table", name.location, "_laketrace_probe", options, seconds)


def _look_into(text: str, options: Mapping[str, str]) -> Finding:
    """What is in a table, and whether log records can be appended to it."""
    try:
        table = open_delta(text, options)
        if table is None:
            return Finding(OK, "table", f"{text} is not there yet: the first upload makes it")
        _check(text, table)
        rows = sum(table.get_add_actions(flatten=True).column("num_records").to_pylist())
    except MissingExtraError as error:
        return _missing("table", error)
    except LakeTraceError as error:
        return Finding(PROBLEM, "table", str(error), "Give the log a table of its own.")
    except Exception as error:  # the store, or a table that is damaged
        return Finding(PROBLEM, "table", f"{text}: {reason_of(error, options)}", _remedy(error))
    return Finding(OK, "table", f"{text}: version {table.version()}, {rows:,} rows, our columns")


def _check(text: str, table: Any) -> None:
    fields = json.loads(table.schema().to_json())["fields"]
    types = {
        field["name"]: field["type"] if isinstance(field["type"], str) else field["type"]["type"]
        for field in fields
    }
    required = [field["name"] for field in fields if not field["nullable"]]
    metadata = table.metadata()
    check_features(text, table.protocol().writer_features or ())
    check_shape(text, types, metadata.partition_columns, required)
    check_properties(text, metadata.configuration)


def _probe(
    what: str, location: Location, prefix: str, options: Mapping[str, str], seconds: float
) -> Finding:
    """Send a small file, read it back, remove it."""
    name = f"{prefix}-{os.urandom(6).hex()}.txt"
    begin = time.monotonic()
    local = location.path if location.kind in ("directory", "mount") else ""
    try:
        with nothing_left(local):
            target = open_target(location, options, Deadline(seconds).limit(seconds))
            try:
                target.send(name, lambda: io.BytesIO(_PROBE), len(_PROBE))
                back = b"".join(target.receive(name))
            except Exception:
                with suppress(Exception):  # what is told is the first error
                    target.remove(name)
                raise
            target.remove(name)
    except MissingExtraError as error:
        return _missing(what, error)
    except Exception as error:
        return Finding(
            PROBLEM, what, f"{location.shown}: {reason_of(error, options)}", _remedy(error)
        )
    if back != _PROBE:
        text = f"{location.shown} gave back other bytes than were sent"
        return Finding(PROBLEM, what, text, "Use another place: this one cannot be trusted.")
    passed = time.monotonic() - begin
    return Finding(OK, what, f"{location.shown} can be written: a probe took {passed:.2f} s")


def _missing(what: str, error: MissingExtraError) -> Finding:
    text, _, command = str(error).partition(" Run: ")
    return Finding(PROBLEM, what, text, f"Run: {command}")


def _remedy(error: BaseException) -> str:
    """What to do about an error of a store, by its words."""
    text = f"{type(error).__name__} {error}".lower()
    for words, remedy in _REMEDIES:
        if any(word in text for word in words):
            return remedy
    return "Read the error above; uploads try again, and keep everything here until then."
