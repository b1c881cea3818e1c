"""The Spark session that is there already: found, asked, and stopped when the user says so.

Floor 3. Stands on: runtime.signals.

Nothing here imports pyspark or starts Spark; without an active session nothing is sent anywhere.
What needs an answer of the JVM or of a Connect server runs in a helper thread and is given up
after `signals.PATIENCE` seconds. Threads: any; the session of another thread is found too
(`SparkSession.getActiveSession()` would give None there). Forks: a session that was there at the
fork is the parent's, the child does not use it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from laketrace.runtime import signals

_CONNECT = "pyspark.sql.connect.session"
_CLASSIC = "pyspark.sql.session"

_inherited: list[Any] = []
_facts: tuple[Any, dict[str, str]] | None = None


def session_exists() -> bool:
    """Whether this program has Spark running: a session, or a bare `SparkContext`.

    Asked at each `detect_runtime()` of a process without platform, so it looks at the fewest
    attributes: a classic session always has its `SparkContext`.

    >>> session_exists()
    False
    """
    pyspark = sys.modules.get("pyspark")
    if pyspark is None:
        return False
    try:
        context = pyspark.__dict__.get("SparkContext")
        if getattr(context, "_active_spark_context", None) is not None:
            return True
        connect = sys.modules.get(_CONNECT)
        if connect is None:
            return False
        sessions = connect.__dict__["SparkSession"]
        if sessions._default_session is None and not sessions._active_session.__dict__:
            return False
        return _find_connect() is not None
    except Exception:  # other insides; `active_session` keeps the finding
        return False


def active_session() -> Any:
    """The active session, of this thread or the default one, or None.

    Connect comes first: with `remote("local")` its server's classic session lives in the same
    process. None in a forked child for a session of its parent.

    >>> active_session() is None
    True
    """
    session = _find()
    return None if any(session is other for other in _inherited) else session


def is_connect(session: Any) -> bool:
    """Whether `session` is one of Spark Connect, whose every answer is a call to a server."""
    return type(session).__module__.startswith("pyspark.sql.connect")


def spark_settings(names: Iterable[str], prefix: str = "spark.laketrace.") -> dict[str, str]:
    """The settings `<prefix><name>` of the active session, as name to text, as far as they are set.

    Without an active session the answer is empty and nothing is sent. The whole reading takes at
    most `signals.PATIENCE` seconds; what was not read by then is absent, and `findings()` says so.
    Each key is read for itself and may fail for itself: on Databricks serverless
    `spark.conf.get(key, default)` raises for an unknown key. Where a Connect session can list its
    settings (pyspark 4.0+), that one call is tried first.

    >>> spark_settings(["level", "rotation"])
    {}
    """
    session = active_session()
    if session is None:
        return {}
    found: dict[str, str] = {}
    keys = {name: prefix + name for name in names}
    signals.within("spark.conf", lambda: _read_conf(session, keys, found))
    return dict(found)


def spark_facts(conf: Mapping[str, str]) -> dict[str, str]:
    """`spark_app_id` of the active session, and each name of `conf` from the setting it names.

    Asked once a session: the answers do not change while it lives.
    """
    global _facts
    session = _find()
    if session is None:
        _facts = None
        return {}
    if _facts is not None and _facts[0] is session:
        return dict(_facts[1])
    if active_session() is None:
        return {}
    found: dict[str, str] = {}

    def read() -> None:
        if is_connect(session):
            _read_conf(session, {"spark_app_id": "spark.app.id", **conf}, found)
            return
        value = signals.ask("spark applicationId", lambda: session.sparkContext.applicationId)
        if value is not None:
            found["spark_app_id"] = value
        _read_conf(session, conf, found)

    if signals.within("spark facts", read):
        _facts = session, found
    return dict(found)


def stop_spark_if_active() -> None:
    """Stop the active Spark session, if there is one; for the end of a job. Never raises.

    >>> stop_spark_if_active()
    """
    session = active_session()
    if session is not None:
        signals.fetch("spark stop", session.stop)


def forget() -> None:
    """Ask a session anew; `RuntimeDetector.reset_cache()` does it."""
    global _facts
    _facts = None


def _find() -> Any:
    # Half-imported pyspark, or one with other insides, has no session for us.
    session = signals.fetch("spark connect session", _find_connect)
    return signals.fetch("spark session", _find_classic) if session is None else session


def _find_connect() -> Any:
    sessions = signals.loaded(_CONNECT, "SparkSession")
    if sessions is None:
        return None
    mine = getattr(getattr(sessions, "_active_session", None), "session", None)
    for session in (mine, getattr(sessions, "_default_session", None)):
        if session is not None and not session.is_stopped:
            return session
    return None


def _find_classic() -> Any:
    # The attributes, not getActiveSession(): that asks the JVM, and knows this thread's only.
    sessions = signals.loaded(_CLASSIC, "SparkSession")
    for name in ("_activeSession", "_instantiatedSession"):
        session = getattr(sessions, name, None)
        if session is not None and session._sc._jsc is not None:
            return session
    return None


def _read_conf(session: Any, keys: Mapping[str, str], found: dict[str, str]) -> None:
    """Put into `found` what the session's conf holds under `keys` (name to conf key)."""
    conf = session.conf
    read = partial(_get, conf)
    if is_connect(session) and hasattr(type(conf), "getAll"):
        everything = signals.fetch("spark.conf getAll", lambda: conf.getAll)
        if everything is not None:
            read = partial(_get, everything)
    signals.fill(found, keys, "spark.conf", read)


def _get(conf: Any, key: str) -> Any:
    return conf.get(key, None)


def _after_fork() -> None:
    session = _find()
    if session is not None:
        _inherited.append(session)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
