"""`python -m tests.benchmarks`: run scenarios, print the figures, renew the README's table."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from . import (
    below_level,
    import_cost,
    many_loggers,
    profiling,
    queued,
    repeated,
    rotation,
    sync_json,
    table,
    threads,
)
from .contenders import OLD_RELEASE
from .figures import QUICK, Figure, Plan
from .quiet import can_tell

SCENARIOS = {
    "sync": sync_json.run,
    "below": below_level.run,
    "enqueue": queued.run,
    "threads": threads.run,
    "repeated": repeated.run,
    "import": import_cost.run,
    "loggers": many_loggers.run,
    "rotation": rotation.run,
}
COMMAND = "python -m tests.benchmarks --readme"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer processes and blocks")
    parser.add_argument(
        "--only", action="append", choices=list(SCENARIOS), help="this scenario; may be repeated"
    )
    parser.add_argument("--json", metavar="FILE", help="write every figure there ('-': stdout)")
    parser.add_argument("--readme", action="store_true", help="renew the table in README.md")
    parser.add_argument(
        "--prepare", action="store_true", help=f"install laketrace 1.0.2 into {OLD_RELEASE}"
    )
    parser.add_argument(
        "--profile",
        nargs="?",
        const="laketrace",
        metavar="CONTENDER",
        help="say where the time of a record goes, instead of measuring",
    )
    arguments = parser.parse_args()
    if arguments.readme and (arguments.only or arguments.quick):
        parser.error("--readme needs the whole run: its ratios come from one")
    if arguments.readme and not can_tell:
        parser.error("--readme needs to know which blocks were disturbed: /proc/stat")
    return arguments


def prepare() -> None:
    """Install 1.0.2 into a folder of its own, where no import of ours can find it."""
    if not OLD_RELEASE.is_dir():
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
        subprocess.run([*install, str(OLD_RELEASE), "laketrace==1.0.2"], check=True)


def main() -> int:
    arguments = _arguments()
    if arguments.prepare:
        prepare()
        return 0
    if arguments.profile:
        print(profiling.report(arguments.profile))
        return 0
    if not can_tell:
        print("disturbed blocks are not left out: no /proc/stat, or told so", file=sys.stderr)
    plan = QUICK if arguments.quick else Plan()
    figures: list[Figure] = []
    for name in arguments.only or SCENARIOS:
        found = SCENARIOS[name](plan)
        figures += found
        print(table.as_text(name, found), flush=True)
    if arguments.json:
        text = json.dumps([figure._asdict() for figure in figures], indent=1, ensure_ascii=False)
        if arguments.json == "-":
            print(text)
        else:
            Path(arguments.json).write_text(text + "\n", encoding="utf-8")
    if arguments.readme:
        table.renew(Path(__file__).parents[2] / "README.md", figures, COMMAND)
    missed = [figure for figure in figures if figure.reached is False]
    unknown = [figure for figure in figures if figure.goal and figure.value is None]
    print(f"{len(missed)} goals missed, {len(unknown)} not measured")
    return 0


if __name__ == "__main__":
    sys.exit(main())
