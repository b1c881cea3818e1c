"""What a path means: taken as it is, or refused with the right form; never rewritten."""

from __future__ import annotations

import os
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laketrace.errors import ConfigError, UploadError
from laketrace.lakehouse.options import make_options, reason_of
from laketrace.lakehouse.tables.names import parse_table
from laketrace.lakehouse.targets import open_target, parse_target, remote_name
from laketrace.runtime import signals


@pytest.mark.parametrize(
    ("text", "kind", "path"),
    [
        ("/mnt/logs/", "directory", "/mnt/logs"),
        ("file:///mnt/a%20b", "directory", "/mnt/a b"),
        ("/Volumes/main/ops/logs", "mount", "/Volumes/main/ops/logs"),
        ("/Volumes/main/ops/logs/etl//x/", "mount", "/Volumes/main/ops/logs/etl/x"),
        ("dbfs:/Volumes/main/ops/logs/x", "mount", "/Volumes/main/ops/logs/x"),
        ("dbfs:/logs", "dbfs", "dbfs:/logs"),
        ("/dbfs/logs", "mount", "/dbfs/logs"),
        ("/Workspace/Users/me", "mount", "/Workspace/Users/me"),
        ("/lakehouse/default/Files/logs", "mount", "/lakehouse/default/Files/logs"),
        ("s3://bucket/a/b", "object", "a/b"),
        ("gs://bucket", "object", ""),
        ("az://container/a", "object", "a"),
        ("abfss://c@acme.dfs.core.windows.net/ops", "object", "ops"),
        ("abfss://ws@onelake.dfs.fabric.microsoft.com/lh.Lakehouse/Files/a", "object",
         "lh.Lakehouse/Files/a"),
    ],
)  # fmt: skip
def test_a_place_is_what_it_says(text, kind, path):
    """Each form that the platforms use is known, and keeps its path."""
    location = parse_target(text)

    assert (location.kind, location.path) == (kind, path)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("/Volumes/main/ops", "/Volumes/<catalog>/<schema>/<volume>/<folder>"),
        ("Volumes/main/ops/logs", "/Volumes/<catalog>/<schema>/<volume>/<folder>"),
        ("dbfs://logs/x", "dbfs:/<folder>"),
        ("dbfs:logs", "dbfs:/<folder>"),
        ("/dbfs", "/dbfs/<folder>"),
        ("/lakehouse/default/Tables/x", "/lakehouse/default/Files/<folder>"),
        (r"C:\logs", "'/', e.g. /Volumes"),
        ("C:/logs", "'/', e.g. /Volumes"),
        (r"\\server\share", "'/', e.g. /Volumes"),
        (r"/Volumes\main\ops", "'/', e.g. /Volumes"),
        ("/volumes/main/ops/logs", "/Volumes/<catalog>/<schema>/<volume>/<folder>"),
        ("/Lakehouse/default/Files/x", "/lakehouse/default/Files/<folder>"),
        ("/DBFS/logs", "/dbfs/<folder>"),
        ("s3a://bucket/x", "s3://<bucket>/<folder>"),
        ("s3:/bucket/x", "s3://<bucket>/<folder>"),
        ("s3:///x", "s3://<bucket>/<folder>"),
        ("wasbs://c@a.blob.core.windows.net/x", "abfss://<container>@<account>"),
        ("https://acme.blob.core.windows.net/c/x?sig=secret", "abfss://<container>@<account>"),
        ("abfss://acme.dfs.core.windows.net/x", "abfss://<container>@<account>"),
        ("abfss://c@example.com/x", "abfss://<container>@<account>"),
        (
            "abfss://w@onelake.dfs.fabric.microsoft.com/lh.Lakehouse/logs",
            "Lakehouse/Files/<folder>",
        ),
        ("az://c/x?sig=secret", "upload_options"),
        ("s3://key:secret@bucket/x", "upload_options"),
        ("s3://bucket/a/../b", "without them"),
        ("hdfs://node/x", "s3://<bucket>/<folder>"),
        ("", "e.g. /Volumes"),
        (None, "e.g. /Volumes"),
        (" /mnt", "Remove them"),
    ],
)
def test_a_wrong_place_is_refused_with_the_right_form(text, form):
    """Nothing is sent, the form that would be right is named, no secret is shown."""
    with pytest.raises(ValueError) as refused:
        parse_target(text)

    assert form in str(refused.value)
    assert "secret" not in str(refused.value).replace("carries a secret", "").replace(
        "never carries", ""
    )


@given(st.lists(st.text(string.ascii_letters + string.digits + " .-_", min_size=1), max_size=4))
def test_an_absolute_directory_is_never_mangled(parts):
    """What was given is where the files go."""
    path = "/mnt/" + "/".join(part.strip(" .") + "x" for part in parts)

    location = parse_target(path)

    assert location.path == location.shown == path.rstrip("/")


@pytest.mark.parametrize("path", ["/Volumes/main/ops/logs/x", "/lakehouse/default/Files/x"])
def test_a_mount_that_is_not_there_is_not_made_on_local_disk(tmp_path, monkeypatch, path):
    """Without the volume or the lakehouse there is an error, not a folder of its name."""
    monkeypatch.setattr(signals, "ROOT", str(tmp_path))
    target = open_target(parse_target(path), {}, lambda size: 5.0)

    with pytest.raises(FileNotFoundError, match=r"does not exist|is attached"):
        target.sizes("a")
    assert os.listdir(tmp_path) == []


def test_dbfs_without_databricks_says_so():
    """There is no way to DBFS from elsewhere."""
    with pytest.raises(UploadError, match="needs Databricks"):
        open_target(parse_target("dbfs:/logs"), {}, lambda size: 5.0)


@given(st.text(), st.text())
def test_different_names_stay_different_in_every_store(one, other):
    """Remote names are made of safe characters and are not shared."""
    allowed = set(string.ascii_letters + string.digits + "._-~")

    assert set(remote_name(one)) <= allowed and remote_name(one)[0] not in "._"
    assert (remote_name(one) == remote_name(other)) == (one == other)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("main.ops.laketrace", "main.ops.laketrace"),
        ("ops.laketrace", "ops.laketrace"),
        ("`my ops`.t", "`my ops`.t"),
        ("/lakehouse/default/Tables/laketrace", "/lakehouse/default/Tables/laketrace"),
        ("s3://bucket/t", "s3://bucket/t"),
        ("abfss://w@onelake.dfs.fabric.microsoft.com/lh.Lakehouse/Tables/t",
         "abfss://w@onelake.dfs.fabric.microsoft.com/lh.Lakehouse/Tables/t"),
    ],
)  # fmt: skip
def test_a_table_is_a_name_or_a_place(text, shown):
    """Names of two or three parts, and paths; those of a lakehouse lie below Tables."""
    assert parse_table(text).shown == shown


@pytest.mark.parametrize("text", ["laketrace", "", None, "a.b.c.d", "a..b", "a b.c"])
def test_a_wrong_table_is_refused_with_the_right_form(text):
    """One word could be a path or a name, so it is neither."""
    with pytest.raises(ValueError, match=r"<schema>\.<table>"):
        parse_table(text)


def test_all_that_is_wrong_with_an_order_is_said_at_once():
    """One error with every problem."""
    with pytest.raises(ConfigError) as refused:
        make_options("s3a://b", "word", retries=-1, timeout=0)

    assert len(refused.value.problems) == 4


def test_a_reason_shows_no_secret():
    """What a store's error quotes of the request is masked."""
    error = OSError(
        "PUT https://a/b?sig=abc%3D&sv=1 AccountKey=xyz; token: qwertyuiop\nDebug source:x"
    )

    reason = reason_of(error, {"azure_storage_account_key": "qwertyuiop"})

    assert "abc" not in reason and "xyz" not in reason and "qwerty" not in reason
    assert "Debug" not in reason and "sv=1" in reason
