"""Records on a stream: the stream of the moment, readable for people, JSON for pipes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import textwrap

import pytest

from laketrace.core.console import (
    ConsoleForm,
    StreamGoneError,
    StreamSink,
    is_watched,
    wants_color,
)
from laketrace.core.handler import TextSink
from laketrace.core.levels import get_level
from laketrace.core.record import Record, Source


class Terminal(io.StringIO):
    """A stream behind which a person sits."""

    def isatty(self) -> bool:
        return True


class OutStream(io.StringIO):
    """Stands for ipykernel's stream, which is no terminal."""


OutStream.__module__ = "ipykernel.iostream"


class BrokenStream(io.StringIO):
    """Every write fails, as into a pipe that nobody reads."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.fixture(autouse=True)
def no_colour_wishes(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def record() -> Record:
    source = Source("etl", "host", 1, "local", "script", "run")
    return Record(source, get_level("INFO"), "table loaded", 1_795_000_000_000_000_000, {"rows": 3})


def run_python(code: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run `code` with the package importable, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUTF8": "0"}
    environment.update(options.pop("env", {}))  # type: ignore[call-overload]
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], timeout=240, env=environment, **options
    )  # type: ignore[call-overload, no-any-return]


def test_the_stream_of_the_moment_is_written_to(monkeypatch):
    """A notebook that replaces `sys.stdout` gets what is logged afterwards."""
    sink = StreamSink("stdout")
    first, second = io.StringIO(), io.StringIO()

    monkeypatch.setattr(sys, "stdout", first)
    sink.write("one\n")
    first.close()
    monkeypatch.setattr(sys, "stdout", second)
    sink.write("two\n")

    assert second.getvalue() == "two\n"


def test_a_given_stream_is_kept(monkeypatch):
    """A stream handed over stays the one that is written to."""
    mine = io.StringIO()
    sink = StreamSink(mine)
    monkeypatch.setattr(sys, "stdout", io.StringIO())

    sink.write("one\n")

    assert mine.getvalue() == "one\n"


@pytest.mark.parametrize("gone", [None, "closed"])
def test_an_absent_or_closed_stream_raises_to_the_handler(monkeypatch, gone):
    """The handler can count the delivery as failed."""
    stream = None
    if gone:
        stream = io.StringIO()
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    sink = StreamSink("stderr")

    with pytest.raises(StreamGoneError):
        sink.write("one\n")


def test_a_broken_stream_raises_to_the_handler():
    """What the stream raises reaches the handler."""
    sink = StreamSink(BrokenStream())

    with pytest.raises(BrokenPipeError):
        sink.write("one\n")


def test_a_broken_stream_is_survived_and_counted():
    """Behind a handler it raises nothing, and its account says what failed."""
    sink = TextSink("broken", StreamSink(BrokenStream()).write)

    sink.append(b"one\n", 0)
    sink.close(1.0)
    sink.append(b"two\n", 0)

    stats = sink.stats()
    assert (stats.emitted, stats.failed, stats.dropped) == (2, 1, {"closed": 1})


def test_what_an_encoding_lacks_is_escaped_on_a_replaced_stream():
    """A character that the stream cannot show costs its own form only."""
    raw = io.BytesIO()

    class Wrapped(io.TextIOWrapper):
        """Not the interpreter's own type, so it is written to as text."""

    stream = Wrapped(raw, encoding="ascii")

    StreamSink(stream).write("caf\u00e9 \U0001f600\n")

    assert raw.getvalue() == rb"caf\u00e9 \ud83d\ude00" + b"\n"


def test_what_an_encoding_lacks_is_escaped_on_real_stdout():
    """With an ASCII stdout the record is written, with escapes, and stays the JSON that it was."""
    done = run_python(
        """
        from laketrace import get_logger
        get_logger("etl", log_dir=None).info("caf\\u00e9 \\U0001f600")
        """,
        env={"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )

    assert rb'"message":"caf\u00e9 \ud83d\ude00"' in done.stdout
    assert json.loads(done.stdout)["message"] == "caf\u00e9 \U0001f600"


def test_a_compressed_file_gets_its_text_through_the_compressor(tmp_path):
    """Only the interpreter's own streams are written past their buffer."""
    import gzip

    with gzip.open(tmp_path / "log.gz", "wt") as file:
        StreamSink(file).write("one\n")

    assert gzip.decompress((tmp_path / "log.gz").read_bytes()) == b"one\n"


def test_records_stay_in_order_with_what_the_program_prints():
    """Writing past the buffer never overtakes a `print`."""
    done = run_python(
        """
        from laketrace.core.console import StreamSink
        sink = StreamSink()
        for number in range(50):
            print("print", number)
            sink.write(f"record {number}\\n")
        """,
        capture_output=True,
        check=True,
    )

    assert done.stdout.decode().split("\n")[:-1] == [
        f"{who} {number}" for number in range(50) for who in ("print", "record")
    ]


def test_a_reader_that_goes_away_does_not_change_the_exit_code():
    """After a broken pipe nothing of ours is left to fail when the interpreter ends."""
    reading, writing = os.pipe()
    os.close(reading)

    done = run_python(
        """
        from laketrace.core.console import StreamSink
        sink = StreamSink()
        failed = 0
        for number in range(3):
            try:
                sink.write("x" * 100 + "\\n")
            except BrokenPipeError:
                failed += 1
        raise SystemExit(failed)
        """,
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)

    assert (done.returncode, done.stderr) == (3, b"")


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_a_real_terminal_is_watched_and_coloured():
    """Behind a pseudo-terminal the text form comes in colours."""
    import pty

    main, side = pty.openpty()
    done = run_python(
        """
        import sys
        from laketrace.core.console import is_watched, wants_color
        print(is_watched(sys.stdout), wants_color(sys.stdout), file=sys.stderr)
        """,
        stdout=side,
        stderr=subprocess.PIPE,
        check=True,
    )
    os.close(side)
    os.close(main)

    assert done.stderr.split() == [b"True", b"True"]


@pytest.mark.parametrize(
    ("stream", "watched"),
    [
        (Terminal(), True), (OutStream(), True), (io.StringIO(), False), (None, False),
        (object(), False),
    ],
)  # fmt: skip
def test_terminals_and_notebooks_are_watched(stream, watched):
    """A terminal and a notebook's output have a reader, a file and a pipe have none."""
    assert is_watched(stream) is watched


def test_a_closed_stream_is_not_watched():
    """Asking a closed stream costs nothing."""
    stream = io.StringIO()
    stream.close()

    assert not is_watched(stream)


@pytest.mark.parametrize(
    ("environment", "stream", "coloured"),
    [
        ({}, Terminal(), True),
        ({}, io.StringIO(), False),
        ({"NO_COLOR": "1"}, Terminal(), False),
        ({"NO_COLOR": ""}, Terminal(), True),
        ({"FORCE_COLOR": "1"}, io.StringIO(), True),
        ({"FORCE_COLOR": "0"}, Terminal(), False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, Terminal(), False),
        ({"TERM": "dumb"}, Terminal(), False),
    ],
)
def test_colour_follows_the_conventions(monkeypatch, environment, stream, coloured):
    """NO_COLOR forbids, FORCE_COLOR asks, a dumb terminal cannot."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert wants_color(stream) is coloured


def test_auto_is_text_for_a_person_and_json_for_a_pipe(monkeypatch, record):
    """The form follows the stream, also when it is replaced between two records."""
    sink = StreamSink("stdout")
    form = ConsoleForm(sink, lambda record: '{"json":1}')

    monkeypatch.setattr(sys, "stdout", Terminal())
    seen = form(record)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    piped = form(record)

    assert "\x1b[1mtable loaded\x1b[0m" in seen and "rows=3" in seen
    assert piped == '{"json":1}'


@pytest.mark.parametrize(("mode", "begins"), [("text", "2026-11-18"), ("json", "{")])
def test_the_form_can_be_fixed(record, mode, begins):
    """`text` and `json` hold whatever the stream is."""
    form = ConsoleForm(StreamSink(io.StringIO()), lambda record: "{}", mode=mode)

    assert form(record).startswith(begins)


def test_a_platform_can_answer_whether_somebody_looks(record):
    """`watched` stands above what the stream tells."""
    form = ConsoleForm(StreamSink(io.StringIO()), lambda record: "{}", watched=True)

    assert "table loaded" in form(record)


def test_a_wrong_template_is_refused_at_once():
    """The template is checked before the first record."""
    with pytest.raises(ValueError, match="is not a field of a record"):
        ConsoleForm(StreamSink(), lambda record: "{}", template="{mesage}")
