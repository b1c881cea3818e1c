"""`laketrace demo`: a small real pipeline, from the first log call to a table that is queried.

Floor 7. Stands on: cli.demo.tour, cli.terminal.
"""

from __future__ import annotations

import argparse

from laketrace.cli.demo.tour import Tour
from laketrace.cli.terminal import DONE, FAILED, Output

SUMMARY = "run a small real pipeline, from log call to Delta table"
DETAILS = """\
A pipeline in three stages loads the 336,776 flights that left New York City in 2013, sorts out the
rows with nulls and summarises the rest, and logs what it meets. Then its accounts are shown, its
files are read again, uploaded into a Delta table (without a JVM, or by Spark) and asked with SQL;
each time the number of records is held against what was logged.

examples:
  laketrace demo
  laketrace demo --input ./exports --dir ./demo    your own CSV or Parquet files, of one kind
  laketrace demo --spark                           Spark writes the Delta table

Needs the extra [demo]: pip install 'laketrace[demo]'. Exit code 1 when numbers are not equal.
"""
JSON = "the figures as one JSON document, without the records"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `laketrace demo`."""
    add = parser.add_argument
    add("--input", metavar="DIR", help="use the CSV and Parquet files of this directory instead")
    add(
        "--dir", metavar="DIR",
        help="where logs and tables go (default: a new directory for temporary files)",
    )  # fmt: skip
    add("--spark", action="store_true", help="let Spark write the Delta table and count its rows")


def run(options: argparse.Namespace, out: Output) -> int:
    """Take the tour."""
    equal = Tour(out, options.dir).run(options.input, spark=options.spark)
    return DONE if equal else FAILED
