"""The other interpreters are there and are what they are said to be."""

from __future__ import annotations

import subprocess


def test_each_interpreter_is_of_its_version(other_pythons: dict[str, str]) -> None:
    """Every path answers with the version under which it is listed."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"

    said = {
        number: subprocess.run([path, "-c", ask], capture_output=True, text=True).stdout.strip()
        for number, path in other_pythons.items()
    }

    assert said == {number: number for number in other_pythons}
