"""Where streams lie: which places are the same, and to whom they belong.

Floor 7. Stands on: errors, files.units.

A checkpoint belongs to one output and dead letters to one checkpoint. Queries of this process are
known while they are live. A started query is recorded at both places, in a hidden folder
(`_laketrace_stream`) that Spark writes, so that any machine finds it; where the place is a path of
this machine, it is found without Spark too. Threads: any, under a lock.
"""

from __future__ import annotations

import glob
import json
import os
import re
import threading
from typing import Any, NamedTuple

from laketrace.errors import ConfigError
from laketrace.files.units import shown

RECORD = "_laketrace_stream"
_URL = re.compile(r"([a-z][a-z0-9+.-]+)://([^/]*)(.*)", re.I | re.S)
_LONGEST_RECORD = 64 * 1024  # bytes


class Claim(NamedTuple):
    """Whose a place is, in canonical form."""

    checkpoint: str
    dlq_path: str
    table: str | None


class _Live(NamedTuple):
    """A query of this process."""

    query: Any
    name: str
    claim: Claim


_live: list[_Live] = []
_lock = threading.Lock()


def is_path(place: str) -> bool:
    """Whether a table is named by its path, not by its name in a catalog.

    >>> is_path("/lake/orders"), is_path("abfss://c@a/orders"), is_path("main.sales.orders")
    (True, True, False)
    """
    return "/" in place or "\\" in place


def canonical(place: str) -> str:
    """The one way to write a place, for comparing.

    >>> canonical("file:///lake//orders/"), canonical("dbfs:/a"), canonical("S3://B/x/./y")
    ('/lake/orders', '/dbfs/a', 's3://b/x/y')
    """
    text = place.strip()
    if not is_path(text):
        return text.replace("`", "").lower()
    lower = text.lower()
    if lower.startswith("file:"):
        text = "/" + text[5:].lstrip("/")
    elif lower.startswith("dbfs:"):
        text = "/dbfs/" + text[5:].lstrip("/")
    url = _URL.fullmatch(text)
    if url:
        path = os.path.normpath("/" + url[3].lstrip("/"))
        return f"{url[1].lower()}://{url[2].lower()}{'' if path == '/' else path}"
    return os.path.normpath(os.path.abspath(text))


def overlap(first: str, second: str) -> str:
    """How two places get in each other's way; an empty text where they do not.

    A hidden folder (`_checkpoints`) in a table is no part of it, as Delta and Spark see it.

    >>> overlap("/lake/orders", "/lake/orders/"), overlap("/lake/orders/dlq", "/lake/orders")
    ('is the same as', 'lies in')
    >>> overlap("/lake/orders/_checkpoint", "/lake/orders"), overlap("/lake/a", "/lake/ab")
    ('', '')
    """
    one, other = canonical(first), canonical(second)
    if one == other:
        return "is the same as"
    if not (is_path(first) and is_path(second)):
        return ""
    for inner, outer, how in ((one, other, "lies in"), (other, one, "holds")):
        if inner.startswith(outer + "/") and inner[len(outer) + 1] not in "_.":
            return how
    return ""


def claim_of(checkpoint: str, dlq_path: str, table: str | None) -> Claim:
    """The claim of a query with these places."""
    return Claim(
        canonical(checkpoint), canonical(dlq_path), None if table is None else canonical(table)
    )


def shared(checkpoint: str | None, dlq_path: str | None, table: str | None) -> list[str]:
    """Problems of places that belong to another query, as far as that is known without Spark."""
    problems: list[str] = []
    mine = Claim(
        canonical(checkpoint) if checkpoint else "",
        canonical(dlq_path) if dlq_path else "",
        canonical(table) if table else None,
    )
    for item in live():
        problems += _conflicts(mine, item.claim, f"the live query {item.name}")
    for place in (mine.checkpoint, mine.dlq_path):
        theirs = _read_here(place) if place else None
        if theirs is not None:
            problems += _conflicts(mine, theirs, f"another query ({place}/{RECORD})", place)
    return list(dict.fromkeys(problems))


def _conflicts(mine: Claim, theirs: Claim, who: str, place: str | None = None) -> list[str]:
    """A checkpoint with another output, or dead letters of another checkpoint."""
    found = []
    same = bool(mine.checkpoint) and mine.checkpoint == theirs.checkpoint
    outputs = (mine.table, theirs.table)
    if same and place in (None, mine.checkpoint) and None not in outputs and len({*outputs}) == 2:
        found.append(
            f"checkpoint={shown(mine.checkpoint)}: it belongs to {who}, whose output is "
            f"{theirs.table}. Use a checkpoint of its own."
        )
    letters = bool(mine.dlq_path) and mine.dlq_path == theirs.dlq_path
    if letters and place in (None, mine.dlq_path) and mine.checkpoint and not same:
        found.append(
            f"dlq_path={shown(mine.dlq_path)}: it belongs to {who}, whose checkpoint is "
            f"{theirs.checkpoint}. Use a place of its own for dead letters."
        )
    return found


# -- live ------------------------------------------------------------------------------------------


def live() -> list[_Live]:
    """The queries that were started here and have not ended."""
    with _lock:
        items = list(_live)
    alive = [item for item in items if _is_active(item.query)]
    with _lock:
        _live[:] = [item for item in _live if item in alive or item not in items]
    return alive


def note_live(query: Any, name: str, claim: Claim) -> None:
    """Keep a query that has just been started."""
    with _lock:
        _live.append(_Live(query, name, claim))


def refuse_live(claim: Claim) -> None:
    """Raise `ConfigError` where a live query has the checkpoint already."""
    for item in live():
        if item.claim.checkpoint == claim.checkpoint:
            raise ConfigError(
                [
                    f"checkpoint={shown(claim.checkpoint)}: the query {item.name} is running on "
                    "it. Stop that first: query.stop()."
                ]
            )


def _is_active(query: Any) -> bool:
    try:
        return bool(query.isActive)
    except Exception:  # its session has ended, and the query with it
        return False


# -- recorded --------------------------------------------------------------------------------------


def claim_places(spark: Any, claim: Claim, checkpoint: str, dlq_path: str) -> None:
    """Record a query at its places. Raises `ConfigError` where they are another's."""
    problems: list[str] = []
    free = []
    for place, path in ((claim.checkpoint, checkpoint), (claim.dlq_path, dlq_path)):
        theirs = _read_here(place) or _read_with_spark(spark, path)
        if theirs is None:
            free.append(path)
        else:
            problems += _conflicts(claim, theirs, f"another query ({path}/{RECORD})", place)
    if problems:
        raise ConfigError(problems)
    for path in free:
        frame = spark.createDataFrame([(json.dumps(claim._asdict()),)], "value string")
        frame.coalesce(1).write.mode("overwrite").text(f"{path.rstrip('/')}/{RECORD}")


def _read_here(place: str) -> Claim | None:
    """The record at a place of this machine."""
    for path in glob.glob(os.path.join(glob.escape(place), RECORD, "part-*")):
        try:
            with open(path, encoding="utf-8") as file:
                return _claim(file.read(_LONGEST_RECORD))
        except OSError:  # not ours to read, or just replaced: Spark is asked at the start
            continue
    return None


def _read_with_spark(spark: Any, path: str) -> Claim | None:
    from pyspark.errors import AnalysisException  # type: ignore[import-not-found,unused-ignore]

    try:
        rows = spark.read.text(f"{path.rstrip('/')}/{RECORD}").collect()
    except AnalysisException as error:
        if "PATH_NOT_FOUND" in str(error):
            return None
        raise
    return _claim(rows[0][0]) if rows else None


def _claim(text: str) -> Claim | None:
    try:
        values = json.loads(text)
        return Claim(values["checkpoint"], values["dlq_path"], values["table"])
    except (ValueError, KeyError, TypeError):  # no record of ours
        return None
