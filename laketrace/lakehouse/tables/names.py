"""What the name of a table means, and the right form for a wrong one.

Floor 7. Stands on: lakehouse.targets.paths.

A table is a path (what has a slash, a drive or a scheme) or a name in a catalog, of two or three
parts. Nothing is asked of anybody to find that out.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from laketrace.lakehouse.targets.paths import Location, parse_target

_PART = r"(?:[^\W\d][\w-]*|\d\w*|`[^`\n]+`)"
_NAME = re.compile(rf"{_PART}(?:\.{_PART}){{1,2}}")


class TableName(NamedTuple):
    """A table by its place, or (`location` None) by its name in a catalog."""

    shown: str
    location: Location | None

    @property
    def name(self) -> str:
        """The name, each part in backquotes, as SQL takes it."""
        parts = re.findall(_PART, self.shown)
        return ".".join(f"`{part.strip('`')}`" for part in parts)


def parse_table(text: object) -> TableName:
    """The table that a setting names.

    Raises `ValueError` with the right form for anything that could not be what was meant.

    >>> parse_table("main.ops.laketrace").name, parse_table("/tmp/table").location.kind
    ('`main`.`ops`.`laketrace`', 'directory')
    """
    path = os.fspath(text) if isinstance(text, (str, os.PathLike)) else None
    if not isinstance(path, str) or not path.strip():
        raise ValueError(
            f"{text!r} is no table. Use a path or <catalog>.<schema>.<table>, "
            "e.g. 'main.ops.laketrace'."
        )
    if re.search(r"[/\\]|^\w+:|^[.~]", path):
        return _parse_place(path)
    if _NAME.fullmatch(path):
        return TableName(path, None)
    raise ValueError(
        f"{path!r} is neither a path nor the name of a table in a schema. "
        f"Use './{path}' for a path, or <schema>.<table> for a name."
    )


def _parse_place(path: str) -> TableName:
    """A path; tables of a lakehouse lie below Tables, where no other files may be."""
    as_files = re.sub(r"^(/lakehouse/default/|)Tables(?=/)", r"\1Files", path)
    onelake = re.sub(r"(\.fabric\.microsoft\.com/[^/]+/)Tables(?=/)", r"\1Files", as_files)
    try:
        location = parse_target(onelake)
    except ValueError as error:
        raise ValueError(str(error).replace("Files", "Tables")) from None
    if onelake == path:
        return TableName(location.shown, location)
    place = location.path.replace("Files", "Tables", 1)
    shown = location.shown.replace("Files", "Tables", 1)
    return TableName(shown, location._replace(path=place, shown=shown))
