"""`laketrace upload`: what a run has left is brought to the lakehouse, once.

Floor 7. Stands on: cli.places, cli.terminal, cli.waiting, config, errors, lakehouse,
lakehouse.options.
"""

from __future__ import annotations

import argparse
import re
import shlex
from contextlib import AbstractContextManager, nullcontext

from laketrace.cli.places import find_logs, stems_in
from laketrace.cli.terminal import (
    DONE,
    FAILED,
    Output,
    Progress,
    UsageError,
    polled,
    progress,
    shown_bytes,
)
from laketrace.cli.waiting import Sending, filled_active_files, waiting_segments
from laketrace.config import LakeTraceConfig
from laketrace.errors import ConfigError
from laketrace.lakehouse import upload
from laketrace.lakehouse.options import Options, make_options

SUMMARY = "bring finished segments to a target and a Delta table, exactly once"
DETAILS = """\
What dead processes left active is finished first; a living process goes on writing to its own
file. A repeat does nothing, and two uploads at once double nothing. Credentials come from the
platform or from the usual variables (AWS_*, AZURE_*, GOOGLE_*).

examples:
  laketrace upload /tmp/laketrace_logs --target /Volumes/main/ops/logs
  laketrace upload /tmp/laketrace_logs --table /lake/ops/laketrace
  laketrace upload --dry-run --table s3://ops/laketrace
"""
JSON = "the report as one JSON document"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `laketrace upload`."""
    add = parser.add_argument
    add(
        "dir", nargs="?", metavar="DIR",
        help="the directory of logs (default: where the settings say)",
    )  # fmt: skip
    add(
        "--target", metavar="PLACE",
        help="where copies of the files go: a directory, a mount or a URL "
        "(default: LAKETRACE_UPLOAD_TARGET)",
    )  # fmt: skip
    add(
        "--table", metavar="TABLE",
        help="the Delta table that gets the rows: a path or URL; made if absent "
        "(default: LAKETRACE_UPLOAD_TABLE)",
    )  # fmt: skip
    add("--dry-run", action="store_true", help="show what would be sent, and send nothing")
    add(
        "--delete-after", action="store_true",
        help="remove local segments that every destination has confirmed",
    )  # fmt: skip
    add("--retries", metavar="N", help="tries after the first (default 5)")
    add("--timeout", metavar="TIME", help="for everything, e.g. '10 minutes' (default 120 seconds)")


def run(options: argparse.Namespace, out: Output) -> int:
    """Upload, or tell what an upload would do."""
    config = _settings(options)
    logs = find_logs(options.dir)
    if logs.stems is not None or logs.segment is not None:
        raise UsageError(f"{options.dir} is one log. Name its directory: {logs.directory}.")
    return (_dry_run if options.dry_run else _upload)(logs.directory, config, out)


def _settings(options: argparse.Namespace) -> LakeTraceConfig:
    """The settings of the environment, with what the command line says instead."""
    given = {
        "upload_target": options.target,
        "upload_table": options.table,
        "upload_retries": options.retries,
        "upload_timeout": options.timeout,
        "upload_delete_after": options.delete_after or None,
    }
    try:
        config = LakeTraceConfig({key: value for key, value in given.items() if value is not None})
    except ConfigError as error:  # as what was typed, not as the setting that it stands for
        typed = [re.sub(r"^upload_(\w+)=", r"--\1 ", problem) for problem in error.problems]
        raise UsageError("\n".join(typed)) from None
    if config["upload_target"] is None and config["upload_table"] is None:
        raise UsageError("nothing says where to upload to. Use --target, --table or both.")
    return config


def _order(config: LakeTraceConfig) -> Options:
    return make_options(
        config["upload_target"], config["upload_table"], store=config["upload_options"]
    )


def _moving(bar: Progress, directory: str, config: LakeTraceConfig) -> AbstractContextManager[None]:
    """A block in which the bar moves with what the destinations have confirmed."""
    if not bar.shown:
        return nullcontext()
    sending = Sending(directory, _order(config).destinations)
    return polled(bar, sending.confirmed, sending.total)


def _upload(directory: str, config: LakeTraceConfig, out: Output) -> int:
    empty = not stems_in(directory)
    with progress("uploading") as bar, _moving(bar, directory, config):
        report = upload(
            directory,
            config["upload_target"],
            config["upload_table"],
            delete_after=config["upload_delete_after"],
            retries=config.checked("upload_retries"),
            request_timeout=config.checked("upload_request_timeout"),
            timeout=config.checked("upload_timeout"),
            options=config["upload_options"],
        )
    for line in str(report).splitlines():
        out.say(line)
    if empty:
        out.say(f"  logs     none in {directory}")
    if not report.ok:
        places = [("--target", report.target), ("--table", report.table)]
        words = [word for name, place in places if place for word in (name, place)]
        out.say(f"  more     {shlex.join(['laketrace', 'doctor', *words, directory])}")
    out.document({"ok": report.ok, **report.to_dict()})
    return DONE if report.ok else FAILED


def _dry_run(directory: str, config: LakeTraceConfig, out: Output) -> int:
    order = _order(config)
    target, table = order.target and order.target.shown, order.table and order.table.shown
    waiting = waiting_segments(directory, order.destinations)
    rows = [[item.segment.base, item.segment.size, item.name] for item in waiting]
    if rows:
        out.table(["segment", "bytes", "its name for ever"], rows)
    total = sum(item.segment.size for item in waiting)
    count = "1 segment" if len(rows) == 1 else f"{len(rows)} segments"
    out.say(f"{count}, {shown_bytes(total)}, would be sent; nothing was")
    for kind, place in (("target", target), ("table", table)):
        if place:
            out.say(f"  {kind:<7} {place}")
    active = filled_active_files(directory)
    for path in active:
        out.say(f"  active  {path}: finished and sent too, if its writer has ended")
    segments = [
        {"segment": base, "bytes": size, "name": name, "stream": item.stream}
        for (base, size, name), item in zip(rows, waiting, strict=True)
    ]
    plan = {"directory": directory, "target": target, "table": table, "active": active}
    out.document({"ok": True, "dry_run": True, **plan, "segments": segments, "bytes": total})
    return DONE
