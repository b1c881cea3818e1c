"""What LakeTrace raises, and only while it is being set up or asked to do work.

Floor 0. Stands on: nothing.

    LakeTraceError
    ├── ConfigError         also a ValueError: one or more settings or arguments are wrong
    ├── MissingLogError     also a FileNotFoundError: there is no log to read
    ├── MissingExtraError   also a ModuleNotFoundError: an optional package is absent
    └── UploadError         also a RuntimeError: a destination refused what was sent

A log call raises none of these: at run time a fault is counted and said once on stderr.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, TypeVar

V = TypeVar("V")
T = TypeVar("T")


class LakeTraceError(Exception):
    """Every error of this package, for one `except` that catches them all.

    >>> issubclass(ConfigError, LakeTraceError) and issubclass(ConfigError, ValueError)
    True
    """


class ConfigError(LakeTraceError, ValueError):
    """One or more settings or arguments are wrong; nothing was opened.

    `problems` are lines of the form "setting and value: rule with unit. Way out."

    >>> print(ConfigError(["rotation=0: a size is at least 1 byte. Use rotation='10 MB'."]))
    1 setting is wrong:
      - rotation=0: a size is at least 1 byte. Use rotation='10 MB'.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        heading = "1 setting is wrong:" if count == 1 else f"{count} settings are wrong:"
        super().__init__("\n  - ".join([heading, *self.problems]))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems,)


class MissingLogError(LakeTraceError, FileNotFoundError):
    """There is no log at the path that `read` was given, or no longer."""


class MissingExtraError(LakeTraceError, ModuleNotFoundError):
    """A feature needs a package that is not installed; the text says how to get it."""


class UploadError(LakeTraceError, RuntimeError):
    """A destination is wrong, or refused what was sent to it."""


def checked(name: str, value: V, check: Callable[[V], T]) -> T:
    """What `check` makes of an argument; its `ValueError` becomes a `ConfigError` with the name.

    >>> checked("number", "7", int)
    7
    """
    try:
        return check(value)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError([f"{name}={value!r}: {error}"]) from None


def need(module: str, extra: str, what: str) -> Any:
    """Import `module` for the feature `what`, which the extra `extra` brings.

    Raises `MissingExtraError` with the command that installs it. A broken installation is
    not a missing one: when the import fails over another module, that error passes through.

    >>> need("no_such_module", "delta", "laketrace.upload")
    Traceback (most recent call last):
    ...
    laketrace.errors.MissingExtraError: laketrace.upload needs the package no_such_module. \
Run: pip install 'laketrace[delta]'
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != package:
            raise
        raise MissingExtraError(
            f"{what} needs the package {package}. Run: pip install 'laketrace[{extra}]'",
            name=error.name,
        ) from None
