"""Any value becomes valid JSON text, and costs at most itself."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import decimal
import enum
import importlib
import itertools
import json
import pathlib
import re
import uuid
from collections import OrderedDict, UserDict, deque, namedtuple
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laketrace import get_logger
from laketrace.core.encode import MAX_DEPTH, Encoder, quote, to_json
from laketrace.core.redact import Redactor
from laketrace.core.values import as_text


def strict(text: str) -> Any:
    """Parse as RFC 8259 has it: no NaN, no lone surrogate, no doubled key, valid UTF-8."""

    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is no JSON")

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in items}) == len(items), "a key stands twice"
        return dict(items)

    parsed = json.loads(text.encode("utf-8"), parse_constant=refuse, object_pairs_hook=pairs)
    json.dumps(parsed, ensure_ascii=False).encode("utf-8")
    return parsed


class Colour(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Word(str, enum.Enum):
    YES = "yes"


@dataclasses.dataclass
class Order:
    id: int
    tags: set[str]


Point = namedtuple("Point", "x y")


class Row(tuple):
    """What PySpark's Row is: a tuple with `__fields__`."""

    __fields__ = ("id", "name")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2**63, 2**63),
        (2**64, "18446744073709551616"),
        (-(2**63) - 1, "-9223372036854775809"),
        (1.5, 1.5),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (decimal.Decimal("1.20"), "1.20"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (pathlib.PurePosixPath("/tmp/x"), "/tmp/x"),
        (3 + 2j, "(3+2j)"),
        (dt.date(2026, 11, 21), "2026-11-21"),
        (dt.time(10, 30), "10:30:00"),
        (dt.datetime(2026, 11, 21, tzinfo=dt.timezone.utc), "2026-11-21T00:00:00+00:00"),
        (dt.timedelta(minutes=1.5), 90.0),
        (b"caf\xc3\xa9", "café"),
        (b"\xff", "\\xff"),
        (bytearray(b"x"), "x"),
        (Colour.RED, "red"),
        (Number.ONE, 1),
        (Word.YES, "yes"),
        ({1}, [1]),
        (frozenset({1}), [1]),
        ((1, 2), [1, 2]),
        (deque([1]), [1]),
        (range(3), "range(0, 3)"),
        (Point(1, 2), {"x": 1, "y": 2}),
        (Row((7, "a")), {"id": 7, "name": "a"}),
        (Order(1, {"a"}), {"id": 1, "tags": ["a"]}),
        (OrderedDict(a=1), {"a": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        ({1: "x", "1": "y"}, {"1": "x", "1_2": "y"}),
        ({None: 1, (1, 2): 2}, {"None": 1, "(1, 2)": 2}),
        (ValueError("x"), "ValueError('x')"),
        ("\ud800", "\\ud800"),
    ],
)
def test_every_value_has_its_form(value: object, expected: object) -> None:
    """What JSON does not know has the form that the documentation promises."""
    assert strict(to_json(value)) == expected


class Hostile:
    """Every special method that an encoder might touch raises."""

    def _raise(self, *args: object) -> Any:
        raise RuntimeError("no")

    __repr__ = __str__ = __hash__ = __len__ = __iter__ = __eq__ = __bool__ = _raise


class HostileList(list):  # type: ignore[type-arg]
    __iter__ = __len__ = __repr__ = Hostile._raise


class HostileDict(dict):  # type: ignore[type-arg]
    items = keys = __iter__ = __len__ = __repr__ = Hostile._raise


class HostileText(str):
    __str__ = __repr__ = __len__ = Hostile._raise


class HostileKey:
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: Hostile(), "<unprintable Hostile: RuntimeError>"),
        (lambda: [1, Hostile()], [1, "<unprintable Hostile: RuntimeError>"]),
        (lambda: HostileList([1]), [1]),
        (lambda: HostileDict(a=1), {"a": 1}),
        (lambda: HostileText("x"), "x"),
        (lambda: {HostileKey(): 1}, {"<unprintable HostileKey: RuntimeError>": 1}),
    ],
)
def test_a_hostile_object_costs_at_most_its_own_value(
    make: Callable[[], object], expected: object
) -> None:
    """Special methods that raise end in a short marker, or are not called at all."""
    assert strict(to_json(make())) == expected


def test_a_cycle_ends_in_a_marker() -> None:
    """A structure that contains itself is shown up to the point where it closes."""
    cycle: dict[str, Any] = {"name": "a"}
    cycle["self"] = [cycle]

    assert strict(to_json(cycle)) == {"name": "a", "self": ["<cycle>"]}


def test_the_same_object_twice_is_no_cycle() -> None:
    """Only an object inside itself is a cycle; beside itself it is shown twice."""
    shared = [1]

    assert strict(to_json([shared, shared])) == [[1], [1]]


def test_deep_nesting_ends_in_a_marker() -> None:
    """Two thousand levels are shown to a depth that no reader chokes on."""
    deep: list[Any] = []
    for _ in range(2000):
        deep = [deep]

    text = to_json(deep)

    assert f"nested deeper than {MAX_DEPTH} levels" in text
    strict(text)


def test_a_huge_integer_is_shown_without_quadratic_work() -> None:
    """Digits beyond what CPython converts come as hexadecimal."""
    assert strict(to_json(10**5000)) == hex(10**5000)


def test_a_long_container_says_how_much_is_missing() -> None:
    """More than 100,000 items are counted, not written."""
    items = strict(to_json(list(range(100_003))))

    assert items[-1] == "<3 more>"


def nested_twice(levels: int) -> list[Any]:
    """A list of two times the same list, which is two times the same list, and so on."""
    value: list[Any] = ["leaf"]
    for _ in range(levels):
        value = [value, value]
    return value


@dataclasses.dataclass
class Pair:
    left: Any
    right: Any


def test_what_stands_in_a_value_many_times_takes_linear_time() -> None:
    """Forty lists that unfold to 10**12 items are encoded, and copied, once for each depth."""
    pair: Any = Pair(1, 2)
    for _ in range(40):
        pair = Pair(pair, pair)
    everybody: list[dict[str, Any]] = [{} for _ in range(30)]
    for one in everybody:
        one["others"] = [other for other in everybody if other is not one]

    for value in (nested_twice(40), pair, everybody, ["long" * 250_000] * 50_000):
        text = to_json(value)
        assert len(text) < 40 << 20
        strict(text)
    copy = Redactor().redacted(nested_twice(40))

    assert copy[0] is copy[1]
    assert strict(to_json(nested_twice(5))) == nested_twice(5)


class Alike:
    """A key whose text is that of every other one."""

    def __str__(self) -> str:
        return "key"


@pytest.mark.parametrize("redactor", [None, Redactor(pii=True)], ids=["plain", "mask_pii"])
def test_many_keys_with_one_text_take_linear_time(redactor: Redactor | None) -> None:
    """50,000 keys that look alike, as e-mail addresses do when they are masked, all stay."""
    keys: Any = [f"u{number}@example.com" for number in range(50_000)]
    if redactor is None:
        keys = [Alike() for _ in range(50_000)]
    counts = dict.fromkeys(keys, 1)
    if redactor is not None:
        counts = redactor.redacted(counts)

    names = list(strict(to_json(counts, redactor)))

    assert len(names) == 50_000 and names[-1].endswith("_50000")


class Headers(Mapping[str, str]):
    """A mapping that is no dict, as HTTP libraries have for headers."""

    def __init__(self, **items: str) -> None:
        self._items = items

    def __getitem__(self, key: str) -> str:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"Headers({self._items})"


class Endless(Headers):
    def __iter__(self) -> Iterator[Any]:
        return itertools.count()

    def __getitem__(self, key: str) -> str:
        return "x"


def test_a_mapping_that_is_no_dict_has_members_and_keeps_its_secrets() -> None:
    """Headers, `os.environ` and the like are objects, in which names of secrets count."""
    value = {"sent": Headers(Authorization="hunter2", Accept="*/*"), "env": UserDict(TOKEN="t")}

    assert strict(to_json(value, Redactor())) == {
        "sent": {"Authorization": "[REDACTED]", "Accept": "*/*"},
        "env": {"TOKEN": "[REDACTED]"},
    }
    assert Redactor().redacted(value) == strict(to_json(value, Redactor()))


def test_a_mapping_without_an_end_is_cut() -> None:
    """A user's mapping is asked for as many items as are written, and no more."""
    assert list(strict(to_json(Endless())))[-1] == "<more>"
    assert list(strict(to_json(Redactor().redacted(Endless()))))[-1] == "<more>"


def test_a_frame_of_spark_is_not_evaluated() -> None:
    """Its `repr` would ask a server, or run a job: as a field and as a message it is a marker."""

    def fail(self: object) -> str:
        raise AssertionError("evaluated")

    spark = "pyspark.sql.connect.dataframe"
    frame = type("DataFrame", (), {"__module__": spark, "__repr__": fail, "__str__": fail})
    series = type("IndexOpsMixin", (), {"__module__": "pyspark.pandas.base"})
    names = {"__module__": "pyspark.pandas.series", "__repr__": fail, "__str__": fail}
    of_pandas = type("Series", (series,), names)

    assert strict(to_json([frame()])) == [f"<{spark}.DataFrame: not evaluated>"]
    assert as_text(frame()) == f"<{spark}.DataFrame: not evaluated>"
    assert as_text(of_pandas()) == "<pyspark.pandas.series.Series: not evaluated>"


@pytest.mark.extra("pyspark", "pandas")
def test_the_frames_of_spark_are_known_by_their_real_classes() -> None:
    """Spark SQL's and those of pandas on Spark; without a session, so that asking would fail."""
    from pyspark.sql.dataframe import DataFrame

    kinds = [DataFrame, *DataFrame.__subclasses__()]
    for name in ("pyspark.pandas.frame.DataFrame", "pyspark.pandas.series.Series"):
        module, _, kind = name.rpartition(".")
        with contextlib.suppress(ImportError, RuntimeError):  # pandas is too old or too new for it
            kinds.append(getattr(importlib.import_module(module), kind))

    for kind in kinds:
        assert strict(to_json(object.__new__(kind))).endswith(f".{kind.__name__}: not evaluated>")


def test_a_repr_that_logs_itself_ends() -> None:
    """A `__repr__` that encodes its own object again and again is stopped by a marker."""

    class Loop:
        def __repr__(self) -> str:
            return to_json(Loop())

    assert "its repr logs itself" in to_json(Loop())


@pytest.mark.extra("numpy", "pandas")
def test_numpy_and_pandas_scalars_have_their_values() -> None:
    """Scalars of the two libraries are what they stand for."""
    import numpy
    import pandas

    values = {
        "int": numpy.int64(3),
        "float": numpy.float32(0.5),
        "nan": numpy.float64("nan"),
        "bool": numpy.bool_(True),
        "text": numpy.str_("x"),
        "when": pandas.Timestamp("2026-11-21", tz="UTC"),
        "NaT": pandas.NaT,
        "NA": pandas.NA,
        "span": pandas.Timedelta("90s"),
        "span64": numpy.timedelta64(1500, "ms"),
        "no span": numpy.timedelta64("NaT"),
        "when64": numpy.datetime64("2026-11-21"),
        "array": numpy.array([1, 2]),
    }

    assert strict(to_json(values)) == {
        "int": 3,
        "float": 0.5,
        "nan": "NaN",
        "bool": True,
        "text": "x",
        "when": "2026-11-21T00:00:00+00:00",
        "NaT": None,
        "NA": None,
        "span": 90.0,
        "span64": 1.5,
        "no span": "NaT",
        "when64": "2026-11-21",
        "array": [1, 2],
    }


@pytest.mark.parametrize(
    ("message", "expected"),
    [("x", "x"), (None, "None"), (3, "3"), (b"\xffx", "\\xffx"), (MappingProxyType({}), "{}")],
)
def test_anything_can_be_a_message(message: object, expected: str) -> None:
    """A message is text; what is none is shown as one."""
    assert as_text(message) == expected


any_text = st.text(st.characters(codec=None, exclude_categories=()), max_size=40)
any_value = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | any_text
    | st.binary(max_size=20)
    | st.datetimes()
    | st.timedeltas()
    | st.decimals()
    | st.uuids()
    | st.complex_numbers(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(any_text | st.integers() | st.booleans(), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(any_value)
def test_whatever_the_value_the_text_is_one_line_of_strict_json(value: object) -> None:
    """The text parses strictly; no control, line separator, surrogate or reversed text is raw."""
    text = to_json(value)

    strict(text)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", text)
    assert len(text.splitlines()) == 1


@given(any_text)
def test_a_text_comes_back_as_it_was(text: str) -> None:
    """Only lone surrogates change: each becomes its six-character text."""
    expected = "".join(
        f"\\u{ord(char):04x}" if 0xD800 <= ord(char) <= 0xDFFF else char for char in text
    )

    assert strict(quote(text)) == expected


@given(st.dictionaries(any_text, any_value, max_size=5))
def test_members_and_object_say_the_same(fields: dict[str, Any]) -> None:
    """The fast path for fields gives the bytes that the general way gives."""
    encoder = Encoder()

    assert "{" + encoder.members(fields)[1:] + "}" == encoder.value(fields)


# --- messages -------------------------------------------------------------------------------------


def test_messages_that_come_again_are_scrubbed_once(tmp_path, monkeypatch):
    """A repeated message is looked up; with other settings it is made anew."""
    asked = []

    def scrub(text):
        asked.append(text)
        return text

    settings = {"log_dir": str(tmp_path), "stdout": False, "redact": ["only_here"]}
    log = get_logger("memo", settings, mask_pii=True)
    monkeypatch.setattr(log._engine.encoder, "_scrub", scrub)
    for _ in range(3):
        log.info("mail to ann@example.com")
    get_logger("memo", settings, mask_pii=False)
    log.info("mail to ann@example.com")
    log.close()

    said = [
        json.loads(line)["message"] for line in (tmp_path / "memo.log").read_text().splitlines()
    ]
    assert asked.count("mail to ann@example.com") == 1
    assert said == ["mail to ann@example.com"] * 4


def test_remembered_messages_do_not_outlive_a_redaction(tmp_path):
    """What was shown before `mask_pii` was switched on is masked after it."""
    log = get_logger("memo", log_dir=str(tmp_path), stdout=False)
    log.info("mail to ann@example.com")
    get_logger("memo", log_dir=str(tmp_path), mask_pii=True)
    log.info("mail to ann@example.com")
    log.close()

    first, second = (tmp_path / "memo.log").read_text().splitlines()
    assert "ann@example.com" in first and "ann@example.com" not in second


@given(st.lists(st.text(max_size=20), min_size=1, max_size=20))
def test_memory_of_messages_is_bounded(messages):
    """Programs that never say the same twice, or say it at length, cost a bounded memory."""
    encoder = Encoder()
    for message in [*(f"{n} {text * n}" for text in messages for n in range(40)), *messages]:
        assert encoder.message(message) == encoder.text(message)

    assert len(encoder.messages) <= 256
    assert all(len(message) <= 200 for message in encoder.messages)


def test_memory_of_names_is_bounded() -> None:
    """Names that a program makes up are not kept for ever, and long ones not at all."""
    encoder = Encoder(Redactor(pii=True))
    for number in range(5000):
        encoder.members({f"field{number}": 1, "long" * 100 + str(number): 1})

    assert len(encoder._keys) <= 4096 and len(encoder._names) <= 4096
    assert max(map(len, {**encoder._keys, **encoder._names})) <= 200
