"""Which names stand before a secret.

Floor 1. Stands on: nothing.

A name is split into words: at everything that is no letter or digit, where a capital begins a new
word (`clientSecret`, `DBPassword`), and between letters and digits. It is the name of a secret when

- a phrase of `PHRASES` is among its words, in order and side by side, whatever stands before and
  after it: `db_password`, `user.password`, `X-Api-Key`, `aws_secret_access_key`, `password_hash`;
- or a word ends in one of `ENDINGS`, written together: `dbpassword`, `storageaccountkey`.

It is harmless after all when the phrase stands between other words that make it a statement about
the secret: behind it a last word of `ABOUT` (`token_count`, `password_length`, `cookie_name`,
`sas_expires_at`), or directly before it one of `ASKING` (`has_password`). Words that only contain
the letters are other words: `tokenizer`, `secretary`, `passwordless`. `tokens` alone counts words
of text (`max_tokens`); with a word of `KINDS_OF_TOKEN` before it, it is secret (`access_tokens`).
Pure functions and constants; time is linear in the name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "[REDACTED]"  # what is shown instead of a secret, of whatever kind

# The list of the documentation, with plurals and the usual short forms.
PHRASES = (
    "password", "passwords", "passwd", "pwd", "passphrase", "passphrases", "secret", "secrets",
    "secret_key", "secret_keys", "token", "api_key", "api_keys", "apikey", "apikeys", "access_key",
    "access_keys", "account_key", "account_keys", "private_key", "private_keys", "credential",
    "credentials", "authorization", "cookie", "cookies", "connection_string",
    "connection_strings", "conn_str", "conn_string", "connstr", "sas", "shared_access_signature",
)  # fmt: skip
KINDS_OF_TOKEN = (
    "access", "api", "auth", "bearer", "id", "jwt", "oauth", "refresh", "sas", "secret", "session",
)  # fmt: skip
ENDINGS = (
    "password", "passwords", "passwd", "passphrase", "clientsecret", "secretkey", "apikey",
    "accesskey", "accountkey", "privatekey", "connectionstring",
    *(f"{kind}token" for kind in KINDS_OF_TOKEN),
)  # fmt: skip
ABOUT = frozenset((
    # how much, how many
    "bytes", "chars", "characters", "count", "counts", "len", "length", "lengths", "limit", "num",
    "size", "sizes", "total", "usage",
    # when
    "age", "at", "created", "date", "days", "expiration", "expired", "expires", "expiry", "hours",
    "minutes", "ms", "rotated", "seconds", "time", "timestamp", "ttl", "updated",
    # whether
    "disabled", "enabled", "exists", "found", "missing", "optional", "present", "required",
    "status", "valid",
    # what it is called, where it lies, who gives it; not `url`: a SAS URL is the secret
    "attempts", "column", "dir", "errors", "file", "kind", "name", "names", "path", "policy",
    "provider", "retries", "scope", "scopes", "source", "type", "types", "version",
))  # fmt: skip
ASKING = frozenset(("has", "have", "is", "needs", "requires", "without"))

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def words(name: str) -> str:
    """The words of a name in small letters, with one `_` around and between them.

    >>> words("X-Api-Key"), words("DBPassword2"), words("user.clientSecret")
    ('_x_api_key_', '_db_password_2_', '_user_client_secret_')
    """
    return f"_{'_'.join(_WORDS.findall(name)).lower()}_"


class SecretNames:
    """The names of secrets: those that everybody has, and a program's own.

    >>> SecretNames().holds("db.password"), SecretNames().holds("token_count")
    (True, False)
    >>> SecretNames(["customer name"]).holds("customerName")
    True
    """

    __slots__ = ("_endings", "_exact", "_phrases")

    def __init__(self, own: Iterable[str] = ()) -> None:
        own = tuple(own)
        self._phrases = [f"_{phrase}_" for phrase in PHRASES]
        self._phrases += [f"_{kind}_tokens_" for kind in KINDS_OF_TOKEN]
        self._phrases += [words(name) for name in own if words(name) != "__"]
        self._endings = [f"{ending}_" for ending in ENDINGS]
        # Own names without any ASCII letter or digit have no words: they count as a whole.
        self._exact = {name.casefold() for name in own}

    def holds(self, name: str) -> bool:
        """Whether the value under this name must not be shown."""
        if name.casefold() in self._exact:
            return True
        text = words(name)
        return any(
            _says_it(text, phrase) for part in (self._phrases, self._endings) for phrase in part
        )

    def stems(self) -> list[str]:
        """Texts in small letters: a text without any of them names no secret."""
        found: list[str] = []
        for name in sorted([*self._phrases, *self._endings, *self._exact], key=len):
            parts = name.strip("_").split("_")
            if not any(stem in part for stem in found for part in parts):
                found.append(max(parts, key=len))
        return [stem for stem in found if not any(one in stem for one in found if one != stem)]


def _says_it(text: str, phrase: str) -> bool:
    """Whether the last occurrence of the phrase is the secret itself, not a statement about it."""
    start = text.rfind(phrase)
    if start < 0:
        return False
    behind = text[start + len(phrase) :].rstrip("_").rpartition("_")[2]
    if behind in ABOUT:
        return False
    word = start if phrase.startswith("_") else text.rfind("_", 0, start)
    return text[:word].rpartition("_")[2] not in ASKING
