"""Events of lineage on their way out, so that a slow or dead receiver never holds up the run.

Floor 7. Stands on: core.notice.

One background thread for the process takes events from a queue of at most `_MOST` and gives each to
its client. What does not fit, or is not taken, is counted and said once on stderr. `drain` waits,
bounded, when a logger closes. A forked child starts empty: the events are the parent's.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import Any

from laketrace.core.notice import say

_MOST = 1000  # events that wait


class _Outbox:
    def __init__(self) -> None:
        self.waiting: deque[tuple[Any, Any]] = deque()
        self.busy = False
        self.lost = 0
        self.changed = threading.Condition()
        self.thread: threading.Thread | None = None

    def put(self, client: Any, event: Any) -> None:
        with self.changed:
            if len(self.waiting) >= _MOST:
                self.lose(f"{_MOST} were waiting")
                return
            self.waiting.append((client, event))
            self.changed.notify_all()
            if self.thread is None or not self.thread.is_alive():
                self.thread = threading.Thread(
                    target=self.run, name="laketrace-lineage", daemon=True
                )
                try:
                    self.thread.start()
                except RuntimeError as error:  # the interpreter is going down
                    self.thread = None
                    self.waiting.pop()
                    self.lose(str(error))

    def run(self) -> None:
        while True:
            with self.changed:
                while not self.waiting:
                    self.changed.wait()
                client, event = self.waiting.popleft()
                self.busy = True
            try:
                client.emit(event)
            except Exception as error:
                self.lose(f"{type(error).__name__}: {error}")
            finally:
                with self.changed:
                    self.busy = False
                    self.changed.notify_all()

    def drain(self, seconds: float) -> None:
        with self.changed:
            done = self.changed.wait_for(lambda: not self.waiting and not self.busy, seconds)
            if not done:
                left = len(self.waiting) + self.busy
                say(f"{left} events of lineage were not sent in time", key="lineage drain")

    def lose(self, why: str) -> None:
        with self.changed:
            self.lost += 1
        say(f"an event of lineage was not sent: {why}", key="lineage send")


_outbox = _Outbox()


def send(client: Any, event: Any) -> None:
    """Have `client.emit(event)` called soon, in another thread; never waits, never raises."""
    _outbox.put(client, event)


def drain(seconds: float) -> None:
    """Wait until all is sent, at most `seconds`."""
    _outbox.drain(seconds)


def lost() -> int:
    """How many events of this process were not sent."""
    return _outbox.lost


def _after_fork() -> None:
    global _outbox
    _outbox = _Outbox()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
