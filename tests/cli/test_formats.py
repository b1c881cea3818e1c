"""What is shown of a query's result can be used against nobody who looks at it."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any, cast

from laketrace.cli.query.engine import Engine
from laketrace.cli.query.formats import write_csv

ROWS = [("=1+1", -5), ("+49 1", "-12.5"), ("\t@SUM(1)", None), ("a\n=1", "done\x1b[2J\u202e")]


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


def result(rows: list[tuple[Any, ...]]) -> Engine:
    """The result of a query, already there."""
    return cast(Engine, SimpleNamespace(columns=lambda: ["a", "b"], rows=lambda: iter(rows)))


def test_no_cell_of_a_csv_file_is_a_formula() -> None:
    """A text that a spreadsheet would run gets a quote in front; numbers and texts stay exact."""
    target = io.StringIO()

    write_csv(result(ROWS), target)

    lines = ["a,b", "'=1+1,-5", "'+49 1,-12.5", "'\t@SUM(1),", '"a\n=1",done\x1b[2J\u202e', ""]
    assert target.getvalue() == "\n".join(lines)


def test_a_terminal_that_shows_csv_is_not_driven_by_it() -> None:
    """Escape sequences, line breaks and reversed text are shown as what they are."""
    target = Terminal()

    write_csv(result(ROWS), target)

    assert target.getvalue().splitlines()[-1] == r"a\n=1,done\x1b[2J\u202e"
