"""On a worker: one way out for each record, and nothing opened. No Spark needed here."""

from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from laketrace import Logger, get_logger
from laketrace.core.stats import Stats
from laketrace.runtime.worker import ENVELOPE
from tests.support.processes import ROOT


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Logger]:
    """A logger of a process that looks like a Spark worker."""
    monkeypatch.setenv("PYTHON_WORKER_FACTORY_PORT", "1")
    made = get_logger(f"worker.{request.node.name}", log_dir="/no/where", enqueue=True)
    yield made
    made.close()


class Stored(logging.Handler):
    """What stands for Spark's handler: it is known by the module of its formatter."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        module = types.ModuleType("pyspark.logger.worker_io")
        self.setFormatter(type("JSON", (logging.Formatter,), {"__module__": module.__name__})())
        sys.modules.setdefault(module.__name__, module)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[logging.LogRecord]]:
    """What worker logging stores, as long as the test runs."""
    monkeypatch.setitem(sys.modules, "pyspark.logger.worker_io", types.ModuleType("stand-in"))
    handler = Stored()
    logging.getLogger().addHandler(handler)
    yield handler.records
    logging.getLogger().removeHandler(handler)


def figures(stats: Stats) -> tuple[int, int, dict[str, int], int, int]:
    return stats.emitted, stats.written, stats.dropped, stats.failed, stats.queued


def test_without_worker_logging_info_is_counted(
    worker: Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    """Below ERROR a record leaves no trace but a number."""
    worker.info("row", rows=3)
    worker.warning("row")

    assert figures(worker.stats()) == (2, 0, {"executor": 2}, 0, 0)
    assert capfd.readouterr() == ("", "")


def test_without_worker_logging_error_is_one_json_line_on_stderr(
    worker: Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    """From ERROR up the worker's stderr gets the record, once, and stdout nothing."""
    worker.bind(table="orders").error("bad row\nhere", rows=3)

    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert (out, len(lines)) == ("", 1)
    said = json.loads(lines[0])
    assert (said["message"], said["table"], said["rows"]) == ("bad row\nhere", "orders", 3)
    assert figures(worker.stats()) == (1, 1, {}, 0, 0)


def test_worker_logging_gets_each_record_once(
    worker: Logger, stored: list[logging.LogRecord], capfd: pytest.CaptureFixture[str]
) -> None:
    """With Spark's handler there, a record of any level goes to `logging`, and nowhere else."""
    worker.info("ready")
    worker.error("bad")

    assert [(record.levelname, record.getMessage()) for record in stored] == [
        ("INFO", "ready"),
        ("ERROR", "bad"),
    ]
    assert capfd.readouterr() == ("", "")
    assert figures(worker.stats()) == (2, 2, {}, 0, 0)


def test_context_is_a_map_of_texts_that_says_everything(
    worker: Logger, stored: list[logging.LogRecord]
) -> None:
    """Fields, bound fields, context and run are texts; which of them were JSON is said."""
    with worker.contextualize(stage="bronze"):
        worker.bind(table="orders").info("%d%%", 5, rows=3, ratio=0.5, ok=True, tags={"a": [1]})

    (record,) = stored
    context: dict[str, str] = record.__dict__["context"]
    assert all(type(key) is str and type(value) is str for key, value in context.items())
    assert context["table"], context["stage"] == ("orders", "bronze")
    assert (context["rows"], context["ok"], context["tags"]) == ("3", "true", '{"a": [1]}')
    assert context["run_id"] == worker.run_id
    assert set(json.loads(context[ENVELOPE])["json"]) == {"pid", "rows", "ratio", "ok", "tags"}
    assert record.getMessage() == "5%"


def test_records_have_an_id_of_their_own(worker: Logger, stored: list[logging.LogRecord]) -> None:
    """Equal records differ by their number in the stream of the process."""
    worker.info("same")
    worker.info("same")

    ids = [json.loads(record.__dict__["context"][ENVELOPE])["id"] for record in stored]
    assert [name.rpartition("-")[2] for name in ids] == ["1", "2"]
    assert len({name.rpartition("-")[0] for name in ids}) == 1


def test_exception_is_stored_with_its_name_and_redacted_text(
    worker: Logger, stored: list[logging.LogRecord]
) -> None:
    """What Spark shows of an exception is what the record says, not what `str()` would leak."""
    log = get_logger(worker.name, redact_patterns=[r"K-\d+"])
    try:
        raise LookupError("no key K-123")
    except LookupError:
        log.exception("failed")

    info = stored[0].exc_info
    assert info is not None and info[0] is not None
    assert info[0].__name__ == "LookupError"
    assert "K-123" not in str(info[1])
    described = json.loads(stored[0].__dict__["context"]["exception"])
    assert described["type"] == "LookupError"


def test_fields_named_like_logging_or_context_are_kept(
    worker: Logger, stored: list[logging.LogRecord]
) -> None:
    """A field may be called `context`, `name` or `args`: it costs neither itself nor the record."""
    worker.info("ready", context={"a": 1}, args="x", exc_text="y")

    context = stored[0].__dict__["context"]
    assert (context["context"], context["args"], context["exc_text"]) == ('{"a": 1}', "x", "y")


def test_lone_surrogates_reach_spark_as_valid_text(
    worker: Logger, stored: list[logging.LogRecord]
) -> None:
    """Spark's reader gets text that is valid UTF-8, whatever was logged."""
    worker.info("bad \udc80", name_of="\ud800")

    stored[0].getMessage().encode()
    json.dumps(stored[0].__dict__["context"], ensure_ascii=False).encode()


def test_files_asked_for_on_a_worker_are_not_opened(worker: Logger, tmp_path: Any) -> None:
    """`log.add("errors.log")` in a UDF opens nothing; its records are counted."""
    number = worker.add(str(tmp_path / "errors.log"), level="ERROR")
    worker.info("ready")
    worker.add(number_list := [].append)  # a callable of the user's own still is one

    assert list(tmp_path.iterdir()) == []
    assert number in worker.handlers
    assert number_list is not None


def test_added_file_counts_what_it_would_have_got(worker: Logger, tmp_path: Any) -> None:
    """The accounts of a file that is none are balanced."""
    number = worker.add(str(tmp_path / "info.log"))
    worker.info("ready")

    assert figures(worker.stats().handlers[number]) == (1, 0, {"executor": 1}, 0, 0)


# --- travelling -------------------------------------------------------------------------------


def test_logger_of_a_later_run_is_that_runs(worker: Logger) -> None:
    """Spark uses its workers again: the run, level and redaction are those of who sent it."""
    first = pickle.loads(pickle.dumps(get_logger(worker.name, run_id="run-1")))
    assert first.run_id == "run-1"
    from laketrace.annexes import restored_logger

    second = restored_logger(worker.name, {"level": "DEBUG", "log_dir": "/x"}, {"a": 1}, "run-2")

    assert (second.run_id, second.bound["a"]) == ("run-2", 1)
    assert second.is_enabled_for("DEBUG")
    assert second.config["log_dir"] != "/x"


def test_wrong_environment_of_a_worker_costs_no_task(
    worker: Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting in the worker's environment that nobody can read does not fail a UDF."""
    from laketrace.annexes import restored_logger

    monkeypatch.setenv("LAKETRACE_ROTATION", "500 MBB")

    arrived = restored_logger(f"{worker.name}.2", {"level": "DEBUG"}, {}, "run-1")

    assert arrived.is_enabled_for("DEBUG")
    arrived.close()


def test_fields_that_hold_here_travel_with_the_logger(log: Logger) -> None:
    """What `contextualize` has put on records where a logger is pickled, it bears elsewhere."""
    with log.contextualize(stage="bronze", batch=12):
        state = log.bind(table="orders").__reduce__()[1]

    assert state[2] == {"table": "orders", "stage": "bronze", "batch": 12}


def test_pickled_logger_is_small(log: Logger) -> None:
    """A logger takes at most 400 bytes beside its fields and settings."""
    assert len(pickle.dumps(log)) <= 400


NOTHING_OPENED = """
import os, sys, threading
sys.path.insert(0, sys.argv[1])
from laketrace import get_logger
from laketrace.annexes import restored_logger
import laketrace.runtime.worker, laketrace.core.tracebacks, traceback, inspect, logging  # imported
os.environ["PYTHON_WORKER_FACTORY_PORT"] = "1"
try:
    1 / 0
except ZeroDivisionError as error:
    get_logger("warm", log_dir=None, stdout=False).error("warm", exc_info=error)
seen = []
def watch(event, args):
    if event in ("open", "os.mkdir", "os.fork", "subprocess.Popen", "os.open") or (
        event.startswith(("socket.", "_thread.start"))
    ):
        seen.append(f"{event} {args[:1]}")
sys.addaudithook(watch)
given = {"log_dir": sys.argv[2], "enqueue": True, "level": "DEBUG"}
log = restored_logger("etl", given, {"table": "orders"}, "run-1")
log.debug("d"); log.info("i"); log.error("e")
get_logger("other", log_dir=sys.argv[2], enqueue=True).info("x")
log.add(sys.argv[2] + "/more.log")
log.info("again")
log.flush(); log.finish_segment(); log.close()
print(seen, threading.active_count(), os.path.exists(sys.argv[2]))
"""


def test_worker_opens_no_file_thread_or_socket(tmp_path: Any) -> None:
    """A logger that arrives with `log_dir` and `enqueue` opens nothing at all."""
    target = tmp_path / "logs"
    ran = subprocess.run(
        [sys.executable, "-c", NOTHING_OPENED, ROOT, str(target)], capture_output=True, text=True
    )

    assert ran.stdout.strip() == "[] 1 False", ran.stderr
    assert [json.loads(line)["message"] for line in ran.stderr.splitlines()] == ["warm", "e"]


def test_forked_worker_has_a_stream_of_its_own(
    worker: Logger, stored: list[logging.LogRecord]
) -> None:
    """A child of the worker numbers its records for itself."""
    worker.info("parent")
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        worker.info("child")
        os.write(writer, stored[-1].__dict__["context"][ENVELOPE].encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        child = json.loads(pipe.read())["id"]
    os.waitpid(pid, 0)

    parent = json.loads(stored[0].__dict__["context"][ENVELOPE])["id"]
    assert child.rpartition("-")[0] != parent.rpartition("-")[0]
    assert child.endswith("-1")
