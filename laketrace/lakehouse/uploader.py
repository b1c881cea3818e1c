"""One upload of a directory: from lock to report, in the order that `lakehouse.steps` gives.

Floor 7. Stands on: errors, files.segment, lakehouse.copies, lakehouse.ledger, lakehouse.manifest,
lakehouse.options, lakehouse.recovery, lakehouse.report, lakehouse.reserve, lakehouse.retry,
lakehouse.source, lakehouse.steps, lakehouse.stream, lakehouse.tables, lakehouse.targets.

Once the order is checked nothing raises: what is wrong with a segment or a stream is a failure in
the report, it stays where it is, and the next one is tried; what is wrong with a destination ends
the work for that destination. Memory is bounded, whatever the size of the segments. Threads: any;
two uploads of one directory take turns, in one process and between processes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from typing import NamedTuple

from laketrace.errors import MissingExtraError
from laketrace.files.segment import ARCHIVES, Segment
from laketrace.lakehouse.copies import Copier, SegmentError
from laketrace.lakehouse.ledger import Ledger, flush_names, upload_lock
from laketrace.lakehouse.manifest import write_manifests
from laketrace.lakehouse.options import Options, reason_of
from laketrace.lakehouse.recovery import finish_dead
from laketrace.lakehouse.report import Failure, UploadReport
from laketrace.lakehouse.reserve import SEGMENTS, fill
from laketrace.lakehouse.retry import Deadline, Retry
from laketrace.lakehouse.source import SegmentGone, present
from laketrace.lakehouse.steps import step
from laketrace.lakehouse.stream import Stream, find_streams
from laketrace.lakehouse.tables import Table, open_table
from laketrace.lakehouse.targets import Target, open_target

_COPIES = (
    "it holds copies that an upload has made, and here they would get other names. "
    "Upload the directory that they come from, or load their target with laketrace.spark.load."
)


class Figures:
    """The figures of a report in the making."""

    def __init__(self) -> None:
        self.segments = 0
        self.records = 0
        self.bytes = 0
        self.skipped = 0
        self.waiting = 0
        self.failed: list[Failure] = []


def run_upload(
    log_dir: str,
    options: Options,
    stems: Collection[str] | None = None,
    deadline: Deadline | None = None,
) -> UploadReport:
    """Upload what is finished in `log_dir`, of all stems or of some, until `deadline`.

    By default that is `options.timeout` from now. It includes waiting for another upload of the
    same directory to end. Raises nothing but `MissingExtraError`.
    """
    begin = time.monotonic()
    deadline = deadline or Deadline(options.timeout)
    figures = Figures()
    try:
        with upload_lock(log_dir, deadline) as held:
            if held:
                _Upload(log_dir, options, stems, deadline, figures).run()
            else:
                reason = "another upload of this directory is at work"
                figures.failed.append(Failure(log_dir, reason))
    except MissingExtraError:
        raise
    except Exception as error:
        figures.failed.append(Failure(log_dir, reason_of(error, options.store)))
    return UploadReport(
        figures.segments, figures.records, figures.bytes, time.monotonic() - begin, figures.skipped,
        figures.waiting, tuple(figures.failed),
        options.target.shown if options.target else None,
        options.table.shown if options.table else None,
    )  # fmt: skip


class _Job(NamedTuple):
    """A stream, its ledger, and those of its segments that some destination lacks."""

    stream: Stream
    ledger: Ledger
    open: list[Segment]


class _Upload:
    """The work of one upload, under the directory's lock."""

    def __init__(
        self,
        log_dir: str,
        options: Options,
        stems: Collection[str] | None,
        deadline: Deadline,
        figures: Figures,
    ) -> None:
        self._log_dir = log_dir
        self._options = options
        self._stems = stems
        self._figures = figures
        self._deadline = deadline
        self._retry = Retry(options.retries, deadline)
        self._target: Target | None = None
        self._table: Table | None = None

    def run(self) -> None:
        """Do everything; failures end up in the figures."""
        step("locked")
        for path, fault in finish_dead(self._log_dir, self._stems):
            self._fail(path, fault)
        step("recovered")
        jobs = self._list()
        if any(job.open for job in jobs) and not fill(self._log_dir):
            jobs = self._first_of(jobs)
        step("listed")
        if any(job.open for job in jobs):
            self._connect()
            flush_names(self._log_dir, {job.stream.stem for job in jobs if job.open})
        for job in jobs:
            if job.open:
                self._bring(job)
            self._settle(job)
        for ledger in {job.stream.stem: job.ledger for job in jobs}.values():
            ledger.tidy()

    def _list(self) -> list[_Job]:
        found = find_streams(self._log_dir, self._stems)
        self._figures.waiting = found.waiting
        if found.copies:
            self._figures.failed.append(Failure(self._log_dir, _COPIES))
        ledgers: dict[str, Ledger] = {}
        jobs = []
        for stream in found.streams:
            ledger = ledgers.setdefault(stream.stem, Ledger(self._log_dir, stream.stem))
            open_ = [item for item in stream.segments if not self._is_sent(ledger, item)]
            self._figures.skipped += len(stream.segments) - len(open_)
            jobs.append(_Job(stream, ledger, open_))
        return jobs

    def _first_of(self, jobs: list[_Job]) -> list[_Job]:
        """On a full disk: as much as there is room left to note."""
        left = SEGMENTS
        first = []
        for job in jobs:
            first.append(job._replace(open=job.open[:left]))
            left -= len(first[-1].open)
        more = sum(len(job.open) for job in jobs) - (SEGMENTS - left)
        if more:
            reason = f"its disk is full, so {more} segments are left for the next upload"
            self._figures.failed.append(Failure(self._log_dir, reason))
        return first

    def _is_sent(self, ledger: Ledger, segment: Segment) -> bool:
        return all(ledger.is_sent(segment.base, place) for place in self._options.destinations)

    def _connect(self) -> None:
        """Open the destinations; one that cannot be opened is out for this upload."""
        order = self._options
        limit = self._deadline.limit(order.request_timeout)
        if order.target is not None:
            try:
                self._target = open_target(order.target, order.store, limit)
            except MissingExtraError:
                raise
            except Exception as error:
                self._fail(order.target.shown, error)
        if order.table is not None:
            try:
                self._table = open_table(order.table, order.store, order.request_timeout)
            except MissingExtraError:
                raise
            except Exception as error:
                self._fail(order.table.shown, error)

    def _fail(self, what: str, error: Exception) -> None:
        self._figures.failed.append(Failure(what, reason_of(error, self._options.store)))

    def _bring(self, job: _Job) -> None:
        news = _News(job)
        if self._target is not None and self._options.target is not None:
            try:
                self._copy(job, self._target, news)
            except Exception as error:
                self._fail(self._options.target.shown, error)
                self._target = None
        if self._table is not None and self._options.table is not None:
            try:
                self._load(job, self._table, news)
            except SegmentGone as error:
                self._fail(job.stream.id, error)
            except Exception as error:
                self._fail(self._options.table.shown, error)
                self._table = None
        self._count(job, news)

    def _copy(self, job: _Job, target: Target, news: _News) -> None:
        """Bring the copies of a stream to the target, then name them in its manifests."""
        ledger, order = job.ledger, self._options
        copier = Copier(target, ledger, job.stream, self._retry)
        for segment in job.open:
            if ledger.is_sent(segment.base, order.target_id):
                continue
            try:
                if copier.copy(segment):
                    news.brought.add(segment.base)
            except (SegmentError, SegmentGone) as error:
                self._fail(segment.base, error)
                continue
            ledger.sent(segment.base, order.target_id)
            step("copied")
        new = [
            (segment.base, plan)
            for segment in job.open
            if ledger.is_sent(segment.base, order.target_id)
            and not ledger.is_sent(segment.base, order.manifest_id)
            and (plan := ledger.plan(segment.base)) is not None
        ]
        plans = [plan for _, plan in new]
        self._retry.run(lambda: write_manifests(target, job.stream, plans))
        step("manifested")
        for base, _ in new:
            ledger.sent(base, order.manifest_id)
        step("recorded")

    def _load(self, job: _Job, table: Table, news: _News) -> None:
        """Bring the rows of a stream to the table."""
        place = self._options.table_id
        lacking = [item for item in job.open if not job.ledger.is_sent(item.base, place)]
        if not lacking:
            return

        def confirm(segment: Segment, rows: int) -> None:
            if rows:
                news.brought.add(segment.base)
                news.rows[segment.base] = rows
            job.ledger.sent(segment.base, place)
            step("confirmed")

        table.load(job.stream._replace(segments=tuple(lacking)), self._retry, confirm)

    def _count(self, job: _Job, news: _News) -> None:
        """Count the segments that are everywhere now."""
        for segment in job.open:
            if not self._is_sent(job.ledger, segment):
                continue
            if segment.base not in news.brought:
                self._figures.skipped += 1
                continue
            plan = job.ledger.plan(segment.base)
            self._figures.segments += 1
            self._figures.records += plan.records if plan else news.rows.get(segment.base, 0)
            self._figures.bytes += news.sizes[segment.base]

    def _settle(self, job: _Job) -> None:
        """Note what is confirmed everywhere, and remove it where that is wanted."""
        bases = [segment.base for segment in job.stream.segments]
        complete = set(job.ledger.settle(bases, self._options.destinations))
        step("done")
        if self._options.delete_after:
            for segment in job.stream.segments:
                if segment.base in complete:
                    _delete(segment)
                    step("deleted")


class _News:
    """What this upload did for a stream."""

    def __init__(self, job: _Job) -> None:
        self.brought: set[str] = set()
        self.rows: dict[str, int] = {}
        self.sizes = {segment.base: _size(segment) for segment in job.open}


def _size(segment: Segment) -> int:
    """Bytes on disk now, also as the archive that it has become; 0 when it is gone."""
    try:
        return present(segment).size
    except SegmentGone:
        return 0


def _delete(segment: Segment) -> None:
    """Remove a segment in whatever form it has now."""
    plain = segment.path.removesuffix(segment.suffix)
    for suffix in ("", *ARCHIVES):
        try:
            os.unlink(plain + suffix)
        except FileNotFoundError:
            pass
