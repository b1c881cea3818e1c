"""A page of the docs as steps that can be run: its code blocks, in order.

How a page is written:

    ```python                   runs, in one interpreter a page
    ```python title="etl.py"    is written to that file
    ```console                  lines that begin with `$ ` run in bash; below is what they print
    ```text title="Output"      is what the Python block above prints; any language will do

`...` in an output stands for anything, also for several lines. What differs from run to run (times,
process ids, run ids, host names) is written as it was once. In front of a block:

    <!-- not run: REASON -->    shown only
    <!-- needs: spark -->       runs where tests with that marker do (also `stores`, `extra duckdb`)
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<ticks>```+)(?P<language>\w*)(?P<info>[^\n]*)\n"
    r"(?P<body>.*?)^(?P=indent)(?P=ticks) *$",
    re.M | re.S,
)
_NOTE = re.compile(r"<!-- (not run|needs): (.+?) -->\s*$")
_TITLE = re.compile(r'title="([^"]+)"')
SHOWN_ONLY = {"", "text", "json", "ini", "toml", "sql", "yaml", "mermaid"}

# What differs from run to run, and what stands for it in both texts.
_CHANGING = [
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?", "<time>"),
    (r"\b\d\d:\d\d:\d\d\b", "<clock>"),
    (r"\d{8}T\d{6}Z-[0-9a-f]{12}", "<run>"),
    (r"\b\d{8}_\d{6}\b", "<stamp>"),
    (r"\b[0-9a-f]{32}\b", "<id>"),
    (r'("pid": ?)\d+', r"\1<pid>"),
    (r'("hostname": ?)"[^"]*"', r"\1<host>"),
    (r"\.\d+\.log\b", ".<pid>.log"),
]


class Step(NamedTuple):
    """One block: where it stands, what is done with it, what it must print (None: not checked)."""

    line: int
    kind: str
    """`python`, `file`, `console` or `shown`."""
    text: str
    title: str
    output: str | None
    needs: str
    why_not: str


def pages() -> list[Path]:
    """README and every page of the docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    """How a page is called in a test's name."""
    return page.relative_to(ROOT).as_posix()


def steps_of(text: str) -> list[Step]:
    """The blocks of a page, in order; an output belongs to the block above it."""
    steps: list[Step] = []
    for fence in _FENCE.finditer(text):
        body = re.sub(rf"^{fence['indent']}", "", fence["body"], flags=re.M)
        title = _TITLE.search(fence["info"])
        note = _NOTE.search(text[: fence.start()].rstrip(" "))
        line = text.count("\n", 0, fence.start()) + 1
        if title and title[1] == "Output" and steps:
            steps[-1] = steps[-1]._replace(output=body)
            continue
        why_not = note[2] if note and note[1] == "not run" else ""
        steps.append(
            Step(
                line=line,
                kind=_kind(fence["language"], title is not None, why_not),
                text=body,
                title=title[1] if title else "",
                output=None,
                needs=note[2] if note and note[1] == "needs" else "",
                why_not=why_not,
            )
        )
    return steps


def _kind(language: str, titled: bool, why_not: str) -> str:
    if why_not or language in SHOWN_ONLY - {"ini", "toml"}:
        return "shown"
    if titled:
        return "file"
    return {"python": "python", "console": "console"}.get(language, f"unknown: {language}")


def commands_of(text: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with the output below it.

    >>> commands_of("$ ls\\na.log\\n$ cat \\\\\\n    a.log\\n")
    [('ls', 'a.log\\n'), ('cat \\\\\\n    a.log', '')]
    """
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif found and found[-1][0].endswith("\\") and not found[-1][1]:
            found[-1] = (f"{found[-1][0]}\n{line}", "")
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
        else:
            raise ValueError(f"a console block begins with '$ ', not with {line!r}")
    return found


def difference(expected: str, printed: str) -> str:
    """What is different between two outputs, as a diff; empty where nothing is.

    >>> difference("3 rows in ... s", "3 rows in 0.2 s")
    ''
    """
    want, got = _settled(expected), _settled(printed)
    pattern = ".*?".join(re.escape(part) for part in want.split("..."))
    if re.fullmatch(pattern, got, re.S):
        return ""
    lines = difflib.unified_diff(
        want.splitlines(), got.splitlines(), "the page says", "it prints", lineterm=""
    )
    return "\n".join(lines)


def _settled(text: str) -> str:
    for pattern, stand_in in _CHANGING:
        text = re.sub(pattern, stand_in, text)
    lines = [line.rstrip() for line in text.strip().splitlines()]
    # Python 3.10 does not point at the place in a line.
    return "\n".join(line for line in lines if not re.fullmatch(r" *[~^]+", line))
