"""Reading a guarded stream: what only the reader can set.

Floor 7. Stands on: pipeline.streaming.places, pipeline.streaming.settings,
pipeline.streaming.splitting.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from laketrace.pipeline.streaming.places import is_path
from laketrace.pipeline.streaming.settings import StreamSettings, checked
from laketrace.pipeline.streaming.splitting import CORRUPT

_TEXTS = ("json", "csv", "xml")  # sources that can keep what they cannot parse


def read_stream(spark: Any, cfg: Mapping[str, Any], source: Any, format: str = "delta") -> Any:
    """A streaming DataFrame of `source`: a path, a table's name, or a topic of Kafka.

    A source that has lost data fails the stream (`failOnDataLoss`, and `ignoreMissingFiles` and
    `ignoreCorruptFiles` of files), unless the settings say otherwise by name. The limits are
    `max_files_per_trigger` and `max_bytes_per_trigger`. JSON, CSV and XML keep a record that they
    cannot parse in the column `_corrupt_record`, beside those of the setting `schema`, which files
    need. Further options of the reader come from `read_options`.

    Raises `ConfigError` for wrong settings, and what Spark raises.

    >>> read_stream(spark, cfg, "/lake/orders")          # doctest: +SKIP
    DataFrame[id: bigint, amount: double]
    """
    settings = checked(cfg)
    kind = format.strip()
    reader = spark.readStream.format(kind).options(**_options(settings, kind.lower()))
    schema = _schema(spark, settings, kind.lower())
    if schema is not None:
        reader = reader.schema(schema)
    place = None if source is None else str(source)
    if kind.lower() == "kafka":
        return (reader if place is None else reader.option("subscribe", place)).load()
    if place is None:
        return reader.load()
    return reader.load(place) if is_path(place) else reader.table(place)


def _options(settings: StreamSettings, kind: str) -> dict[str, str]:
    options = dict(settings.read_options)
    given = {name.lower() for name in options}
    wanted = {
        "failOnDataLoss": str(settings.fail_on_data_loss).lower(),
        "ignoreMissingFiles": "false",
        "ignoreCorruptFiles": "false",
    }
    for name, limit in (
        ("maxFilesPerTrigger", settings.max_files_per_trigger),
        ("maxBytesPerTrigger", settings.max_bytes_per_trigger),
    ):
        if limit is not None:
            wanted[name] = str(limit)
    if kind in _TEXTS:
        wanted["mode"] = "PERMISSIVE"
        wanted["columnNameOfCorruptRecord"] = CORRUPT
    options.update({name: value for name, value in wanted.items() if name.lower() not in given})
    return options


def _schema(spark: Any, settings: StreamSettings, kind: str) -> Any:
    """The schema for sources of files; those that know their columns get none."""
    if settings.schema is None or kind not in (*_TEXTS, "parquet", "orc", "avro"):
        return None
    schema = settings.schema
    if isinstance(schema, str):
        schema = spark.createDataFrame([], schema).schema
    if kind in _TEXTS and CORRUPT not in schema.fieldNames():
        from pyspark.sql.types import (  # type: ignore[import-not-found,unused-ignore]
            StringType,
            StructType,
        )

        schema = StructType(list(schema.fields)).add(CORRUPT, StringType())
    return schema
