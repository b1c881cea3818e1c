"""What the doctor finds: each thing with what it is, how it is, and what to do about it.

Floor 7. Stands on: nothing.
"""

from __future__ import annotations

from typing import NamedTuple

OK, NOTE, PROBLEM = "ok", "note", "problem"


class Finding(NamedTuple):
    """One thing that was looked at; `state` is `ok`, `note` or `problem`.

    A note is worth knowing; a problem costs records, uploads or a feature that was asked for.
    """

    state: str
    what: str
    text: str
    remedy: str = ""
