"""`laketrace tail`: the last records of a log, and those that come.

Floor 7. Stands on: cli.following, cli.places, cli.scanning, cli.selecting, cli.terminal,
core.clean, core.console, core.encode, core.text, files.segment.

A line that is no record (torn, foreign, or of a text log) is shown as it is, made harmless; with
`--json` it becomes an object with `raw`, `file` and `offset`.
"""

from __future__ import annotations

import argparse
import heapq
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from laketrace.cli.following import LogReader
from laketrace.cli.places import Logs, find_logs
from laketrace.cli.scanning import segment_lines
from laketrace.cli.selecting import Line, Selection, as_record, make_selection
from laketrace.cli.terminal import DONE, Output, UsageError
from laketrace.core.clean import clean
from laketrace.core.console import wants_color
from laketrace.core.encode import to_json
from laketrace.core.text import DEFAULT_FORMAT, compile_format
from laketrace.files.segment import parse_segment

SUMMARY = "show the last records of a log, and follow it"
DETAILS = """\
examples:
  laketrace tail orders_etl                       the last 20 records of a logger, by its name
  laketrace tail -f /tmp/laketrace_logs           all logs of a directory, over rotations
  laketrace tail -f --level WARNING --where stage=bronze orders_etl
  laketrace tail --since '2 hours' --json orders_etl | jq .message

Without PATH or NAME: all logs where the settings say (LAKETRACE_LOG_DIR, else /tmp/laketrace_logs).
With --level, --since or --where only records are shown; without them also lines that are none.
"""
JSON = "each record as it stands in the log, a JSON line each"
_POLL_SECONDS = 0.2
_LAST = 20


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `laketrace tail`."""
    add = parser.add_argument
    add(
        "log",
        nargs="?",
        metavar="PATH|NAME",
        help="a directory of logs, a log file, a finished segment, or the name of a logger",
    )
    add(
        "-f",
        "--follow",
        action="store_true",
        help="go on with what comes, over rotations and new files, until interrupted",
    )
    add(
        "-n",
        "--lines",
        metavar="N",
        help=f"how many to show at first: a number or 'all' (default {_LAST}; all with --since)",
    )
    add("--level", metavar="LEVEL", help="only records of this level and above, e.g. WARNING")
    add(
        "--where",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="only records with this value in a field, e.g. order.id=7; may be given repeatedly",
    )
    add("--since", metavar="TIME",
        help="only records from then on: a span before now ('15 minutes') or a time in UTC "
        "('2026-11-21T10:30')")  # fmt: skip


def run(options: argparse.Namespace, out: Output) -> int:
    """Show, and follow if asked."""
    wanted = make_selection(options.level, options.since, options.where)
    limit = _limit(options.lines, wanted)
    logs = find_logs(options.log)
    if logs.segment is None and not logs.living_stems():
        if not options.follow:
            raise UsageError(
                f"there are no logs in {logs.directory}. With -f their coming is waited for."
            )
        print(f"laketrace: waiting for logs in {logs.directory}", file=sys.stderr)
    show = shower(out.json)
    if logs.segment is not None:
        if options.follow:
            raise UsageError("-f: a finished segment does not grow. Follow the log it belongs to.")
        show(_of_segment(logs.segment, wanted, limit))
        return DONE
    readers = {
        stem: LogReader(logs.directory, stem, whole_lines=options.follow)
        for stem in logs.living_stems()
    }
    show(last_lines(readers.values(), wanted, limit))
    try:
        while options.follow:
            show(new_lines(logs, readers, wanted))
            time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        pass
    return DONE


def _limit(text: str | None, wanted: Selection) -> int | None:
    if text is None:
        return None if wanted.since is not None else _LAST
    if text == "all":
        return None
    if not text.isdecimal():
        raise UsageError(f"-n {text!r} is no number of lines. Use a number from 0 up, or 'all'.")
    return int(text)


def _of_segment(path: str, wanted: Selection, limit: int | None) -> Iterable[Line]:
    segment = parse_segment(path)
    lines: Iterator[Line] = filter(wanted.takes, segment_lines(segment)) if segment else iter(())
    return lines if limit is None else deque(lines, limit)


def last_lines(
    readers: Iterable[LogReader], wanted: Selection, limit: int | None
) -> Iterable[Line]:
    """The last wanted lines of several logs, in time order."""
    merged = in_time_order([reader.backlog(wanted, limit) for reader in readers])
    return merged if limit is None else deque(merged, limit)


def new_lines(logs: Logs, readers: dict[str, LogReader], wanted: Selection) -> Iterable[Line]:
    """The wanted lines that have come since the last look, also of logs that are new."""
    for stem in logs.living_stems():
        if stem not in readers:
            readers[stem] = LogReader(logs.directory, stem, from_start=True)
    merged = in_time_order([reader.new_lines() for reader in readers.values()])
    return filter(wanted.takes, merged)


def in_time_order(logs: list[Iterable[Line]]) -> Iterator[Line]:
    """The lines of several logs by their timestamps; a line without one follows its predecessor."""
    return (line for _, line in heapq.merge(*map(_dated, logs), key=lambda item: item[0]))


def _dated(lines: Iterable[Line]) -> Iterator[tuple[str, Line]]:
    newest = ""
    for line in lines:
        newest = max(newest, line.timestamp)
        yield newest, line


def shower(json: bool) -> Callable[[Iterable[Line]], None]:
    """A function that writes lines to stdout: as they are, or readable, coloured for a terminal."""
    form = as_json if json else reader_form(wants_color(sys.stdout))

    def show(lines: Iterable[Line]) -> None:
        for line in lines:
            print(form(line))
        sys.stdout.flush()

    return show


def as_json(line: Line) -> str:
    """A record as it stands in the log; anything else as an object that says where it lies."""
    if line.fields is not None:
        return line.text.decode("utf-8").strip()
    raw = line.text.decode("utf-8", "backslashreplace")
    return to_json({"raw": raw, "file": line.file, "offset": line.offset})


def reader_form(color: bool) -> Callable[[Line], str]:
    """How a line looks for people."""
    render = compile_format(DEFAULT_FORMAT, color=color)

    def form(line: Line) -> str:
        record = None if line.fields is None else as_record(line.fields)
        if record is not None:
            return render(record)
        return clean(line.text.decode("utf-8", "backslashreplace"))

    return form
