"""The reference pages, made from the code before the site is built, so that they cannot drift.

    python docs/generate.py && zensical build --strict -f docs/mkdocs.yml

Making them needs nothing but the package; the tests read the same pages.
"""

from __future__ import annotations

import argparse
import ast
import os
from collections.abc import Iterator
from contextlib import contextmanager

from laketrace.annexes import ADDED
from laketrace.cli.commands import make_parser
from laketrace.config import SETTINGS, Setting

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# The modules that have a page of their own, and what it says first.
MODULES = {
    "testing": "For tests of code that logs, and of sinks.",
    "interop": "`logging`, warnings and uncaught exceptions come in.",
    "runtime": "Where this process runs, and which run it belongs to.",
    "security": "Helpers for data on its way elsewhere. No logger needs them.",
    "spark": "Stages, streams, worker logs, files loaded. Nothing here starts or stops Spark.",
    "lakehouse": "Finished segments on their way into the lakehouse, exactly once.",
    "pipeline": "Runs, stages and metrics: ordinary records that can be read afterwards.",
    "monitor": "Memory, throughput, Prometheus and the health of the log; extra `monitor`.",
}


def pages() -> dict[str, str]:
    """Every generated page: its path under docs/, and its text."""
    return {
        "reference/settings.md": settings_page(),
        "reference/laketrace.md": package_page(),
        "reference/logger.md": logger_page(),
        **{f"reference/{name}.md": module_page(name) for name in MODULES},
        "reference/command-line.md": command_page(),
        "changes.md": changes_page(),
    }


# -- settings -------------------------------------------------------------------------------------


def settings_page() -> str:
    """One section a setting, from the table that `get_logger` checks with."""
    head = """# Settings

Give them to `get_logger` as keywords or as a dict, set `LAKETRACE_<NAME>` in the environment, or
`spark.laketrace.<name>` in the Spark configuration. The nearer to the code, the stronger: keyword,
dict, environment, Spark configuration, default. Wrong ones are told all at once, in one
`ConfigError`, before anything is opened.

`python -c "from laketrace.config import LakeTraceConfig; print(dict(LakeTraceConfig()))"` shows
what the environment and the defaults say, `dict(log.config)` what is in force for a logger.
"""
    rows = "\n".join(
        f"| [`{row.name}`](#{row.name}) | `{row.default!r}` | {row.doc} |"
        for row in SETTINGS.values()
    )
    table = f"| setting | default | what it does |\n|---|---|---|\n{rows}\n"
    return "\n".join([head, table, *(_setting(row) for row in SETTINGS.values())])


def _setting(row: Setting) -> str:
    names = "in code only: it is not a text"
    if row.in_text:
        names = f"`LAKETRACE_{row.name.upper()}`, `spark.laketrace.{row.name}`"
    return f"""## `{row.name}` {{ #{row.name} }}

{row.doc}

| | |
|---|---|
| default | `{row.default!r}` |
| accepted | {row.forms} |
| elsewhere | {names} |
"""


# -- names ----------------------------------------------------------------------------------------


def package_page() -> str:
    """Every name that `laketrace` exports."""
    names = [name for name in names_of("laketrace") if name not in ("Logger", "__version__")]
    head = """# The package

What `from laketrace import ...` gives. The methods of a logger are [on their own page](logger.md).
`laketrace.__version__` is the version, a text.
"""
    return "\n".join([head, *(_directive(f"laketrace.{name}") for name in names)])


def logger_page() -> str:
    """The logger, and what the annexes add to it."""
    head = """# Logger

Made by [`get_logger`](laketrace.md). Every method may be called from any thread.
"""
    added = [
        f"- `log.{name}`: `{place.replace(':', '.')}`, loaded at its first use"
        for name, place in ADDED.items()
    ]
    tail = ["## What the optional parts add", "", *added, ""]
    return "\n".join([head, _directive("laketrace.core.logger.Logger"), *tail])


def module_page(name: str) -> str:
    """The public names of one module."""
    title = f"laketrace.{name}"
    folder = os.path.join(ROOT, *title.split("."))
    parts = []
    for found in names_of(title):
        # Where a module has the name of its function, the page is about the function.
        shadowed = os.path.exists(os.path.join(folder, f"{found}.py"))
        parts.append(_directive(f"{title}.{found}.{found}" if shadowed else f"{title}.{found}"))
    return "\n".join([f"# {title}", "", MODULES[name], "", *parts])


def names_of(module: str) -> list[str]:
    """The `__all__` of a module, read from its source: what it needs may not be installed."""
    path = os.path.join(ROOT, *module.split("."))
    path = os.path.join(path, "__init__.py") if os.path.isdir(path) else f"{path}.py"
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return names
    raise ValueError(f"{path} has no __all__")


def _directive(path: str) -> str:
    return f"::: {path}\n"


# -- the command line -----------------------------------------------------------------------------


def command_page() -> str:
    """What `laketrace --help` says, and each command's own help."""
    with _plain_terminal():
        return _command_page(make_parser())


def _command_page(parser: argparse.ArgumentParser) -> str:
    parts = ["---\nhide:\n  - toc\n---\n", "# Command line", "", _help(parser)]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                parts += [f"## laketrace {name} {{ #{name} }}", "", _help(command)]
    return "\n".join(parts)


@contextmanager
def _plain_terminal() -> Iterator[None]:
    """80 columns without colours, which argparse asks the environment for."""
    before = dict(os.environ)
    os.environ.update(COLUMNS="80", NO_COLOR="1")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _help(parser: argparse.ArgumentParser) -> str:
    return f"```text\n{parser.format_help().rstrip()}\n```\n"


def changes_page() -> str:
    """CHANGELOG.md, as it is."""
    with open(os.path.join(ROOT, "CHANGELOG.md"), encoding="utf-8") as file:
        return file.read()


def write(folder: str = os.path.join(ROOT, "docs")) -> None:
    """Put the pages beside the others, where git does not see them."""
    for path, text in pages().items():
        with open(os.path.join(folder, path), "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    write()
