"""What a stage expects of its data, and what it found.

Floor 7. Stands on: errors, files.units, pipeline.figures.

An expectation is one or more checks against figures of the data that the stage observed. A figure
that could not be known is never guessed: the check then has no result, and where it was to stop the
stage (`on_fail="error"`) it stops it, since nobody knows that the data are right.
Nulls are left to `max_null_percent`: the other checks look at the values that are there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Hashable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from laketrace.errors import ConfigError, LakeTraceError
from laketrace.files.units import parse_duration
from laketrace.pipeline.figures import Figure, NotKnown, Offence, Own

_ON_FAIL = ("warn", "error")
_OF_A_COLUMN = ("max_null_percent", "min", "max", "in_set", "matches", "unique", "max_age")
_COUNTS = ("min_rows", "max_rows")
_OF_THE_ROWS = (*_COUNTS, "max_change_percent", "expression")
_MOST_SAMPLE = 20
_LONGEST_LIMIT = 200  # characters of a limit in a message


class ExpectationFailed(LakeTraceError, ValueError):
    """A stage's data are not what its expectations with `on_fail="error"` say.

    `failures` has one line for each of them that failed, all those of the stage.

    >>> print(ExpectationFailed("bronze", ["id is never null: ..."]))
    1 expectation of stage bronze failed:
      - id is never null: ...
    """

    def __init__(self, stage: str, failures: Collection[str]) -> None:
        self.stage = stage
        self.failures = tuple(failures)
        count = len(self.failures)
        heading = f"{count} expectation{'s' * (count != 1)} of stage {stage} failed:"
        super().__init__("\n  - ".join([heading, *self.failures]))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.stage, self.failures)


class Source(Protocol):
    """Observed data: where the figures of a name come from."""

    name: str
    basis: str

    @property
    def schema(self) -> list[tuple[str, str | None]]:
        """The columns, with their types where they are known."""

    def figure(self, figure: Figure) -> Any:
        """The value of a figure; raises `NotKnown` with the reason."""


class Result(NamedTuple):
    """What came of one check: `passed` is None where it could not be made, for `reason`.

    That is no failure where there was nothing to compare with yet (`first`).
    """

    rule: str
    limit: Any
    observed: Any
    passed: bool | None
    reason: str | None = None
    first: bool = False


class Expectation(NamedTuple):
    """What somebody expects, as checked settings: `rules` are names of checks with their limits.

    `name` is the data that it is about; None while none was observed.
    """

    description: str
    column: str | None
    rules: tuple[tuple[str, Any], ...]
    on_fail: str
    name: str | None = None
    sample: int = 0
    second_pass: bool = False

    def figures(self) -> list[Figure]:
        """The figures that the checks need."""
        needed = [figure for rule in self.rules for figure in _needs(*rule, self.column)]
        if self.sample:
            needed += [item for rule in self.rules for item in self._offenders(*rule)]
        return needed

    def _offenders(self, rule: str, limit: Any) -> list[Figure]:
        offence = _OFFENCES.get(rule)
        if offence is None:
            return []
        return [Figure("sample", self.column, Offence(offence, limit, self.sample))]

    def check(self, source: Source, before: int | None) -> list[Result]:
        """Make the checks, each for itself; `before` is the row count of the last good run."""
        return [_check(source, rule, limit, self.column, before) for rule, limit in self.rules]

    def offenders(self, source: Source, result: Result) -> Any:
        """Some rows that offend, if they were asked for and are known."""
        limit = dict(self.rules)[result.rule]
        for figure in self._offenders(result.rule, limit) if self.sample else ():
            try:
                return source.figure(figure)
            except NotKnown:
                return None
        return None

    def failure(self, result: Result, source: str | None) -> str:
        """One line: what was expected of what, and what was found."""
        where = source or "data"
        if self.column is not None and result.rule not in _OF_THE_ROWS:
            where = f"{where}.{self.column}"
        limit = f"{result.rule}={result.limit!r}"[:_LONGEST_LIMIT]
        if result.passed is None:
            return f"{self.description}: {where}: {limit} could not be checked: {result.reason}."
        return f"{self.description}: {where}: {limit}, but {_found(result)}."


_OFFENCES = {
    "max_null_percent": "nulls",
    "min": "below",
    "max": "above",
    "in_set": "outside",
    "matches": "unmatched",
    "unique": "repeated",
    "expression": "broken",
}  # which rows offend against a rule


def expectation(
    description: str,
    column: str | None,
    on_fail: str,
    rules: Mapping[str, Any],
    sample: int = 0,
) -> Expectation:
    """An expectation from its settings; those that are None are left out.

    Raises `ConfigError` with all that is wrong.

    >>> expectation("id is there", "id", "warn", {"max_null_percent": 0, "min": None}).rules
    (('max_null_percent', 0),)
    """
    given = {rule: limit for rule, limit in rules.items() if limit is not None}
    if given.get("unique") is False:
        del given["unique"]
    problems = []
    if on_fail not in _ON_FAIL:
        problems.append(f"on_fail={on_fail!r}: no such way. Use 'warn' or 'error'.")
    if not isinstance(sample, int) or isinstance(sample, bool) or not 0 <= sample <= _MOST_SAMPLE:
        problems.append(f"sample={sample!r}: it is a number of rows, 0 to {_MOST_SAMPLE}.")
    if not given:
        names = ", ".join((*_OF_A_COLUMN, *_OF_THE_ROWS))
        problems.append(f"expect({description!r}): nothing is expected. Give one of {names}.")
    if column is None:
        problems += [
            f"{rule}={given[rule]!r}: it is about a column. Add column='...'."
            for rule in _OF_A_COLUMN
            if rule in given
        ]
    problems += [text for rule, limit in given.items() if (text := _wrong(rule, limit))]
    if problems:
        raise ConfigError(problems)
    if "in_set" in given:
        given["in_set"] = tuple(given["in_set"])
    if "expression" in given:
        given["expression"] = Own(given["expression"])
    if "max_age" in given:
        given["max_age"] = parse_duration(given["max_age"]).total_seconds()
    return Expectation(str(description), column, tuple(given.items()), on_fail, sample=sample)


def _wrong(rule: str, limit: Any) -> str | None:
    """What is wrong with the limit of a check, if anything."""
    said = f"{rule}={limit!r}: "
    number = isinstance(limit, (int, float)) and not isinstance(limit, bool)
    if rule == "max_null_percent" and not (number and 0 <= limit <= 100):
        return said + "a share is a number of percent from 0 to 100. Use e.g. max_null_percent=0.5."
    if rule == "max_change_percent" and not (number and limit >= 0):
        return said + "a change is a number of percent, at least 0. Use e.g. max_change_percent=50."
    if rule == "max_age":
        try:
            parse_duration(limit)
        except ValueError as error:
            return said + str(error)
    if rule in _COUNTS and not (number and limit >= 0 and limit == int(limit)):
        return said + f"a count of rows is a whole number, at least 0. Use e.g. {rule}=1."
    if rule == "in_set" and (isinstance(limit, (str, bytes)) or not isinstance(limit, Collection)):
        return said + "it is a collection of values. Use e.g. in_set=['EUR', 'USD']."
    if rule == "in_set" and (not limit or any(value is None for value in limit)):
        return said + "values are neither nothing nor null. Nulls: max_null_percent=..."
    if rule == "in_set" and not all(isinstance(value, Hashable) for value in limit):
        return said + "values are texts, numbers, dates. Use e.g. in_set=['EUR', 'USD']."
    if rule == "unique" and limit is not True:
        return said + "it is on or off. Use unique=True."
    if rule == "matches":
        try:
            re.compile(limit)
        except (re.error, TypeError) as error:
            return said + f"no regular expression ({error}). Use e.g. matches='[A-Z]{{3}}'."
    return None


def _needs(rule: str, limit: Any, column: str | None) -> list[Figure]:
    """The figures behind a check, the observed one last."""
    rows = Figure("rows")
    if rule in _COUNTS or rule == "max_change_percent":
        return [rows]
    if rule == "expression":
        return [Figure("broken", None, limit)]
    if rule == "max_age":
        return [Figure("newest", column)]
    if rule == "max_null_percent":
        return [rows, Figure("nulls", column)]
    if rule == "unique":
        return [Figure("repeated", column)]
    if rule == "in_set":
        return [Figure("outside", column, limit)]
    if rule == "matches":
        return [Figure("unmatched", column, limit)]
    return [Figure(rule, column)]


def _check(source: Source, rule: str, limit: Any, column: str | None, before: int | None) -> Result:
    try:
        values = [source.figure(figure) for figure in _needs(rule, limit, column)]
    except NotKnown as why:
        return Result(rule, _said(limit), None, None, str(why))
    observed = values[-1]
    if rule == "max_null_percent":
        rows, nulls = values
        return Result(rule, limit, percent(nulls, rows), nulls * 100 <= limit * rows)
    if rule == "max_change_percent":
        return _changed(limit, observed, before)
    if rule in ("in_set", "matches", "unique", "expression"):
        return Result(rule, _said(limit), observed, observed == 0)
    if observed is None:  # no value at all, so none that is too low or too high
        if rule == "max_age":
            return Result(rule, limit, None, None, "there is no time whose age could be told")
        return Result(rule, limit, None, True)
    if rule == "max_age":
        age = round(time.time() - observed, 3)
        return Result(rule, limit, age, age <= limit)
    try:
        least, most = _comparable(limit, observed)
        passed = least <= most if rule.startswith("min") else least >= most
    except TypeError as error:
        return Result(rule, limit, observed, None, str(error))
    return Result(rule, limit, observed, bool(passed))


def _said(limit: Any) -> Any:
    return str(limit) if isinstance(limit, Own) else limit


def _changed(limit: float, rows: int, before: int | None) -> Result:
    """By how much the row count differs from that of the last good run of the same name."""
    rule = "max_change_percent"
    if before is None:
        why = "no earlier good run of this name is known beside this log"
        return Result(rule, limit, None, None, why, first=True)
    if before == 0:
        passed = None if rows else True
        return Result(rule, limit, None, passed, f"the last run had no rows, this one has {rows}")
    change = 100.0 * (rows - before) / before
    return Result(rule, limit, change, abs(change) <= limit)


def _comparable(limit: Any, observed: Any) -> tuple[Any, Any]:
    """Limit and value, times in the same way: one without a time zone is in the local one."""
    both = (limit, observed)
    if (
        all(isinstance(each, datetime) for each in both)
        and len({e.tzinfo is None for e in both}) > 1
    ):
        return limit.astimezone(), observed.astimezone()
    return both


def percent(part: int, whole: int) -> float | None:
    """A share from 0 to 100; None of nothing. It is 0 or 100 only where that is the whole truth.

    >>> percent(1, 4), percent(0, 0)
    (25.0, None)
    """
    return 100.0 * part / whole if whole else None


def _found(result: Result) -> str:
    if result.rule == "max_null_percent":
        return f"{result.observed:.6g} % are null"
    if result.rule == "max_change_percent":
        return f"the rows changed by {result.observed:+.6g} %"
    if result.rule == "max_age":
        return f"the newest is {result.observed:.0f} s old"
    if result.rule == "expression":
        return f"{result.observed} rows do not"
    if result.rule in _COUNTS:
        return f"there are {result.observed} rows"
    if result.rule == "unique":
        return f"{result.observed} values are repetitions"
    if result.rule in ("in_set", "matches"):
        return f"{result.observed} values do not"
    return f"the {'lowest' if result.rule == 'min' else 'highest'} is {result.observed!r}"
