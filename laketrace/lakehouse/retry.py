"""Trying again: how often, how long, and when not.

Floor 7. Stands on: errors.

`Deadline` is the time that all of an upload may take. `Retry.run` repeats what failed for a
passing reason, with growing random pauses ("full jitter", AWS Architecture Blog, 2015), until
tries or time are used up. `within` gives up waiting for a call that does not come back. `Circuit`
keeps a background uploader from knocking at a door that stays shut. Clocks and sleeps are
arguments, so tests hold the time. Threads: `Circuit` belongs to one, the others to any.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from laketrace.errors import MissingExtraError, UploadError

T = TypeVar("T")
_FIRST_PAUSE = 0.2
_BYTES_A_SECOND = 1 << 20  # the slowest store for which a call still counts as alive
_LONGEST_PAUSE = 20.0
_OPENS_AFTER = 3
_LONGEST_MINUTES = 15

# An error of a store that will not go away by itself; text, because the libraries that speak to
# stores (obstore, deltalake, py4j) put the service's answer there.
_PERMANENT_TEXT = re.compile(
    r"\b(?:400 Bad Request|401 Unauthorized|403 Forbidden|404 Not Found|410 Gone)\b"
    r"|AccessDenied|AuthorizationFailure|AuthenticationFailed|InvalidAccessKeyId|NoSuchBucket"
    r"|SignatureDoesNotMatch|ContainerNotFound|FilesystemNotFound|PERMISSION_DENIED|not authorized",
    re.IGNORECASE,
)
_PERMANENT_NAMES = frozenset((
    "PermissionDeniedError", "UnauthenticatedError", "InvalidPathError", "NotSupportedError",
    "UnknownConfigurationKeyError", "SchemaMismatchError", "DeltaProtocolError",
    "TableNotFoundError",
))  # fmt: skip


class OutOfTime(UploadError):
    """The time that an upload may take is used up."""


class Deadline:
    """A moment after which nothing new is begun; `seconds` from now, None for never.

    >>> Deadline(None).left(30)
    30
    """

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begin = clock()
        self._end = None if seconds is None else self._begin + seconds

    def shorten(self, seconds: float) -> None:
        """Let nothing new begin `seconds` from now, if that is not so already."""
        end = self._clock() + seconds
        if self._end is None or end < self._end:
            self._end = end

    def is_over(self) -> bool:
        """Whether the moment has come."""
        return self._end is not None and self._clock() >= self._end

    def check(self) -> None:
        """Raise `OutOfTime` when the moment has come."""
        if self._end is not None and self.is_over():
            raise OutOfTime(f"the upload took longer than {self._end - self._begin:.3g} seconds")

    def left(self, limit: float) -> float:
        """Seconds for the next request: what is left, at most `limit`.

        Raises `OutOfTime` when nothing is left.
        """
        self.check()
        if self._end is None:
            return limit
        return min(max(self._end - self._clock(), 0.001), limit)

    def limit(self, request_timeout: float) -> Callable[[int], float]:
        """How many seconds a call may take that moves so many bytes.

        >>> Deadline(None).limit(30)(0)
        30.0
        """
        return lambda size: self.left(request_timeout + size / _BYTES_A_SECOND)


def is_permanent(error: BaseException) -> bool:
    """Whether trying again is of no use: wrong, forbidden or missing, as opposed to broken.

    >>> is_permanent(PermissionError(13, "no")), is_permanent(ConnectionError("reset"))
    (True, False)
    """
    if isinstance(error, (UploadError, MissingExtraError, ValueError, TypeError)):
        return True
    permanent = (PermissionError, FileNotFoundError, NotADirectoryError, IsADirectoryError)
    if isinstance(error, permanent) or type(error).__name__ in _PERMANENT_NAMES:
        return True
    return _PERMANENT_TEXT.search(str(error)) is not None


class Retry:
    """How an upload repeats its requests: `retries` times after the first, until `deadline`."""

    def __init__(
        self,
        retries: int,
        deadline: Deadline,
        sleep: Callable[[float], object] = time.sleep,
        jitter: Callable[[], float] = random.random,
        first_pause: float = _FIRST_PAUSE,
        longest_pause: float = _LONGEST_PAUSE,
    ) -> None:
        self.deadline = deadline
        self._retries = retries
        self._sleep = sleep
        self._jitter = jitter
        self._pauses = (first_pause, longest_pause)

    def run(self, work: Callable[[], T], passing: Callable[[Exception], bool] | None = None) -> T:
        """The result of `work`, tried again for passing errors (default: those not permanent).

        Raises the last error when it is permanent or the tries are used up, and `OutOfTime`.

        >>> Retry(0, Deadline(None)).run(lambda: 7)
        7
        """
        tries = 0
        while True:
            try:
                return work()
            except Exception as error:
                again = not is_permanent(error) if passing is None else passing(error)
                if not again or tries >= self._retries:
                    raise
                pause = self.pause(tries)
                if self.deadline.left(pause) < pause:
                    raise
                self._sleep(pause)
                tries += 1

    def pause(self, tries: int) -> float:
        """Seconds to wait after the failed try number `tries`, counted from 0."""
        first, longest = self._pauses
        return min(longest, first * 2.0 ** min(tries, 30)) * (0.1 + 0.9 * self._jitter())

    def impatient(self, retries: int, first_pause: float, longest_pause: float) -> Retry:
        """The same deadline with other tries and pauses; for losing a race, which is no fault."""
        pauses = (first_pause, longest_pause)
        return Retry(retries, self.deadline, self._sleep, self._jitter, *pauses)


def within(seconds: float, work: Callable[[], T], what: str) -> T:
    """The result of `work`, or `TimeoutError` when it does not come back in `seconds`.

    For calls that have no time limit of their own: a mount, a JVM. The call goes on in a daemon
    thread and what it still does is harmless, because everything here may be done twice. Where
    no thread can be started (an exiting interpreter) it is called directly.

    >>> within(5, lambda: 7, "a test")
    7
    """
    outcome: list[tuple[bool, object]] = []
    done = threading.Event()

    def call() -> None:
        try:
            outcome.append((True, work()))
        except BaseException as error:
            outcome.append((False, error))
        done.set()

    try:
        threading.Thread(target=call, name="laketrace-upload", daemon=True).start()
    except RuntimeError:
        return work()
    if not done.wait(seconds):
        raise TimeoutError(f"{what} took longer than {seconds:.3g} seconds")
    succeeded, value = outcome[0]
    if not succeeded:
        assert isinstance(value, BaseException)
        raise value
    return value  # type: ignore[return-value]


class Circuit:
    """Whether a background upload may be tried: after 3 failures in a row only now and then.

    The pauses are 1, 2, 4, 8 and then 15 minutes; a success closes the circuit.

    >>> circuit = Circuit(clock=lambda: 0.0)
    >>> for _ in range(3): circuit.failed()
    >>> circuit.is_open()
    True
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._until = 0.0

    def is_open(self) -> bool:
        """True while nothing should be tried."""
        return self._clock() < self._until

    def failed(self) -> None:
        """Note a failure."""
        self._failures += 1
        if self._failures >= _OPENS_AFTER:
            minutes = min(_LONGEST_MINUTES, 1 << min(self._failures - _OPENS_AFTER, 10))
            self._until = self._clock() + 60 * minutes

    def succeeded(self) -> None:
        """Note a success."""
        self._failures = 0
        self._until = 0.0
