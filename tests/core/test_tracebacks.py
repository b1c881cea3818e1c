"""An exception becomes plain data: complete, honest about what it left out, and never fatal."""

from __future__ import annotations

import builtins
import json
import linecache
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laketrace.core import stack
from laketrace.core.redact import MASK, Redactor
from laketrace.core.tracebacks import describe

HAS_GROUPS = sys.version_info >= (3, 11)
if HAS_GROUPS:
    Group = builtins.ExceptionGroup
    BaseGroup = builtins.BaseExceptionGroup


def caught(run: Callable[[], object]) -> BaseException:
    try:
        run()
    except BaseException as error:
        return error
    raise AssertionError("did not raise")


def thrown(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """`error`, raised and caught."""

    def run() -> None:
        raise error from cause

    return caught(run)


def dive(levels: int) -> None:
    if levels:
        dive(levels - 1)
    else:
        raise ValueError("too deep")


def ping(levels: int) -> None:
    if not levels:
        raise ValueError("too deep")
    pong(levels)


def pong(levels: int) -> None:
    ping(levels - 1)


def python_prints(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).rstrip("\n")


def size(described: object) -> int:
    return len(json.dumps(described, ensure_ascii=False).encode("utf-8", "backslashreplace"))


# --- what is there ------------------------------------------------------------------------------


def test_an_exception_has_type_value_traceback_and_frames():
    """The four fields that each exception has, with the line that raised."""
    described = describe(caught(lambda: dive(1)))

    assert described["type"] == "ValueError"
    assert described["value"] == "too deep"
    assert described["traceback"].startswith("Traceback (most recent call last):\n")
    last = described["frames"][-1]
    assert (last["file"], last["function"]) == (__file__, "dive")
    assert last["code"] == 'raise ValueError("too deep")'
    assert last["module"] == __name__
    assert list(described) == ["type", "value", "traceback", "frames"]


def test_type_is_named_as_in_a_traceback():
    """Builtins are bare, other classes bear their module and what they are nested in."""

    class Outer:
        class Inner(Exception):
            pass

    assert describe(KeyError(1))["type"] == "KeyError"
    expected = f"{__name__}.test_type_is_named_as_in_a_traceback.<locals>.Outer.Inner"
    assert describe(Outer.Inner())["type"] == expected
    Outer.Inner.__module__ = "__main__"
    assert describe(Outer.Inner())["type"] == expected.removeprefix(f"{__name__}.")


def test_cause_is_an_exception_of_the_same_form():
    """`raise ... from ...` gives `cause`, and the text tells both."""
    error = thrown(KeyError("order_id"), cause=thrown(OSError("no disk")))

    described = describe(error)

    assert described["cause"]["type"] == "OSError"
    assert described["cause"]["frames"][-1]["function"] == "run"
    assert "context" not in described and "traceback" not in described["cause"]
    assert "direct cause of the following exception" in described["traceback"]


def test_context_is_an_exception_of_the_same_form():
    """An error while another is handled gives `context`."""

    def run() -> None:
        try:
            dive(0)
        except ValueError:
            {}["missing"]

    described = describe(caught(run))

    assert described["type"] == "KeyError"
    assert described["context"]["value"] == "too deep"
    assert "cause" not in described


def test_suppressed_context_is_not_shown():
    """`raise ... from None` hides what was being handled."""

    def run() -> None:
        try:
            dive(0)
        except ValueError:
            raise KeyError("clean") from None

    assert not {"cause", "context"} & set(describe(caught(run)))


def test_exception_without_traceback_says_what_it_is():
    """An exception that was never raised has no frames and no heading."""
    described = describe(ValueError("made by hand"))

    assert described["frames"] == []
    assert described["traceback"] == "ValueError: made by hand"


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_exceptions_that_end_programs_are_described_like_any_other(kind):
    """SystemExit, KeyboardInterrupt and GeneratorExit are data here, not control."""
    described = describe(thrown(kind(3)))

    assert (described["type"], described["value"]) == (kind.__name__, "3")


def test_notes_are_listed_and_printed():
    """Notes are a list in the object and lines in the text, on Python 3.10 too."""
    error = thrown(ValueError("bad row"))
    error.__notes__ = ["table orders", "row 7\nfile a.csv"]

    described = describe(error)

    assert described["notes"] == ["table orders", "row 7\nfile a.csv"]
    assert described["traceback"].endswith("ValueError: bad row\ntable orders\nrow 7\nfile a.csv")


def test_syntax_error_has_its_position():
    """A SyntaxError names file, line, offset and text of the code that it is about."""
    error = caught(lambda: compile("total = (1,\nrows c\n", "job.py", "exec"))

    described = describe(error)

    position = described["position"]
    assert (position["file"], position["line"]) == (error.filename, error.lineno)
    assert (position["offset"], position["text"]) == (error.offset, error.text)
    assert described["traceback"] == python_prints(error)


def test_syntax_error_with_an_impossible_position_is_described():
    """Position values of wrong types and ranges cost themselves, not the description."""
    error = SyntaxError("odd")
    error.filename, error.lineno, error.offset, error.text = object(), "seven", -5, 7

    described = describe(error)

    assert described["position"] == {"file": None, "line": None, "offset": -5, "text": None}
    assert "odd" in described["traceback"]


@pytest.mark.python("3.11")
def test_group_lists_its_members_with_their_own_causes():
    """Each member of an exception group is an exception of the same form."""
    member = thrown(KeyError("b"), cause=ValueError("why"))
    error = thrown(Group("two failed", [OSError("a"), member]))

    described = describe(error)

    assert [each["type"] for each in described["group"]] == ["OSError", "KeyError"]
    assert described["group"][1]["cause"]["value"] == "why"
    assert described["traceback"] == python_prints(error)


@pytest.mark.extra("exceptiongroup")
def test_group_of_the_backport_is_a_group():
    """The exceptiongroup package counts where it is loaded: Python 3.10 has no groups."""
    import exceptiongroup as backport

    error = thrown(backport.ExceptionGroup("two failed", [OSError("a"), KeyError("b")]))

    described = describe(error)

    assert [each["type"] for each in described["group"]] == ["OSError", "KeyError"]
    assert "+---------------- 2 ----------------" in described["traceback"]


# --- as Python prints it ------------------------------------------------------------------------


def structures() -> st.SearchStrategy[Callable[[], BaseException]]:
    """Exceptions with causes, contexts, recursion and groups, as functions that make them."""
    text = st.text(st.characters(exclude_categories=["Cc", "Zl", "Zp", "Cs"]), max_size=20)
    leaf = st.one_of(
        st.builds(lambda value: lambda: ValueError(value), text),
        st.builds(lambda value: lambda: thrown(KeyError(value)), text),
        st.builds(lambda levels: lambda: caught(lambda: dive(levels)), st.integers(0, 9)),
        st.just(lambda: caught(lambda: compile("a b", "f.py", "exec"))),
    )

    def extend(inner: st.SearchStrategy) -> st.SearchStrategy:
        def linked(make, make_cause, attribute):
            def build() -> BaseException:
                error = thrown(make())
                setattr(error, attribute, make_cause())
                return error

            return build

        options = [st.builds(linked, inner, inner, st.sampled_from(["__cause__", "__context__"]))]
        if HAS_GROUPS:
            options.append(
                st.builds(
                    lambda name, makes: lambda: thrown(BaseGroup(name, [make() for make in makes])),
                    text,
                    st.lists(inner, min_size=1, max_size=3),
                )
            )
        return st.one_of(*options)

    return st.recursive(leaf, extend, max_leaves=6)


@settings(max_examples=150, deadline=None)
@given(structures())
def test_traceback_is_what_python_prints(make):
    """For every shape of chain and group within the limits the text equals the traceback module's.

    A line of a recursion that repeats is collapsed in the same way.
    """
    error = make()

    assert describe(error)["traceback"] == python_prints(error)


def test_several_lines_of_one_statement_are_printed_as_python_does():
    """Markers under expressions and statements over several lines follow the interpreter."""

    def run() -> None:
        sum(
            number / (number - 1)
            for number in range(3)
        )  # fmt: skip

    error = caught(run)

    assert describe(error)["traceback"] == python_prints(error)


def test_suggestions_are_left_out():
    """`Did you mean` walks over `dir()` of foreign objects, which a log call must not run."""

    class Table:
        asked = False
        rows = 3

        def __dir__(self):
            self.asked = True
            return ["rows"]

    table = Table()
    described = describe(caught(lambda: table.row))

    assert "Did you mean" not in described["traceback"]
    assert not table.asked


# --- limits, each of them said ------------------------------------------------------------------


def test_recursion_error_is_short_and_counted():
    """A thousand equal frames are three and a number."""
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 1000))

    def forever() -> None:
        forever()

    error = caught(forever)

    described = describe(error)

    assert len(described["frames"]) < 10
    assert described["frames"][-1]["repeated"] > 900
    assert described["traceback"] == python_prints(error)


def test_middle_of_a_long_stack_is_left_out_and_counted():
    """Of many different frames the outermost and innermost stay; every frame is accounted for."""
    error = caught(lambda: ping(150))
    total = len(traceback.extract_tb(error.__traceback__))

    described = describe(error, frames=20)

    assert len(described["frames"]) == 20
    assert described["frames_left_out"] == total - 20
    assert described["frames"][0]["function"] == "caught"
    assert described["frames"][-1]["code"] == 'raise ValueError("too deep")'
    assert f"[... {total - 20} frames left out ...]" in described["traceback"]


def test_deep_chain_keeps_both_ends_and_counts_the_rest():
    """Of a thousand causes the nearest and the first ones stay."""
    error: BaseException = ValueError("number 0")
    for number in range(1, 1000):
        error = thrown(ValueError(f"number {number}"), cause=error)

    described = describe(error)

    values, left_out, link = [], 0, described
    while link is not None:
        values.append(link["value"])
        left_out += link.get("chain_left_out", 0)
        link = link.get("cause")
    assert values[0] == "number 999" and values[-1] == "number 0"
    assert len(values) + left_out == 1000
    assert f"[... {left_out} exceptions left out ...]" in described["traceback"]


def test_cycle_in_the_chain_ends_where_it_closes():
    """Exceptions that are each other's cause are told once each."""
    one, two = thrown(ValueError("one")), thrown(KeyError("two"))
    one.__cause__, two.__cause__ = two, one

    described = describe(one)

    assert described["cause"]["type"] == "KeyError"
    assert "cause" not in described["cause"]
    assert described["traceback"] == python_prints(one)


@pytest.mark.python("3.11")
def test_wide_group_counts_the_members_that_it_left_out():
    """A hundred failed tasks become fifteen and a number."""
    described = describe(thrown(Group("tasks", [OSError(n) for n in range(100)])))

    assert len(described["group"]) == 15
    assert described["group_left_out"] == 85
    assert "and 85 more exceptions" in described["traceback"]


@pytest.mark.python("3.11")
def test_deep_and_wide_groups_stay_within_the_limit():
    """Groups within groups within chains end within the limits on number, depth and size."""
    error: BaseException = thrown(ValueError("leaf"))
    for level in range(200):
        error = thrown(Group(f"level {level}", [error, OSError("beside")]), cause=error)

    described = describe(error)

    assert size(described) < 65536

    def depth(value: object) -> int:
        children = value.values() if isinstance(value, dict) else value
        if not isinstance(value, (dict, list)):
            return 0
        return 1 + max((depth(child) for child in children), default=0)

    assert depth(described) <= 30


@pytest.mark.parametrize("character", ["x", "\n", "\x00", "é", "漢", "😀", "\udc80", '"', "\x9b"])
def test_huge_message_is_cut_in_the_middle_and_said(character):
    """A message of millions of characters keeps its ends; the object stays within the limit."""
    error = thrown(ValueError(f"begin{character * 3_000_000}end"))

    described = describe(error)

    assert size(described) < 65536
    assert described["value"].startswith("begin") and described["value"].endswith("end")
    assert "characters left out ...]" in described["value"]


@settings(max_examples=60, deadline=None)
@given(st.text(), st.integers(0, 5000), st.integers(0, 40), st.integers(0, 120))
def test_object_never_takes_more_than_its_limit(text, times, links, notes):
    """Whatever is long: messages, chains, notes, stacks; and it stays valid JSON."""
    error: BaseException = caught(lambda: ping(60))
    for _ in range(links):
        error = thrown(ValueError(text * times), cause=error)
    error.__notes__ = [text * 10] * notes

    described = describe(error)

    assert size(described) < 65536 * 7 // 8 + 1000
    assert describe(error, text=20000) and size(describe(error, text=20000)) < 20000


def test_long_source_line_is_cut():
    """A generated line of a megabyte is not copied into the record."""
    code = compile(f"x = [{'1, ' * 200_000}1 / 0]", "generated.py", "exec")
    line = f"x = [{'1, ' * 200_000}1 / 0]\n"
    linecache.cache["generated.py"] = (len(line), None, [line], "generated.py")

    described = describe(caught(lambda: exec(code)))

    assert described["frames"][-1]["file"] == "generated.py"
    assert size(described) < 8000
    del linecache.cache["generated.py"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_source_that_is_a_pipe_is_not_opened(tmp_path):
    """A file name in a code object that is a pipe would block for ever: it is not read."""
    pipe = str(tmp_path / "pipe.py")
    os.mkfifo(pipe)

    described = describe(caught(lambda: exec(compile("1 / 0", pipe, "exec"))))

    assert described["frames"][-1]["file"] == pipe
    assert "code" not in described["frames"][-1]


def test_work_is_linear_in_the_number_of_frames(monkeypatch):
    """However long the stack is, only the frames that stay are looked at closely."""
    looked_at = []
    original = stack._frame
    monkeypatch.setattr(stack, "_frame", lambda *given: looked_at.append(1) or original(*given))
    error = caught(lambda: ping(400))

    describe(error, frames=30)

    assert len(looked_at) == 30


# --- exceptions that fight back -----------------------------------------------------------------


class Hostile(Exception):
    """Every attribute that a reader may touch raises."""

    def __init__(self, fault: type[BaseException] = ZeroDivisionError) -> None:
        super().__init__()
        object.__setattr__(self, "fault", fault)

    def __str__(self) -> str:
        raise object.__getattribute__(self, "fault")

    __repr__ = __str__

    def __getattribute__(self, name: str) -> object:
        raise object.__getattribute__(self, "fault")


@pytest.mark.parametrize("fault", [ZeroDivisionError, RecursionError, SystemExit, GeneratorExit])
def test_exception_whose_every_attribute_raises_is_described(fault):
    """`__str__`, `__notes__`, `__cause__`, `__traceback__` and the rest may raise anything."""
    described = describe(thrown(Hostile(fault), cause=ValueError("why")))

    assert described["value"] == "<exception str() failed>"
    assert described["cause"]["value"] == "why"
    assert described["frames"][-1]["function"] == "run"


def test_properties_cannot_hide_cause_and_traceback():
    """The chain is read from the exception itself, not from what its class says of it."""

    class Hiding(Exception):
        __cause__ = property(lambda self: 1 / 0)
        __context__ = property(lambda self: 1 / 0)
        __suppress_context__ = property(lambda self: 1 / 0)
        __traceback__ = property(lambda self: 1 / 0)

    assert describe(thrown(Hiding("x"), cause=ValueError("y")))["cause"]["value"] == "y"


@pytest.mark.parametrize(
    "make_notes",
    [lambda: 7, lambda: "text", lambda: {"a": 1}, lambda: [object(), Hostile(), 3], Hostile],
)
def test_notes_that_are_no_list_of_texts_are_shown_as_they_can_be(make_notes):
    """`__notes__` may be set to anything."""
    error = ValueError("x")
    error.__notes__ = make_notes()

    described = describe(error)

    assert all(isinstance(note, str) for note in described["notes"])


def test_str_that_returns_a_subclass_of_str_becomes_plain():
    """A text with behaviour of its own does not reach the encoder."""

    class Text(str):
        def __str__(self) -> str:
            raise AssertionError("must not be called")

    class Odd(Exception):
        def __str__(self) -> str:
            return Text("odd")

    assert type(describe(Odd())["value"]) is str


def test_ctrl_c_while_describing_passes_through():
    """A user who interrupts a slow `__str__` is obeyed."""
    with pytest.raises(KeyboardInterrupt):
        describe(Hostile(KeyboardInterrupt))


def test_what_is_no_exception_at_all_is_survived():
    """A wrong argument gives an object of the usual form, and no error."""
    described = describe(SimpleNamespace())

    assert set(described) >= {"type", "value", "traceback", "frames"}


def test_described_near_the_recursion_limit():
    """With no stack left there is still an answer, and no RecursionError."""
    answers = []

    def fall() -> None:
        try:
            fall()
        except RecursionError as error:
            answers.append(describe(error))
            raise

    with pytest.raises(RecursionError):
        fall()
    assert all(answer["type"] == "RecursionError" for answer in answers)
    assert answers[0]["value"].startswith("<not described")


def test_loader_that_fails_costs_the_source_line_only():
    """A module whose loader raises shows file and line without code."""

    class Loader:
        def get_source(self, name: str) -> str:
            raise RuntimeError("no source for you")

    code = compile("1 / 0", "not/on/disk.py", "exec")
    error = caught(lambda: exec(code, {"__name__": "odd", "__loader__": Loader()}))

    frame = describe(error)["frames"][-1]

    assert (frame["file"], frame["module"]) == ("not/on/disk.py", "odd")


# --- secrets ------------------------------------------------------------------------------------


def test_secrets_go_before_texts_are_cut():
    """A secret that lies across a cut leaves neither of its halves."""
    scrub = Redactor(pii=True).scrub
    for start in range(4000, 7500, 97):
        secret = "password=" + "QvXz" * 800
        error = ValueError("a " * (start // 2) + secret + " z" * 40_000)
        error.__notes__ = ["n " * (start // 2) + secret + " z" * 40_000]

        text = json.dumps(describe(thrown(error), scrub=scrub))

        assert "QvXz" not in text


def test_secrets_in_source_lines_go_with_the_markers_under_them():
    """A password in the code is not shown, and no row of markers shows how long it is."""

    def connect(dsn: str, mode: str) -> None:
        raise OSError("refused")

    def run() -> None:
        connect("postgres://bob:hunter2@db/sales", mode="read")  # fmt: skip

    described = describe(caught(run), scrub=Redactor(pii=True).scrub)

    assert "hunter2" not in json.dumps(described)
    code = described["frames"][1]["code"]
    assert code.startswith(f'connect("postgres://{MASK}@db/sales", mode="read")')
    after = described["traceback"].partition(MASK)[2].splitlines()[1]
    assert after.startswith('  File "')


def test_secrets_in_errors_of_spark_and_in_syntax_errors_go():
    """Each text of the object goes through the scrubber."""
    kind = type("Py4JError", (Exception,), {"__module__": "py4j.protocol"})
    error = kind(
        "token=hunter2 Trace:\npy4j.Py4JException: token=hunter2\n\tat a.B.c(B.java:1)\n"
        "Caused by: java.lang.Error: token=hunter2\n\tat a.B.d(B.java:2)"
    )
    wrong = caught(lambda: compile("login(password='hunter2'", "job.py", "exec"))

    for each in (error, wrong):
        assert "hunter2" not in json.dumps(describe(each, scrub=Redactor(pii=True).scrub))


def test_spark_parts_are_loaded_for_errors_of_spark_only():
    """Describing ordinary errors never imports the reader of Spark's errors."""
    program = (
        "import sys; from laketrace.core.tracebacks import describe; describe(ValueError('x'));"
        "print('laketrace.core.sparkerrors' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stdout == "False\n"
