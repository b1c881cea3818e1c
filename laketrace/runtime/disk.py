"""The machine's own disk, where a log can be appended to.

Floor 3. Stands on: runtime.place, runtime.signals.

Nothing is created or written here, and nothing is kept: the answer is as good as at the call.
"""

from __future__ import annotations

import os

from laketrace.runtime.place import here
from laketrace.runtime.signals import fetch, under_root

# The cluster's local disk; https://docs.databricks.com/aws/en/volumes/volume-files advises to
# write there first and then copy. `/tmp` is a small system disk on such machines.
_DATABRICKS = "/local_disk0/tmp"


def local_disk() -> str:
    """An absolute directory on local disk that this process may write to.

    `/local_disk0/tmp` on Databricks if usable, else the directory for temporary files, else the
    working directory, else the root.

    >>> os.path.isabs(local_disk())
    True
    """
    candidate = under_root(_DATABRICKS)
    if here().platform == "databricks" and _usable(candidate):
        return candidate
    import tempfile  # only now: it brings random and shutil with it

    return (
        fetch("temporary directory", tempfile.gettempdir)
        or fetch("working directory", os.getcwd)
        or os.sep
    )


def _usable(directory: str) -> bool:
    return os.path.isdir(directory) and os.access(directory, os.W_OK | os.X_OK)
