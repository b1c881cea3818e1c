"""What an upload is to do: destinations, and how patient it is.

Floor 7. Stands on: errors, lakehouse.ledger, lakehouse.tables.names, lakehouse.targets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from laketrace.errors import ConfigError, LakeTraceError
from laketrace.lakehouse.ledger import destination_id
from laketrace.lakehouse.tables.names import TableName, parse_table
from laketrace.lakehouse.targets import Location, parse_target

T = TypeVar("T")


class Options(NamedTuple):
    """A checked order for an upload; see `upload` for what each item means."""

    target: Location | None
    table: TableName | None
    delete_after: bool
    retries: int
    request_timeout: float
    timeout: float
    store: Mapping[str, str]

    @property
    def target_id(self) -> str:
        """The target in the ledger."""
        return destination_id("target", self.target.shown if self.target else "")

    @property
    def manifest_id(self) -> str:
        """The target's manifests in the ledger: a copy counts when it is in one."""
        return destination_id("manifest", self.target.shown if self.target else "")

    @property
    def table_id(self) -> str:
        """The table in the ledger."""
        return destination_id("table", self.table.shown if self.table else "")

    @property
    def destinations(self) -> list[str]:
        """All that a segment has to reach, as the ledger calls it."""
        places = [self.target_id, self.manifest_id] if self.target is not None else []
        return [*places, *([self.table_id] if self.table is not None else [])]


def make_options(
    target: object = None,
    table: object = None,
    *,
    delete_after: bool = False,
    retries: int = 5,
    request_timeout: float = 30.0,
    timeout: float = 120.0,
    store: Mapping[str, Any] | None = None,
) -> Options:
    """The order, checked. Raises `ConfigError` with all that is wrong with it.

    >>> make_options(table="main.ops.laketrace").table.shown
    'main.ops.laketrace'
    """
    problems: list[str] = []
    location = _checked("target", target, parse_target, problems)
    name = _checked("table", table, parse_table, problems)
    if target is None and table is None:
        problems.append("target, table: an upload needs one of them. Use e.g. target='/mnt/logs'.")
    if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
        problems.append(f"retries={retries!r}: a number of tries is 0 or more. Use retries=5.")
    for setting, value in (("request_timeout", request_timeout), ("timeout", timeout)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            problems.append(
                f"{setting}={value!r}: a time is more than 0 seconds. Use {setting}=30."
            )
    if store is not None and not isinstance(store, Mapping):
        problems.append("options: not a dict. Use names and texts, as the store has them.")
    if problems:
        raise ConfigError(problems)
    texts = {str(key): str(value) for key, value in (store or {}).items()}
    return Options(location, name, delete_after, retries, request_timeout, timeout, texts)


def problems_of(upload_target: object, upload_table: object) -> list[str]:
    """What is wrong with the settings of a logger that name a destination.

    >>> problems_of("s3:/ops/logs", None)
    ["upload_target: 's3:/ops/logs' lacks its two slashes. Use s3://<bucket>/<folder>."]
    """
    problems: list[str] = []
    _checked("upload_target", upload_target, parse_target, problems)
    _checked("upload_table", upload_table, parse_table, problems)
    return problems


def _checked(
    setting: str, value: object, parse: Callable[[object], T], problems: list[str]
) -> T | None:
    if value is None:
        return None
    try:
        return parse(value)
    except ValueError as error:
        problems.append(f"{setting}: {error}")
        return None


_SECRETS = re.compile(
    r"(?i)(?<!configuration )\b(sig|signature|token|password|secret|key|accountkey|sharedaccesskey"
    r"|credential|x-amz-[a-z-]+|authorization)(\"?\s*[=:]\s*\"?)[^\s&\",;<>]+"
)
_LONGEST_REASON = 400
# What a store answers, as S3, Azure and Google write it; the rest is the request around it.
_ANSWER = re.compile(r"<Code>([^<]+)</Code>\s*<Message>([^<]*)</Message>")
_STATUS = re.compile(r"status code\W+(\d{3})\b")


def reason_of(error: BaseException, store: Mapping[str, str]) -> str:
    """What an error says, on one line, without anything that `upload_options` keeps secret.

    >>> reason_of(OSError("PUT http://x?sig=abc refused"), {})
    'OSError: PUT http://x?sig=*** refused'
    >>> text = "status code: 403 Forbidden: <Error><Code>AccessDenied</Code><Message>No.</Message>"
    >>> reason_of(OSError(text), {})
    'OSError: AccessDenied: No. (403)'
    """
    text = str(error).partition("Debug source:")[0]
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    for value in sorted(map(str, store.values()), key=len, reverse=True):
        if len(value) >= 6:
            text = text.replace(value, "***")
    text = _SECRETS.sub(r"\1\2***", " ".join(text.split()))
    answer, status = _ANSWER.search(text), _STATUS.search(text)
    if answer is not None:
        message = answer[2].partition(" RequestId:")[0]  # Azure's
        text = f"{answer[1]}: {message}" + (f" ({status[1]})" if status else "")
    if len(text) > _LONGEST_REASON and not isinstance(error, LakeTraceError):
        text = f"{text[: _LONGEST_REASON - 3]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
