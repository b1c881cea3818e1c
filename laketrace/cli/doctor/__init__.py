"""`laketrace doctor`: where am I, where do files go, what is wrong, and what to do about it.

Floor 7. Stands on: cli.doctor.destinations, cli.doctor.disk, cli.doctor.finding, cli.doctor.logs,
cli.doctor.machine, cli.places, cli.query.files, cli.terminal, config, errors, lakehouse.options,
runtime.
"""

from __future__ import annotations

import argparse
import os
import re
from typing import Any, NamedTuple

from laketrace.cli.doctor.destinations import look_at_table, look_at_target
from laketrace.cli.doctor.disk import look_at_place
from laketrace.cli.doctor.finding import NOTE, OK, PROBLEM, Finding
from laketrace.cli.doctor.logs import Log, look_at_logs
from laketrace.cli.doctor.machine import look_at_packages, look_at_runtime, look_at_settings
from laketrace.cli.places import find_logs, spool_root, stems_in
from laketrace.cli.query.files import list_copies
from laketrace.cli.terminal import DONE, FAILED, Output, UsageError, progress
from laketrace.config import SETTINGS, LakeTraceConfig
from laketrace.errors import ConfigError
from laketrace.lakehouse.options import make_options
from laketrace.runtime import detect_runtime, findings

SUMMARY = "find out where logs go, what is wrong, and what to do about it"
DETAILS = """\
Looks at the platform, the settings, the packages and the place of the log files; at the logs in
it, their accounts and what waits for upload; and at the upload target and table, with a probe that
is removed again. Without an argument all of these are what the settings of this environment say.

examples:
  laketrace doctor
  laketrace doctor /tmp/laketrace_logs
  laketrace doctor s3://ops/logs
  laketrace doctor --table /lake/ops/laketrace --json

Exit code 1 when there is a problem; notes are no problems.
"""
JSON = "everything that was found as one JSON document"

_HEADS = (
    "log", "records", "torn", "dropped", "segments", "bytes", "uploaded", "waiting", "writer",
)  # fmt: skip

_MARKS = {OK: ("ok", ""), NOTE: ("note", "33"), PROBLEM: ("PROBLEM", "31;1")}


class Subjects(NamedTuple):
    """What is to be looked at."""

    log_dir: str | None
    target: str | None
    table: str | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `laketrace doctor`."""
    add = parser.add_argument
    add(
        "place", nargs="?", metavar="DIR|TARGET|TABLE",
        help="a directory of logs, an upload target, or the path of a Delta table",
    )  # fmt: skip
    add("--target", metavar="PLACE", help="look at this upload target")
    add("--table", metavar="TABLE", help="look at this Delta table")
    add(
        "--timeout", metavar="TIME", default="30 seconds",
        help="how long a target or table may take to answer, e.g. '1 minute' (default 30 seconds)",
    )  # fmt: skip


def run(options: argparse.Namespace, out: Output) -> int:
    """Look at everything; say what was found."""
    timeout = _seconds(options.timeout)
    found = [*look_at_runtime(), *look_at_settings(), *look_at_packages()]
    try:
        config = LakeTraceConfig()
    except ConfigError:  # told above; the rest is looked at by the defaults
        config = LakeTraceConfig(environment={})
    subjects = _subjects(options, config)
    logs: list[Log] = []
    with progress("looking") as bar:
        if subjects.log_dir is not None:
            place, more = look_at_place(subjects.log_dir, spool_root(config))
            ids = _destination_ids(subjects)
            logs, of_logs = look_at_logs(place.directory, ids, bar.to)
            found += [*more, *of_logs]
            if place.spooled and subjects.target is None:
                subjects = subjects._replace(target=place.target)
        store = {str(key): str(value) for key, value in (config["upload_options"] or {}).items()}
        if subjects.target is not None:
            found += look_at_target(subjects.target, store, timeout)
        if subjects.table is not None:
            found += look_at_table(subjects.table, store, timeout)
    _report(found, logs, out)
    return FAILED if any(item.state == PROBLEM for item in found) else DONE


def _seconds(text: str) -> float:
    try:
        return float(SETTINGS["upload_timeout"].check(text))  # the forms of `laketrace upload`
    except ValueError as error:
        raise UsageError(f"--timeout {text!r}: {error}") from None


def _subjects(options: argparse.Namespace, config: LakeTraceConfig) -> Subjects:
    """What the command line names, else what the settings say."""
    place = options.place
    if place is None and options.target is None and options.table is None:
        return Subjects(config.checked("log_dir"), config["upload_target"], config["upload_table"])
    named = Subjects(None, options.target, options.table)
    if place is None:
        return named
    if os.path.isdir(os.path.join(place, "_delta_log")) or re.search(r"(^|/)Tables/", place):
        return named._replace(table=place)
    if re.match(r"\w{2,}:", place) or _has_copies(place):
        return named._replace(target=place)
    if os.path.isdir(place) or os.sep in place:
        return named._replace(log_dir=os.path.abspath(place))
    try:
        return named._replace(log_dir=find_logs(place).directory)
    except UsageError:
        if re.fullmatch(r"\w+(\.\w+){1,2}", place):
            return named._replace(table=place)
        raise


def _has_copies(place: str) -> bool:
    return os.path.isdir(place) and not stems_in(place) and bool(list_copies(place))


def _destination_ids(subjects: Subjects) -> list[str]:
    """The ids of the configured destinations in the ledgers; none for what is written wrongly."""
    if subjects.target is None and subjects.table is None:
        return []
    try:
        return make_options(subjects.target, subjects.table).destinations
    except ConfigError:
        return []


def _report(found: list[Finding], logs: list[Log], out: Output) -> None:
    width = max(len(item.what) for item in found)
    under = " " * (8 + width + 2)
    for item in found:
        mark, colour = _MARKS[item.state]
        lines = out.wrapped(item.text, len(under))
        remedy = out.wrapped(f"-> {item.remedy}" if item.remedy else "", len(under), "   ")
        out.say(f"{mark:<8}{item.what:<{width}}  {lines[0]}", colour)
        for line in [*lines[1:], *remedy]:
            out.say(under + line, colour)
    if logs:
        out.say()
        out.table(_HEADS, [_row(log) for log in logs])
    problems = sum(item.state == PROBLEM for item in found)
    notes = sum(item.state == NOTE for item in found)
    out.say()
    out.say(f"problems: {problems}, notes: {notes}")
    out.document(_document(found, logs))


def _row(log: Log) -> list[Any]:
    account = log.account
    counted = [account.records, account.torn, sum(account.dropped.values())]
    files = [log.segments, log.segment_bytes + log.active_bytes, log.uploaded, log.waiting]
    return [log.stem, *counted, *files, log.writer]


def _document(found: list[Finding], logs: list[Log]) -> dict[str, Any]:
    context = detect_runtime()
    return {
        "ok": not any(item.state == PROBLEM for item in found),
        "platform": str(context.platform),
        "runtime_type": str(context.runtime_type),
        "run_id": context.run_id,
        "signals": [signal._asdict() for signal in findings()],
        "findings": [item._asdict() for item in found],
        "logs": [log.to_dict() for log in logs],
    }
