"""The annex that brings finished segments to the lakehouse, exactly once.

Floor 7. Stands on: core.notice, lakehouse.options, lakehouse.report, lakehouse.shipping,
lakehouse.uploader.

`upload` is behind `laketrace.upload`, `upload_logger` behind `log.upload`, `start_shipper`
behind the settings `upload_...`, and `upload_log_to_lakehouse` is the method of 1.x.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from laketrace.core.notice import say
from laketrace.lakehouse.options import make_options
from laketrace.lakehouse.report import Failure, UploadReport
from laketrace.lakehouse.shipping import upload_as_1x, upload_log
from laketrace.lakehouse.uploader import run_upload

__all__ = [
    "Failure",
    "UploadReport",
    "upload",
    "upload_log_to_lakehouse",
    "upload_logger",
]


def upload(
    log_dir: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    table: str | os.PathLike[str] | None = None,
    *,
    delete_after: bool = False,
    retries: int = 5,
    request_timeout: float = 30.0,
    timeout: float = 120.0,
    options: Mapping[str, Any] | None = None,
) -> UploadReport:
    """Bring every finished segment in `log_dir` to `target`, to `table` or to both, once.

    What dead processes left active is finished first; a living process goes on writing to its
    own file. `target` is a directory, a mount or a URL for copies of the files; `table` a path,
    a URL or (with an active Spark session) the name of a Delta table, made if absent. `retries`
    counts tries after the first; `request_timeout` and `timeout` are seconds, for one request and
    for everything. `options` go to the store (credentials, endpoint) and are never shown. With
    `delete_after`, local segments are removed when all their destinations have confirmed them.

    Raises `ConfigError` for a wrong argument, before anything is sent, and `MissingExtraError`;
    everything else is a failure in the report, and what failed stays where it is. A `log_dir` that
    is not there is no failure, since a new machine has none yet, but is said on stderr.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = upload(folder, target=f"{folder}/copies")
    >>> report.ok, report.segments
    (True, 0)
    """
    order = make_options(
        target, table, delete_after=delete_after, retries=retries,
        request_timeout=request_timeout, timeout=timeout, store=options,
    )  # fmt: skip
    path = os.path.abspath(log_dir)
    if not os.path.isdir(path):
        say(f"nothing to upload: there is no directory {path}", key=f"upload {path}")
    return run_upload(path, order)


def upload_logger(
    log: Any,
    target: str | os.PathLike[str] | None = None,
    table: str | os.PathLike[str] | None = None,
    *,
    delete_after: bool | None = None,
    retries: int | None = None,
    request_timeout: float | None = None,
    timeout: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> UploadReport:
    """Finish the active file of a logger and bring all that it has written to the lakehouse.

    Without `target` and `table` the settings `upload_target` and `upload_table` say where to.
    The others are as in `upload`; what is not given is as the settings `upload_<name>` say. The
    report is also logged, as a record that the next upload takes along.

    Raises `ConfigError` when there is no destination or a wrong one, and `MissingExtraError`.

    >>> import tempfile
    >>> from laketrace import get_logger
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = get_logger("doctest_upload", log_dir=f"{folder}/logs", stdout=False)
    ...     log.info("table loaded", rows=3)
    ...     report = upload_logger(log, f"{folder}/copies")
    ...     log.close()
    >>> report.ok, report.segments, report.records
    (True, 1, 1)
    """
    changed = {
        "delete_after": delete_after, "retries": retries, "request_timeout": request_timeout,
        "timeout": timeout, "store": options,
    }  # fmt: skip
    given = {name: value for name, value in changed.items() if value is not None}
    return upload_log(log, target, table, given)


def upload_log_to_lakehouse(
    log: Any, target_path: str | os.PathLike[str], max_retries: int = 2
) -> bool:
    """Copy every segment of a logger to `target_path`; whether all of them are there now.

    As in 1.x it never raises, and tries `max_retries` times more after a passing fault; unlike
    1.x it sends what rotations have finished too.

    >>> upload_log_to_lakehouse(None, "")
    False
    """
    return upload_as_1x(log, target_path, max_retries)
