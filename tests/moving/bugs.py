"""The twenty bugs of 1.0.2, each as a program that is right when they are gone.

    python bugs.py b2

runs one in the current folder, on the `laketrace` that `PYTHONPATH` has: this one or 1.0.2. Nothing
here knows which it is; only what both of them have is used, or what a bug says is missing.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import gzip
import io
import json
import logging
import os
import pathlib
import pickle
import signal
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from typing import Any

import laketrace

HANGS = float(os.environ.get("SECONDS_TO_HANG", "60"))  # what takes longer does not end at all
PROGRAMS: dict[str, Callable[[], None]] = {}


def program(function: Callable[[], None]) -> Callable[[], None]:
    """Put a program into the list under the number of its bug."""
    PROGRAMS[function.__name__.partition("_")[0]] = function
    return function


def make(name: str = "app", **config: Any) -> Any:
    """A logger that writes to `logs` here, without the alarm of B1, which would end everything."""
    log = laketrace.get_logger(name, {"log_dir": "logs", "stdout": False, **config})
    signal.alarm(0)
    return log


def lines(name: str = "app", folder: str = "logs") -> list[str]:
    """What all files of a log hold, active and rotated, compressed or not."""
    found: list[str] = []
    for path in sorted(pathlib.Path(folder).glob(f"{name}*.log*")):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            found += file.read().decode("utf-8").splitlines()
    return found


@program
def b1_no_alarm_is_left_behind() -> None:
    """A program lives on after its first logger, and its own alarm is not touched."""
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.alarm(3600)

    laketrace.get_logger("app", {"log_dir": "logs", "stdout": False})

    left = signal.alarm(0)
    assert left > 3000, f"the alarm was set to {left} s"
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_IGN


@program
def b2_rotations_in_one_second_keep_every_record() -> None:
    """A thousand records through a limit of 2,000 bytes are a thousand records."""
    log = make(rotation=2000, retention_files=None)

    for number in range(1000):
        log.info("record", number=number)
    log.close()

    assert len(lines()) == 1000


@program
def b3_a_run_keeps_the_log_of_the_run_before() -> None:
    """Three runs with compression leave the records of three runs."""
    for run in range(3):
        log = make(compression="gz")
        log.info("ran", run=run)
        log.close()

    assert [json.loads(line)["run"] for line in lines()] == [0, 1, 2]


@program
def b4_close_writes_what_is_queued() -> None:
    """A backlog of three seconds is written by `close`."""

    def slow(record: Any) -> str:
        time.sleep(0.001)
        return f"{record.message}\n"

    log = make(enqueue=True, formatter=slow)

    for number in range(3000):
        log.info(f"record {number}")
    log.close()

    assert len(lines()) == 3000


@program
def b5_a_child_can_log_while_a_thread_of_the_parent_does() -> None:
    """Children forked in the middle of other threads' logging log and end."""
    log = make()
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            log.info("parent")

    threads = [threading.Thread(target=busy, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    hung = 0
    for _ in range(20):
        child = os.fork()
        if child == 0:
            log.info("child")
            os._exit(0)
        hung += not _ends(child, HANGS)
        if hung:
            break
    stop.set()
    for thread in threads:
        thread.join(HANGS)

    assert hung == 0, "a child hung"
    assert sum(json.loads(line)["message"] == "child" for line in lines()) == 20


def _ends(child: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


@program
def b6_what_other_libraries_log_can_be_taken_in() -> None:
    """What py4j and PySpark say through `logging` comes into the log."""
    from laketrace.interop import capture

    log = make()

    with capture(log):
        logging.getLogger("py4j.clientserver").warning("connection lost")
    log.close()

    assert json.loads(lines()[0])["message"] == "connection lost"


@program
def b7_retention_leaves_foreign_files_alone() -> None:
    """Only a logger's own segments are ever deleted."""
    os.mkdir("logs")
    foreign = [pathlib.Path("logs") / name for name in ("app.log.important", "app.log_notes.md")]
    for path in foreign:
        path.write_text("mine")
    other = make("app.log2")
    other.info("somebody else's")
    log = make(rotation=1000, retention_files=1)

    for number in range(50):
        log.info("record", number=number)
    log.close()

    assert all(path.exists() for path in foreign)
    assert os.path.exists(other.log_file_path)


@program
def b8_a_restart_does_not_put_off_a_rotation() -> None:
    """A file that was begun 25 hours ago is rotated after a day, whenever it was last written."""
    os.mkdir("logs")
    began = dt.datetime.now(dt.timezone.utc) - dt.timedelta(hours=25)
    active = pathlib.Path("logs/app.log")
    active.write_text(json.dumps({"timestamp": began.isoformat(), "message": "first"}) + "\n")
    hour_ago = time.time() - 3600
    os.utime(active, (hour_ago, hour_ago))

    log = make(rotation="1 day")
    log.info("next")
    log.close()

    assert len(list(pathlib.Path("logs").glob("app.log.*"))) == 1


@program
def b9_an_upload_goes_where_it_was_told_to() -> None:
    """On Databricks an absolute path is that path."""
    os.environ["DATABRICKS_RUNTIME_VERSION"] = "15.4"
    target = pathlib.Path("volume").absolute()
    log = make()
    log.info("table loaded")

    assert log.upload_log_to_lakehouse(str(target)) is True

    files = [path for path in [target, *target.rglob("*")] if path.is_file()]
    assert any("table loaded" in path.read_text("utf-8") for path in files)


@program
def b10_no_message_forges_a_line_or_drives_a_terminal() -> None:
    """One record is one line in text form, at every level and for bound loggers."""
    log = make(json=False, level="TRACE")
    forged = "login\n2026-01-01 00:00:00 | ERROR | forged\x1b[2J\u2028"

    log.trace(forged)
    log.debug(forged)
    log.bind(stage="bronze").info(forged)
    log.close()

    assert len(lines()) == 3
    assert "\x1b" not in "".join(lines())


@program
def b11_a_password_is_never_written() -> None:
    """Values of fields that bear the name of a secret are masked, at any depth."""
    log = make()

    log.log_structured("connected", data={"password": "hunter2", "to": {"api_key": "hunter2"}})
    log.info("connected", password="hunter2")
    log.close()

    assert len(lines()) == 2
    assert "hunter2" not in "".join(lines()) and "hun***" not in "".join(lines())


@program
def b12_masking_takes_linear_time() -> None:
    """100 KB of text that looks like the beginning of an address takes no 14 seconds."""
    begun = time.process_time()

    laketrace.mask_pii({"text": "a." * 50_000})

    assert time.process_time() - begun < 2


@program
def b13_a_value_that_json_does_not_know_costs_no_record() -> None:
    """Dates, decimals, UUIDs, paths, sets, bytes and cycles are logged in some form."""
    cycle: list[Any] = []
    cycle.append(cycle)
    values = [
        *(dt.datetime(2026, 11, 21), decimal.Decimal("1.10"), uuid.uuid4(), pathlib.Path("a")),
        *({1, 2}, b"bytes", ValueError("x"), object(), {("a", 1): 2}, cycle, 10**5000),
    ]
    log = make()

    for value in values:
        log.info("value", value=value)
    log.close()

    assert len(lines()) == len(values)


@program
def b14_every_line_is_valid_json() -> None:
    """NaN and the infinities have a form that every reader takes."""
    log = make()

    log.info("mean", value=float("nan"), most=float("inf"))
    log.close()

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    json.loads(lines()[0], parse_constant=refuse)


@program
def b15_no_field_replaces_a_reserved_one() -> None:
    """Level, time and process of a record cannot be forged, and a field's name never raises."""
    log = make()

    log.info("true", level="FORGED", timestamp="never", pid=-1)
    log.bind(message="forged").info("true")
    log.info("true", message="forged", self=1, name="x")
    log.close()

    records = [json.loads(line) for line in lines()]
    assert [record["message"] for record in records] == ["true"] * 3
    assert records[0]["level"] == "INFO" and records[0]["pid"] == os.getpid()


@program
def b16_a_failed_rotation_does_not_end_logging() -> None:
    """When a retention function raises, the records after it are written."""

    def fail(paths: list[str]) -> None:
        raise OSError(28, "No space left on device")

    log = make(rotation=1000, retention=fail)

    for number in range(50):
        log.info("record", number=number)
    log.close()

    written = {json.loads(line).get("number") for line in lines()}
    assert written >= set(range(50)), f"only {len(written)} of 50"


@program
def b17_a_formatter_may_log() -> None:
    """A formatter that logs, to a logger or to a stream into it, stops nobody."""
    log = make()
    inner = make("other", formatter=lambda record: log.info("from inside") or f"{record.message}\n")
    log_too = make("self", formatter=lambda record: log_too.info("again") or f"{record.message}\n")

    def work() -> None:
        inner.info("outside")
        log_too.info("once")

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(HANGS)

    assert not thread.is_alive(), "deadlock"


@program
def b18_exception_logs_what_there_is() -> None:
    """`exception` logs an interrupt without raising it again, and makes up no exception."""
    log = make()

    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        log.exception("stopped")
    log.exception("nothing is wrong")
    log.close()

    stopped, nothing = (json.loads(line) for line in lines())
    assert stopped["exception"]["type"] == "KeyboardInterrupt"
    assert not nothing.get("exception")


@program
def b19_nothing_is_printed_that_nobody_asked_for() -> None:
    """Making a logger with `stdout=False` prints nothing."""
    printed = io.StringIO()

    with contextlib.redirect_stdout(printed):
        make().info("into the file")

    assert printed.getvalue() == ""


@program
def b20_loggers_can_be_pickled() -> None:
    """A logger and a bound one go into another process, as a Spark closure takes them."""
    log = make()

    for original in (log, log.bind(stage="bronze")):
        pickle.loads(pickle.dumps(original)).info("arrived")
    log.close()

    assert [json.loads(line).get("stage") for line in lines()] == [None, "bronze"]


if __name__ == "__main__":
    try:
        PROGRAMS[sys.argv[1]]()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # 1.0.2 would hang in its own exit after B17
