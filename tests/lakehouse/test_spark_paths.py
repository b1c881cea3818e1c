"""Where Spark finds what a user has named; no Spark is asked."""

from __future__ import annotations

import pytest

from laketrace.errors import UploadError
from laketrace.lakehouse.file_rows import copy_at
from laketrace.lakehouse.tables.names import parse_table
from laketrace.lakehouse.tables.shape import create_statement
from laketrace.lakehouse.tables.spark import path_for_spark
from laketrace.lakehouse.targets import remote_name

pytestmark = pytest.mark.extra("pyarrow")
STREAM = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("/tmp/a table", "file:/tmp/a table"),
        ("file:///tmp/table", "file:/tmp/table"),
        ("/Volumes/main/ops/logs/table", "/Volumes/main/ops/logs/table"),
        ("/dbfs/logs/table", "dbfs:/logs/table"),
        ("abfss://a@b.dfs.core.windows.net/t", "abfss://a@b.dfs.core.windows.net/t"),
        ("s3://bucket/table", "s3a://bucket/table"),
        ("gs://bucket/table", "gs://bucket/table"),
    ],
)
def test_a_place_is_the_same_one_for_spark(given, found):
    """Local disk stays local disk, whatever Spark's own file system is."""
    location = parse_table(given).location

    assert location is not None and path_for_spark(location) == found


@pytest.mark.parametrize("given", ["az://container/table", "/Workspace/Shared/table"])
def test_a_place_that_spark_does_not_reach_is_refused(given):
    """With what to use instead."""
    location = parse_table(given).location

    with pytest.raises(UploadError, match="Use"):
        path_for_spark(location)


@pytest.mark.parametrize("stem", ["orders", "a/b", "x" * 150, "ü" * 75, ".hidden"])
@pytest.mark.parametrize("form", ["", ".gz", ".zip"])
def test_every_copy_of_a_segment_is_known_by_its_name(stem, form):
    """What an uploader has called it gives its name in the table and the archive's form back."""
    segment = f"{STREAM}-{remote_name(f'{stem}.log.20261121_103200.12')}"

    copy = copy_at(f"file:/lake/orders/run/{segment}{form}")

    assert copy is not None and (copy.segment, copy.suffix) == (segment, form)
    assert copy.stamp in ("20261121_103200", "")


@pytest.mark.parametrize(
    "name", ["_manifest.json", "notes.txt", f"{STREAM}-orders.log", "a.log.gz"]
)
def test_what_is_no_copy_of_a_segment_is_none(name):
    """Whatever else lies in a target."""
    assert copy_at(f"s3://bucket/{name}") is None


def test_a_table_is_made_without_what_delta_rs_cannot_write():
    """Also where the platform would switch it on; and the type of time cannot be mistaken."""
    statement = create_statement("main.ops.logs")

    assert "`timestamp` TIMESTAMP_LTZ, `date` DATE" in statement
    assert "'delta.enableDeletionVectors' = 'false'" in statement
