"""`laketrace query`: SQL over log files, archives, uploaded copies and Delta tables alike.

Floor 7. Stands on: cli.places, cli.query.engine, cli.query.files, cli.query.formats, cli.query.sql,
cli.terminal.
"""

from __future__ import annotations

import argparse
import os
import re
from tempfile import TemporaryDirectory

from laketrace.cli.places import Logs, find_logs
from laketrace.cli.query.engine import Engine
from laketrace.cli.query.files import list_copies, list_files
from laketrace.cli.query.formats import FORMATS, write
from laketrace.cli.query.sql import Query
from laketrace.cli.terminal import DONE, Output, UsageError, progress

SUMMARY = "ask log files, archives and Delta tables with SQL"
DETAILS = """\
The view `logs` has the columns of the Delta table: timestamp, date, level, severity, message,
logger_name, run_id, hostname, pid, platform, runtime_type, file, line, function, exception,
fields, segment, offset, raw. The SQL is DuckDB's; it only reads.

  fields->>'$.rows'          the field `rows` of a record, as text
  fields->>'$.order.id'      `id` inside of the field `order`, or the field called `order.id`
  (fields->>'$.rows')::int   a number; severity >= 30 is WARNING and above
  raw                        the text of a line that is no record (torn, foreign, text log)
  segment, "offset"          where a line lies; a file still being written has no lasting name

examples:
  laketrace query "select level, count(*) from logs group by 1" /tmp/laketrace_logs
  laketrace query "select timestamp, message, fields->>'$.table' as table_name from logs
                   where severity >= 30 order by timestamp desc limit 20" orders_etl
  laketrace query "select * from logs where run_id = 'r7'" /lake/ops/laketrace --output r7.parquet
"""
JSON = "the rows as one JSON array of objects, like --format json"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `laketrace query`."""
    add = parser.add_argument
    add("sql", metavar="SQL", help="a SELECT over the view `logs`")
    add(
        "place", nargs="?", metavar="PATH|DIR|TABLE",
        help="a log file, a directory of logs or of uploaded copies, the path or URL of a Delta "
        "table, or the name of a logger (default: where the settings say)",
    )  # fmt: skip
    add("--format", choices=FORMATS, help="how to write the rows (default: table, or by --output)")
    add("--output", metavar="FILE", help="write into a file instead of showing the rows")


def run(options: argparse.Namespace, out: Output) -> int:
    """Run the query and write its rows."""
    form = _format(options)
    query = Query(options.sql)
    with TemporaryDirectory(prefix="laketrace-query-") as folder:
        with progress("asking the logs") as bar:
            engine = Engine(folder, bar)
            with engine.errors():
                _ask(engine, query, options.place)
        with engine.errors():
            write(engine, form, options.output)
    return DONE


def _format(options: argparse.Namespace) -> str:
    """The format that is asked for, by name or by the ending of the file."""
    ending = os.path.splitext(options.output or "")[1][1:].lower()
    form = options.format or ("json" if options.json else None)
    form = form or (ending if ending in FORMATS else "table")
    if options.json and form != "json":
        raise UsageError(f"--json and --format {form} contradict each other. Leave one out.")
    if form == "parquet" and options.output is None:
        raise UsageError("--format parquet needs --output FILE: it is nothing to be shown.")
    return str(form)


def _ask(engine: Engine, query: Query, place: str | None) -> None:
    """Find out what `place` is, and run the query over it."""
    if place is not None and _is_table(place):
        engine.over_table(query, place)
        return
    copies = list_copies(place) if place is not None and os.path.isdir(place) else []
    if not copies:
        engine.over_files(query, list_files(_logs(place), named=query.may_name("segment")))
        return
    files = list_files(find_logs(place), named=True)  # a log whose copies go to its own directory
    here = {file.name for file in files}
    engine.over_files(query, [*files, *(copy for copy in copies if copy.name not in here)])


def _is_table(place: str) -> bool:
    if os.path.exists(place):
        return os.path.isdir(os.path.join(place, "_delta_log"))
    return re.match(r"\w{2,}:/", place) is not None


def _logs(place: str | None) -> Logs:
    try:
        logs = find_logs(place)
    except UsageError as error:
        if place is not None and re.fullmatch(r"\w+(\.\w+){1,2}", place):
            raise UsageError(
                f"{error} If {place} is a table in a catalog: there is no Spark here. Use the "
                "path or URL where it lies (in Spark: DESCRIBE DETAIL)."
            ) from None
        raise
    if logs.segment is None and not logs.living_stems():
        raise UsageError(f"there are no logs in {logs.directory}, and it is no Delta table.")
    return logs
