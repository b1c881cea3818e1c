"""A logger's console, from the outside: real streams, a real notebook, real faults."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from laketrace import get_logger


def run_python(
    code: str, log_dir: Path, *, stdout: Any = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `code`, which finds the directory as LOG_DIR, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", f"LOG_DIR = {str(log_dir)!r}\n" + textwrap.dedent(code)],
        stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=240, check=False,
        env={
            "PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"],
            "HOME": str(log_dir), **environment,
        },
    )  # fmt: skip


def test_into_a_pipe_each_line_is_the_json_of_the_file(tmp_path):
    """What a pipe gets is what the file gets."""
    done = run_python(
        """
        from laketrace import get_logger
        log = get_logger("etl", log_dir=LOG_DIR, add_runtime_context=False)
        log.info("table loaded", table="orders")
        log.warning("late")
        """,
        tmp_path,
    )

    assert done.stdout == (tmp_path / "etl.log").read_text()
    assert json.loads(done.stdout.splitlines()[0])["table"] == "orders"


def test_on_a_terminal_a_person_reads_coloured_text(tmp_path):
    """Behind a real pseudo-terminal the console is for people; NO_COLOR takes the colours."""
    pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
    shown = []
    for environment in ({}, {"NO_COLOR": "1"}):
        main, side = pty.openpty()
        run_python(
            """
            from laketrace import get_logger
            log = get_logger("etl", log_dir=None, add_runtime_context=False)
            log.warning("late", table="orders")
            """,
            tmp_path, stdout=side, TERM="xterm", **environment,
        )  # fmt: skip
        os.close(side)
        shown.append(os.read(main, 65536).decode())
        os.close(main)

    coloured, plain = shown
    assert "\x1b[33m\x1b[1mlate\x1b[0m" in coloured
    assert plain.strip().endswith("| WARNING  | etl | late table=orders")


def test_a_stdout_that_logs_does_not_go_round(tmp_path):
    """stdout redirected into the logger: the record and its echo are written, and it ends."""
    for enqueue in (False, True):
        done = run_python(
            f"""
            import sys
            from laketrace import get_logger
            log = get_logger("etl", log_dir=LOG_DIR, add_runtime_context=False, enqueue={enqueue})

            class Redirected:
                def write(self, text):
                    if text.strip():
                        log.info("printed", text=text[:20])

                def flush(self):
                    pass

            sys.stdout = Redirected()
            print("hello")
            log.error("an error")
            log.close()
            stats = log.stats()
            print(stats, file=sys.stderr)
            sys.exit(stats.emitted != stats.written + sum(stats.dropped.values()) + stats.failed)
            """,
            tmp_path / str(enqueue),
        )

        lines = (tmp_path / str(enqueue) / "etl.log").read_text().splitlines()
        assert done.returncode == 0, done.stderr
        assert "reentrant" in done.stderr
        assert 2 <= len(lines) <= 10


def test_a_reader_that_goes_away_is_counted_and_changes_nothing_else(tmp_path):
    """With a broken stdout the file has every record and the job ends as it would have."""
    reading, writing = os.pipe()
    os.close(reading)
    done = run_python(
        """
        import sys
        from laketrace import get_logger
        log = get_logger("etl", log_dir=LOG_DIR, add_runtime_context=False)
        for number in range(100):
            log.info("row", number=number)
        log.close()
        print(log.stats().written, log.stats().failed, file=sys.stderr)
        """,
        tmp_path,
        stdout=writing,
    )
    os.close(writing)

    assert done.returncode == 0
    assert len((tmp_path / "etl.log").read_text().splitlines()) == 100
    assert done.stderr.splitlines()[-1] == "100 100"
    assert done.stderr.count("BrokenPipeError") == 1


def test_a_closed_stdout_is_counted(tmp_path, monkeypatch):
    """A stream that is closed while the logger lives costs the console only."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    log = get_logger("closed stdout", log_dir=tmp_path, add_runtime_context=False)

    log.info("one")
    stream.close()
    log.info("two")
    stats = log.stats()
    log.close()

    assert (stats.emitted, stats.written, stats.failed) == (4, 3, 1)


def test_stderr_is_followed_when_it_is_replaced(monkeypatch):
    """`log.add(sys.stderr)` means the stderr of the moment."""
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    log = get_logger("stderr", log_dir=None, stdout=False)
    log.add(sys.stderr, format="{message}")

    log.info("one")
    monkeypatch.setattr(sys, "stderr", second)
    log.info("two")
    log.close()

    assert (first.getvalue(), second.getvalue()) == ("one\n", "two\n")


class Terminal(io.StringIO):
    """A stream behind which a person sits."""

    def isatty(self) -> bool:
        return True


def test_a_template_is_coloured_where_a_person_looks(monkeypatch):
    """Colour tags in `format` become codes on a terminal and vanish elsewhere."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal, file = Terminal(), io.StringIO()
    log = get_logger("tags", log_dir=None, stdout=False)
    for stream in (terminal, file):
        log.add(stream, format="<red>{level}</red> {message}")

    log.info("hi", rows=3)
    log.close()

    assert terminal.getvalue() == "\x1b[31mINFO\x1b[0m hi [rows=3]\n"
    assert file.getvalue() == "INFO hi [rows=3]\n"


def test_secrets_nested_in_fields_are_not_shown_on_any_console(monkeypatch):
    """Redaction by name holds at every depth, for stdout, for an added stream, for a template."""
    console, added, formatted = Terminal(), Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", console)
    log = get_logger("secrets", log_dir=None, add_runtime_context=False)
    log.add(added)
    log.add(formatted, format="{message} {extra[db]}")

    log.info("connected", db={"host": "h", "login": [{"password": "hunter2"}]})
    log.close()

    for stream in (console, added, formatted):
        assert "hunter2" not in stream.getvalue()
        assert '"password":"[REDACTED]"' in stream.getvalue()


@pytest.mark.extra("nbclient", "ipykernel")
def test_a_notebook_shows_readable_records_and_no_html(tmp_path):
    """In a real kernel records are coloured text, once each, and a failing cell is logged."""
    import nbformat
    from nbclient import NotebookClient

    setup = f"""
    import sys
    sys.path[:0] = {sys.path!r}
    from laketrace import get_logger
    from laketrace.interop import capture
    log = get_logger("nb", log_dir={str(tmp_path)!r}, add_runtime_context=False, stdout="auto")
    capture(log)
    log.info("<b>loaded</b>", table="orders")
    """
    cells = [setup, setup, "1 / 0"]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(textwrap.dedent(cell)) for cell in cells]
    )
    NotebookClient(notebook, timeout=240, startup_timeout=240, allow_errors=True).execute()

    outputs = [cell.outputs for cell in notebook.cells]
    for cell in outputs[:2]:
        streams = [output for output in cell if output.output_type == "stream"]
        assert len(streams) == 1
        assert streams[0].text.count("<b>loaded</b>") == 1
        assert "table=orders" in streams[0].text and "\x1b[" in streams[0].text
    assert not any("text/html" in output.get("data", {}) for cell in outputs for output in cell)
    messages = [
        json.loads(line)["message"] for line in (tmp_path / "nb.log").read_text().splitlines()
    ]
    assert messages == ["<b>loaded</b>", "<b>loaded</b>", "uncaught exception in a cell"]
