"""What this process can be asked about its surroundings, and what it answered.

Floor 3. Stands on: nothing.

Every read of the environment, of a file or of a platform's object goes through here: it never
raises, and what it gave, or why it failed, is kept for `findings()`, one entry a signal and at
most 1,000. Only the named signals are read, and none of them is a credential.
Threads: any; a dict assignment publishes a finding. A read that may hang runs in a helper
thread (`within`), which the caller leaves behind after `PATIENCE` seconds. Forks: findings are
inherited; objects of the parent that speak over a socket must not be used (`forked`).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple

# Where the files of the platforms lie; a test moves it.
ROOT = "/"
# Seconds for everything that one call asks of a platform's own objects or of Spark.
PATIENCE = 1.0

_MAX_FINDINGS = 1000
_MAX_TEXT = 1000
_MAX_FILE_BYTES = 256 * 1024


class Finding(NamedTuple):
    """One signal that was asked: what it said, or what went wrong.

    `value` is None where the signal is absent; `error` is None where the read went well.

    >>> Finding("env DATABRICKS_RUNTIME_VERSION", "18.1", None).value
    '18.1'
    """

    signal: str
    value: str | None
    error: str | None


_findings: dict[str, Finding] = {}
_pending: dict[str, threading.Thread] = {}
_born = os.getpid()


def findings() -> list[Finding]:
    """Everything that was asked so far, in the order of asking, each signal with its last answer.

    >>> from laketrace.runtime import detect_runtime
    >>> context = detect_runtime()
    >>> any(finding.error for finding in findings() if finding.signal.startswith("env "))
    False
    """
    return list(_findings.values())


def forget() -> None:
    """Start with no findings; `RuntimeDetector.reset_cache()` does it."""
    _findings.clear()


def note(signal: str, value: str | None = None, error: str | None = None) -> None:
    """Keep what `signal` said."""
    if len(_findings) < _MAX_FINDINGS or signal in _findings:
        _findings[signal] = Finding(signal, value, error)


def ask(signal: str, read: Callable[[], object]) -> str | None:
    """What `read()` gives, as text; None where it gives nothing, is empty or raises.

    >>> ask("doctest", lambda: 42), ask("doctest", lambda: ""), ask("doctest", lambda: 1 / 0)
    ('42', None, None)
    >>> findings()[-1].error
    'ZeroDivisionError: division by zero'
    """
    try:
        value = _text(read())
    except Exception as error:
        note(signal, error=_describe(error))
        return None
    note(signal, value)
    return value


def fill(
    values: dict[str, str],
    keys: Mapping[str, str],
    label: str,
    read: Callable[[str], object],
) -> None:
    """Put into `values`, for each `name: key` of `keys`, what `read(key)` gives, if anything.

    Each key is asked for itself as the signal `<label> <key>`, so that one that raises costs the
    others nothing.

    >>> values = {}
    >>> fill(values, {"workspace_id": "id", "notebook_id": "none"}, "doctest", {"id": 7}.get)
    >>> values
    {'workspace_id': '7'}
    """
    for name, key in keys.items():
        value = ask(f"{label} {key}", partial(read, key))
        if value is not None:
            values[name] = value


def fetch(signal: str, read: Callable[[], Any]) -> Any:
    """The object that `read()` gives, or None where it raises; only a failure is kept.

    For the steps on the way to a value: the object itself may carry a token and is never shown.
    """
    try:
        return read()
    except Exception as error:
        note(signal, error=_describe(error))
        return None


def env(name: str) -> str | None:
    """The environment variable `name`, or None where it is not set or empty."""
    value = _text(os.environ.get(name))
    note(f"env {name}", value)
    return value


def file_exists(path: str) -> bool:
    """Whether the regular file `path`, e.g. `/databricks/DBR_VERSION`, exists below `ROOT`."""
    found = os.path.isfile(under_root(path))
    note(f"file {path}", "exists" if found else None)
    return found


def file_text(path: str) -> str | None:
    """The text of a small file below `ROOT`, without the blanks around it."""
    try:
        text = _read(path).strip()
    except OSError as error:
        absent = isinstance(error, FileNotFoundError | NotADirectoryError)
        note(f"file {path}", error=None if absent else _describe(error))
        return None
    value = _text(text)
    note(f"file {path}", value)
    return value


def file_pairs(path: str, keys: Collection[str], separator: str | None) -> dict[str, str]:
    """The lines `key<separator>value` of a file below `ROOT` whose key is one of `keys`.

    `separator` None means blanks, as in `spark-defaults.conf`. Other lines are not looked at:
    such files may hold secrets.
    """
    try:
        lines = _read(path).splitlines()
    except OSError as error:
        absent = isinstance(error, FileNotFoundError | NotADirectoryError)
        note(f"file {path}", error=None if absent else _describe(error))
        return {}
    pairs = {}
    for line in lines:
        key, *rest = (part.strip() for part in line.strip().split(separator, 1))
        value = _text(rest[0]) if rest and key in keys else None
        if value is not None:
            pairs[key] = value
            note(f"file {path} {key}", value)
    return pairs


def under_root(path: str) -> str:
    """The absolute POSIX path `path` as it lies below `ROOT`."""
    return os.path.join(ROOT, *path.strip("/").split("/"))


def loaded(module: str, name: str) -> Any:
    """The attribute `name` of `module` if that module is loaded already, else None.

    Only what the module has, never what its `__getattr__` would fetch.
    """
    return getattr(sys.modules.get(module), "__dict__", {}).get(name)


def ipython_shell() -> Any:
    """The IPython shell of this process, or None; IPython is not imported for it."""
    get_ipython = loaded("IPython", "get_ipython")
    return None if get_ipython is None else fetch("IPython get_ipython", get_ipython)


def notebook_object(name: str) -> Any:
    """What a notebook's kernel offers as `name`, e.g. `dbutils`, or None.

    In an imported module it is no global: it is in IPython's user namespace, or a loaded module.
    """
    shell, found = ipython_shell(), None
    if shell is not None:
        found = fetch(f"IPython user_ns {name}", lambda: shell.user_ns.get(name))
    return sys.modules.get(name) if found is None else found


def within(signal: str, work: Callable[[], object]) -> bool:
    """Run `work` in a helper thread and wait `PATIENCE` seconds for it; whether it came to its end.

    What it found until then it has left where the caller can see it. A call that hangs keeps its
    thread, a daemon, and while it hangs the same signal is not asked again.
    """
    before = _pending.get(signal)
    if before is not None and before.is_alive():
        return False

    def run() -> None:
        try:
            work()
        except BaseException as error:  # a thread has nobody above it to be told
            note(signal, error=_describe(error))

    thread = threading.Thread(target=run, name="laketrace-runtime", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # no thread to be had, or the interpreter is going down
        note(signal, error=_describe(error))
        return False
    thread.join(PATIENCE)
    if thread.is_alive():
        _pending[signal] = thread
        note(signal, error=f"no answer within {PATIENCE:g} s")
        return False
    _pending.pop(signal, None)
    return True


def forked() -> bool:
    """Whether this process was forked after LakeTrace was imported.

    Then objects with a connection (py4j, gRPC) belong to the parent: two processes that write on
    one socket garble it.
    """
    return os.getpid() != _born


def _read(path: str) -> str:
    with open(under_root(path), encoding="utf-8", errors="replace") as file:
        return file.read(_MAX_FILE_BYTES)


def _text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip()[:_MAX_TEXT] or None


def _describe(error: BaseException) -> str:
    name = type(error).__name__
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # an exception whose text raises is told by its name alone
        return name
    return f"{name}: {lines[0][:200]}" if lines else name
