"""`laketrace demo`: a small real pipeline, from the first log call to a table that is queried.

Floor 7. Stands on: cli.demo.inputs, cli.demo.pipeline, cli.demo.shipping, cli.query.engine,
cli.query.formats, cli.query.sql, cli.terminal, core.logger, core.record, core.stats, errors,
files.read, files.segment, lakehouse, setup.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from laketrace import __version__
from laketrace.cli.demo.inputs import Recipe, flights, own_files
from laketrace.cli.demo.pipeline import Pipeline
from laketrace.cli.demo.shipping import count_with_spark, ship, spark_session
from laketrace.cli.query.engine import Engine
from laketrace.cli.query.formats import write_table
from laketrace.cli.query.sql import Query
from laketrace.cli.terminal import DONE, FAILED, Output, progress, shown_bytes
from laketrace.core.logger import Logger
from laketrace.core.record import Record
from laketrace.core.stats import Stats
from laketrace.errors import need
from laketrace.files.read import read
from laketrace.files.segment import find_segments
from laketrace.lakehouse import UploadReport
from laketrace.setup import get_logger

SUMMARY = "run a small real pipeline, from log call to Delta table"
DETAILS = """\
A pipeline in three stages loads the 336,776 flights that left New York City in 2013, sorts out the
rows with nulls and summarises the rest, and logs what it meets. Then its accounts are shown, its
files are read again, uploaded into a Delta table (without a JVM, or with Spark) and queried; each
time the number of records is held against what was logged.

examples:
  laketrace demo
  laketrace demo --input ./exports --dir ./demo    your own CSV or Parquet files, of one kind
  laketrace demo --spark                           Spark writes the Delta table

Needs the extra [demo]: pip install 'laketrace[demo]'. Exit code 1 when a number is not equal.
"""
JSON = "the figures as one JSON document, without the records"

_NAME = "flights_demo"
_SHOWN = 3  # records of a kind
_SQL = (
    "select stage, level, count(*) as records, min(timestamp)::time as first, max(timestamp)::time "
    "as last from (select *, fields->>'$.stage' as stage from logs) group by all order by first"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `laketrace demo`."""
    add = parser.add_argument
    add("--input", metavar="DIR", help="use the CSV and Parquet files of this directory instead")
    add(
        "--dir", metavar="DIR",
        help="where logs and tables go (default: a new directory for temporary files)",
    )  # fmt: skip
    add("--spark", action="store_true", help="let Spark write the Delta table and count it")
