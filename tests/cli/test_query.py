"""`laketrace query`: one view over files, archives, copies and tables, in every format."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laketrace import get_logger, upload
from laketrace.cli.query.engine import Engine
from laketrace.cli.query.files import list_files
from laketrace.cli.query.sql import Query
from laketrace.files.segment import find_segments
from laketrace.lakehouse.columns import NAMES
from laketrace.lakehouse.rows import Place, rows_of
from laketrace.lakehouse.source import SegmentFile, read_blocks
from tests.lakehouse.logs import LogDir, record

from .conftest import Cli

pytestmark = pytest.mark.extra("duckdb")
COUNT = "select level, count(*) as records from logs group by 1 order by 1"
COUNTED = [
    {"level": "ERROR", "records": 1}, {"level": "INFO", "records": 54},
    {"level": "WARNING", "records": 5},
]  # fmt: skip


# -- what is asked --------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["directory", "name", "settings"])
def test_active_files_and_archives_are_one_view(
    cli: Cli, logs: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory, a logger's name, or what the settings say: all records, compressed or not."""
    monkeypatch.setenv("LAKETRACE_LOG_DIR", str(logs))
    words = {"directory": [logs], "name": ["orders"], "settings": []}[place]

    said = cli("query", COUNT, *words, "--json")

    assert (said.code, said.document) == (0, COUNTED)


@pytest.mark.extra("deltalake", "pyarrow")
def test_copies_and_the_table_give_the_same_as_the_files(cli: Cli, logs: Path) -> None:
    """After an upload the directory of copies and the Delta table answer as the files do."""
    target, table = logs.parent / "copies", logs.parent / "table"
    assert upload(logs, target=target, table=table).ok
    sql = 'select * from logs order by segment, "offset"'

    answers = [cli("query", sql, place, "--json").document for place in (logs, target, table)]

    assert answers[0] == answers[1] == answers[2] and len(answers[0]) == 60
    assert set(answers[0][0]) == set(NAMES)


def test_a_segment_and_its_copy_below_are_asked_once(cli: Cli, logs: Path) -> None:
    """Where the copies of a log go into its own directory, nothing is doubled or left out."""
    assert upload(logs, target=logs).ok
    for path in sorted(logs.glob("*.gz"))[:2]:  # of these only the copies are left
        path.unlink()
    (logs / "orders.log").write_text('{"n":1}\n')

    said = cli("query", 'select count(*) n, count(distinct (segment, "offset")) d from logs', logs,
               "--json")  # fmt: skip

    assert said.document == [{"n": 61, "d": 61}]


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zip"])
def test_every_archive_can_be_asked(cli: Cli, tmp_path: Path, ending: str) -> None:
    """Also those that DuckDB itself cannot read."""
    log = LogDir(str(tmp_path / "logs"))
    plain = Path(log.add([record(number) for number in range(5)]))
    data = plain.read_bytes()
    packed = Path(f"{plain}.{ending}")
    if ending == "zip":
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(plain.name, data)
    else:
        pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[ending]
        packed.write_bytes(pack(data))
    plain.unlink()

    said = cli(
        "query", "select sum((fields->>'$.rows')::int) as rows from logs", log.path, "--json"
    )

    assert said.document == [{"rows": 10}]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$.rows", ["3"]), ("$.order.id", ["7"]), ("$.a.b", ["dotted"]), ("$.order", ['{"id":7}']),
        ("$.x.y.z", ["deep"]), ("$.none", [None]), ("$.tags[1]", ["b"]),
    ],
)  # fmt: skip
def test_each_field_is_reachable(
    cli: Cli, tmp_path: Path, path: str, found: list[str | None]
) -> None:
    """Bound and call fields by a path; dots mean nested objects, or stand in a field's name."""
    log = get_logger("orders", log_dir=tmp_path, stdout=False).bind(rows=3)
    log.info("x", order={"id": 7}, tags=["a", "b"], **{"a.b": "dotted", "x.y": {"z": "deep"}})
    log.close()

    said = cli("query", f"select fields->>'{path}' from logs", tmp_path, "--json")

    (row,) = said.document
    assert list(row.values()) == found


def test_a_column_of_a_field_bears_its_name(cli: Cli, logs: Path) -> None:
    """The head of a table says `order.id`, not the expression."""
    said = cli("query", "select fields->>'$.order.id', level from logs limit 1", logs)

    assert said.out.splitlines()[0].split() == ["order.id", "level"]


def test_a_query_that_fails_shows_nothing_and_ends_with_1(cli: Cli, logs: Path) -> None:
    """DuckDB's reason goes to stderr."""
    said = cli("query", "select no_such_column from logs", logs)

    assert (said.code, said.out) == (1, "") and "no_such_column" in said.err


def test_a_field_that_is_taken_for_a_column_is_shown_how_to_reach(cli: Cli, logs: Path) -> None:
    """Whoever writes `rows` for the field `rows` reads what to write."""
    said = cli("query", "select rows from logs", logs)

    assert said.err.endswith("A field that a record was given is fields->>'$.rows'.\n")


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_file_that_cannot_be_written_is_an_error(cli: Cli, logs: Path, ending: str) -> None:
    """One line says which, and the exit code is 1."""
    said = cli("query", "select level from logs", logs, "--output", logs / "none" / f"x.{ending}")

    assert said.code == 1 and "none" in said.err and len(said.err.splitlines()) == 1


def test_a_name_in_a_catalog_says_what_to_use(cli: Cli) -> None:
    """Only a Spark session knows `main.ops.laketrace`."""
    said = cli("query", "select 1", "main.ops.laketrace")

    assert said.code == 2 and "DESCRIBE DETAIL" in said.err


@pytest.mark.extra("deltalake", "pyarrow")
def test_a_table_of_something_else_is_refused(cli: Cli, tmp_path: Path) -> None:
    """A Delta table without our columns is named with what it lacks."""
    import deltalake
    import pyarrow

    deltalake.write_deltalake(str(tmp_path / "t"), pyarrow.table({"id": [1]}))

    said = cli("query", "select 1", tmp_path / "t")

    assert said.code == 2 and "lacks timestamp, date" in said.err


# -- how it is shown ------------------------------------------------------------------------------


def test_a_table_is_for_people(cli: Cli, logs: Path) -> None:
    """Aligned columns, numbers to the right."""
    assert cli("query", COUNT, logs).out == (
        "level    records\nERROR          1\nINFO          54\nWARNING        5\n"
    )


def test_a_number_of_a_query_has_no_separators(cli: Cli, logs: Path) -> None:
    """A year, a pid and an order's number are to be read and copied as they are."""
    assert cli("query", "select 12026 as n, 1234.5::double as x from logs limit 1", logs).out == (
        "    n       x\n12026  1234.5\n"
    )


def test_csv_is_rfc_4180_and_no_formula(cli: Cli, tmp_path: Path) -> None:
    """Quotes where they are needed; a spreadsheet finds nothing to run."""
    log = get_logger("orders", log_dir=tmp_path, stdout=False)
    for message in ("=1+1", 'say "x", twice', "-5"):
        log.info(message)
    log.close()

    said = cli("query", "select message from logs", tmp_path, "--format", "csv")

    assert said.out.splitlines() == ["message", "'=1+1", '"say ""x"", twice"', "-5"]
    assert len(list(csv.reader(io.StringIO(said.out)))) == 4


@pytest.mark.parametrize("ending", ["parquet", "csv", "json"])
def test_output_goes_into_a_file_by_its_ending(cli: Cli, logs: Path, ending: str) -> None:
    """--output says the format; the file holds all rows."""
    import duckdb

    file = logs.parent / f"rows.{ending}"

    said = cli("query", "select * from logs", logs, "--output", file)

    assert (said.code, said.out) == (0, "")
    assert duckdb.sql(f"select count(*), count(message) from '{file}'").fetchall() == [(60, 60)]


def test_times_come_in_utc_without_pytz(
    cli: Cli, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB asks for a package that no extra of ours brings; nobody notices."""
    monkeypatch.setitem(__import__("sys").modules, "pytz", None)
    sql = "select min(timestamp) as first, [min(timestamp)] as all_of_them from logs"

    (row,) = cli("query", sql, logs, "--json").document

    assert row["first"].endswith("+00:00") and len(row["all_of_them"]) == 1


# -- files that are not as they should be ---------------------------------------------------------


def test_torn_and_foreign_lines_are_rows_too(cli: Cli, tmp_path: Path) -> None:
    """What is no record stands in `raw`, with its place; the records around it are all there."""
    log = LogDir(str(tmp_path / "logs")).fill(segments=2)

    said = cli("query", 'select raw, "offset" from logs where raw is not null', log.path, "--json")
    records = cli("query", "select count(message) as n from logs", log.path, "--json").document

    assert [row["raw"] for row in said.document] == ['{"timestamp":"2026-11-21T10',
                                                     "no json at all"]  # fmt: skip
    assert records == [{"n": 10}]


def test_a_damaged_archive_is_read_as_far_as_it_goes(cli: Cli, tmp_path: Path) -> None:
    """The records before the damage are there, and stderr says what is missing."""
    log = LogDir(str(tmp_path / "logs"))
    path = Path(log.add([record(number) for number in range(5000)], gz=True))
    path.write_bytes(path.read_bytes()[:-2000])

    said = cli("query", "select count(message) as n from logs", log.path, "--json")

    assert said.code == 0 and 1000 < said.document[0]["n"] < 5000
    assert "damaged" in said.err


# What lines of a log can look like, well and badly written.
_texts = st.text(st.characters(codec="utf-8"), max_size=12)
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | _texts
    | st.floats(allow_nan=False, allow_infinity=False),  # no JSON, but DuckDB takes them
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_texts, inner, max_size=2),
    max_leaves=4,
)
_times = st.sampled_from([
    "2026-11-21T10:31:00.123456+00:00", "2026-11-21T10:31:00Z", "2026-11-21 10:31:00,5+0100",
    "2026-11-21T10:31:00", "yesterday", "2026-13-21T10:31:00Z", "", None, 7,
])  # fmt: skip
_objects = st.dictionaries(
    st.sampled_from([*NAMES, "rows", "order", "a.b"]) | _texts, _values, max_size=6
)


@st.composite
def _lines(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(["own", "own", "like", "object", "torn", "bytes"]))
    own = {**json.loads(record(draw(st.integers(0, 9)))), **draw(_objects)}
    text = json.dumps(own, ensure_ascii=draw(st.booleans()), separators=(",", ":"))
    if kind == "like":
        fields = {"timestamp": draw(_times), "level": draw(_values), **draw(_objects)}
        text = json.dumps(fields | {"message": draw(_values)}, ensure_ascii=False)
    elif kind == "object":
        text = json.dumps(draw(_objects), ensure_ascii=False)
    elif kind == "torn":
        text = text[: draw(st.integers(0, len(text)))]
    data = text.encode("utf-8", "surrogatepass")
    return draw(st.binary(max_size=20)) if kind == "bytes" else data.replace(b"\n", b"")


class _NoBar:
    shown = False

    def to(self, done: float, total: float | None = None) -> None:
        """Nobody looks."""


def ask(directory: Path, folder: Path, sql: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a query, as DuckDB gives them."""
    from laketrace.cli.places import find_logs

    query, engine = Query(sql), Engine(str(folder), _NoBar())
    engine.over_files(query, list_files(find_logs(str(directory)), query.may_name("segment")))
    return engine.rows()


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """JSON text by its meaning: DuckDB may write it in another way."""
    for name in ("fields", "exception"):
        row[name] = None if row[name] is None else json.loads(row[name])
    return row


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_lines(), min_size=1, max_size=8))
def test_any_line_gives_the_row_that_the_table_would_have(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    """The view over files follows the rules of `lakehouse.rows`, line by line."""
    folder = tmp_path_factory.mktemp("query")
    log = LogDir(str(folder / "logs"))
    log.add([b"".join(line.split(b"\n")) for line in lines])
    (segment,) = find_segments(log.path)

    found = ask(Path(log.path), folder, 'select * from logs order by "offset"')

    with SegmentFile(segment) as file:
        (name,) = log.files
        place = Place.of(name, segment.time_ns)
        wanted = [row for block in read_blocks(file) for row in rows_of(block, place)]
    for got, expected in zip(found, wanted, strict=True):
        assert comparable(dict(zip(NAMES, got, strict=True))) == comparable(
            dict(zip(NAMES, expected, strict=True))
        )


def test_a_query_without_offsets_gives_the_same_rows(tmp_path: Path) -> None:
    """Whether a query names `offset` changes how files are read, not what is in them."""
    log = LogDir(str(tmp_path / "logs")).fill(segments=3)

    without = list(ask(Path(log.path), tmp_path, "select message, fields, raw from logs"))
    rows = ask(Path(log.path), tmp_path, 'select message, fields, raw, "offset" from logs')

    assert sorted(map(str, without)) == sorted(str(row[:3]) for row in rows)


def test_the_segments_end_dates_what_has_no_time(tmp_path: Path) -> None:
    """A foreign line is found by a query over the span of time that its segment closed."""
    log = LogDir(str(tmp_path / "logs"))
    log.add([b"foreign"], stamp="20261121_103200")

    ((moment, day),) = ask(Path(log.path), tmp_path, "select timestamp, date from logs")

    assert moment == datetime(2026, 11, 21, 10, 32, tzinfo=timezone.utc)
    assert str(day) == "2026-11-21"
