"""The answers to "where am I?": platform, kind of run, and the frozen `RuntimeContext`.

Floor 3. Stands on: nothing.

Values only: nothing is read here. All of them are immutable and pickle.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

NOTEBOOK = "notebook"
JOB = "job"


class Place(NamedTuple):
    """What a platform says about this process.

    `platform` is its name, `kind` is `notebook`, `job` or None where it does not say, `values`
    are its ids and names, e.g. `workspace_id`.
    """

    platform: str
    kind: str | None
    values: Mapping[str, str]


class RuntimePlatform(str, Enum):
    """Where the process runs; a `str`, so that `platform == "fabric"` reads as it should.

    >>> f"{RuntimePlatform.FABRIC}", RuntimePlatform.FABRIC == "fabric"
    ('fabric', True)
    """

    FABRIC = "fabric"
    DATABRICKS = "databricks"
    SYNAPSE = "synapse"
    SPARK = "spark"
    LOCAL = "local"
    UNKNOWN = "unknown"

    def __str__(self) -> str:
        return self.value


class RuntimeType(str, Enum):
    """How the process was started; a `str` like `RuntimePlatform`.

    >>> RuntimeType("job").value
    'job'
    """

    NOTEBOOK = "notebook"
    JOB = "job"
    SCRIPT = "script"
    LOCAL = "local"
    UNKNOWN = "unknown"

    def __str__(self) -> str:
        return self.value


class _Fields(NamedTuple):
    platform: RuntimePlatform
    runtime_type: RuntimeType
    hostname: str
    pid: int
    run_id: str | None
    metadata: Mapping[str, Any]


class RuntimeContext(_Fields):
    """Where this process runs. Frozen; `metadata` is a read-only mapping.

    Attributes: `platform` (`fabric`, `databricks`, `synapse`, `spark` or `local`), `runtime_type`
    (`notebook`, `job`, `script` or `local`), `hostname`, `pid`, `run_id`, and `metadata` with the
    ids and names that the platform gives.

    Raises `ValueError` for a platform or type that does not exist.

    >>> context = RuntimeContext("fabric", "notebook", "host", 7, metadata={"workspace_id": "w"})
    >>> context.platform.value, context.metadata["workspace_id"]
    ('fabric', 'w')
    >>> context.pid = 8
    Traceback (most recent call last):
    ...
    AttributeError: can't set attribute
    """

    __slots__ = ()

    def __new__(
        cls,
        platform: RuntimePlatform | str,
        runtime_type: RuntimeType | str,
        hostname: str,
        pid: int,
        run_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> RuntimeContext:
        """A context from its parts; the parts that 1.x left out may be left out."""
        return super().__new__(
            cls,
            RuntimePlatform(platform),
            RuntimeType(runtime_type),
            hostname,
            pid,
            run_id,
            MappingProxyType(dict(metadata or {})),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (*self[:-1], dict(self.metadata))
