"""The stores that the tests get are real servers: what is put is what is got."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.stores import Place


def test_put_and_get(any_store: Place) -> None:
    """obstore writes to the store, lists it and reads the same bytes back."""
    from obstore.store import from_url

    store = from_url(any_store.url, config=any_store.options, client_options={"allow_http": True})

    store.put("run/segment.log", b"whole")

    names = [found["path"] for batch in store.list("run") for found in batch]
    assert names == ["run/segment.log"]
    assert store.get("run/segment.log").bytes().to_bytes() == b"whole"


def test_delta_table_in_the_store(any_store: Place) -> None:
    """delta-rs writes a table with the options for it."""
    import pyarrow as pa
    from deltalake import DeltaTable, write_deltalake

    table = f"{any_store.url}/table"

    for _ in range(2):
        rows = pa.table({"n": [1, 2, 3]})
        write_deltalake(table, rows, mode="append", storage_options=any_store.delta_options)

    read = DeltaTable(table, storage_options=any_store.delta_options)
    assert (read.version(), read.to_pyarrow_table().num_rows) == (1, 6)
