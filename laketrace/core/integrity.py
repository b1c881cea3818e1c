"""Hashes over log records, alone or chained.

Floor 1. Stands on: core.encode, errors.

A verifier that chains holds the hash of the record before; nothing else is kept.
Threads: one verifier may serve several, its chain has one order. After a fork each process has a
chain of its own that goes on from the same record.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from laketrace.core.encode import to_json
from laketrace.errors import ConfigError


class LogIntegrityVerifier:
    """Hashes that show whether a record was changed after it was written.

    Without `key` a hash finds accidents only: who can change a record can hash it again. With a
    `key` (text or bytes, kept elsewhere than the log) it is an HMAC (RFC 2104), which nobody can
    make without the key. With `chain=True` each record also carries the hash of the one before it,
    so that `verify_chain` notices records that were taken out, put in or moved.
    A record has the same hash before it is written and after it is read from its JSON line.

    Raises `ConfigError` for a hash algorithm that `hashlib` does not have.

    >>> verifier = LogIntegrityVerifier(key="kept in a vault")
    >>> record = verifier.add_hash_header({"message": "granted", "user": "bob"})
    >>> verifier.verify_record(record), verifier.verify_record({**record, "user": "eve"})
    (True, False)
    """

    HASH = "_integrity_hash"
    PREVIOUS = "_integrity_previous"

    def __init__(
        self,
        hash_algorithm: str = "sha256",
        *,
        key: str | bytes | None = None,
        chain: bool = False,
    ) -> None:
        import hashlib

        known = {name for name in hashlib.algorithms_available if not name.startswith("shake")}
        if hash_algorithm not in known:
            problem = "is not a hash algorithm of hashlib. Use 'sha256', 'sha512' or 'blake2b'."
            raise ConfigError([f"hash_algorithm={hash_algorithm!r}: {hash_algorithm!r} {problem}"])
        self.hash_algorithm = hash_algorithm
        self.chain = chain
        self._key = key.encode() if isinstance(key, str) else key
        self._lock = threading.Lock()
        self._last = ""

    def compute_hash(self, record: Mapping[str, Any]) -> str:
        """The hash of everything in the record but its own hash, in hexadecimal."""
        import hashlib
        import hmac

        content = {name: value for name, value in record.items() if name != self.HASH}
        text = json.dumps(json.loads(to_json(content)), sort_keys=True, separators=(",", ":"))
        if self._key is not None:
            return hmac.new(self._key, text.encode(), self.hash_algorithm).hexdigest()
        return hashlib.new(self.hash_algorithm, text.encode()).hexdigest()

    def verify_record(self, record: Mapping[str, Any], expected_hash: str | None = None) -> bool:
        """Whether the record has this hash (default: the one that it carries)."""
        import hmac

        expected = record.get(self.HASH) if expected_hash is None else expected_hash
        if not isinstance(expected, str):
            return False
        return hmac.compare_digest(
            self.compute_hash(record).encode(), expected.encode("utf-8", "backslashreplace")
        )

    def add_hash_header(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of the record that carries its hash, and the one before it in a chain."""
        copy = dict(record)
        with self._lock:
            if self.chain:
                copy[self.PREVIOUS] = self._last
            copy[self.HASH] = self._last = self.compute_hash(copy)
        return copy

    def verify_chain(self, records: Iterable[Mapping[str, Any]]) -> list[int]:
        """The positions of records that were changed or do not follow the one before them.

        >>> verifier = LogIntegrityVerifier(chain=True)
        >>> one, two, three = [verifier.add_hash_header({"n": n}) for n in range(3)]
        >>> verifier.verify_chain([one, two, three]), verifier.verify_chain([one, three])
        ([], [1])
        """
        broken = []
        previous: object = ""
        for position, record in enumerate(records):
            if record.get(self.PREVIOUS) != previous or not self.verify_record(record):
                broken.append(position)
            previous = record.get(self.HASH)
        return broken
