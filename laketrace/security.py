"""The security helpers of 1.x, under their names, on the rules that the logger itself uses.

Floor 6. Stands on: core.clean, core.encode, core.integrity, core.redact, core.secretnames,
core.values, errors.

None of them is needed for logging: a logger redacts by name by itself, and by value with
`mask_pii=True`. They are for data on its way elsewhere. What 1.x got wrong is right here: masking
goes by name and by value, through nested dicts and lists, and leaves neither a character nor the
length of a secret; sanitizing knows every character that forges a line or drives a terminal; a
hash verifies the record that it was made for; encryption without a key is an error.
Threads: every class may be shared. Forks: the child has a copy of its own.
"""

from __future__ import annotations

import os
import re
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from laketrace.core.clean import clean
from laketrace.core.encode import to_json
from laketrace.core.integrity import LogIntegrityVerifier
from laketrace.core.redact import MASK, Redactor, masked
from laketrace.core.secretnames import words
from laketrace.core.values import as_text
from laketrace.errors import ConfigError, MissingExtraError, checked

__all__ = [
    "DataEncryption",
    "DataLeakDetector",
    "FieldWhitelist",
    "LogIntegrityVerifier",
    "SecurityConfig",
    "SensitiveDataRedactor",
    "escape_format_strings",
    "escape_newlines",
    "get_secure_file_opener",
    "mask_pii",
    "mask_value",
    "sanitize_message",
]


class SecurityConfig:
    """What `mask_pii` looks for.

    `pii_patterns`: names and regular expressions that count instead of the built-in forms of
    personal data and keys; fields with the names of secrets are masked in any case. The three
    switches are kept for programs that read them.

    Raises `ConfigError` for a pattern that does not compile or matches the empty text.

    >>> config = SecurityConfig(pii_patterns={"account": r"ACC-\\d+"})
    >>> mask_pii({"note": "moved to ACC-4711", "pwd": "x"}, config)
    {'note': 'moved to [REDACTED]', 'pwd': '[REDACTED]'}
    """

    def __init__(
        self,
        enable_sanitization: bool = True,
        enable_pii_masking: bool = False,
        pii_patterns: Mapping[str, str] | None = None,
        safe_mode: bool = False,
    ) -> None:
        self.enable_sanitization = enable_sanitization
        self.enable_pii_masking = enable_pii_masking
        self.pii_patterns = dict(pii_patterns or {})
        self.safe_mode = safe_mode
        self.redactor = checked(
            "pii_patterns", self.pii_patterns, lambda patterns: _redactor(patterns, ())
        )


def _redactor(patterns: Mapping[str, str], names: Iterable[str]) -> Redactor:
    own = list(names)
    return Redactor(own or True, pii=not patterns, patterns=list(patterns.values()))


def mask_value(value: Any) -> str:
    """What is shown instead of a secret: always the same mark.

    >>> mask_value("hunter2")
    '[REDACTED]'
    """
    return MASK


def mask_pii(
    data: Mapping[str, Any],
    security_config: SecurityConfig | None = None,
    fields_to_mask: Iterable[str] | None = None,
) -> dict[str, Any]:
    """A copy of `data` with secrets and personal data masked, at any depth.

    A field that bears the name of a secret, or one of `fields_to_mask`, is masked whole; in other
    texts what looks like a secret or personal data is.

    >>> mask_pii({"login": {"password": "hunter2"}, "to": ["bob@example.com"]})
    {'login': {'password': '[REDACTED]'}, 'to': ['[REDACTED]']}
    """
    patterns = security_config.pii_patterns if security_config is not None else {}
    if fields_to_mask:
        return masked(data, _redactor(patterns, fields_to_mask))
    return masked(data, None if security_config is None else security_config.redactor)


def sanitize_message(message: object) -> str:
    r"""The message on one line: no line forged, no terminal driven.

    >>> print(sanitize_message("login\nINFO admin logged in\x1b[2J"))
    login\nINFO admin logged in\x1b[2J
    """
    return clean(as_text(message))


escape_newlines = sanitize_message


def escape_format_strings(text: object) -> str:
    """The text with each brace doubled, so that `str.format` gives it back unchanged.

    >>> escape_format_strings("{user.__class__}")
    '{{user.__class__}}'
    """
    return as_text(text).replace("{", "{{").replace("}", "}}")


def get_secure_file_opener() -> Callable[[str, int], int]:
    """An opener for `open(..., opener=...)`: only the owner may read the file, no link is followed.

    A file that exists and belongs to this user loses the rights of group and others. Opening a
    symbolic link raises `OSError` where the system can refuse it.

    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "audit.log")
    >>> with open(path, "a", opener=get_secure_file_opener()) as file:
    ...     _ = file.write("x")
    >>> oct(os.stat(path).st_mode & 0o777)
    '0o600'
    """

    def open_for_owner(file: str, flags: int) -> int:
        flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(file, flags, 0o600)
        found = os.fstat(descriptor)
        ours = hasattr(os, "geteuid") and found.st_uid == os.geteuid()
        if ours and stat.S_ISREG(found.st_mode) and found.st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
        return descriptor

    return open_for_owner


class DataLeakDetector:
    """Notices records that look like data on its way out: huge, in floods, or oddly combined.

    `max_log_size_kb` is in 1,024 bytes of message and data as JSON; more than
    `max_logs_per_second` times `window_seconds` records within the window are a flood.

    >>> DataLeakDetector().check_log_record("dump", {"password": "x", "api_key": "y"})
    (False, ['SENSITIVE_COMBO: api_key and password were logged together'])
    """

    def __init__(
        self,
        max_log_size_kb: int = 100,
        max_logs_per_second: int = 100,
        window_seconds: int = 5,
        detect_field_combinations: bool = True,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_log_size_bytes = max_log_size_kb * 1024
        self.max_logs_per_second = max_logs_per_second
        self.window_seconds = window_seconds
        self.detect_field_combinations = detect_field_combinations
        self.sensitive_combinations = {
            frozenset({"password", "connection_string"}),
            frozenset({"api_key", "password"}),
            frozenset({"token", "user_id", "email"}),
            frozenset({"credit_card", "ssn"}),
            frozenset({"private_key", "certificate"}),
        }
        self._clock = clock
        self._lock = threading.Lock()
        self._times: deque[float] = deque(maxlen=max(1, max_logs_per_second * window_seconds + 1))

    def check_log_record(
        self, message: object, data: Mapping[str, Any] | None = None
    ) -> tuple[bool, list[str]]:
        """Whether the record is harmless, and what is not; never raises over what is in `data`."""
        found = [*self._too_large(message, data), *self._too_many()]
        if self.detect_field_combinations and data:
            names = {words(as_text(key)).strip("_") for key in data}
            found += sorted(
                f"SENSITIVE_COMBO: {' and '.join(sorted(combination))} were logged together"
                for combination in self.sensitive_combinations
                if combination <= names
            )
        return not found, found

    def _too_large(self, message: object, data: Mapping[str, Any] | None) -> list[str]:
        size = len(as_text(message).encode("utf-8", "backslashreplace"))
        size += len(to_json(data).encode()) if data else 0
        if size <= self.max_log_size_bytes:
            return []
        limit = self.max_log_size_bytes // 1024
        return [f"LARGE_LOG: {size / 1024:.1f} KB are more than {limit} KB"]

    def _too_many(self) -> list[str]:
        with self._lock:
            now = self._clock()
            self._times.append(now)
            while now - self._times[0] >= self.window_seconds:
                self._times.popleft()
            count = len(self._times)
        most = self.max_logs_per_second * self.window_seconds
        if count <= most:
            return []
        return [f"RATE_LIMIT: more than {most} records in {self.window_seconds} s"]


class FieldWhitelist:
    """Lets approved fields through.

    With `strict=True` other fields are taken out and counted, else they are only named.

    >>> FieldWhitelist({"table"}, strict=True).validate_record({"table": "orders", "user": "bob"})
    ({'table': 'orders'}, ['BLOCKED_FIELD: user not in whitelist (strict mode)'])
    """

    def __init__(self, allowed_fields: Iterable[str] | None = None, strict: bool = False) -> None:
        self.allowed_fields = set(allowed_fields or ())
        self.strict = strict
        self.violation_count = 0
        self._lock = threading.Lock()

    def add_allowed_fields(self, *fields: str) -> None:
        """Approve more fields."""
        with self._lock:
            self.allowed_fields = self.allowed_fields | set(fields)

    def validate_record(self, data: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The fields that may pass, and a line for each that is not approved."""
        allowed = self.allowed_fields
        others = [key for key in data if key not in allowed]
        if not self.strict:
            return dict(data), [f"UNAPPROVED_FIELD: {key} not in whitelist" for key in others]
        with self._lock:
            self.violation_count += len(others)
        kept = {key: value for key, value in data.items() if key in allowed}
        return kept, [f"BLOCKED_FIELD: {key} not in whitelist (strict mode)" for key in others]

    def get_violation_count(self) -> int:
        """How many fields were blocked so far."""
        return self.violation_count


_PLACE = re.compile(
    r"\b((?:server|data source|initial catalog|catalog|database)[ \t]{0,3}=[ \t]{0,3})[^\s;,\"']+",
    re.IGNORECASE,
)


class _WithPlaces(Redactor):
    """By name and by form, and the servers and databases of connection strings as well."""

    __slots__ = ()

    def scrub(self, text: str) -> str:
        return _PLACE.sub(rf"\1{MASK}", super().scrub(text))


@cache
def _with_places() -> Redactor:
    return _WithPlaces(pii=True)


class SensitiveDataRedactor:
    """Takes secrets, personal data and the places of connection strings out of texts and records.

    >>> SensitiveDataRedactor().redact("Server=db.corp;Database=sales;Password='two words'")
    "Server=[REDACTED];Database=[REDACTED];Password='[REDACTED]'"
    """

    def redact(self, text: object) -> str:
        """The text without secrets."""
        return _with_places().scrub(as_text(text))

    def redact_record(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of the record without secrets, by name and by form, at any depth."""
        return masked(data, _with_places())


class DataEncryption:
    """Encrypts single fields with Fernet (AES-128-CBC and HMAC-SHA256) of the package cryptography.

    `encryption_key` is what `cryptography.fernet.Fernet.generate_key()` gives, as text or bytes.

    Raises `ConfigError` without a valid key, and `MissingExtraError` without the package.
    """

    def __init__(self, encryption_key: str | bytes | None = None) -> None:
        if not encryption_key:
            raise ConfigError(["encryption_key: no key was given. " + _HOW_TO_MAKE_A_KEY])
        fernet = _fernet()
        try:
            self._fernet = fernet.Fernet(encryption_key)
        except ValueError as error:
            problem = f"encryption_key: not a Fernet key ({error}). {_HOW_TO_MAKE_A_KEY}"
            raise ConfigError([problem]) from None

    def encrypt_field(self, value: object) -> str:
        """The value as encrypted text; what is no text is encrypted as JSON."""
        text = value if isinstance(value, str) else to_json(value)
        encrypted: bytes = self._fernet.encrypt(text.encode("utf-8", "backslashreplace"))
        return encrypted.decode()

    def decrypt_field(self, encrypted_value: str) -> str:
        """The text that was encrypted.

        Raises `ConfigError` when it was encrypted with another key or was changed.
        """
        try:
            decrypted: bytes = self._fernet.decrypt(encrypted_value.encode())
        except Exception as error:  # InvalidToken has no text of its own
            problem = f"not decrypted: another key or a changed text ({type(error).__name__})"
            raise ConfigError([f"encrypted_value: {problem}"]) from None
        return decrypted.decode()

    def encrypt_record(
        self, data: Mapping[str, Any], fields_to_encrypt: Iterable[str]
    ) -> dict[str, Any]:
        """A copy of the record with these of its fields encrypted, whatever their type."""
        names = set(fields_to_encrypt)
        return {
            key: self.encrypt_field(value) if key in names else value for key, value in data.items()
        }


_HOW_TO_MAKE_A_KEY = "Make one with cryptography.fernet.Fernet.generate_key() and keep it safe."


def _fernet() -> Any:
    try:
        return import_module("cryptography.fernet")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "cryptography":
            raise
        text = "laketrace.security.DataEncryption needs the package cryptography. "
        raise MissingExtraError(text + "Run: pip install cryptography", name=error.name) from None
