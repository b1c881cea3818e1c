r"""Text that can be shown: no line forged, no terminal driven, no markup run.

Floor 1. Stands on: core.encode, core.values.

What a record carries may come from anywhere: a customer's name, an HTTP header, a file. Before it
stands in a line for people, every character that ends a line, starts an escape sequence, turns the
reading direction or cannot be encoded becomes its visible escape (`\n`, `\x1b`, `\u202e`). A
backslash stays as it is, so that paths stay readable: the JSON form is the exact one.
Every function here is linear in the text, and pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from laketrace.core.encode import Encoder, quote
from laketrace.core.values import as_text

# C0 and DEL drive terminals, C1 (0x9b) does as well, U+2028/2029 end a line for many readers, the
# bidirectional controls show text in another order than it is (CVE-2021-42574), and lone
# surrogates cannot be written as UTF-8.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_plain = Encoder()
# A value without these needs no quotes in `key=value key=value`.
_BARE = re.compile(r"[^\s\"'=\[\],]+\Z")


def _escape(match: re.Match[str]) -> str:
    return escaped(match.group())


def escaped(character: str) -> str:
    r"""One character as its escape.

    >>> print(escaped("\n"), escaped("\x1b"), escaped("\u202e"))
    \n \x1b \u202e
    """
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def clean(text: str) -> str:
    r"""`text` on one line, as harmless as it looks.

    >>> print(clean("done\nERROR | forged\x1b[2J"))
    done\nERROR | forged\x1b[2J
    """
    # isprintable() is one pass in C; it also refuses harmless things like a no-break space.
    return text if text.isprintable() else _UNSAFE.sub(_escape, text)


def value_text(value: Any, encoder: Encoder = _plain) -> str:
    """A field's value as clean text: a string as it is, anything else as JSON; never raises.

    `encoder` redacts what is nested in the value.

    >>> value_text("raw zone"), value_text([1, 2.5, None])
    ('raw zone', '[1,2.5,null]')
    """
    return clean(str.__str__(value) if isinstance(value, str) else encoder.value(value))


def field_text(key: Any, value: Any, encoder: Encoder = _plain) -> str:
    """One field as `key=value`, quoted where it could be taken for more than one field.

    >>> print(field_text("rows", 3), field_text("user", "bob admin=true"))
    rows=3 user="bob admin=true"
    """
    shown = _bare(str.__str__(value)) if isinstance(value, str) else value_text(value, encoder)
    return f"{_bare(as_text(key))}={shown}"


def fields_text(fields: Mapping[str, Any], encoder: Encoder = _plain, separator: str = " ") -> str:
    """All fields, in order.

    >>> fields_text({"table": "orders", "rows": 3})
    'table=orders rows=3'
    """
    return separator.join([field_text(key, value, encoder) for key, value in fields.items()])


def _bare(text: str) -> str:
    return clean(text if _BARE.match(text) else quote(text))


def html_text(value: Any) -> str:
    r"""Anything as text inside HTML, also inside an attribute, for what a notebook shows.

    >>> html_text("<script>alert('x')</script>")
    '&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;'
    """
    text = value_text(value)
    for character, entity in _ENTITIES:
        text = text.replace(character, entity)
    return text


_ENTITIES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#x27;"))
