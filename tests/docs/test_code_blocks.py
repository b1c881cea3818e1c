"""Every code block of README and docs runs, and prints what the page says it prints.

An own collector (`page`, `reader`), because the known ones run blocks inside the test's process:
loggers, their files and their exit belong to a process, and a page is about them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .page import Step, commands_of, difference, name_of, pages, steps_of
from .reader import Reader, WrongPage


def _cases(*, spark: bool) -> list[object]:
    """Each page once for what runs anywhere, and once more for each thing that blocks need."""
    cases: list[object] = []
    for page in pages():
        steps = [step for step in steps_of(page.read_text("utf-8")) if step.kind != "shown"]
        for needs in dict.fromkeys(step.needs for step in steps):
            wanted = [step for step in steps if step.needs in ("", needs)]
            if (needs == "spark") == spark:
                name = f"{name_of(page)}{f' ({needs})' if needs else ''}"
                cases.append(pytest.param(name_of(page), wanted, id=name, marks=_marks(needs)))
    return cases


def _marks(needs: str) -> list[pytest.MarkDecorator]:
    """The marks of `<!-- needs: stores -->`, `<!-- needs: extra duckdb pyarrow -->`."""
    if not needs:
        return []
    name, *arguments = needs.split()
    mark = getattr(pytest.mark, name)
    return [mark(*arguments) if arguments else mark]


@pytest.mark.parametrize(("page", "steps"), _cases(spark=False))
def test_a_page_does_what_it_shows(page: str, steps: list[Step], tmp_path: Path) -> None:
    """Somebody who types what a page shows, top to bottom, gets what it shows."""
    with Reader(tmp_path, page) as reader:
        for step in steps:
            reader.follow(step)


@pytest.mark.spark("4.1")  # as the page says
@pytest.mark.parametrize(("page", "steps"), _cases(spark=True))
def test_a_page_does_what_it_shows_with_spark(
    page: str, steps: list[Step], tmp_path: Path, spark_environ: dict[str, str]
) -> None:
    """The same, where the blocks need Spark."""
    with Reader(tmp_path, page, spark_environ) as reader:
        for step in steps:
            reader.follow(step)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_a_block_that_is_not_run_says_why(page: Path) -> None:
    """Python and console blocks run; one that cannot has the reason in front of it."""
    for step in steps_of(page.read_text("utf-8")):
        assert not step.kind.startswith("unknown"), f"line {step.line}: {step.kind}"


def test_what_changes_from_run_to_run_makes_no_difference() -> None:
    """Times, ids and host names are as they were once; `...` is anything."""
    page = '{"timestamp":"2026-11-21T11:49:51.156538+00:00","hostname":"vm","pid":23582} ... end'
    run = '{"timestamp":"2027-01-01T00:00:00.000000+00:00","hostname":"x1","pid":7} and so\non end'

    assert difference(page, run) == ""
    assert "-3 rows" in difference("3 rows", "4 rows")


def test_a_wrong_page_is_found(tmp_path: Path) -> None:
    """A block that raises, prints something else or fails in the shell is told with its line."""
    wrong = [
        "```python\n1 / 0\n```\n",
        '```python\nprint(1)\n```\n```text title="Output"\n2\n```\n',
        "```console\n$ false\n```\n",
        "```console\n$ echo 1\n2\n```\n",
    ]
    for text in wrong:
        (step,) = steps_of(text)
        with Reader(tmp_path, "page.md") as reader, pytest.raises(WrongPage, match=r"page\.md:1"):
            reader.follow(step)


def test_state_goes_from_block_to_block(tmp_path: Path) -> None:
    """Blocks of a page share an interpreter and a folder, and see a terminal."""
    text = (
        '```python title="a.py"\nprint(7)\n```\n'
        "```python\nimport sys\nnumber = 3\n```\n"
        '```python\nprint(number, sys.stdout.isatty())\n```\n```text title="Output"\n3 True\n```\n'
        "```console\n$ python a.py\n7\n```\n"
    )
    with Reader(tmp_path, "page.md") as reader:
        for step in steps_of(text):
            reader.follow(step)


def test_a_command_may_go_over_several_lines() -> None:
    """A backslash at the end of a line joins it with the next."""
    assert commands_of("$ echo a \\\n  b\na b\n") == [("echo a \\\n  b", "a b\n")]
