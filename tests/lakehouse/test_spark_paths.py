"""Where Spark finds what a user has named, and whether it can be trusted; no Spark is asked."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from laketrace.errors import UploadError
from laketrace.lakehouse import source
from laketrace.lakehouse.file_rows import COLUMNS, copy_at, rows_of_files
from laketrace.lakehouse.stream import Stream
from laketrace.lakehouse.tables import spark
from laketrace.lakehouse.tables.names import parse_table
from laketrace.lakehouse.tables.shape import create_statement
from laketrace.lakehouse.tables.spark import path_for_spark
from laketrace.lakehouse.targets import remote_name
from tests.lakehouse.logs import record

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


def test_only_lines_behind_what_is_there_become_rows(monkeypatch):
    """Wherever that ends: before the first line, within a block or at its edge, behind the last."""
    pa = pytest.importorskip("pyarrow")
    monkeypatch.setattr(source, "BLOCK_BYTES", 700)
    lines = [*map(record, range(9)), b"{torn", record(9, exception={}), *map(record, range(10, 14))]
    content, path = b"\n".join(lines), f"s3://bucket/{STREAM}-orders.log.20261121_103200"

    def offsets(reached: int) -> list[int]:
        file = pa.RecordBatch.from_arrays([[path], [0], [content], [reached]], list(COLUMNS))
        return sorted(at for rows in rows_of_files([file]) for at in rows["offset"].to_pylist())

    everything = offsets(-1)

    assert len(everything) == len(lines)
    for reached in (near for at in everything for near in (at - 1, at, at + 1)):
        assert offsets(reached) == [at for at in everything if at > reached]


def test_a_table_is_made_without_what_delta_rs_cannot_write():
    """Also where the platform would switch it on; and the type of time cannot be mistaken."""
    statement = create_statement("main.ops.logs")

    assert "`timestamp` TIMESTAMP_LTZ, `date` DATE" in statement
    assert "'delta.enableDeletionVectors' = 'false'" in statement


class Skipping:
    """What a Delta table does with the ids of commits; `careful` says whether it looks at them."""

    def __init__(self, careful: bool) -> None:
        self.careful = careful
        self.versions: dict[str, int] = {}
        self.landed: set[str] = set()

    def write(self, frame: object, app_id: str, version: int, mark: str = "") -> None:
        if not self.careful or self.versions.get(app_id, -1) < version:
            self.versions[app_id] = version
            self.landed.add(mark)


@pytest.mark.parametrize("careful", [True, False])
@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("checked", [0, 1 << 62])
def test_an_engine_is_judged_by_what_it_skips(monkeypatch, careful, begun, checked):
    """Also where the stream has begun, and where a clock ahead of ours has checked before."""
    engine, stream = Skipping(careful), Stream("0" * 32, "orders", ())
    engine.versions = {"laketrace:check": checked, **({stream.app_id: 7} if begun else {})}
    monkeypatch.setattr(spark, "frame_maker", lambda session: SimpleNamespace(frame=list))
    table = spark.SparkTable(parse_table("ops.logs"), session := Skipping(careful))
    monkeypatch.setattr(table, "write", engine.write)
    monkeypatch.setattr(table, "look", lambda: spark.Look(0, engine.landed))
    spark._trusted[session] = set()

    if careful:
        table._examine(stream)
    else:
        with pytest.raises(spark.EngineRefused, match="ignores txnAppId"):
            table._examine(stream)

    assert spark._trusted[session] == ({"`ops`.`logs`"} if careful else set())
