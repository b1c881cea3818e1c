"""Directories of segments as processes leave them, and the proof that each line arrived once."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from laketrace.files.segment import JournalLine, read_journal, segment_name, write_journal
from laketrace.lakehouse.targets import remote_name

STREAM = "0123456789abcdef0123456789abcdef"


def record(number: int, **fields: Any) -> bytes:
    """A line as LakeTrace writes it, without its newline."""
    head = {
        "timestamp": f"2026-11-21T10:{number // 60 % 60:02d}:{number % 60:02d}.000000+00:00",
        "level": "INFO", "message": f"table {number} loaded", "logger_name": "orders",
        "hostname": "node", "pid": 7, "platform": "local", "runtime_type": "script",
        "run_id": "run-1",
    }  # fmt: skip
    return json.dumps({**head, "rows": number, **fields}, separators=(",", ":")).encode()


class LogDir:
    """A directory of segments in the making; knows every line that is in it."""

    def __init__(self, path: str, stem: str = "orders", stream: str = STREAM) -> None:
        self.path = path
        self.stem = stem
        self.stream = stream
        self.lines: Counter[tuple[str, int, bytes]] = Counter()
        self.files: dict[str, bytes] = {}
        self._number = 0
        os.makedirs(os.path.join(path, ".laketrace"), exist_ok=True)
        journal = read_journal(path, stem)
        write_journal(path, stem, [*journal, JournalLine(stream, ("", 0), 0, 7, "orders")])

    def add(
        self, lines: Iterable[bytes], stamp: str = "", number: int = 0, gz: bool = False
    ) -> str:
        """A segment with these lines; its path."""
        self._number += 1
        stamp = stamp or f"20261121_10{self._number // 60:02d}{self._number % 60:02d}"
        base = segment_name(self.stem, (stamp, number))
        name = f"{self.stream}-{remote_name(base)}"
        data = b"".join(line + b"\n" for line in lines)
        offset = 0
        for line in data.splitlines(keepends=True):
            self.lines[name, offset, line.rstrip(b"\n")] += 1
            offset += len(line)
        path = os.path.join(self.path, base + (".gz" if gz else ""))
        stored = gzip.compress(data, mtime=0) if gz else data
        with open(path, "wb") as file:
            file.write(stored)
        self.files[name + (".gz" if gz else "")] = stored
        return path

    def fill(self, segments: int, records: int = 5) -> LogDir:
        """Several segments, some compressed, one with torn and foreign lines."""
        for part in range(segments):
            lines = [record(part * records + number) for number in range(records)]
            if part == 1:
                lines[2:2] = [b'{"timestamp":"2026-11-21T10', b"no json at all", b'{"a":1}']
            self.add(lines, gz=part % 2 == 1)
        return self


def rows_in(table: str, options: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """The rows of a Delta table."""
    deltalake = __import__("deltalake")
    found = deltalake.DeltaTable(table, storage_options=dict(options) if options else None)
    return found.to_pyarrow_table().to_pylist()


def lines_in(rows: list[dict[str, Any]]) -> Counter[tuple[str, int, str]]:
    """Where each row's line lies, and what is in it."""
    return Counter((row["segment"], row["offset"], _content(row)) for row in rows)


def _content(row: Mapping[str, Any]) -> str:
    if row["raw"] is not None:
        return str(row["raw"])
    if row["message"] is None:
        return str(row["fields"])
    return f"{row['message']} {row['fields']}"


def expected(*logs: LogDir) -> Counter[tuple[str, int, str]]:
    """What `lines_in` must give when everything of some directories is in the table once."""
    found: Counter[tuple[str, int, str]] = Counter()
    for log in logs:
        for (name, offset, line), count in log.lines.items():
            found[name, offset, _text(line)] += count
    return found


def _text(line: bytes) -> str:
    try:
        value = json.loads(line)
    except ValueError:
        return line.decode()
    if "message" not in value:
        return line.decode()
    return f"{value['message']} " + json.dumps({"rows": value["rows"]}, separators=(",", ":"))


def copies_in(target: str) -> dict[str, bytes]:
    """The copies in a target directory by file name; also fails for two of one name."""
    found: dict[str, bytes] = {}
    for folder, _, names in os.walk(target):
        for name in names:
            if not name.startswith("_manifest"):
                assert name not in found
                with open(os.path.join(folder, name), "rb") as file:
                    found[name] = file.read()
    return found


def manifested_in(target: str) -> dict[str, dict[str, Any]]:
    """The entries of all manifests in a target directory."""
    found: dict[str, dict[str, Any]] = {}
    for folder, _, names in os.walk(target):
        for name in names:
            if name.startswith("_manifest"):
                with open(os.path.join(folder, name), "rb") as file:
                    found.update({item["name"]: item for item in json.load(file)["segments"]})
    return found


def upload_elsewhere(
    log_dir: str, crash_at: str = "", wait: bool = True, **arguments: Any
) -> subprocess.Popen[str]:
    """`upload` in a process of its own, which a step may kill; prints the report as JSON."""
    code = (
        "import json, sys; from laketrace.lakehouse import upload; "
        "log_dir, arguments = json.loads(sys.argv[1]); "
        "print(json.dumps(upload(log_dir, **arguments).to_dict()))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps([log_dir, arguments])],
        env={**os.environ, "LAKETRACE_TEST_CRASH_AT": crash_at},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if wait:
        process.wait()
    return process
