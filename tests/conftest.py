"""Where the tests find their rules and shared fixtures; each module is read at its first lines.

Nothing heavy is imported here: Spark, servers and mounts start when a test asks for them.
"""

from __future__ import annotations

import sys

import pytest

from tests.support.interpreters import SUPPORTED, find_interpreters

pytest_plugins = [
    "tests.support.rules",  # markers, --no-skips
    "tests.support.steady",  # the same in any order and on a busy machine
    "tests.support.spark",  # spark, spark_cluster, spark_connect, sail, any_connect
    "tests.support.faults",  # full_disk, fuse_mount
    "tests.support.stores",  # s3_server, s3_bucket, azurite, azure_container, any_store
]


@pytest.fixture(scope="session")
def other_pythons() -> dict[str, str]:
    """Version to path of the CPythons beside the running one; at least one, or a skip."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    others = {number: path for number, path in find_interpreters().items() if number != own}
    if not others:
        pytest.skip(f"no other CPython of {', '.join(SUPPORTED)} on this machine")
    return others
