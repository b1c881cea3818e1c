"""The commands and their options: what `laketrace --help` shows.

Floor 7. Stands on: cli.demo, cli.doctor, cli.query, cli.tail, cli.terminal, cli.upload,
files.units.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from laketrace import __version__
from laketrace.cli import demo, doctor, query, tail, upload
from laketrace.cli.terminal import Output, UsageError
from laketrace.files.units import did_you_mean


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


class _Parser(argparse.ArgumentParser):
    """What is wrong is raised, so that it is told as every other error is; no abbreviations."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. See: {self.prog} --help")


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; what it returns has `run`, a function of options and output.

    >>> make_parser().parse_args(["tail", "-f", "orders"]).follow
    True
    """
    return _make_parsers()[0]


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The command and options that the words of a command line mean, in any order.

    Raises `UsageError`; ends with `SystemExit` after --help and --version.

    >>> parse(["query", "select 1", "--json", "logs"]).place
    'logs'
    >>> parse(["tial"])
    Traceback (most recent call last):
    ...
    laketrace.cli.terminal.UsageError: 'tial' is no command. Did you mean 'tail'? \
The commands are demo, doctor, tail, query, upload.
    """
    parser, parsers = _make_parsers()
    if not words:
        raise UsageError(f"nothing to do.\n\n{parser.format_help()}")
    if words[0].startswith("-"):
        return parser.parse_args(words)
    if words[0] not in parsers:
        hint = did_you_mean(words[0], tuple(parsers))
        known = ", ".join(parsers)
        raise UsageError(f"{words[0]!r} is no command.{hint} The commands are {known}.")
    own = parsers[words[0]]
    options, unknown = own.parse_known_intermixed_args(words[1:])
    if unknown:
        raise UsageError(f"{_unknown(own, unknown[0])} See: {own.prog} --help")
    return options


def _unknown(parser: argparse.ArgumentParser, word: str) -> str:
    if not word.startswith("-"):
        return f"{word!r} is one argument too many."
    name = word.partition("=")[0]
    return f"{name} is no option.{did_you_mean(name, tuple(parser._option_string_actions))}"


def _make_parsers() -> tuple[_Parser, dict[str, _Parser]]:
    """The parser of all commands, and that of each."""
    parser = _Parser(prog="laketrace", description=_ABOUT, epilog=_MORE)
    version = f"laketrace {__version__}"
    parser.add_argument("--version", action="version", version=version, help="show the version")
    parsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        own = parsers.add_parser(
            command.name,
            help=command.summary,
            description=f"{command.summary[0].upper()}{command.summary[1:]}.",
            epilog=command.details,
        )
        command.add_options(own)
        own.add_argument("--json", action="store_true", help=command.json)
        own.set_defaults(run=command.run)
    return parser, dict(parsers.choices)
