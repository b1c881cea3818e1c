"""The result of a query as a table, JSON, CSV or Parquet.

Floor 7. Stands on: cli.query.engine, cli.terminal, core.clean, core.encode.

CSV is for spreadsheets too: a text that one of them would take for a formula gets a `'` in front
(OWASP, "CSV Injection"). Numbers stay numbers. On a terminal, what would drive it is escaped.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable
from typing import Any, TextIO

from laketrace.cli.query.engine import Engine
from laketrace.cli.terminal import table_lines
from laketrace.core.clean import clean
from laketrace.core.encode import to_json

FORMATS = ("table", "json", "csv", "parquet")
_MOST_ROWS = 1000
_WIDEST = 120
_FORMULA = re.compile(r"[=+\-@\t\r\n]|[＝＋－＠]")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


def write_table(engine: Engine, target: TextIO) -> None:
    """Aligned columns: for people, so at most 1,000 rows and 120 characters of a text."""
    rows = [[_short(value) for value in row] for row in engine.rows(_MOST_ROWS)]
    for line in table_lines(engine.columns(), rows, grouped=False):
        target.write(line + "\n")
    count = engine.count()
    if count > len(rows):
        target.write(f"... {count - len(rows):,} of {count:,} rows are not shown: add a LIMIT, or ")
        target.write("use --format csv\n")


def write_json(engine: Engine, target: TextIO) -> None:
    """One array of objects, an object a line."""
    columns, before = engine.columns(), "[\n"
    for row in engine.rows():
        target.write(before + to_json(dict(zip(columns, row, strict=True))))
        before = ",\n"
    target.write("[]\n" if before == "[\n" else "\n]\n")


def write_csv(engine: Engine, target: TextIO) -> None:
    """RFC 4180 with a head line; no cell is a formula."""
    writer = csv.writer(target, lineterminator="\n")
    shown = _on_terminal if target.isatty() else harmless
    writer.writerow([shown(name) for name in engine.columns()])
    for row in engine.rows():
        writer.writerow([shown(value) for value in row])


def harmless(value: Any) -> Any:
    """A value that a spreadsheet takes for what it is.

    >>> harmless("=cmd()"), harmless("-12.5"), harmless(-1), harmless("a=b")
    ("'=cmd()", '-12.5', -1, 'a=b')
    """
    if isinstance(value, str):
        if _FORMULA.match(value.lstrip(" ")) and not _NUMBER.fullmatch(value):
            return "'" + value
        return value
    if value is None or isinstance(value, (int, float)):
        return value
    return harmless(_text(value))


def _on_terminal(value: Any) -> Any:
    cell = harmless(value)
    return clean(cell) if isinstance(cell, str) else cell


def _text(value: Any) -> str:
    text = to_json(value)
    return text[1:-1] if text.startswith('"') else text


def _short(value: Any) -> Any:
    if value is None or isinstance(value, (int, float)):
        return value
    value = value if isinstance(value, str) else _text(value)
    return value if len(value) <= _WIDEST else value[: _WIDEST - 3] + "..."


WRITERS: dict[str, Callable[[Engine, TextIO], None]] = {
    "table": write_table,
    "json": write_json,
    "csv": write_csv,
}


def write(engine: Engine, form: str, path: str | None) -> None:
    """Write the result in one of the `FORMATS`, into a file or on stdout."""
    if form == "parquet":
        engine.write_parquet(str(path))
    elif path is None:
        WRITERS[form](engine, sys.stdout)
    else:
        with open(path, "w", encoding="utf-8", newline="") as file:
            WRITERS[form](engine, file)
