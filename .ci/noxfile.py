"""The environments in which LakeTrace is tested, beside the one that you work in.

    pip install "nox[uv]" && nox -f .ci/noxfile.py          # all of them
    nox -f .ci/noxfile.py -s spark-3.5 -- -k observe        # one, with arguments for pytest

nox, because an environment here is a few lines of Python: which interpreters there are is asked,
not listed. uv makes the venvs, from one cache of wheels, in seconds.
"""

from __future__ import annotations

import os
import sys

import nox

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from tests.support.interpreters import find_interpreters

ROOT = sys.path[0]  # nox itself starts each session beside this file
nox.options.envdir = os.path.join(ROOT, ".nox")
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"

PYTHONS = find_interpreters()
ANNEXES = (
    *("benchmarks", "cli", "docs", "environments", "examples"),
    *("lakehouse", "monitor", "pipeline", "spark"),
)
USERS_EXTRAS = ".[cli,cloud,delta,demo,lineage,monitor]"
LOCKED = ("-c", "requirements-lock.txt")
ENVIRONMENTS = "tests/environments"


def nearest(*versions: str) -> str:
    """The first of `versions` that this machine has, else the Python that runs nox."""
    return next((PYTHONS[version] for version in versions if version in PYTHONS), sys.executable)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and types; the types of all optional packages are there."""
    session.chdir(ROOT)
    session.install("-e", ".[test]", "--group", "lint", *LOCKED)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("mypy", "tests/house/typed.py")


@nox.session
def docs(session: nox.Session) -> None:
    """The site: reference pages made from the code, no link that leads nowhere."""
    session.chdir(ROOT)
    session.install("-e", ".[docs]", *LOCKED)
    session.run("python", "docs/generate.py")
    session.run("zensical", "build", "--strict", "-f", "docs/mkdocs.yml")


def core(session: nox.Session) -> None:
    """The recorder with no extra installed: what `pip install laketrace` gives."""
    session.chdir(ROOT)
    session.install("-e", ".", "--group", "core", *LOCKED)
    ignored = [f"--ignore=tests/{name}" for name in ANNEXES]
    wanted = "not extra and not spark and not slow and not bench"
    session.run("pytest", *ignored, "-m", wanted, *session.posargs)


for version, path in PYTHONS.items():
    nox.session(core, python=path, name=f"core-{version}")


# Spark 4.2 in the Python of Fabric's newest runtime; the machine's default Python runs all tests.
@nox.session(name="spark-4", python=nearest("3.13", "3.12", "3.11"))
def spark_4(session: nox.Session) -> None:
    """The newest Spark that Delta supports."""
    session.chdir(ROOT)
    session.install("-e", ".[test]", *LOCKED)
    what = ("tests/spark", "tests/runtime") if not session.posargs else session.posargs
    session.run("pytest", "-m", "spark and not slow and not bench", *what)


@nox.session(name="spark-3.5", python=nearest("3.11", "3.10"))
def spark_3(session: nox.Session) -> None:
    """Spark 3.5 with the pandas, pyarrow and numpy of its time."""
    session.chdir(ROOT)
    session.install(
        "-e", USERS_EXTRAS, "--group", "core", "-r", f"{ENVIRONMENTS}/spark-3.5/requirements.txt"
    )
    session.run("pytest", "-m", "spark and not slow and not bench", *session.posargs)


@nox.session(python=nearest("3.12", "3.13", "3.11"))
def sail(session: nox.Session) -> None:
    """A Spark Connect client without Spark, as on serverless compute; a server without JVM."""
    session.chdir(ROOT)
    session.install(
        "-e", USERS_EXTRAS, "--group", "core", "-r", f"{ENVIRONMENTS}/sail/requirements.txt"
    )
    session.run("pytest", "-m", "sail and not slow and not bench", *session.posargs)
