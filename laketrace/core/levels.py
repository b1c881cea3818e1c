"""Severity levels: the seven everybody knows, and those that users register.

Floor 1. Stands on: errors.

A `Level` is a `str`, so that `record.level in ("ERROR", "CRITICAL")` reads as it should, and
knows its number. The table lives for the process: forked children have it, and registering
is safe from any thread because one dict assignment publishes a level.
"""

from __future__ import annotations

from laketrace.errors import ConfigError


class Level(str):
    """A level: its name as a `str`, its number as `.no` (and `.value`, as in 1.x).

    >>> Level("INFO", 20).no, Level("INFO", 20) == "INFO"
    (20, True)
    """

    __slots__ = ("no",)
    no: int

    def __new__(cls, name: str, no: int) -> Level:
        """A level; users register theirs with `add_level`."""
        level = super().__new__(cls, name)
        level.no = no
        return level

    @property
    def name(self) -> str:
        """The name as a plain `str`."""
        return str.__str__(self)

    @property
    def value(self) -> int:
        """The number; the name that 1.x gave it."""
        return self.no

    def __reduce__(self) -> tuple[type[Level], tuple[str, int]]:
        return Level, (self.name, self.no)


TRACE = Level("TRACE", 5)
DEBUG = Level("DEBUG", 10)
INFO = Level("INFO", 20)
SUCCESS = Level("SUCCESS", 25)
WARNING = Level("WARNING", 30)
ERROR = Level("ERROR", 40)
CRITICAL = Level("CRITICAL", 50)

_BUILT_IN = (TRACE, DEBUG, INFO, SUCCESS, WARNING, ERROR, CRITICAL)
_levels: dict[str, Level] = {level.name: level for level in _BUILT_IN}
_ALIASES = {"WARN": "WARNING", "FATAL": "CRITICAL", "NOTSET": "TRACE"}


def add_level(name: str, no: int) -> Level:
    """Register a level of your own, to be used as `log.log(name, ...)`.

    `name` is a word (letters, digits, `_`, `-`), kept in capitals; `no` is 1 to 99, where a
    higher number is more severe. Registering the same pair again is allowed.

    Raises `ConfigError` when the name or number is unusable, or the name is already taken
    with another number.

    >>> add_level("AUDIT", 35).no
    35
    """
    key = name.upper() if isinstance(name, str) else ""
    if not key or not key.replace("_", "").replace("-", "").isalnum():
        problem = "is not the name of a level. Use letters, digits, '_' and '-'."
        raise ConfigError([f"name={name!r}: {name!r} {problem}"])
    if isinstance(no, bool) or not isinstance(no, int) or not 1 <= no <= 99:
        raise ConfigError([f"no={no!r}: not the number of a level. Use 1 to 99; ERROR is 40."])
    if key in _ALIASES:
        taken = f"{key} already means {_ALIASES[key]}. Choose another name."
        raise ConfigError([f"name={name!r}: {taken}"])
    known = _levels.get(key)
    if known is not None and known.no != no:
        taken = f"{key} is already level {known.no}. Choose another name."
        raise ConfigError([f"name={name!r}: {taken}"])
    return known or _levels.setdefault(key, Level(key, no))


def is_foreign(level: Level) -> bool:
    """Whether another level is registered by this name: `logging` has levels of its own.

    >>> is_foreign(Level("TRACE", 8)), is_foreign(TRACE), is_foreign(Level("NOTICE", 25))
    (True, False, False)
    """
    known = _levels.get(level.name)
    return known is not None and known.no != level.no


def get_level(level: str | int) -> Level:
    """The level for a name (any case; also WARN, FATAL) or for a number.

    A number without a registered level gives an unnamed one, as in `logging`.

    Raises `ValueError` for an unknown name, with the names that exist.

    >>> get_level("warn"), get_level(30), get_level(33)
    ('WARNING', 'WARNING', 'Level 33')
    """
    if isinstance(level, Level):
        return level
    if isinstance(level, str):
        key = level.strip().upper()
        found = _levels.get(_ALIASES.get(key, key))
        if found is not None:
            return found
        names = ", ".join(sorted(_levels, key=lambda name: _levels[name].no))
        raise ValueError(f"{level!r} is not a level. Use one of {names}, or a number.")
    if isinstance(level, int) and not isinstance(level, bool) and 0 <= level <= 100:
        for known in _levels.values():
            if known.no == level:
                return known
        return Level(f"Level {level}", level)
    raise ValueError(f"{level!r} is not a level. Use a name like 'INFO' or a number from 0 to 100.")
