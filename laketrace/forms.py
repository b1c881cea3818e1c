"""From settings to the parts of a handler: encoder, form, filter.

Floor 5. Stands on: config, core.clean, core.console, core.encode, core.handler, core.levels,
core.presets, core.record, core.redact, core.text.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from laketrace.config import LakeTraceConfig
from laketrace.core.clean import clean
from laketrace.core.console import ConsoleForm, StreamSink
from laketrace.core.encode import Encoder
from laketrace.core.handler import Filter, Form
from laketrace.core.levels import get_level
from laketrace.core.presets import preset
from laketrace.core.record import Record
from laketrace.core.redact import MASK, Redactor
from laketrace.core.text import DEFAULT_FORMAT, compile_format

if TYPE_CHECKING:
    import re


def encoder_of(config: LakeTraceConfig) -> Encoder:
    """The encoder with the redaction that the settings ask for, shared by all that ask the same."""
    return _encoder(
        config.checked("redact"), config.checked("mask_pii"), config.checked("redact_patterns")
    )


@lru_cache(maxsize=64)
def _encoder(
    names: bool | tuple[str, ...], pii: bool, patterns: tuple[re.Pattern[str], ...]
) -> Encoder:
    return Encoder(Redactor(names, pii=pii, patterns=patterns), MASK)


def form_of(config: LakeTraceConfig, encoder: Encoder) -> Form | None:
    """What a record looks like; None for LakeTrace's own JSON line."""
    formatter: Form | None = config.checked("formatter")
    if formatter is not None:
        return _harmless(formatter, config)
    if not config.checked("json"):
        template: Any = config.checked("format")
        if callable(template):
            return _harmless(template, config)
        return compile_format(
            template or DEFAULT_FORMAT, append_fields=template is not None, encoder=encoder
        )
    if config.checked("schema"):
        schema = preset(config.checked("schema"), encoder)
        return lambda record: encoder.value(schema(record))
    if config.checked("serialize"):
        return lambda record: record.to_json(encoder, details=True)
    return None


def console_form(
    config: LakeTraceConfig, encoder: Encoder, stream: StreamSink, watched: bool | None
) -> Form:
    """What a record looks like on `stdout`: as `stdout` says, unless the user formats it."""
    form = form_of(config, encoder)
    template = config.checked("format")
    own_text = callable(template) and not config.checked("json")
    if form is not None and (config.checked("formatter") is not None or own_text):
        return form
    return ConsoleForm(
        stream,
        form,
        mode=config.checked("stdout"),
        template=template if isinstance(template, str) else DEFAULT_FORMAT,
        watched=watched,
        append_fields=isinstance(template, str),
        encoder=encoder,
    )


def stream_form(config: LakeTraceConfig, encoder: Encoder, stream: StreamSink) -> Form | None:
    """What a record looks like on a stream that was added: as its template says, else readable."""
    form = form_of(config, encoder)
    template = config.checked("format")
    if callable(template) or config.checked("formatter") or config.checked("serialize"):
        return form
    return ConsoleForm(
        stream,
        form,
        mode="text" if template is not None else "auto",
        template=template or DEFAULT_FORMAT,
        append_fields=template is not None,
        encoder=encoder,
    )


def _harmless(form: Form, config: LakeTraceConfig) -> Form:
    """A function of the user's that makes texts; what it is given forges no line, as in 1.x."""
    if not config.checked("sanitize_messages"):
        return form

    def shown(record: Record) -> str:
        fields = record.extra.items()
        extra = {clean(key): clean(item) if isinstance(item, str) else item for key, item in fields}
        return form(record.changed(clean(record.message), extra))

    return shown


def make_filter(value: Any) -> Filter | None:
    """A filter from a setting: a callable, the beginning of logger names, or levels by name.

    >>> from laketrace.core.record import Source
    >>> source = Source("etl.orders", "host", 1, "local", "script", "run")
    >>> record = Record(source, get_level("INFO"), "x", 0, {})
    >>> make_filter("etl")(record), make_filter({"": "ERROR", "etl": "DEBUG"})(record)
    (True, True)
    """
    if value is None or callable(value):
        return value  # type: ignore[no-any-return]
    if isinstance(value, str):
        prefix: str = value
        return lambda record: _below(record.name, prefix)
    levels = {str(name): get_level(level).no for name, level in value.items()}

    def by_level(record: Record) -> bool:
        names = [name for name in levels if _below(record.name, name)]
        return not names or record.level.no >= levels[max(names, key=len)]

    return by_level


def _below(name: str, prefix: str) -> bool:
    return not prefix or name == prefix or name.startswith(f"{prefix}.")
