"""What the plan of a streaming DataFrame shows: sources that may lose rows, and watermarks.

Floor 7. Stands on: core.notice, runtime.session.

Spark has no public way to ask. On classic Spark the leaves of the analyzed plan have the options of
their sources; on Spark Connect the plan that the client sends has them, except for those of views
that the server keeps. Where the insides are others nothing is found, which is said once on stderr.
"""

from __future__ import annotations

import re
from typing import Any

from laketrace.core.notice import say
from laketrace.runtime.session import is_connect

_LOSES = re.compile(r"failOnDataLoss\s*(?:->|=)\s*false", re.I)
_LOSES_ON_CONNECT = re.compile(r'key:\s*"failOnDataLoss"\s+value:\s*"false"', re.I)


def loses_data(stream: Any) -> bool:
    """Whether the plan has a source that goes on where data are gone (`failOnDataLoss=false`)."""
    try:
        if is_connect(stream.sparkSession):
            return _LOSES_ON_CONNECT.search(_proto(stream)) is not None
        leaves = stream._jdf.queryExecution().analyzed().collectLeaves()
        return any(_LOSES.search(_options(leaves.apply(index))) for index in range(leaves.size()))
    except Exception as error:
        say(
            "the sources of a stream were not checked for failOnDataLoss=false: "
            f"{type(error).__name__}: {error}",
            key="plan of a stream",
        )
        return False


def has_watermark(stream: Any, column: str) -> bool:
    """Whether a watermark on `column` is there already; Spark wants no second one."""
    name = re.escape(column)
    try:
        if is_connect(stream.sparkSession):
            found = re.search(rf'event_time:\s*"{name}"', _proto(stream))
        else:
            text = stream._jdf.queryExecution().analyzed().toString()
            found = re.search(rf"EventTimeWatermark [^\n]*\b{name}#", text)
    except Exception:
        return False
    return found is not None


def _options(leaf: Any) -> str:
    kind = leaf.getClass().getSimpleName()
    if kind == "StreamingRelation":
        return str(leaf.dataSource().options().toString())
    if kind == "StreamingRelationV2":
        return str(leaf.extraOptions().asCaseSensitiveMap().toString())
    return ""


def _proto(stream: Any) -> str:
    return str(stream._plan.to_proto(stream.sparkSession._client))
