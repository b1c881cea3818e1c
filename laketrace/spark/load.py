"""Files that jobs have shipped, loaded into a table by Spark.

Floor 7. Stands on: annexes.
"""

from __future__ import annotations

import os
from typing import Any

from laketrace.annexes import start_loading


def load(
    spark: Any,
    target: str | os.PathLike[str],
    table: str | os.PathLike[str],
    checkpoint: str | os.PathLike[str],
    *,
    trigger: str | None = None,
    files: int = 1000,
) -> Any:
    """Load what has arrived at `target` into the Delta table `table`, on the executors, once.

        laketrace.spark.load(spark, "/Volumes/main/ops/logs", "main.ops.laketrace",
                             "/Volumes/main/ops/checkpoints/logs")

    `target` is where jobs upload their log files to (`upload_target`); a first load takes all that
    is there, however old. The table is made if absent. `checkpoint` is a place of this load's own,
    where Spark notes which files it has seen. Each batch is at most `files` files and one commit.
    Every line becomes a row, once, whoever else has put it there or will: single uploaders, an
    earlier load, a load that was killed. A line that is no record is a row with `raw`.

    Without `trigger` it loads what is there and returns when that is done; with an interval of
    Spark's (`"10 minutes"`) it returns at once and goes on until `stop()` is called on what it
    returns. That is a `StreamingQuery` in both cases. The executors need laketrace and pyarrow.

    Raises `ConfigError` for a wrong target or table, `UploadError` for a table of another shape or
    a session without Delta Lake, and what Spark raises when a batch fails; the next load goes on.

    The stream is one of Spark's file sources: "Structured Streaming Programming Guide".

    >>> load(None, "/tmp/files", "no table", "/tmp/checkpoint")
    Traceback (most recent call last):
    ...
    laketrace.errors.ConfigError: 1 setting is wrong:
      - table: 'no table' is neither a path nor the name of a table in a schema. Use './no table' \
for a path, or <schema>.<table> for a name.
    """
    return start_loading(spark, target, table, checkpoint, trigger, files)
