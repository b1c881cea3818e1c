"""Somebody who reads a page and types what it shows: a terminal, a shell and one interpreter.

The terminal is a real one (a pty), because output for a person looks different from output into a
pipe. Colours are off (`NO_COLOR`), so that a page shows what is written. The reader's folder is
called `/home/you/project` on the pages.
"""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from .page import ROOT, Step, commands_of, difference

_SECONDS = 240.0
# The interpreter of a page: takes blocks as JSON lines, says on the terminal when one is done.
_INTERPRETER = """
import json, linecache, sys, traceback
space = {"__name__": "__main__"}
sys.modules["__main__"].__dict__.update(space)
space = sys.modules["__main__"].__dict__
for line in sys.stdin:
    name, text = "<stdin>", json.loads(line)
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    outcome = "done"
    try:
        exec(compile(text, name, "exec"), space)
    except BaseException:
        traceback.print_exc()
        outcome = "failed"
    sys.stdout.flush()
    sys.stderr.flush()
    print(f"\\x1e{outcome}\\x1e", end="", flush=True)
"""


class WrongPage(AssertionError):
    """A block of a page does not do what the page says."""


class Terminal:
    """A pty; what programs print there is kept."""

    def __init__(self) -> None:
        self._master, self.slave = pty.openpty()
        self._printed = bytearray()
        self._arrived = threading.Condition()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                chunk = os.read(self._master, 1 << 16)
            except OSError:  # nobody holds the other end any more
                chunk = b""
            with self._arrived:
                self._printed += chunk
                self._arrived.notify_all()
            if not chunk:
                return

    def wait_for(self, mark: bytes) -> bytes:
        """What was printed up to and with `mark`, which is taken away."""
        with self._arrived:
            self._arrived.wait_for(lambda: mark in self._printed, _SECONDS)
            head, found, rest = bytes(self._printed).partition(mark)
            self._printed[:] = rest
            return head + found

    def say(self, text: bytes) -> None:
        """Print something ourselves, after what others have printed."""
        os.write(self.slave, text)

    def close(self) -> None:
        os.close(self.slave)
        self._thread.join(5)
        os.close(self._master)


class Reader:
    """Runs the steps of one page, in a folder of its own."""

    def __init__(
        self, folder: Path, page: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self._folder = folder
        self._page = page
        self._terminal = Terminal()
        self._python: subprocess.Popen[str] | None = None
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("LAKETRACE_")},
            "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]),
            "PYTHONPATH": str(ROOT),
            "NO_COLOR": "1",
            "TERM": "xterm-256color",
            "COLUMNS": "100",
            "HOME": str(folder),
            "PYTEST_ADDOPTS": "",
            **(environment or {}),
        }

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._python is not None:
            assert self._python.stdin is not None
            self._python.stdin.close()
            self._python.wait(_SECONDS)
        self._terminal.close()

    def follow(self, step: Step) -> None:
        """Do what a block shows. Raises `WrongPage` where it does something else."""
        if step.kind == "file":
            path = self._folder / step.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text, encoding="utf-8")
        elif step.kind == "python":
            self._check(step, step.output, self._exec(step))
        elif step.kind == "console":
            for command, expected in commands_of(step.text):
                self._check(step, expected, self._shell(step, command), command)
        elif step.kind != "shown":
            raise WrongPage(f"{self._page}:{step.line}: a block in a language that nobody runs")

    def _exec(self, step: Step) -> str:
        if self._python is None:
            self._python = subprocess.Popen(
                [sys.executable, "-c", _INTERPRETER],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=self._terminal.slave,
                stderr=self._terminal.slave,
                text=True,
            )
        assert self._python.stdin is not None
        name = f"{self._page}:{step.line}"
        print(json.dumps(step.text), file=self._python.stdin, flush=True)
        printed = self._terminal.wait_for(b"\x1e").removesuffix(b"\x1e")
        outcome = self._terminal.wait_for(b"\x1e")
        text = _text(printed)
        if outcome != b"done\x1e":
            raise WrongPage(f"{name}: the block raised, or did not end\n{text}")
        return text

    def _shell(self, step: Step, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._terminal.slave,
            stderr=self._terminal.slave,
            timeout=_SECONDS,
            check=False,
        )
        self._terminal.say(b"\x1e")
        text = _text(self._terminal.wait_for(b"\x1e").removesuffix(b"\x1e"))
        if done.returncode and "# exit code" not in command:
            raise WrongPage(
                f"{self._page}:{step.line}: $ {command}\nexit code {done.returncode}\n{text}"
            )
        return text

    def _check(self, step: Step, expected: str | None, printed: str, command: str = "") -> None:
        if expected is None:
            return
        printed = printed.replace(str(self._folder), "/home/you/project")
        different = difference(expected, printed)
        if different:
            where = f"{self._page}:{step.line}: {command}".rstrip(": ")
            raise WrongPage(f"{where}\n{different}\n\nin full:\n{printed}")


def _text(printed: bytes) -> str:
    """What is left on a screen: lines that a progress bar has wiped are gone."""
    lines = [""]
    begins = False
    text = printed.replace(b"\r\n", b"\n").decode("utf-8", "replace")
    for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|[\r\n])", text):
        if part == "\n":
            lines.append("")
        elif part == "\x1b[2K":
            lines[-1] = ""
        elif part == "\x1b[1A" and len(lines) > 1:
            lines.pop()
        elif part and not part.startswith("\x1b") and part != "\r":
            lines[-1] = part if begins else lines[-1] + part
        begins = part == "\r" or (begins and not part)
    return "\n".join(lines)
