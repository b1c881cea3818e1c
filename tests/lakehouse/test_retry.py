"""Trying again: how often, how long, and when not."""

from __future__ import annotations

import threading

import pytest

from laketrace.lakehouse.retry import Circuit, Deadline, OutOfTime, Retry, within


def test_the_circuit_opens_after_three_failures_and_tries_ever_more_rarely():
    """1, 2, 4, 8 and then 15 minutes; a success closes it."""
    now = [0.0]
    circuit = Circuit(clock=lambda: now[0])
    pauses = []
    for _ in range(8):
        circuit.failed()
        start = now[0]
        while circuit.is_open():
            now[0] += 30
        pauses.append((now[0] - start) / 60)

    circuit.failed()
    circuit.succeeded()

    assert pauses == [0, 0, 1, 2, 4, 8, 15, 15]
    assert not circuit.is_open()


def test_pauses_grow_and_end_with_the_time():
    """Tries are bounded by number and by time, and no pause goes beyond the end."""
    now, slept = [0.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    def fail():
        raise ConnectionError("reset")

    retry = Retry(50, Deadline(10, clock=lambda: now[0]), sleep, jitter=lambda: 1.0)
    with pytest.raises(ConnectionError):
        retry.run(fail)

    assert slept == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2])
    with pytest.raises(OutOfTime):
        Deadline(0, clock=lambda: 1.0).left(5)


def test_a_call_that_hangs_is_given_up():
    """The caller goes on after its seconds."""
    let_go = threading.Event()

    with pytest.raises(TimeoutError, match=r"hanging took longer than 0\.05 seconds"):
        within(0.05, lambda: let_go.wait(240), "hanging")

    let_go.set()


def test_a_shortened_deadline_is_never_prolonged():
    """Who is in a hurry may cut the time of an upload at work, and nobody can add to it."""
    now = [0.0]
    deadline = Deadline(10, clock=lambda: now[0])

    deadline.shorten(20)
    deadline.shorten(3)
    now[0] = 3.0

    assert deadline.is_over()
    with pytest.raises(OutOfTime, match="longer than 3 seconds"):
        deadline.left(1)
