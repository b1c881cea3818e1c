"""Every contender writes every line. Nothing here asserts a time."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from . import quiet, sync_json, table
from .contenders import CONTENDERS, OLD_RELEASE, LinesLost, count_back, start
from .figures import Figure
from .worker import Failed, in_fresh_process

pytestmark = pytest.mark.bench
_NEEDS = {
    "floor": "orjson",
    "floor, orjson's own datetime": "orjson",
    "structlog + orjson": "structlog",
    "loguru serialize": "loguru",
    "loguru serialize, enqueue": "loguru",
    "picologging text": "picologging",
}
_WRITERS = [name for name in CONTENDERS if name != "empty method"]
# These set up their library for the whole process; the benchmark gives each its own.
_HERE = ["floor", "bare os.write", "laketrace", "stdlib + json"]


def _need(name: str) -> None:
    module = _NEEDS.get(name)
    if module and importlib.util.find_spec(module) is None:
        pytest.skip(f"{name} needs {module}: pip install 'laketrace[bench]'")
    if name == "laketrace 1.0.2" and not OLD_RELEASE.is_dir():
        pytest.skip("1.0.2 is not there: python -m tests.benchmarks --prepare")


@pytest.fixture
def no_noise_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block counts: these tests look at lines, not at times."""
    monkeypatch.setenv("BENCH_ANY_BLOCK", "1")


@pytest.mark.parametrize("name", _WRITERS)
def test_every_line_of_a_contender_is_in_its_file(name: str, no_noise_filter: None) -> None:
    """A contender in a fresh process writes as many lines as it was given, in whole records."""
    _need(name)

    result = in_fresh_process(
        sync_json.one_process, name=name, blocks=2, block_seconds=0.002, patience=240
    )

    assert result["bytes"] > len("table loaded")


@pytest.mark.parametrize("name", _HERE)
def test_lines_under_pytest_benchmark(name: str, tmp_path: Path, request: Any) -> None:
    """pytest-benchmark's own rounds lose no line either."""
    pytest.importorskip("pytest_benchmark", reason="pip install 'laketrace[bench]'")
    _need(name)
    benchmark = request.getfixturevalue("benchmark")
    line = start(name, str(tmp_path))
    rounds: list[int] = []

    def write() -> None:
        line.write(500)
        rounds.append(500)

    benchmark.pedantic(write, rounds=4, iterations=1)
    line.close()

    assert count_back(name, str(tmp_path), sum(rounds)) > 0


def test_a_lost_line_is_noticed(tmp_path: Path) -> None:
    """A contender that wrote fewer lines than it was given has no figure."""
    line = start("stdlib + json", str(tmp_path))
    line.write(5)
    line.close()

    with pytest.raises(LinesLost, match="6 records were written, 5 lines are there"):
        count_back("stdlib + json", str(tmp_path), 6)


def test_a_process_that_fails_says_why() -> None:
    """What the process said last becomes the error here."""
    with pytest.raises(Failed, match="no such contender"):
        in_fresh_process(
            sync_json.one_process,
            name="no such contender",
            blocks=1,
            block_seconds=0.001,
            patience=1,
        )


def test_no_quiet_block_gives_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others use the CPU all the time, there is an error and no number."""
    monkeypatch.setattr(quiet.Watch, "clean", property(lambda self: False))

    with pytest.raises(quiet.NoCleanBlock, match="0 clean blocks"):
        quiet.clean_blocks(lambda: 1.0, blocks=4, patience=0.2)


def test_the_table_goes_between_the_markers(tmp_path: Path) -> None:
    """The README's text around the table stays, the old table goes."""
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n", encoding="utf-8")
    figure = Figure("sync", "laketrace over the floor", 1.7, "×", "≤ 2.0", True, 0.01)

    table.renew(readme, [figure], "python -m tests.benchmarks --readme")

    text = readme.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("\nafter\n")
    assert "| laketrace over the floor | 1.70 × | ± 1.0 % | ≤ 2.0 | reached |" in text
    assert "old" not in text
