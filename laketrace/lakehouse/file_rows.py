"""Files of a target become rows, where Spark's executors read them.

Floor 7. Stands on: files.segment, lakehouse.fast_rows, lakehouse.rows, lakehouse.source, runtime.

Spark hands over whole files, in whatever form jobs have sent them; what becomes of their lines is
the same code as in an uploader, so the rows are the same: torn lines, damaged archives and all.
What the table has of a file already comes with it, so those lines are not even taken apart.
Memory: a file as it was sent, which also lies on the executor's local disk while it is read, and a
few blocks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from laketrace.files.segment import ARCHIVES, Segment
from laketrace.lakehouse.fast_rows import Transformer, pc
from laketrace.lakehouse.rows import Place
from laketrace.lakehouse.source import SegmentFile, read_blocks
from laketrace.runtime import local_disk

COLUMNS = ("path", "modified", "content", "reached")
"""What a file comes as: text, Unix microseconds, bytes, and the last offset that is there or -1."""

_FORMS = "|".join(suffix[1:] for suffix in ARCHIVES)
SEGMENT = f"regexp_replace(substring_index(path, '/', -1), '[.]({_FORMS})$', '')"
"""The column `segment` of the file at `path`, in Spark's SQL; `copy_at` says whether it is one."""

# `Stream.name_of` and an archive's suffix; a name that is too long ends with a digest instead.
_NAME = re.compile(
    r"(?P<name>[0-9a-f]{32}-.+?(?:\.log\.(?P<stamp>\d{8}_\d{6})(?:\.\d+)?|~[0-9a-f]{16}))"
    rf"(?P<suffix>\.(?:{_FORMS}))?"
)


class Copy(NamedTuple):
    """What the name of a file says: the column `segment`, the stamp or "", the archive's suffix."""

    segment: str
    stamp: str
    suffix: str


def copy_at(path: str) -> Copy | None:
    """The copy of a segment whose path this is, or None for anything else.

    >>> copy_at("s3://logs/orders/run/" + 32 * "0" + "-orders.log.20261121_103200.2.gz").suffix
    '.gz'
    """
    match = _NAME.fullmatch(path.rpartition("/")[2])
    if match is None:
        return None
    return Copy(match["name"], match["stamp"] or "", match["suffix"] or "")


def rows_of_files(batches: Iterable[Any]) -> Iterator[Any]:
    """The rows of files, for `DataFrame.mapInArrow` over `COLUMNS`; batches of `fast_rows.SCHEMA`.

    >>> list(rows_of_files([]))
    []
    """
    for batch in batches:
        columns = (batch.column(name) for name in COLUMNS)
        for path, time, content, reached in zip(*columns, strict=True):
            copy = copy_at(path.as_py())
            if copy is not None:
                yield from _rows(copy, time.as_py() * 1000, content.as_buffer(), reached.as_py())


def _rows(copy: Copy, modified_ns: int, content: Any, reached: int) -> Iterator[Any]:
    """The rows of one file behind the offset `reached`.

    A segment whose name tells no time ended when its copy was made.
    """
    with TemporaryDirectory(prefix="laketrace-", dir=local_disk()) as folder:
        path = os.path.join(folder, f"segment{copy.suffix}")
        with open(path, "wb") as file:
            file.write(content)
        segment = Segment(path, "segment", copy.stamp, 0, copy.suffix)
        end_ns = segment.time_ns if copy.stamp else modified_ns
        transformer = Transformer(Place.of(copy.segment, end_ns))
        with SegmentFile(segment) as opened:
            for block in read_blocks(opened):
                if block.offset > reached:
                    yield from transformer.batches(block)
                elif block.offset + len(block.data) > reached:
                    for batch in transformer.batches(block):
                        yield batch.filter(pc.greater(batch.column("offset"), reached))
