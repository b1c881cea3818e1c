"""Reading logs back where there is little to read, very much, or something else."""

from __future__ import annotations

import os
import time

import pytest

from laketrace import LakeTraceError
from laketrace.files.read import last_lines, read


def test_a_directory_without_logs_has_no_records(tmp_path):
    """As after everything was uploaded and deleted."""
    assert list(read(tmp_path)) == []


def test_where_nothing_is_nothing_can_be_read(tmp_path):
    """A path that does not exist is a mistake and says so."""
    with pytest.raises(FileNotFoundError, match="there is no log here") as caught:
        read(tmp_path / "logs")

    assert isinstance(caught.value, LakeTraceError)
    assert caught.value.filename == str(tmp_path / "logs")


def test_brackets_without_end_are_no_record(tmp_path):
    """A line that the JSON reader gives up on is listed as torn, and reading goes on."""
    deep = b"[" * 200_000 + b"\n"
    (tmp_path / "etl.log").write_bytes(b'{"message":"a"}\n' + deep + b'{"message":"b"}\n')

    records = read(tmp_path)

    assert [record["message"] for record in records] == ["a", "b"]
    assert [torn.bytes for torn in records.torn] == [deep]


def test_last_lines_are_read_from_the_end(tmp_path):
    """Of a file of 64 GB a few pieces are read."""
    path = tmp_path / "etl.log"
    with open(path, "wb") as file:
        file.write(b"first\n")
        os.truncate(path, 64 << 30)
        file.seek(64 << 30)
        file.write(b"\n" + b"".join(b"line %d\n" % number for number in range(100_000)))

    begun = time.thread_time()
    lines = last_lines(str(path), 99_999)

    assert lines[0] == b"line 1\n" and lines[-1] == b"line 99999\n" and len(lines) == 99_999
    assert time.thread_time() - begun < 5


def test_a_long_last_line_takes_linear_time(tmp_path):
    """A record of 64 MB is put together from its pieces once."""
    path = tmp_path / "etl.log"
    path.write_bytes(b"short\n" + b"x" * (64 << 20) + b"\n")

    begun = time.thread_time()
    (line,) = last_lines(str(path), 1)

    assert len(line) == (64 << 20) + 1
    assert time.thread_time() - begun < 5
