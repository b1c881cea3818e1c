"""The commands over a real object store, with credentials from the usual variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.stores import Place

from .conftest import Cli

pytestmark = [pytest.mark.stores, pytest.mark.extra("duckdb", "deltalake", "pyarrow", "obstore")]


@pytest.fixture
def bucket(s3_bucket: Place, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket that the environment gives access to."""
    for name, value in {**s3_bucket.options, "aws_allow_http": "true"}.items():
        monkeypatch.setenv(name.upper(), value)
    return s3_bucket.url


def test_logs_go_to_a_bucket_and_are_asked_there(cli: Cli, logs: Path, bucket: str) -> None:
    """Upload to target and table, then SQL over the table by its URL."""
    sent = cli(
        "upload", logs, "--target", f"{bucket}/copies", "--table", f"{bucket}/table", "--json"
    )
    sql = "select level, count(*) as records from logs group by 1 order by 1"

    assert sent.code == 0 and sent.document["records"] == 60
    asked = [cli("query", sql, place, "--json").document for place in (logs, f"{bucket}/table")]
    assert asked[0] == asked[1]


def test_the_doctor_probes_a_bucket_and_leaves_nothing(
    cli: Cli, logs: Path, bucket: str, s3_bucket: Place
) -> None:
    """A target can be written and its probe is gone; a bucket that is not there is a problem."""
    import obstore.store

    good = cli("doctor", f"{bucket}/copies", "--json")
    bad = cli("doctor", "s3://no-such-bucket/copies", "--timeout", 10, "--json")

    texts = [said.document["findings"][-1]["text"] for said in (good, bad)]
    assert (good.code, bad.code) == (0, 1)
    assert "can be written" in texts[0] and "bucket" in texts[1].lower()
    store = obstore.store.S3Store(
        s3_bucket.name, config=s3_bucket.options, client_options={"allow_http": True}
    )
    assert [item for page in store.list() for item in page] == []
