"""The listener behind `log.watch_streams`: events of streaming queries become records.

Floor 7. Stands on: core.logger, core.notice, spark.progress.

It holds a logger and nothing else, so that it pickles: on Spark Connect 3.5 it runs in a process of
the server. On classic Spark it is called in a thread of Py4J, on Connect 4 in a thread of the
client. It asks Spark nothing, and whatever an event looks like, it raises nothing into Spark.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyspark import __version__  # type: ignore[import-not-found,unused-ignore]
from pyspark.sql.streaming.listener import (  # type: ignore[import-not-found,unused-ignore]
    StreamingQueryListener,
)

from laketrace.core.logger import Logger
from laketrace.core.notice import say
from laketrace.spark.progress import error_fields, progress_fields, query_fields

RUNS_ELSEWHERE = __version__.startswith("3.")
"""Whether Spark Connect of this version runs listeners beside its server, not here."""


class StreamListener(StreamingQueryListener):  # type: ignore[misc,unused-ignore]
    """Logs the events of streaming queries to `log`."""

    def __init__(self, log: Logger) -> None:
        self.log = log

    def __reduce__(self) -> tuple[Any, ...]:
        return StreamListener, (self.log,)

    def onQueryStarted(self, event: Any) -> None:
        """A query has started; `start()` returns after this."""
        self._tell("info", "stream started", "stream_started", lambda: query_fields(event))

    def onQueryProgress(self, event: Any) -> None:
        """A batch has ended."""
        self._tell(
            "info", "stream progress", "stream_progress", lambda: progress_fields(event.progress)
        )

    def onQueryIdle(self, event: Any) -> None:
        """A query waits for new data (Spark 3.5)."""
        self._tell("info", "stream idle", "stream_idle", lambda: query_fields(event))

    def onQueryTerminated(self, event: Any) -> None:
        """A query was stopped, or failed."""
        if getattr(event, "exception", None) is None:
            self._tell("info", "stream ended", "stream_ended", lambda: query_fields(event))
        else:
            self._tell(
                "error",
                "stream failed",
                "stream_failed",
                lambda: {**query_fields(event), **error_fields(event)},
            )

    def _tell(
        self, level: str, message: str, event: str, fields: Callable[[], dict[str, Any]]
    ) -> None:
        try:
            self.log.log(level, message, event=event, **fields())
        except Exception as error:  # an event of another Spark: the stream must go on
            say(
                f"an event of a stream was not logged: {type(error).__name__}: {error}",
                key=f"stream {event}",
            )
