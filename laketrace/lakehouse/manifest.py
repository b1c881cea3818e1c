"""The manifest of a run's folder: what is there, so that a reader can prove it complete.

Floor 7. Stands on: lakehouse.ledger, lakehouse.stream, lakehouse.targets.

Each stream has a manifest of its own, so no two uploaders overwrite each other's: the first one
in a folder is `_manifest.json`, those of further streams `_manifest.<n>.json`. Where a store
cannot overwrite, each new version is a new `_manifest.<n>.json` and supersedes the older ones of
its stream. So the union of a folder's manifests, by segment, is the manifest of the run.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from typing import Any

from laketrace.lakehouse.ledger import Planned
from laketrace.lakehouse.stream import Stream
from laketrace.lakehouse.targets import Target

_NAME = re.compile(r"_manifest(?:\.(\d+))?\.json")
Manifest = dict[str, Any]


def write_manifests(target: Target, stream: Stream, copies: Iterable[Planned]) -> None:
    """See that the manifests in the folders of `copies` name them all."""
    folders: dict[str, list[Planned]] = {}
    for plan in copies:
        folders.setdefault(plan.name.rpartition("/")[0], []).append(plan)
    for folder, plans in folders.items():
        _write(target, stream, folder, plans)


def _write(target: Target, stream: Stream, folder: str, plans: list[Planned]) -> None:
    names = sorted((name for name in target.sizes(folder) if _NAME.fullmatch(name)), key=_number)
    own = {name: found for name in names if (found := _read(target, folder, name, stream.id))}
    entries: dict[str, Any] = {}
    for found in own.values():
        entries.update({entry["name"]: entry for entry in found["segments"]})
    known = dict(entries)
    entries.update({entry["name"]: entry for entry in map(_entry, plans)})
    if entries == known:
        return
    data = _text(stream, folder, [entries[name] for name in sorted(entries)])
    if own and target.overwrites:
        try:
            target.replace(f"{folder}/{next(reversed(own))}", data)
            return
        except OSError:
            if target.overwrites:
                raise
    _write_new(target, folder, names, data)
    for name in own:
        if _number(name):
            target.remove(f"{folder}/{name}")


def _write_new(target: Target, folder: str, names: list[str], data: bytes) -> None:
    number = _number(names[-1]) + 1 if names else 0
    while True:
        name = f"_manifest.{number}.json" if number else "_manifest.json"
        try:
            target.send(f"{folder}/{name}", lambda: io.BytesIO(data), len(data))
            return
        except FileExistsError:  # the manifest of another stream, made a moment ago
            number += 1


def _number(name: str) -> int:
    match = _NAME.fullmatch(name)
    return int(match[1] or 0) if match else 0


def _read(target: Target, folder: str, name: str, stream_id: str) -> Manifest | None:
    """A manifest of this stream; None when it is of another, or half written."""
    try:
        found = json.loads(b"".join(target.receive(f"{folder}/{name}")))
        return found if found["stream"] == stream_id and found["segments"] else None
    except (ValueError, KeyError, TypeError, FileNotFoundError):
        return None


def _entry(plan: Planned) -> dict[str, Any]:
    entry = plan._asdict()
    del entry["form"]
    return {**entry, "name": plan.name.rpartition("/")[2]}


def _text(stream: Stream, folder: str, entries: list[dict[str, Any]]) -> bytes:
    manifest = {
        "stream": stream.id,
        "folder": folder,
        "records": sum(entry["records"] for entry in entries),
        "bytes": sum(entry["bytes"] for entry in entries),
        "segments": entries,
    }
    return json.dumps(manifest, indent=1).encode()
