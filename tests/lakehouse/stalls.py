"""How long the machine held everybody up: what a limit in seconds must not count."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

BEAT = 0.01
NOTED = 0.1


@contextmanager
def stalls() -> Iterator[list[float]]:
    """The seconds of each time at which a thread that only sleeps came back late."""
    found: list[float] = []
    over = threading.Event()

    def beat() -> None:
        last = time.monotonic()
        while not over.wait(BEAT):
            now = time.monotonic()
            if now - last > NOTED:
                found.append(now - last)
            last = now

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
