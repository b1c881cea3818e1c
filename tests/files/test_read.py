"""Reading logs back where there is little to read."""

from __future__ import annotations

import pytest

from laketrace.files.read import read


def test_a_directory_without_logs_has_no_records(tmp_path):
    """As after everything was uploaded and deleted."""
    assert list(read(tmp_path)) == []


def test_where_nothing_is_nothing_can_be_read(tmp_path):
    """A path that does not exist is a mistake and says so."""
    with pytest.raises(FileNotFoundError, match="there is no log here"):
        read(tmp_path / "logs")
