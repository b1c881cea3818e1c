"""The annex that brings finished segments to the lakehouse, exactly once.

Floor 7. Stands on: lakehouse.options, lakehouse.report, lakehouse.uploader.

`upload_dir` is behind `laketrace.upload`, `upload_logger` behind `log.upload`, and
`upload_log_to_lakehouse` is the method of 1.x.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from laketrace.lakehouse.options import make_options
from laketrace.lakehouse.report import Failure, UploadReport
from laketrace.lakehouse.uploader import run_upload

__all__ = ["Failure", "UploadReport", "upload_dir"]


def upload_dir(
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
    everything else is a failure in the report, and what failed stays where it is.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = upload_dir(folder, target=f"{folder}/copies")
    >>> report.ok, report.segments
    (True, 0)
    """
    order = make_options(
        target, table, delete_after=delete_after, retries=retries,
        request_timeout=request_timeout, timeout=timeout, store=options,
    )  # fmt: skip
    return run_upload(os.path.abspath(log_dir), order)
