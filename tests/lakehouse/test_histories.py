"""Whatever happens to a log, and in whatever order: no record is lost in silence, none is doubled.

A machine of hypothesis drives a job in a process of its own: it logs, rotates, forks, is refused
by the disk, is killed, is started again; uploads go on beside it and are killed too; retention
deletes. After each step every record is in exactly one of: the account's losses, what is still to
be uploaded, the table.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from laketrace.files.read import read
from laketrace.files.segment import find_segments, read_done
from laketrace.lakehouse import upload
from laketrace.lakehouse.steps import STEPS
from tests.lakehouse.logs import copies_in, rows_in, upload_elsewhere

pytestmark = [pytest.mark.extra("deltalake", "pyarrow"), pytest.mark.timeout(0)]

# Reads commands, one JSON value a line, and answers each with what became of its records.
JOB = """
import json, os, resource, sys
import laketrace
from laketrace.files import janitor
folder, settings = json.loads(sys.argv[1])
log = laketrace.get_logger("job", log_dir=folder, stdout=False, upload_at_exit=False, **settings)

def record(number, answers):
    before = log.stats()
    log.info("step", id=number)
    log.flush(120)
    now = log.stats()
    lost = now.failed + sum(now.dropped.values()) > before.failed + sum(before.dropped.values())
    answers.append([number, lost])

for line in sys.stdin:
    command, *numbers = json.loads(line)
    answers = []
    if command == "log":
        for number in numbers:
            record(number, answers)
    elif command == "race":
        for number in numbers:
            log.info("step", id=number)
            print(number, flush=True)
    elif command == "fork":
        sys.stdout.flush()
        child = os.fork()
        if not child:
            for number in numbers:
                record(number, answers)
            os.write(1, (json.dumps(answers) + "\\n").encode())
            os._exit(0)
        os.waitpid(child, 0)
        continue
    elif command == "rotate":
        log.finish_segment()
        janitor.wait(None, 120)
    elif command == "refuse":
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (0 if numbers else hard, hard))
    elif command == "close":
        log.close()
        break
    print(json.dumps(answers), flush=True)
"""


class History(RuleBasedStateMachine):
    """One log, its jobs and its uploads."""

    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.mkdtemp(prefix="history-")
        self.log_dir = os.path.join(self.root, "logs")
        self.target = os.path.join(self.root, "target")
        self.table = os.path.join(self.root, "table")
        self.job: subprocess.Popen[str] | None = None
        self.settings: dict[str, Any] = {}
        self.number = 0
        self.kept: set[int] = set()
        self.lost: set[int] = set()
        self.unknown: set[int] = set()  # nobody heard what became of them before the kill

    @initialize(compression=st.sampled_from([None, "gz"]), enqueue=st.booleans())
    def set_up(self, compression, enqueue):
        self.settings = {
            "rotation": "2 KB", "retention": 1, "compression": compression, "enqueue": enqueue,
            "upload_target": self.target, "upload_table": self.table,
        }  # fmt: skip
        self.start()

    def start(self) -> None:
        arguments = json.dumps([self.log_dir, self.settings])
        self.job = subprocess.Popen(
            [sys.executable, "-c", JOB, arguments], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def tell(self, *command: object) -> None:
        self.job.stdin.write(json.dumps(command) + "\n")
        self.job.stdin.flush()

    def ask(self, *command: object) -> None:
        self.tell(*command)
        for number, lost in json.loads(self.job.stdout.readline()):
            (self.lost if lost else self.kept).add(number)

    def numbers(self, count: int) -> list[int]:
        first, self.number = self.number, self.number + count
        return list(range(first, self.number))

    def end(self) -> None:
        self.job.stdin.close()
        self.job.stdout.close()
        self.job.wait(240)
        self.job = None

    # -- what can happen ----------------------------------------------------------------------

    @precondition(lambda self: self.job is None)
    @rule()
    def start_again(self):
        self.start()

    @precondition(lambda self: self.job is not None)
    @rule(count=st.integers(1, 15))
    def log(self, count):
        self.ask("log", *self.numbers(count))

    @precondition(lambda self: self.job is not None)
    @rule(count=st.integers(1, 4))
    def log_in_a_forked_child(self, count):
        self.ask("fork", *self.numbers(count))

    @precondition(lambda self: self.job is not None)
    @rule()
    def rotate(self):
        self.ask("rotate")

    @precondition(lambda self: self.job is not None)
    @rule(refuse=st.booleans())
    def disk(self, refuse):
        self.ask(*(["refuse", 1] if refuse else ["refuse"]))

    @precondition(lambda self: self.job is not None)
    @rule(heard=st.integers(0, 30))
    def kill_while_it_logs(self, heard):
        numbers = self.numbers(60)
        self.tell("race", *numbers)
        for _ in range(heard):
            self.job.stdout.readline()
        self.job.kill()
        # With a queue, or a disk that refuses, a record that was logged need not be in the file.
        self.unknown |= set(numbers)
        self.end()

    @precondition(lambda self: self.job is not None)
    @rule()
    def close(self):
        self.tell("close")
        self.end()

    @rule(places=st.sampled_from(["target", "table", "both"]), delete_after=st.booleans())
    def upload(self, places, delete_after):
        report = upload(self.log_dir, delete_after=delete_after, **self.places(places))
        assert report.ok, report

    @rule(step=st.sampled_from(STEPS), time=st.integers(1, 3), delete_after=st.booleans())
    def upload_and_be_killed(self, step, time, delete_after):
        upload_elsewhere(
            self.log_dir, f"{step}:{time}", delete_after=delete_after, **self.places("both")
        ).communicate()

    def places(self, which: str) -> dict[str, str]:
        both = {"target": self.target, "table": self.table}
        return both if which == "both" else {which: both[which]}

    # -- what must be true --------------------------------------------------------------------

    def in_table(self) -> Counter[int]:
        if not os.path.exists(os.path.join(self.table, "_delta_log")):
            return Counter()
        rows = rows_in(self.table)
        places = Counter((row["segment"], row["offset"]) for row in rows)
        assert set(places.values()) <= {1}, "a line is in the table twice"
        steps = [json.loads(row["fields"]) for row in rows if row["message"] == "step"]
        return Counter(fields["id"] for fields in steps)

    def in_files(self) -> Counter[int]:
        if not os.path.isdir(self.log_dir):
            return Counter()  # killed before it began
        return Counter(item["id"] for item in read(self.log_dir) if item["message"] == "step")

    def check(self) -> None:
        table, files = self.in_table(), self.in_files()
        assert not [number for number in table if table[number] > 1]
        assert not [number for number in files if files[number] > 1]
        arrived = set(table) | set(files)
        assert self.kept <= arrived, f"lost in silence: {sorted(self.kept - arrived)}"
        assert not self.lost & arrived, "counted as lost, and there"
        assert arrived <= self.kept | self.unknown

    def teardown(self) -> None:
        try:
            if self.settings:
                self.finish()
        finally:
            if self.job is not None:
                self.job.kill()
                self.end()
            shutil.rmtree(self.root)

    def finish(self) -> None:
        """Whatever has happened: one more upload, and everything is where it should be, once."""
        self.check()
        if self.job is not None:
            self.job.kill()
            self.end()
        self.check()
        report = upload(self.log_dir, target=self.target, table=self.table)
        assert report.ok and not report.waiting, report
        table = self.in_table()
        assert self.kept <= set(table)
        assert self.in_files() - table == Counter()
        for segment in find_segments(self.log_dir):
            assert segment.base in read_done(self.log_dir, segment.stem)
        copies = {name.removesuffix(".gz") for name in copies_in(self.target)}
        assert not table or {row["segment"] for row in rows_in(self.table)} <= copies


def histories(examples: int, steps: int) -> None:
    order = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_machine(History, settings=order)


def test_every_record_is_in_exactly_one_place():
    """A few short histories."""
    histories(examples=3, steps=10)


@pytest.mark.slow
def test_every_record_is_in_exactly_one_place_in_long_histories():
    """Many, and longer ones."""
    histories(examples=12, steps=30)
