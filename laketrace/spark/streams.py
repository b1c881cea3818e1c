"""Streaming queries in the log: one listener for each session and logger.

Floor 7. Stands on: core.logger, runtime.session, spark.listener.

Threads: any may ask; a lock sees to it that one listener is added.
"""

from __future__ import annotations

import threading
from typing import Any

from laketrace.core.logger import Logger
from laketrace.runtime.session import is_connect

_ELSEWHERE = (
    "Spark Connect tells of streams in this log from 4.0 on; 3.5 does on the server's stderr"
)

_listeners: dict[tuple[str, str], Any] = {}
_lock = threading.Lock()


def watch_streams(log: Logger, spark: Any) -> Any:
    """Log what the streaming queries of `spark` do: start, progress, idle, termination.

    The listener is added once a session and logger, however often this is called, and again if it
    is there no longer. It is returned, so that `spark.streams.removeListener(...)` can take it
    away; None, and a warning in the log, where Spark refuses it. On Spark Connect 3.5 listeners run
    in a process beside the server: there the rule of workers holds (failures are a JSON line on
    stderr), which a warning says.
    """
    from laketrace.spark.listener import RUNS_ELSEWHERE, StreamListener

    try:
        key = (session_id(spark), log.name)
        with _lock:
            listener = _listeners.get(key)
            if listener is None or not _is_there(spark, listener):
                listener = StreamListener(log)
                _add(spark, listener)
                _listeners[key] = listener
                if RUNS_ELSEWHERE and is_connect(spark):
                    log.warning(_ELSEWHERE, event="streams_watched_elsewhere")
            listener.log = log
    except Exception as error:
        log.warning("streams cannot be watched", event="streams_not_watched", exc_info=error)
        return None
    return listener


def _add(spark: Any, listener: Any) -> None:
    """Add a listener; raises what Spark raises, and where a Connect client only warns."""
    if not is_connect(spark):
        spark.streams.addListener(listener)
        return
    raised: list[Exception] = []

    def add() -> None:
        try:
            spark.streams.addListener(listener)
        except Exception as error:
            raised.append(error)

    # pyspark reads the events in a thread that it never ends by itself. What a daemon thread starts
    # is one too, and does not keep the program from ending.
    thread = threading.Thread(target=add, name="laketrace-watch", daemon=True)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    if not _is_there(spark, listener):
        raise RuntimeError("the server takes no listeners")


def _is_there(spark: Any, listener: Any) -> bool:
    """Whether Spark still has a listener that was added; True where nobody can tell.

    A program may have taken it away, and a Connect client forgets its listeners where the
    connection broke (`StreamingQueryListenerBus`).
    """
    try:
        if is_connect(spark):
            return listener in spark.streams._sqlb._listener_bus
        return listener._jlistener in list(spark.streams._jsqm.listListeners())
    except Exception:  # another Spark, as Connect 3.5, which keeps no list here
        return True


def session_id(spark: Any) -> str:
    """What names a session, whichever object of Python stands for it."""
    if is_connect(spark):
        return str(spark.session_id)
    return str(spark._jsparkSession.sessionUUID())
