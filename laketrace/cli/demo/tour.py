"""The steps of the demo: log, account, read again, upload, ask; each shows what it found.

Floor 7. Stands on: cli.demo.inputs, cli.demo.pipeline, cli.demo.screen, cli.demo.shipping,
cli.query.engine, cli.query.formats, cli.query.sql, cli.terminal, config, core.stats, errors,
files.read, files.segment, lakehouse, setup.

The settings are the demo's own, whatever the environment says: its records go nowhere else.
"""

from __future__ import annotations

import io
import os
import shlex
import tempfile
import time
from typing import Any

from laketrace import __version__
from laketrace.cli.demo.inputs import Recipe, flights, own_files
from laketrace.cli.demo.pipeline import Pipeline
from laketrace.cli.demo.screen import Screen
from laketrace.cli.demo.shipping import Writer, delta_rs, engine_of, spark_writer
from laketrace.cli.query.engine import Engine
from laketrace.cli.query.formats import write_table
from laketrace.cli.query.sql import Query
from laketrace.cli.terminal import Output, progress
from laketrace.config import LakeTraceConfig
from laketrace.core.stats import Stats
from laketrace.errors import need
from laketrace.files.read import read
from laketrace.files.segment import active_files, find_segments
from laketrace.lakehouse import upload
from laketrace.setup import get_logger

_SETTINGS = {"rotation": "1 MB", "retention": "7 days", "compression": "gz", "enqueue": True}
_FILES = 8  # that are listed
_SQL = """\
select fields->>'$.stage' as stage, level, count(*) as records,
       strftime(min(timestamp), '%H:%M:%S.%g') as first,
       strftime(max(timestamp), '%H:%M:%S.%g') as last
from logs where run_id = '{run_id}'
group by all order by first"""


class Tour:
    """One tour; `directory` is where everything goes, a new one for temporary files by default."""

    def __init__(self, out: Output, directory: str | None) -> None:
        self._out = out
        self._screen = Screen(out)
        self._run_id = f"demo-{os.urandom(4).hex()}"
        self._is_new = directory is None
        new = os.path.join(tempfile.gettempdir(), f"laketrace-{self._run_id}")
        self._directory = os.path.abspath(directory or new)
        self._logs = os.path.join(self._directory, "logs")
        self._table = os.path.join(self._directory, "table")
        self._document: dict[str, Any] = {"directory": self._directory, "run_id": self._run_id}

    def run(self, files: str | None, *, spark: bool) -> bool:
        """Take all steps; whether every number came out equal."""
        duck = need("duckdb", "demo", "laketrace demo").connect()
        with (spark_writer if spark else delta_rs)() as writer:
            with progress("reading the data"):
                recipe = flights(duck) if files is None else own_files(duck, files)
            os.makedirs(self._directory, 0o700, exist_ok=not self._is_new)
            self._screen.heading(f"LakeTrace {__version__}")
            self._screen.text(f"A pipeline over {recipe.title}. It logs what it meets.")
            counts = {"written": self._log(duck, recipe, "files" if files else "flights")}
            counts["read"] = self._read(counts["written"])
            if self._upload(writer):
                self._ask()
                counts["rows"], counts["places"] = writer.count_rows(self._table, self._run_id)
        return self._end(counts, writer)

    # -- the steps ----------------------------------------------------------------------------

    def _log(self, duck: Any, recipe: Recipe, name: str) -> int:
        """The pipeline logs; the number of records that its file has by the accounts."""
        self._screen.step("It logs; meanwhile its file rotates and is compressed")
        given = ", ".join(f"{key}={value!r}" for key, value in _SETTINGS.items())
        self._screen.code(f"log = get_logger({name!r}, log_dir={self._logs!r},\n    {given})")
        self._screen.line()
        settings = {**LakeTraceConfig.DEFAULTS, "log_dir": self._logs, "stdout": False}
        log = get_logger(name, {**settings, **_SETTINGS}, self._run_id)
        data = os.path.join(self._directory, "data")
        begin = time.perf_counter()
        try:
            screen = log.add(self._screen.show, format=self._screen.form, filter=self._screen.takes)
            with progress("pipeline") as bar:
                rows = Pipeline(duck, recipe, data, log).run(bar.to)
            if log.log_file_path is not None:  # not below log_dir where that is a mount
                self._logs = os.path.dirname(log.log_file_path)
        finally:
            log.close()
        seconds = round(time.perf_counter() - begin, 3)
        self._document |= {"input": recipe.title, "rows": rows, "seconds": seconds}
        return self._account(log.stats(), screen)

    def _account(self, stats: Stats, screen: int) -> int:
        """What became of every record, by handler; the number of those written to the file."""
        (file,) = (part for number, part in stats.handlers.items() if number != screen)
        shown = stats.handlers[screen]
        if file.written > shown.written:
            self._screen.line(f"... and {file.written - shown.written:,} more, in the files")
        self._screen.step("Its accounts say what became of every record: log.stats()")
        self._screen.line(f"{'':<10}  emitted = written + dropped + failed + queued")
        for what, part in (("the file", file), ("the screen", shown)):
            dropped = sum(part.dropped.values())
            self._screen.line(
                f"{what:<10}{part.emitted:>9,}{part.written:>10,}{dropped:>10,}"
                f"{part.failed:>9,}{part.queued:>9,}"
            )
        self._document["account"] = {
            "emitted": file.emitted, "written": file.written, "dropped": file.dropped,
            "failed": file.failed, "queued": file.queued,
        }  # fmt: skip
        return file.written

    def _read(self, written: int) -> int:
        """The files are read again; the number of this run's records in them."""
        self._screen.step("Its files can be read by anything; here by LakeTrace itself")
        paths = [item.path for item in find_segments(self._logs)] + active_files(self._logs)
        sizes = [[os.path.basename(path), os.path.getsize(path)] for path in paths]
        self._out.table(["file", "bytes"], sizes[-_FILES:], indent="   ")
        if len(sizes) > _FILES:
            self._screen.line(f"... and {len(sizes) - _FILES} before them")
        self._screen.line()
        self._screen.code(
            f"records = laketrace.read({self._logs!r})\n"
            f"sum(record['run_id'] == {self._run_id!r} for record in records)"
        )
        records = read(self._logs)
        number = sum(1 for record in records if record.get("run_id") == self._run_id)
        lines = f"{number:,} records of {written:,}, and {len(records.torn)} torn lines"
        self._screen.verdict(number == written, lines)
        self._document["files"] = [{"file": name, "bytes": size} for name, size in sizes]
        return number

    def _upload(self, writer: Writer) -> bool:
        """The files go into a table, and once more, which must change nothing."""
        self._screen.step(f"Its files become rows of a Delta table, by {writer.name}")
        self._screen.code(f"laketrace.upload({self._logs!r},\n    table={self._table!r})")
        with progress("uploading"):
            report = upload(self._logs, table=self._table)
        for line in str(report).splitlines():
            self._screen.line(line)
        self._document["upload"] = report.to_dict()
        if not report.ok:
            return False
        with progress("uploading again"):
            again = upload(self._logs, table=self._table)
        self._screen.line(
            f"and once more: {again.segments} are sent, {again.skipped} are there already"
        )
        engine = engine_of(self._table)
        self._screen.line(f"the table says who wrote it: {engine}")
        self._document |= {"upload_again": again.to_dict(), "engine": engine}
        return again.ok

    def _ask(self) -> None:
        """The table is asked with SQL."""
        self._screen.step("The table can be asked with SQL: laketrace query")
        sql = _SQL.format(run_id=self._run_id)
        self._screen.code(sql)
        self._screen.line()
        with (
            tempfile.TemporaryDirectory(prefix="laketrace-demo-") as folder,
            progress("asking") as bar,
        ):
            engine = Engine(folder, bar)
            with engine.errors():
                engine.over_table(Query(sql), self._table)
        text = io.StringIO()
        write_table(engine, text)
        for line in text.getvalue().splitlines():
            self._screen.line(line)
        columns = engine.columns()
        rows = [dict(zip(columns, row, strict=True)) for row in engine.rows()]
        self._document["query"] = {"sql": sql, "rows": rows}

    def _end(self, counts: dict[str, int], writer: Writer) -> bool:
        """Whether all numbers are equal, and where to go on."""
        equal = len(counts) == 4 and len(set(counts.values())) == 1
        self._screen.step("Nothing is lost, nothing is doubled")
        for line in _comparison(counts):
            self._screen.verdict(equal, line)
        self._screen.heading("Go on from here")
        logs, table = shlex.quote(self._logs), shlex.quote(self._table)
        self._screen.code(
            f"laketrace tail --level WARNING {logs}\n"
            "laketrace query \"select message, fields from logs where level = 'SUCCESS'\" \\\n"
            f"    {table}\n"
            f"laketrace doctor {logs}\n"
            f"rm -r {shlex.quote(self._directory)}"
        )
        self._out.document({"ok": equal, **self._document, "records": counts, "by": writer.name})
        return equal


def _comparison(counts: dict[str, int]) -> list[str]:
    """The numbers of records at each step.

    >>> _comparison({"written": 2, "read": 2, "rows": 1, "places": 1})[0]
    '2 written, 2 read from the files, 1 rows in the table: NOT EQUAL'
    """
    words = {"written": "written", "read": "read from the files", "rows": "rows in the table"}
    parts = [f"{counts[key]:,} {text}" for key, text in words.items() if key in counts]
    if "rows" not in counts:
        return [", ".join(parts), "the table could not be written"]
    if len(set(counts.values())) == 1:
        return [" = ".join(parts), "no two rows are from one line: segment and offset differ"]
    lines = f"the rows are from {counts['places']:,} different lines of files"
    return [f"{', '.join(parts)}: NOT EQUAL", lines]
