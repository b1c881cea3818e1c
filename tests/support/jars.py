"""Delta's jars for the Spark that is installed, fetched once with Maven and kept.

What is fetched stands in `tests/environments/spark-*/pom.xml`. On a machine without `mvn` Spark's
own way (`spark.jars.packages`) has to do. It asks Ivy, which takes no settings of Maven's, so it
may fail behind a mirror; and it trips over a Maven cache that has a pom without its jar, so it
gets a home without one.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

from tests.support.processes import ROOT, made_once

GROUPS = "io.delta,io.unitycatalog,org.apache.spark"
FROM_IVY = (
    "io.delta_",
    "io.unitycatalog_",
    "org.apache.spark_spark-connect_",
)  # the rest Spark has
ASK_IVY = """
from pyspark import SparkConf, SparkContext
import sys
SparkContext(conf=SparkConf().setMaster("local[1]").set("spark.jars.packages", sys.argv[1])
    .set("spark.jars.ivy", sys.argv[2]).set("spark.ui.enabled", "false")).stop()
"""


class NoJars(Exception):
    """The jars could not be had; the text says why and what helps."""


def delta_jars(spark_version: str) -> list[str]:
    """The jars for `spark_version` ("4.2.0"), from the cache or fetched now."""
    line = "spark-3.5" if spark_version.startswith("3.") else "spark-4"
    pom = os.path.join(ROOT, "tests", "environments", line, "pom.xml")
    kept = made_once(pom, _by_maven if shutil.which("mvn") else _by_ivy)
    return sorted(glob.glob(os.path.join(kept, "*.jar")))


def _by_maven(pom: str, folder: str) -> None:
    command = ["mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies"]
    command += [f"-DincludeGroupIds={GROUPS}", f"-DoutputDirectory={folder}"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if said.returncode != 0:
        raise NoJars(f"mvn could not fetch Delta's jars ({pom}): {said.stdout.strip()[:500]}")


def _by_ivy(pom: str, folder: str) -> None:
    os.mkdir(folder)
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-c", ASK_IVY, ",".join(_coordinates(pom)), home]
        env = {**os.environ, "JAVA_TOOL_OPTIONS": f"-Duser.home={home}"}
        said = subprocess.run(command, capture_output=True, text=True, timeout=600, env=env)
        if said.returncode != 0:
            reasons = [line for line in said.stderr.splitlines() if "Exception in" in line]
            raise NoJars(f"Delta's jars need Maven (mvn), or Ivy online: {' '.join(reasons[:1])}")
        for jar in glob.glob(os.path.join(home, "jars", "*.jar")):
            if os.path.basename(jar).startswith(FROM_IVY):
                shutil.copy(jar, folder)


def _coordinates(pom: str) -> list[str]:
    space = "{http://maven.apache.org/POM/4.0.0}"
    parts = ("groupId", "artifactId", "version")
    return [
        ":".join(str(dependency.findtext(space + part)) for part in parts)
        for dependency in ET.parse(pom).iter(f"{space}dependency")
    ]
