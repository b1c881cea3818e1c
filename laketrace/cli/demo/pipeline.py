"""A small real pipeline: bronze, silver, gold; what it meets is what it logs.

Floor 7. Stands on: cli.demo.inputs, core.logger.

bronze keeps each batch as it came and counts its nulls; silver divides the rows into good and bad
ones, and each bad row is a record; gold makes summaries. All tables are Parquet files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from laketrace.cli.demo.inputs import Batch, InputError, Recipe, Rule, name, quoted, quoted_path
from laketrace.core.logger import Logger

_MOST_ROWS = 20_000  # records about single rows, in each batch


class Pipeline:
    """One run of a recipe, with its tables below `directory`."""

    def __init__(self, duck: Any, recipe: Recipe, directory: str, log: Logger) -> None:
        self._duck = duck
        self._recipe = recipe
        self._directory = directory
        self._log = log

    def run(self, tell: Callable[[float, float], None]) -> int:
        """All stages; the number of rows. `tell` gets the number of steps done and in all.

        Raises `InputError` for data that cannot be loaded, or a disk that is full.
        """
        try:
            return self._stages(tell)
        except Exception as error:  # every error of DuckDB's, whatever the data is
            self._log.exception("pipeline failed")
            reason = str(error).partition("\n")[0]
            raise InputError(f"the pipeline failed: {reason}") from None

    def _stages(self, tell: Callable[[float, float], None]) -> int:
        batches = self._recipe.batches
        steps = 2 * len(batches) + 1
        rows = 0
        for number, batch in enumerate(batches):
            rows += self._bronze(batch, self._log.bind(stage="bronze", batch=batch.name))
            tell(number + 1, steps)
        for number, batch in enumerate(batches):
            self._silver(batch, self._log.bind(stage="silver", batch=batch.name))
            tell(len(batches) + number + 1, steps)
        self._gold(self._log.bind(stage="gold"))
        tell(steps, steps)
        return rows

    def _path(self, layer: str, table: str) -> str:
        folder = os.path.join(self._directory, layer)
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, f"{table}.parquet")

    def _write(self, select: str, layer: str, table: str) -> str:
        """Write rows; what stands behind FROM to read them again."""
        path = self._path(layer, table)
        self._duck.execute(f"copy ({select}) to {quoted(path)} (format parquet, compression zstd)")
        return f"read_parquet({quoted_path(path)})"

    def _bronze(self, batch: Batch, log: Logger) -> int:
        begin = time.perf_counter()
        source = self._write(f"select * from {batch.source}", "bronze", batch.name)
        columns = [str(row[0]) for row in self._duck.execute(f"describe from {source}").fetchall()]
        counts = ", ".join(f"count(*) - count({name(column)})" for column in columns)
        rows, *nulls = self._duck.execute(f"select count(*), {counts} from {source}").fetchone()
        lacking = {column: number for column, number in zip(columns, nulls, strict=True) if number}
        seconds = round(time.perf_counter() - begin, 3)
        log.info("batch loaded", rows=rows, columns=len(columns), nulls=lacking, seconds=seconds)
        return int(rows)

    def _silver(self, batch: Batch, log: Logger) -> None:
        begin = time.perf_counter()
        source = f"read_parquet({quoted_path(self._path('bronze', batch.name))})"
        self._duck.execute(f"create or replace temp view batch as from {source}")
        rules = self._recipe.rules(self._duck, "batch")
        bad = {rule.reason: self._quarantine(rule, log) for rule in rules}
        conditions = " or ".join(f"({rule.condition})" for rule in rules) or "false"
        good = self._write(f"from batch where not ({conditions})", "silver", batch.name)
        (rows,) = self._duck.execute(f"select count(*) from {good}").fetchone()
        seconds = round(time.perf_counter() - begin, 3)
        log.success("batch cleaned", rows=rows, quarantined=bad, seconds=seconds)

    def _quarantine(self, rule: Rule, log: Logger) -> int:
        """Log each bad row, and how many there are."""
        keys = ", ".join(map(name, self._recipe.keys))
        found = self._duck.execute(f"select {keys} from batch where {rule.condition}")
        number = 0
        while rows := found.fetchmany(1000):
            for row in rows:
                number += 1
                if number <= _MOST_ROWS:
                    values = dict(zip(self._recipe.keys, row, strict=True))
                    log.warning("row quarantined", reason=rule.reason, row=values)
        if number > _MOST_ROWS:
            log.warning("more rows quarantined", reason=rule.reason, rows=number - _MOST_ROWS)
        return number

    def _gold(self, log: Logger) -> None:
        paths = [quoted_path(self._path("silver", batch.name)) for batch in self._recipe.batches]
        source = f"read_parquet([{', '.join(paths)}])"
        self._duck.execute(f"create or replace temp view silver as from {source}")
        for summary in self._recipe.summaries(self._duck):
            source = self._write(summary.select, "gold", summary.name)
            rows = self._duck.execute(f"from {source}").fetchall()
            first = dict(zip(self._columns(source), rows[0], strict=True)) if rows else None
            log.success("table written", table=summary.name, rows=len(rows), first=first)

    def _columns(self, source: str) -> list[str]:
        return [str(row[0]) for row in self._duck.execute(f"describe from {source}").fetchall()]
