"""Servers that a test run starts on loopback, and the folder that keeps what was fetched for it."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def cache_dir(*parts: str) -> str:
    """A folder outside the checkout that outlives a run (`LAKETRACE_TEST_CACHE` moves it)."""
    base = os.environ.get("LAKETRACE_TEST_CACHE")
    if not base:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        base = os.path.join(home, "laketrace-tests")
    path = os.path.join(base, *parts)
    os.makedirs(path, exist_ok=True)
    return path


def made_once(recipe: str, make: Callable[[str, str], None]) -> str:
    """The folder that `make(recipe, folder)` filled once for this text of `recipe`."""
    with open(recipe, "rb") as text:
        digest = hashlib.sha256(text.read()).hexdigest()[:12]
    name = os.path.basename(os.path.dirname(recipe))
    kept = os.path.join(cache_dir(), f"{name}-{digest}")
    if not os.path.isdir(kept):
        draft = f"{kept}.{os.getpid()}"
        try:
            make(recipe, draft)
            os.rename(draft, kept)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            if not os.path.isdir(kept):  # else another run was faster, and its folder serves
                raise
    return kept


def free_port() -> int:
    """A loopback port that nobody has, below those that a system gives to whoever asks for any."""
    chance = random.SystemRandom()  # not the one that a test may have seeded
    while True:
        port = chance.randrange(12_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@contextmanager
def server(
    command: Sequence[str],
    port: int,
    log: str,
    env: Mapping[str, str] | None = None,
    seconds: float = 200,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` for as long as the block, which begins when `port` answers; output to `log`."""
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    try:
        _wait_for(port, process, log, seconds)
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session of its own, and all that it started."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            continue
        break
    process.wait(timeout=60)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    with open(log, encoding="utf-8", errors="replace") as text:
        said = text.read()[-2000:]
    raise RuntimeError(f"{process.args!r} did not listen on {port} within {seconds} s:\n{said}")
