"""What an uploader asks of a place for files.

Floor 7. Stands on: nothing.

Names are relative to the place, with `/` between their parts, and made of characters that every
store takes (`remote_name`). Methods raise the error of what they stand on; `retry.is_permanent`
tells which of them are worth another try.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import BinaryIO, Protocol

Timeout = Callable[[int], float]
"""How many seconds a call may take that moves so many bytes; raises `retry.OutOfTime`."""

OpenSource = Callable[[], BinaryIO]
"""Opens what is to be sent, from its first byte, each time it is called."""

CHUNK_BYTES = 1 << 20


class Target(Protocol):
    """A place for whole files."""

    shown: str
    """The place as messages may show it; never with a secret."""

    overwrites: bool
    """Whether a small file can be replaced in one step, so that readers see old or new.

    That it cannot may turn out when it is tried."""

    def sizes(self, folder: str) -> dict[str, int]:
        """The names of the files directly in a folder, with their sizes; {} for no folder."""
        ...

    def send(self, name: str, source: OpenSource, size: int) -> None:
        """Write a file of `size` bytes whole under a name that is new.

        Readers see all of it or nothing, as far as the store can do that. Raises
        `FileExistsError` when something bears the name already.
        """
        ...

    def receive(self, name: str) -> Iterator[bytes]:
        """The content of a file, in pieces."""
        ...

    def replace(self, name: str, data: bytes) -> None:
        """Write a small file, over an older one if there is one."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file; it is no error when there is none."""
        ...


_LONGEST = 180  # a file system takes 255 bytes; a stream's id and an archive's suffix join it
_ODD = re.compile(r"[^A-Za-z0-9._-]")


def remote_name(text: str) -> str:
    """`text` as one part of a remote name: different texts stay different, in every store.

    What is no ASCII letter, digit, `.`, `_` or `-` becomes `~` and its UTF-8 bytes in hexadecimal;
    so does a first `.` or `_`, behind which Spark would not look for data.

    >>> remote_name("orders_etl"), remote_name("a/b"), remote_name("_x"), remote_name("")
    ('orders_etl', 'a~2fb', '~5fx', '~')
    """
    name = _ODD.sub(_escape, text)
    if name[:1] in ("", ".", "_"):
        name = (f"~{ord(name[0]):02x}" if name else "~") + name[1:]
    if len(name) > _LONGEST:
        digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        name = f"{name[: _LONGEST - 17]}~{digest}"
    return name


def _escape(match: re.Match[str]) -> str:
    return "".join(f"~{byte:02x}" for byte in match[0].encode("utf-8", "surrogatepass"))
