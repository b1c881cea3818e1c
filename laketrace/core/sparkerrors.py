"""What an error of PySpark or Py4J has to say, out of its text and its JVM exception.

Floor 1. Stands on: nothing.

Nothing of Spark is imported: classes are known by their names, values by their attributes.
Questions that go to the JVM run in a thread of their own with a time limit, because a JVM in a
long collection, stopped or dead answers late or never; while an unanswered question hangs, no
other is asked, and the answer is read from the text. Text is read up to `_MOST_TEXT` characters,
in linear time. After a fork the child may ask: a new thread has a connection of its own.

The words that the text is searched for are Spark's: `[ERROR_CLASS]` and `SQLSTATE:` from
SparkThrowableHelper, `Caused by:` from Throwable.printStackTrace.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

_MOST_TEXT = 1 << 20
_MOST_OF_ONE = 8  # JVM lines that stay of one cause
_MOST_CAUSES = 12
_MOST_HEADING = 500
_MOST_MESSAGE = 2000

_CLASS = re.compile(r"\[([A-Z][A-Z0-9_]{2,99}(?:\.[A-Z0-9_]{2,99}){0,3})\] ")
_STATE = re.compile(r"SQLSTATE: ?([0-9A-Z]{5})\b")
_JVM_LINE = re.compile(r"\s+at \S|\s+\.\.\. \d+ (?:more|common frames omitted)")
_THROWN = re.compile(r"([A-Za-z_$][\w$]*(?:\.[\w$]+)+)(?:: |\s|\Z)")
_BESIDE = re.compile(r"Driver stacktrace:|\s+Suppressed: ")  # no cause of what stands above it
_PYTHON = re.compile(r"(?:  \+ Exception Group )?Traceback \(most recent call last\):")
_AFTER_PYTHON = re.compile(
    r"\s+at \S|Caused by: |Driver stacktrace:|JVM stacktrace:|=== Streaming Query ===|\s*SQLSTATE: "
)
_SAME_STACK_AGAIN = "Utils$OriginalTryStackTraceException"  # Spark 4 adds it, suppressed
# How a job gets from Python to a task is the same in every error.
_SAYS_NOTHING = re.compile(
    r"\s+\.\.\. \d+ |\s+at (?:"
    r"\S+\$(?:adapted)?\(|java\.base/|jdk\.|sun\.|java\.(?:lang|util|security)\.|py4j\.|scala\.|io\.grpc\."
    r"|org\.apache\.spark\.(?:scheduler|executor|deploy|rpc|util)\."
    r"|org\.apache\.spark\.(?:SparkContext|TaskContext|InterruptibleIterator|JobArtifactSet)\b"
    r"|org\.apache\.spark\.rdd\.(?:RDD|MapPartitionsRDD|RDDOperationScope)\b"
    r"|org\.apache\.spark\.shuffle\.|org\.apache\.spark\.sql\.artifact\."
    r"|org\.apache\.spark\.sql\.(?:Dataset|SparkSession|classic\.\w+)\b"
    r"|org\.apache\.spark\.sql\.catalyst\.(?:trees|rules|QueryPlanningTracker)\b"
    r"|org\.apache\.spark\.sql\.catalyst\.expressions\.GeneratedClass"
    r"|org\.apache\.spark\.sql\.connect\.(?:service|execution|utils)\b"
    r"|org\.apache\.spark\.sql\.execution\.(?:SQLExecution|SparkPlan|QueryExecution"
    r"|WholeStageCodegen\w*|BufferedRowIterator|adaptive\.\w+)\b)"
)


class Jvm(NamedTuple):
    """The exception on the other side: its deepest cause, and the lines that say something."""

    type: str
    message: str
    stack: str
    lines: int  # of frames in `stack`
    lines_left_out: int


class SparkFacts(NamedTuple):
    """One error of Spark; None where it is not known."""

    value: str  # the message alone
    shown: str  # the message with the worker's traceback, as a traceback prints it
    error_class: str | None
    sqlstate: str | None
    message_parameters: dict[str, str] | None
    python_traceback: str | None
    jvm: Jvm | None


class _Answers(NamedTuple):
    """What the exception object itself knows; the JVM is asked for some of it."""

    text: str | None = None
    error_class: str | None = None
    sqlstate: str | None = None
    message_parameters: dict[str, str] | None = None


def read_spark(exc: BaseException, seconds: float, lines: int) -> SparkFacts:
    """The facts of one PySpark or Py4J error.

    Waits at most `seconds` for the JVM; `lines` JVM lines stay of its stack.
    """
    kept = _instance_dict(exc)
    if kept.get("_origin") is None and kept.get("java_exception") is None:
        answers = _ask_python(kept)
    else:
        answers = _ask_jvm(lambda: _question(exc, kept), seconds) or _Answers()
    message, stack = _own_texts(kept)
    text = _ends(_readable(exc, kept, answers) if message is None else message)
    if stack is None:
        text, stack = _split(text)
    text, stack = _without_jvm_lines(text), _ends(stack)
    worker = _python_traceback(text) or _python_traceback(stack)
    error_class, sqlstate = answers.error_class, answers.sqlstate
    if error_class is None:
        error_class, found = _named(text, stack)
        sqlstate = sqlstate or found
    value, shown = _with_last_line(text), text
    if worker is not None and worker not in text:
        value = f"{text.rstrip()}\n{worker.rpartition(chr(10))[2]}"
        shown = f"{text.rstrip()}\n\n{worker}"
    return SparkFacts(
        value.strip(), shown.strip(), error_class, sqlstate, answers.message_parameters,
        worker, _jvm(stack, lines) if stack else None,
    )  # fmt: skip


def scrubbed(facts: SparkFacts, scrub: Callable[[str], str]) -> SparkFacts:
    """The facts without secrets in their texts."""
    jvm, worker, parameters = facts.jvm, facts.python_traceback, facts.message_parameters
    if jvm is not None:
        jvm = jvm._replace(message=scrub(jvm.message), stack=scrub(jvm.stack))
    if parameters is not None:
        parameters = {name: scrub(value) for name, value in parameters.items()}
    worker = None if worker is None else scrub(worker)
    return facts._replace(jvm=jvm, message_parameters=parameters, python_traceback=worker)


# --- what the exception object holds ------------------------------------------------------------


def _own_texts(kept: dict[str, Any]) -> tuple[str | None, str | None]:
    """Message and JVM stack that PySpark keeps on exceptions from the JVM.

    Its names for them, in turn: classic since 4.0, classic up to 3.5, Connect.
    """
    for message, stack in (
        ("_desc", "_stackTrace"), ("desc", "stackTrace"), ("_message", "_stacktrace")
    ):  # fmt: skip
        found, trace = _first_text(kept, message), _first_text(kept, stack)
        if found is not None and trace is not None:
            return found, trace
    return None, None


def _instance_dict(exc: BaseException) -> dict[str, Any]:
    try:
        kept = object.__getattribute__(exc, "__dict__")
    except AttributeError:
        return {}
    return kept if isinstance(kept, dict) else {}


def _first_text(kept: dict[str, Any], *names: str) -> str | None:
    for name in names:
        value = kept.get(name)
        if isinstance(value, str):
            return str.__str__(value)
    return None


def _ask_python(kept: dict[str, Any]) -> _Answers:
    parameters = kept.get("_messageParameters", kept.get("message_parameters"))
    return _Answers(
        None,
        _first_text(kept, "_errorClass", "error_class"),
        _first_text(kept, "_sql_state"),
        _plain(parameters) if isinstance(parameters, dict) else None,
    )


def _plain(parameters: Any) -> dict[str, str]:
    """Message parameters as plain text; Java's maps come as objects with keys and items."""
    shown = {}
    for name in parameters:
        text = str(parameters[name])[:_MOST_MESSAGE]
        shown[str(name)] = _without_jvm_lines(text)
    return shown


def _readable(exc: BaseException, kept: dict[str, Any], answers: _Answers) -> str:
    """The text of an error that keeps none: the JVM's answer, else what Py4J said at the call."""
    if answers.text is not None:
        return answers.text
    said = _first_text(kept, "errmsg")
    if said is not None:
        return f"{said.rstrip()} [the JVM did not give its message]"
    try:
        return str.__str__(str(exc))
    except KeyboardInterrupt:
        raise
    except BaseException:  # as for every other exception
        return "<exception str() failed>"


# --- questions to the JVM -----------------------------------------------------------------------

_hanging: threading.Thread | None = None


def _question(exc: BaseException, kept: dict[str, Any]) -> _Answers:
    """Runs in a thread of its own: everything here may ask the JVM."""
    java = kept.get("java_exception")
    if java is None:
        return _throwable_facts(exc, None)
    text = str.__str__(str(exc))
    for _ in range(_MOST_CAUSES):
        facts = _throwable_facts(java, text)
        if facts.error_class is not None:
            return facts
        java = _call(java, "getCause")
        if java is None:
            break
    return _Answers(text)


def _throwable_facts(thrown: Any, text: str | None) -> _Answers:
    """What a SparkThrowable answers, on either side; nothing for any other exception.

    `getCondition` is the name since Spark 4.0; the older one warns there.
    """
    found = _call(thrown, "getCondition")
    if found is None:
        found = _call(thrown, "getErrorClass")
    if not isinstance(found, str):
        return _Answers(text)
    state = _call(thrown, "getSqlState")
    parameters = _call(thrown, "getMessageParameters")
    return _Answers(
        text,
        found,
        state if isinstance(state, str) else None,
        None if parameters is None else _plain(parameters),
    )


def _call(thrown: Any, method: str) -> Any:
    try:
        if method == "getErrorClass" and hasattr(type(thrown), "getCondition"):
            return None
        return getattr(thrown, method)()
    except Exception:  # no such method, no gateway, not allowed on this cluster
        return None


def _ask_jvm(question: Callable[[], _Answers], seconds: float) -> _Answers | None:
    """The answer, or None when it does not come in time."""
    global _hanging
    if seconds <= 0 or sys.is_finalizing() or (_hanging is not None and _hanging.is_alive()):
        return None
    answers: list[_Answers] = []

    def ask() -> None:
        try:
            answers.append(question())
        except BaseException:  # nobody could hear it in this thread
            pass

    thread = threading.Thread(target=ask, name="laketrace-jvm-question", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no more threads, or the interpreter is on its way out
        return None
    thread.join(seconds)
    _hanging = thread if thread.is_alive() else None
    return answers[0] if answers else None


# --- what the text says -------------------------------------------------------------------------


def _ends(text: str) -> str:
    if len(text) <= _MOST_TEXT:
        return text
    half = _MOST_TEXT // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"


def _split(text: str) -> tuple[str, str]:
    """A text of Py4J in two: the message before the first JVM line, and the JVM's stack.

    Py4J writes `An error occurred while calling o1.x.`, then `: ` and the stack; or `Trace:`.
    """
    lines = text.split("\n")
    first = next((i for i, line in enumerate(lines) if _JVM_LINE.match(line)), None)
    if first is None:
        return text, ""
    start = next((i for i in range(first) if lines[i].startswith(": ")), max(0, first - 1))
    stack = [lines[start].removeprefix(": "), *lines[start + 1 :]]
    return "\n".join(lines[:first]), "\n".join(stack)


def _without_jvm_lines(text: str) -> str:
    return "\n".join([line for line in text.split("\n") if not _JVM_LINE.match(line)])


def _named(text: str, stack: str) -> tuple[str | None, str | None]:
    """Error class and SQLSTATE of the outermost exception that has them."""
    for part in (text, *stack.split("\nCaused by: ")):
        found = _CLASS.search(part)
        if found is not None:
            states = _STATE.findall(part)  # a message within this one has its state before ours
            return found.group(1), states[-1] if states else None
    return None, None


def _python_traceback(text: str) -> str | None:
    """The first Python traceback in a text, up to where the JVM goes on."""
    found = _PYTHON.search(text)
    if found is None:
        return None
    lines = []
    for line in text[found.start() :].split("\n"):
        if _AFTER_PYTHON.match(line):
            break
        lines.append(line)
    return "\n".join(lines).rstrip()


class _Cause(NamedTuple):
    """One exception in a JVM stack: the lines of its message, and its frames."""

    heading: list[str]
    frames: list[str]


def _causes(stack: str) -> list[_Cause]:
    found = [_Cause([], [])]
    for line in stack.split("\n"):
        if _JVM_LINE.match(line):
            found[-1].frames.append(line)
        elif line.startswith("Caused by: ") or _BESIDE.match(line):
            found.append(_Cause([line], []))
        elif not found[-1].frames:
            found[-1].heading.append(line)
    return found


def _jvm(stack: str, lines: int) -> Jvm:
    """Deepest cause and trimmed stack."""
    causes = _causes(stack)
    deepest = [cause for cause in causes if not _BESIDE.match("".join(cause.heading[:1]))][-1]
    said = "\n".join(deepest.heading).removeprefix("Caused by: ")
    thrown = _THROWN.match(said)
    if thrown is not None:
        said = said[thrown.end() :]
    said = _with_last_line(said)
    trimmed, kept = _trim(causes, lines)
    return Jvm(
        thrown.group(1) if thrown else "",
        said.strip()[:_MOST_MESSAGE],
        trimmed,
        kept,
        sum(len(cause.frames) for cause in causes) - kept,
    )


def _with_last_line(text: str) -> str:
    """A Python traceback in `text` shrinks to its last line; the record has it as a whole."""
    worker = _python_traceback(text)
    return text if worker is None else text.replace(worker, worker.rpartition("\n")[2])


def _trim(causes: list[_Cause], room: int) -> tuple[str, int]:
    """The stack without the lines that say nothing, and how many lines it still has.

    A line is shown once, the first line of each cause always. Of many causes the outermost and
    the deepest stay.
    """
    shown: list[str] = []
    seen: set[str] = set()
    room_left = room
    told = [cause for cause in causes if _SAME_STACK_AGAIN not in "".join(cause.heading[:1])]
    skipped = max(0, len(told) - _MOST_CAUSES)
    stay = [told[0], *told[1 + skipped :]]
    for number, (heading, frames) in enumerate(stay):
        if number == 1 and skipped:
            shown.append(f"[{skipped} causes left out]")
        shown.append(_with_last_line("\n".join(heading)).partition("\n")[0][:_MOST_HEADING])
        # Each cause that follows keeps room for one line.
        most = max(0, min(_MOST_OF_ONE, room_left - (len(stay) - number - 1)))
        kept = 0
        for frame in frames:
            line = frame.rstrip()[:_MOST_HEADING]
            if kept == most or line.lstrip() in seen:
                continue
            if frame is frames[0] or not _SAYS_NOTHING.match(line):
                seen.add(line.lstrip())
                shown.append(line)
                kept += 1
        room_left -= kept
        if len(frames) > kept:
            shown.append(f"\t[{len(frames) - kept} lines left out]")
    return "\n".join(shown), room - room_left
