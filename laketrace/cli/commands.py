"""The commands and their options: what `laketrace --help` shows.

Floor 7. Stands on: cli.demo, cli.doctor, cli.query, cli.tail, cli.terminal, cli.upload.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

from laketrace import __version__
from laketrace.cli import demo, doctor, query, tail, upload
from laketrace.cli.terminal import Output


class Command(NamedTuple):
    """One command: its name, a line about it, the rest of its help, and what does the work."""

    name: str
    summary: str
    details: str
    json: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Output], int]


COMMANDS = (
    Command("demo", demo.SUMMARY, demo.DETAILS, demo.JSON, demo.add_options, demo.run),
    Command("doctor", doctor.SUMMARY, doctor.DETAILS, doctor.JSON, doctor.add_options, doctor.run),
    Command("tail", tail.SUMMARY, tail.DETAILS, tail.JSON, tail.add_options, tail.run),
    Command("query", query.SUMMARY, query.DETAILS, query.JSON, query.add_options, query.run),
    Command("upload", upload.SUMMARY, upload.DETAILS, upload.JSON, upload.add_options, upload.run),
)
_ABOUT = """\
LakeTrace, the flight recorder of a lakehouse job: what its logs say, where they are, and their
way into the lakehouse.
"""
_MORE = """\
first steps:
  pip install 'laketrace[demo]' && laketrace demo   a small real pipeline, from log call to table
  laketrace doctor                                  where am I, where do files go, what is wrong
  laketrace tail -f orders_etl                      what the job says now
  laketrace query "select level, count(*) from logs group by 1" /tmp/laketrace_logs

Exit codes: 0 done, 1 it found problems or failed, 2 wrong usage.
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; what it returns has `run`, a function of options and output.

    >>> make_parser().parse_args(["tail", "-f", "orders"]).follow
    True
    """
    parser = argparse.ArgumentParser(
        prog="laketrace",
        description=_ABOUT,
        epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = f"laketrace {__version__}"
    parser.add_argument("--version", action="version", version=version, help="show the version")
    parsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        own = parsers.add_parser(
            command.name,
            help=command.summary,
            description=f"{command.summary[0].upper()}{command.summary[1:]}.",
            epilog=command.details,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_options(own)
        own.add_argument("--json", action="store_true", help=command.json)
        own.set_defaults(run=command.run)
    return parser
