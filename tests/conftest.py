"""Where the tests find their rules and shared fixtures; each module is read at its first lines.

Nothing heavy is imported here: Spark, servers and mounts start when a test asks for them.
"""

from __future__ import annotations

pytest_plugins = [
    "tests.support.rules",  # markers, --no-skips
    "tests.support.interpreters",  # other_pythons
    "tests.support.spark",  # spark, spark_cluster, spark_connect, sail, any_connect
    "tests.support.faults",  # full_disk, fuse_mount
    "tests.support.stores",  # s3_server, s3_bucket, azurite, azure_container, any_store
]
