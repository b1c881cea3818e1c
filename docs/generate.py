"""The reference pages, made from the code before the site is built, so that they cannot drift.

    python docs/generate.py && zensical build --strict

Making them needs nothing but the package; the tests read the same pages.
"""

from __future__ import annotations

import os
from typing import Any

import laketrace
from laketrace.annexes import ADDED
from laketrace.config import SETTINGS, Setting

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# The modules that have a page of their own: what its heading is, and what it says first.
MODULES = {
    "testing": ("laketrace.testing", "For tests of code that logs, and of sinks."),
    "interop": ("laketrace.interop", "`logging`, warnings and uncaught exceptions come in."),
    "runtime": ("laketrace.runtime", "Where this process runs, and which run it belongs to."),
    "security": (
        "laketrace.security",
        "Helpers for data on its way elsewhere. No logger needs them.",
    ),
}


def pages() -> dict[str, str]:
    """Every generated page: its path under docs/, and its text."""
    return {
        "reference/settings.md": settings_page(),
        "reference/laketrace.md": package_page(),
        "reference/logger.md": logger_page(),
        **{f"reference/{name}.md": module_page(name) for name in MODULES},
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

`python -c "from laketrace import get_logger; print(dict(get_logger('x').config))"` shows what is in
force.
"""
    rows = "\n".join(f"| [`{row.name}`](#{row.name}) | {row.doc} |" for row in SETTINGS.values())
    table = f"| setting | |\n|---|---|\n{rows}\n"
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
    """Every name that `laketrace` exports, from where it is defined."""
    names = [name for name in laketrace.__all__ if name not in ("Logger", "__version__")]
    parts = [_directive(f"{_home(name)}.{name}") for name in names]
    return "\n".join(
        [
            "# The package",
            "",
            "What `from laketrace import ...` gives. The methods of a logger are [on their own",
            "page](logger.md). `laketrace.__version__` is the version, a text.",
            "",
            *parts,
        ]
    )


def _home(name: str) -> str:
    """Where a name is defined; griffe documents it there."""
    module: str = getattr(getattr(laketrace, name), "__module__", "laketrace")
    return module


def logger_page() -> str:
    """The logger, and what the annexes add to it."""
    added = []
    for name, place in ADDED.items():
        added.append(f"- `log.{name}`: `{place.replace(':', '.')}`, loaded at its first use")
    return "\n".join(
        [
            "# Logger",
            "",
            "Made by [`get_logger`](laketrace.md). Every method may be called from any thread.",
            "",
            _directive("laketrace.core.logger.Logger"),
            "",
            "## What the optional parts add",
            "",
            *added,
            "",
        ]
    )


def module_page(name: str) -> str:
    """The public names of one module."""
    title, about = MODULES[name]
    parts = [_directive(f"{home}.{found}") for found, home in _public(title)]
    return "\n".join([f"# {title}", "", about, "", *parts])


def _public(module_name: str) -> list[tuple[str, str]]:
    from importlib import import_module

    module: Any = import_module(module_name)
    found = []
    for name in module.__all__:
        home = getattr(getattr(module, name), "__module__", module_name)
        found.append((name, home if str(home).startswith("laketrace") else module_name))
    return found


def _directive(path: str) -> str:
    return f"::: {path}\n"


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
