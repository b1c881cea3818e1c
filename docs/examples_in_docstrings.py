"""Examples in docstrings become code blocks on the site: a griffe extension (see mkdocs.yml)."""

from __future__ import annotations

import re
from typing import Any

import griffe

# From a prompt to the next empty line: what doctest takes for an example.
_EXAMPLE = re.compile(r"^>>> .*?(?=\n\s*\n|\Z)", re.M | re.S)


class ExamplesInDocstrings(griffe.Extension):
    """Puts each run of examples into a fence, so that Markdown does not take `>>>` for quotes."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called for each object that has been read."""
        if obj.docstring is not None:
            text = _EXAMPLE.sub(lambda found: f"```pycon\n{found[0]}\n```", obj.docstring.value)
            obj.docstring.value = text
