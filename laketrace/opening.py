"""Log files are opened where the settings want them, or in the spool where that place refuses.

Floor 5. Stands on: config, core.engine, core.handler, core.notice, core.queue, files.place,
files.recovery, files.sink, forms, runtime.

Nothing here raises: a file that cannot be opened anywhere is a sink that counts each record as
failed. Threads: the registry in `setup` lets one at a time build.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from laketrace.config import LakeTraceConfig
from laketrace.core.engine import Engine
from laketrace.core.handler import TextSink
from laketrace.core.notice import say
from laketrace.core.queue import LineSink
from laketrace.files.place import Place, spool, why_not
from laketrace.files.recovery import Finding
from laketrace.files.sink import FileSink
from laketrace.forms import form_of
from laketrace.runtime import local_disk


class Files:
    """What opens the log files of one logger."""

    def __init__(
        self,
        name: str,
        engine: Engine,
        clock: Callable[[], int],
        on_finding: Callable[[Finding], None],
    ) -> None:
        self._name = name
        self._engine = engine
        self._clock = clock
        self._on_finding = on_finding

    def place(self, config: LakeTraceConfig, log_dir: str, refused: str = "") -> Place:
        """Where the files for `log_dir` lie; in the spool, and that said, where it has to be."""
        refused = refused or why_not(log_dir)
        if not refused:
            return Place(os.path.abspath(log_dir), None, "")
        # Asked now only: the directory for temporary files is found by a module that loads others.
        root = config.checked("spool_dir") or os.path.join(local_disk(), "laketrace_spool")
        place = spool(log_dir, root, refused)
        say(
            f"log files for {place.target} are kept in {place.directory}: {place.reason}",
            key=f"spool {place.directory}",
        )
        return place

    def open(
        self, config: LakeTraceConfig, place: Place, stem: str, own: bool, earlier: FileSink | None
    ) -> tuple[Place, LineSink]:
        """Open a log file, the own one or another, in the spool where its place refuses it.

        Where that fails too, a sink that counts each record as failed.
        """
        try:
            return place, self._open(config, place, stem, own, earlier)
        except OSError as error:
            refused = f"{stem}.log: {error.strerror or error}"
        if not place.spooled:
            place = self.place(config, place.directory, refused)
            try:
                return place, self._open(config, place, stem, own, earlier)
            except OSError as error:
                refused = f"{stem}.log: {error.strerror or error}"
        return place, TextSink(os.path.join(place.directory, f"{stem}.log"), _refuser(refused))

    def _open(
        self, config: LakeTraceConfig, place: Place, stem: str, own: bool, earlier: FileSink | None
    ) -> FileSink:
        return FileSink(
            place.directory,
            stem,
            logger_name=self._name,
            rotation=config.checked("rotation"),
            retention=config.checked("retention"),
            compression=config.checked("compression"),
            private=config.checked("secure_file_permissions"),
            shipped=own and (place.spooled or ships(config)),  # the others hold the same records
            clock=self._clock,
            make_line=self._line_maker(config),
            on_finding=self._on_finding,
            predecessor=earlier,
        )

    def _line_maker(self, config: LakeTraceConfig) -> Callable[[str, dict[str, Any]], bytes]:
        form = form_of(config, self._engine.encoder)

        def make(message: str, fields: dict[str, Any]) -> bytes:
            return self._engine.make_line(message, fields, form)

        return make


def ships(config: LakeTraceConfig) -> bool:
    """Whether the settings name a destination of uploads."""
    return bool(config["upload_target"] or config["upload_table"])


def _refuser(reason: str) -> Callable[[str], object]:
    """A write that always fails: what stands in for a file that could not be opened."""

    def refuse(text: str) -> object:
        raise OSError(reason)

    return refuse
