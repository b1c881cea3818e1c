"""Events of OpenLineage for a run: what it read, what it wrote, how it ended.

Floor 7. Stands on: core.notice, core.redact, errors, pipeline.outbox.

START when the run begins, RUNNING with the datasets of each stage that ends, then COMPLETE, FAIL or
ABORT with all of them. They are made here and sent by `pipeline.outbox`, never in the caller's
thread. Datasets are named as https://openlineage.io/docs/spec/naming has it; an observation that
belongs to no `reads` or `writes` is an input under its own name. Texts of errors go through the
redactor, since they leave the machine.
Threads: the stages of a run end side by side. What goes wrong costs the event, and is said once.
"""

from __future__ import annotations

import math
import os
import threading
import traceback
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from laketrace.core.notice import say
from laketrace.core.redact import by_name_and_form
from laketrace.errors import ConfigError, need
from laketrace.pipeline.outbox import drain, send

if TYPE_CHECKING:
    from laketrace.core.logger import Logger
    from laketrace.pipeline.checking import Dataset, Seen

_MOST_TEXT = 16_000  # characters of an error
_ENDS = {"ok": "COMPLETE", "failed": "FAIL", "stopped": "ABORT"}


def start_lineage(log: Logger, run_name: str, settings: Any) -> Lineage:
    """The events of a run that is about to begin; see `log.run`."""
    module = need("openlineage.client", "lineage", "log.run(lineage=...)")
    if callable(getattr(settings, "emit", None)):
        client = settings
    elif settings is True or isinstance(settings, Mapping):
        try:
            config = None if settings is True else dict(settings)
            client = module.OpenLineageClient(config=config)
        except Exception as error:
            text = f"lineage={settings!r}: the client refuses it: {error}. Use lineage=True and its"
            raise ConfigError([f"{text} own configuration (OPENLINEAGE_URL)."]) from error
    else:
        raise ConfigError(
            [f"lineage={settings!r}: no such way. Use True, a dict, or an OpenLineageClient."]
        )
    log.at_close(drain)
    return Lineage(run_name, client)


class Lineage:
    """The events of one run."""

    def __init__(self, run_name: str, client: Any) -> None:
        from openlineage.client.uuid import generate_new_uuid

        self.run_id = str(generate_new_uuid())
        self._client = client
        self._namespace = os.environ.get("OPENLINEAGE_NAMESPACE") or "default"
        self._job = run_name
        self._producer = f"urn:laketrace:{_version()}"
        self._inputs: dict[tuple[str, str], Any] = {}
        self._outputs: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def run_began(self) -> None:
        """START."""
        self._emit("START", [], [])

    def stage_ended(
        self, reads: Sequence[Dataset], writes: Sequence[Dataset], seen: Mapping[str, Seen]
    ) -> None:
        """RUNNING, with what the stage read and wrote."""
        if not reads and not writes and not seen:
            return
        try:
            make = _Make(self._namespace, self._producer)
            named = {each.data for each in (*reads, *writes)}
            inputs = [make.input(each.uri, seen.get(each.data or "")) for each in reads]
            inputs += [make.input(name, each) for name, each in seen.items() if name not in named]
            outputs = [make.output(each.uri, seen.get(each.data or "")) for each in writes]
        except Exception as error:
            _say("datasets", error)
            return
        with self._lock:
            self._inputs.update(((each.namespace, each.name), each) for each in inputs)
            self._outputs.update(((each.namespace, each.name), each) for each in outputs)
        self._emit("RUNNING", inputs, outputs)

    def run_ended(self, status: str, error: BaseException | None) -> None:
        """COMPLETE, FAIL or ABORT, with all that was read and written."""
        with self._lock:
            inputs, outputs = list(self._inputs.values()), list(self._outputs.values())
        self._emit(_ENDS[status], inputs, outputs, error)

    def _emit(
        self,
        kind: str,
        inputs: list[Any],
        outputs: list[Any],
        error: BaseException | None = None,
    ) -> None:
        try:
            from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
            from openlineage.client.generated.error_message_run import ErrorMessageRunFacet
            from openlineage.client.generated.job_type_job import JobTypeJobFacet

            facets: dict[str, Any] = {}
            if error is not None:
                text, trace = _described(error)
                facets["errorMessage"] = ErrorMessageRunFacet(
                    text, "PYTHON", trace, producer=self._producer
                )
            job_type = JobTypeJobFacet("BATCH", "LAKETRACE", "JOB", producer=self._producer)
            event = RunEvent(
                eventTime=datetime.now(timezone.utc).isoformat(),
                producer=self._producer,
                run=Run(self.run_id, facets),
                job=Job(self._namespace, self._job, {"jobType": job_type}),
                eventType=RunState[kind],
                inputs=inputs,
                outputs=outputs,
            )
        except Exception as problem:
            _say(kind, problem)
            return
        send(self._client, event)


class _Make:
    """Makes datasets with their facets."""

    def __init__(self, namespace: str, producer: str) -> None:
        self._namespace = namespace
        self._by: dict[str, Any] = {"producer": producer}

    def input(self, uri: str, seen: Seen | None) -> Any:
        from openlineage.client.event_v2 import InputDataset
        from openlineage.client.generated import data_quality_assertions_dataset as assertions
        from openlineage.client.generated import data_quality_metrics_input_dataset as metrics

        facets: dict[str, Any] = {}
        if seen is not None and (seen.rows is not None or seen.columns):
            columns = self._columns(seen, metrics.ColumnMetrics)
            facets["dataQualityMetrics"] = metrics.DataQualityMetricsInputDatasetFacet(
                columns, seen.rows, **self._by
            )
        found = [] if seen is None else seen.results
        told = [
            assertions.Assertion(result.rule, result.passed, item.column)
            for item, result in found
            if result.passed is not None
        ]
        if told:
            facets["dataQualityAssertions"] = assertions.DataQualityAssertionsDatasetFacet(
                told, **self._by
            )
        return InputDataset(*_named(uri, self._namespace), facets, facets=self._schema(seen))

    def output(self, uri: str, seen: Seen | None) -> Any:
        from openlineage.client.event_v2 import OutputDataset
        from openlineage.client.generated import output_statistics_output_dataset as statistics

        facets: dict[str, Any] = {}
        if seen is not None and seen.rows is not None:
            facets["outputStatistics"] = statistics.OutputStatisticsOutputDatasetFacet(
                seen.rows, **self._by
            )
        shared = self._schema(seen)
        if seen is not None and seen.columns:
            shared |= self._metrics(seen)
        return OutputDataset(*_named(uri, self._namespace), facets, facets=shared)

    def _metrics(self, seen: Seen) -> dict[str, Any]:
        try:
            from openlineage.client.generated import data_quality_metrics_dataset as metrics
        except ModuleNotFoundError:  # older clients have figures of inputs only
            return {}
        columns = self._columns(seen, metrics.ColumnMetrics)
        facet = metrics.DataQualityMetricsDatasetFacet(columns, seen.rows, **self._by)
        return {"dataQualityMetrics": facet}

    def _schema(self, seen: Seen | None) -> dict[str, Any]:
        from openlineage.client.generated import schema_dataset as schema

        if seen is None or not seen.schema:
            return {}
        fields = [schema.SchemaDatasetFacetFields(str(name), kind) for name, kind in seen.schema]
        return {"schema": schema.SchemaDatasetFacet(fields, **self._by)}

    def _columns(self, seen: Seen, metrics: Any) -> dict[str, Any]:
        """The figures of columns; extremes are finite numbers in OpenLineage, of JSON."""
        made = {}
        for name, figures in seen.columns.items():
            facts = {"nullCount": figures.get("nulls"), "distinctCount": figures.get("distinct")}
            for kind in ("min", "max"):
                value = figures.get(kind)
                if type(value) is int or (isinstance(value, float) and math.isfinite(value)):
                    facts[kind] = value
            made[name] = metrics(**facts)
        return made


def _named(uri: str, namespace: str) -> tuple[str, str]:
    """Namespace and name of a dataset.

    >>> _named("abfss://lake@acme.dfs.core.windows.net/bronze/orders", "default")
    ('abfss://lake@acme.dfs.core.windows.net', 'bronze/orders')
    >>> _named("/data/orders", "default"), _named("main.sales.orders", "default")
    (('file', '/data/orders'), ('default', 'main.sales.orders'))
    """
    scheme, separator, rest = uri.partition("://")
    if separator:
        host, _, path = rest.partition("/")
        if host:
            return f"{scheme}://{host}", path or "/"
        return scheme, f"/{path}"
    return ("file", uri) if uri.startswith("/") else (namespace, uri)


def _described(error: BaseException) -> tuple[str, str]:
    scrub = by_name_and_form().scrub
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    text = f"{type(error).__name__}: {error}"
    return scrub(text[:_MOST_TEXT]), scrub("".join(lines)[-_MOST_TEXT:])


def _say(what: str, error: Exception) -> None:
    text = f"an event of lineage was not made ({what}): {type(error).__name__}: {error}"
    say(text, key="lineage event")


def _version() -> str:
    try:
        return version("laketrace")
    except PackageNotFoundError:
        return "unknown"
