"""One call takes in logging, warnings and uncaught exceptions, and can be undone."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from laketrace import get_logger
from laketrace.core.logger import Logger
from laketrace.interop import capture
from laketrace.testing import Records


@pytest.fixture
def log() -> Iterator[Logger]:
    log = get_logger("captured", log_dir=None, stdout=False)
    yield log
    log.close()


@pytest.fixture(autouse=True)
def hooks_are_put_back() -> Iterator[None]:
    """Every test leaves the process as it was."""

    def now() -> tuple[Any, ...]:
        root = logging.getLogger()
        filters = [tuple(handler.filters) for handler in root.handlers]
        return (
            sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning,
            tuple(root.handlers), filters, root.level, logging.getLogger("py4j").level,
        )  # fmt: skip

    gc.collect()  # what earlier tests have left unclosed warns now, and not among the records
    before = now()
    yield
    assert now() == before


def test_logging_of_any_library_is_taken_in(log, records):
    """INFO of a library arrives although the root logger was at WARNING."""
    with capture(log):
        logging.getLogger("some.library").info("connected", extra={"port": 8080})
    logging.getLogger("some.library").info("too late")

    assert records.messages == ["connected"]
    assert records[0].extra == {"port": 8080, "logger": "some.library"}


def test_other_handlers_of_the_root_show_what_they_showed(log, records):
    """Lowering the root's level for the log makes no other output longer, or shorter."""
    seen: list[str] = []

    class Other(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())

    other = Other()
    logging.getLogger().addHandler(other)
    chatty = logging.getLogger("chatty")
    chatty.setLevel(logging.DEBUG)

    with capture(log, level="DEBUG"):
        logging.getLogger("quiet").info("for the log only")
        logging.getLogger("quiet").warning("as before")
        chatty.getChild("child").debug("its own level lets it through")
    logging.getLogger().removeHandler(other)
    chatty.setLevel(logging.NOTSET)

    assert seen == ["as before", "its own level lets it through"]
    assert "for the log only" in records.messages


def test_py4j_stays_at_warning(log, records):
    """The flood of py4j does not come in, its warnings do."""
    with capture(log):
        logging.getLogger("py4j.java_gateway").info("Received command c on object id p0")
        logging.getLogger("py4j.clientserver").warning("connection lost")

    assert records.messages == ["connection lost"]


def test_py4j_with_a_level_of_its_own_keeps_it(log, records):
    """Who has asked for py4j's details gets them."""
    py4j = logging.getLogger("py4j")
    py4j.setLevel(logging.INFO)

    with capture(log):
        py4j.info("asked for")
        level = py4j.level
    py4j.setLevel(logging.NOTSET)

    assert (records.messages, level) == (["asked for"], logging.INFO)


def test_warnings_are_taken_in_and_still_shown(log, records):
    """A warning becomes a record with its category and place; the former hook runs too."""
    shown: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda *args, **kwargs: shown.append(args)
        with capture(log):
            warnings.warn("old table", DeprecationWarning, stacklevel=1)
            line = sys._getframe().f_lineno - 1

    assert records.messages == ["old table"]
    assert records[0].extra == {"event": "warning", "category": "DeprecationWarning"}
    assert (records[0].file, records[0].line, records[0].level) == (__file__, line, "WARNING")
    assert len(shown) == 1


def test_warnings_that_logging_captures_come_in_once(log, records):
    """`logging.captureWarnings(True)` below ours does not double them."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        try:
            with capture(log):
                warnings.warn("old table", UserWarning, stacklevel=1)
        finally:
            logging.captureWarnings(False)

    assert records.messages == ["old table"]


def test_an_uncaught_exception_is_logged_and_still_printed(log, records, monkeypatch):
    """`sys.excepthook` logs at CRITICAL and then calls the hook that was there."""
    printed: list[Any] = []
    monkeypatch.setattr(sys, "excepthook", lambda *args: printed.append(args))
    with capture(log):
        error = ValueError("bad row")
        sys.excepthook(ValueError, error, None)
    monkeypatch.undo()

    assert (records.messages, records[0].level) == (["uncaught exception"], "CRITICAL")
    assert records[0].exc is error
    assert printed == [(ValueError, error, None)]


def test_ctrl_c_is_an_interruption_not_a_failure(log, records, monkeypatch):
    """KeyboardInterrupt is logged as a warning."""
    monkeypatch.setattr(sys, "excepthook", lambda *args: None)
    with capture(log):
        sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    monkeypatch.undo()

    assert (records.messages, records[0].level) == (["interrupted"], "WARNING")


def test_an_exception_that_ends_a_thread_is_logged(log, records, monkeypatch):
    """The thread's name stands in the record; a thread that exits is no failure."""
    monkeypatch.setattr(threading, "excepthook", lambda args: None)

    def fail() -> None:
        raise ValueError("bad row")

    with capture(log):
        for target, name in ((fail, "loader"), (sys.exit, "leaver")):
            thread = threading.Thread(target=target, name=name)
            thread.start()
            thread.join()
    monkeypatch.undo()

    assert records.messages == ["uncaught exception in thread loader"]
    assert records[0].extra == {"event": "uncaught_exception", "thread": "loader"}
    assert (records[0].file, records[0].function) == (__file__, "fail")


def test_an_exception_in_a_finaliser_is_logged(log, records, monkeypatch):
    """What Python can only ignore is a record; the object is not kept alive."""
    monkeypatch.setattr(sys, "unraisablehook", lambda args: None)

    class Failing:
        def __del__(self) -> None:
            raise ValueError("in del")

    with capture(log):
        Failing()
        gc.collect()
    monkeypatch.undo()

    assert records[0].extra["event"] == "unraisable_exception"
    assert "Failing.__del__" in records[0].extra["object"]
    assert records[0].exception is not None and records[0].exception["value"] == "in del"


def test_a_cell_that_runs_again_doubles_nothing(log, records):
    """A second call for the same logger replaces the first."""
    first = capture(log)
    second = capture(log)

    logging.getLogger("some.library").warning("once")
    first.close()
    logging.getLogger("some.library").warning("still taken in")
    second.close()
    second.close()

    assert records.messages == ["once", "still taken in"]


def test_a_hook_on_top_of_ours_stays_and_ours_only_passes_on(log, records, monkeypatch):
    """Closing takes away what is ours and leaves what others have put in place since."""
    printed: list[Any] = []
    monkeypatch.setattr(sys, "excepthook", lambda *args: printed.append(args))
    captured = capture(log)
    ours = sys.excepthook

    def theirs(*args: Any) -> None:
        ours(*args)

    sys.excepthook = theirs
    captured.close()
    kept = sys.excepthook
    sys.excepthook(ValueError, ValueError("x"), None)
    monkeypatch.undo()

    assert kept is theirs
    assert (len(printed), records.messages) == (1, [])


def test_each_source_can_be_left_out(log, records):
    """Everything off changes nothing."""
    before = sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning

    with capture(
        log, logging=False, warnings=False, excepthook=False, threads=False, unraisable=False
    ):
        during = sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning
        logging.getLogger("some.library").warning("not taken in")

    assert during == before
    assert records.messages == []


def test_two_loggers_may_capture_and_close_in_any_order(log, records):
    """The first to come may be the first to go."""
    other = get_logger("captured too", log_dir=None, stdout=False)
    seen = Records()
    other.add(seen)
    one, two = capture(log), capture(other)

    logging.getLogger("some.library").warning("both")
    one.close()
    logging.getLogger("some.library").warning("the second")
    two.close()
    other.close()

    assert (records.messages, seen.messages) == (["both"], ["both", "the second"])


class Shell:
    """What capture needs of an IPython shell: the registry of its events."""

    def __init__(self) -> None:
        self.callbacks: list[Any] = []
        self.events = SimpleNamespace(
            register=lambda name, callback: self.callbacks.append(callback),
            unregister=lambda name, callback: self.callbacks.remove(callback),
        )


def test_a_cell_that_fails_is_logged(log, records, monkeypatch):
    """With an IPython shell the exception that ends a cell is a record; `sys.exit()` is none."""
    shell = Shell()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    error = ValueError("bad row")
    typo = SyntaxError("'(' was never closed", ("<cell 2>", 3, 3, "x=(", 3, 4))

    with capture(log):
        for found, before in ((error, None), (None, typo), (SystemExit(0), None), (None, None)):
            shell.callbacks[0](SimpleNamespace(error_in_exec=found, error_before_exec=before))

    assert records.messages == ["uncaught exception in a cell"] * 2
    assert records[0].exc is error
    assert (records[1].file, records[1].line) == ("<cell 2>", 3)
    assert shell.callbacks == []


@pytest.mark.extra("IPython")
def test_a_real_shell_logs_the_exception_and_shows_it_as_ever(tmp_path):
    """In a real IPython a failing cell is logged once, also after capture has run twice."""
    done = run_python(
        """
        import IPython, logging
        from IPython.core.interactiveshell import InteractiveShell
        shell = InteractiveShell.instance()
        shell.run_cell('''
        from laketrace import get_logger
        from laketrace.interop import capture
        log = get_logger("cell", log_dir=LOG_DIR, stdout=False)
        _ = capture(log)
        '''.replace("LOG_DIR", repr(LOG_DIR)))
        shell.run_cell("_ = capture(log)")
        shell.run_cell("1 / 0")
        """,
        tmp_path,
    )

    assert done.stdout.count("ZeroDivisionError") >= 1
    text = (tmp_path / "cell.log").read_text()
    assert text.count("uncaught exception in a cell") == 1
    assert "interactiveshell" not in text


def test_a_dying_program_leaves_its_last_record_and_its_traceback(tmp_path):
    """A real uncaught exception is in the file, on stderr, and in the exit code."""
    done = run_python(
        """
        from laketrace import get_logger
        from laketrace.interop import capture
        capture(get_logger("dying", log_dir=LOG_DIR, stdout=False, enqueue=True))
        raise ValueError("bad row")
        """,
        tmp_path,
    )

    text = (tmp_path / "dying.log").read_text()
    assert done.returncode == 1
    assert "ValueError: bad row" in done.stderr
    assert '"uncaught exception"' in text and '"value":"bad row"' in text
    assert '"file":"<string>","line":6,"function":"<module>"' in text


def run_python(code: str, log_dir: Any) -> subprocess.CompletedProcess[str]:
    """Run `code`, which finds the directory as LOG_DIR, in a process of its own."""
    code = f"LOG_DIR = {str(log_dir)!r}\n" + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False,
        env={"PYTHONPATH": ":".join(sys.path), "HOME": str(log_dir), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
