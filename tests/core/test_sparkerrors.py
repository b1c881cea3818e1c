"""Errors of PySpark and Py4J give their facts; the texts come from real failing queries.

`data/collect_spark_errors.py` made them. Each is told twice: on stand-in classes with PySpark's
module names, which run everywhere, and on the real classes of the installed PySpark.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import threading
import time
import warnings
from pathlib import Path

import pytest

from laketrace.core import chain, sparkerrors
from laketrace.core.tracebacks import describe

DATA = Path(__file__).parent / "data"


def golden() -> dict[str, dict]:
    found = {}
    for version in ("3.5.5", "4.1.1", "4.1.1_connect"):
        text = (DATA / f"spark_errors_{version}.json").read_text(encoding="utf-8")
        for name, case in json.loads(text).items():
            found[f"{version}: {name}"] = case
    return found


GOLDEN = golden()


class Gateway:
    """The answers of a JVM over Py4J's protocol."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.commands = []

    def send_command(self, command: str, *_: object) -> str:
        self.commands.append(command)
        return "ys" + self.text.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n")


class JavaException:
    """What `Py4JJavaError.java_exception` is: a handle, and methods that ask the JVM."""

    _target_id = "o1"

    def __init__(self, text: str, cause: JavaException | None = None, **answers: object) -> None:
        self._gateway_client = Gateway(text)
        self.answers = {"getCause": cause, **answers}

    def __getattr__(self, name: str) -> object:
        if name not in self.answers:
            raise AttributeError(name)
        return lambda: self.answers[name]


def stand_in(name: str) -> type[Exception]:
    """A class that bears the name of one of PySpark's or Py4J's and its ways of keeping texts."""

    def init(self: Exception, message: str = "", java: JavaException | None = None) -> None:
        Exception.__init__(self, message)
        if java is not None:
            self.errmsg, self.java_exception = message, java

    def text(self: Exception) -> str:
        if hasattr(self, "java_exception"):
            return f"{self.errmsg}: {self.java_exception._gateway_client.text}"
        condition = vars(self).get("_errorClass") or vars(self).get("error_class")
        message = vars(self).get("_message") or vars(self).get("message") or self.args[0]
        return f"[{condition}] {message}" if condition else message

    module, _, short = name.rpartition(".")
    return type(short, (Exception,), {"__module__": module, "__init__": init, "__str__": text})


def real(name: str) -> type[Exception]:
    """The installed class itself."""
    module, _, short = name.rpartition(".")
    return getattr(importlib.import_module(module), short)


def rebuilt(case: dict, find) -> Exception:
    """The error of a golden case as an instance of the class that `find` gives for its name."""
    kind = find(case["type"])
    kept = case["attributes"]
    if "errmsg" in kept:
        text = case["str"].removeprefix(f"{kept['errmsg']}: ")
        error = kind(kept["errmsg"], JavaException(text))
    elif not kept:
        error = kind(case["str"])
    else:
        error = kind.__new__(kind)
        vars(error).update(kept)
        if "_desc" in kept or "desc" in kept:
            error._origin = object()  # the JVM is gone: every question fails
        else:
            for name in ("_messageParameters", "message_parameters"):
                vars(error)[name] = case["message_parameters"]
            error._contexts, error._display_stacktrace = [], False
    try:
        raise error
    except kind as raised:
        return raised


def pairs() -> list:
    """Each golden case with stand-ins, and where it fits with the classes installed here."""
    found = [pytest.param((name, stand_in), id=f"{name}, stand-in") for name in GOLDEN]
    try:
        installed = importlib.metadata.version("pyspark")
    except importlib.metadata.PackageNotFoundError:
        return [*found, pytest.param((), id="real", marks=pytest.mark.extra("pyspark"))]
    for name, case in GOLDEN.items():
        connect = "connect" in case["type"]
        if name[:2] == installed[:2] and (not connect or importlib.util.find_spec("grpc")):
            found.append(pytest.param((name, real), id=f"{name}, real"))
    return found


@pytest.fixture(params=pairs())
def told(request) -> tuple[dict, dict]:
    """A golden case, and what is told of its error."""
    name, find = request.param
    return GOLDEN[name], describe(rebuilt(GOLDEN[name], find))


# --- every golden text --------------------------------------------------------------------------


def test_error_class_is_the_one_that_spark_names(told):
    """What Spark's own methods answered is what is found; elsewhere what its text says."""
    case, described = told

    expected = case["error_class"]
    if expected is None:  # Py4JJavaError has no such method: its text begins with the class
        found = described.get("error_class")
        assert found is None or f"[{found}] " in case["str"]
    else:
        assert described["error_class"] == expected


def test_sqlstate_is_the_one_that_spark_names(told):
    """The text says it since Spark 4.0; before, only the JVM did."""
    case, described = told

    found = described.get("sqlstate")
    in_text = "SQLSTATE: " in case["str"]
    assert found == case["sqlstate"] if in_text and case["sqlstate"] else found in (None, "KD001")


def test_jvm_stack_is_trimmed_and_counted(told):
    """Fewer than 40 lines of Spark stay in the whole record, and every other line is counted."""
    case, described = told

    text = json.dumps(described)
    assert text.count("at org.apache.spark") < 40
    assert "jdk.internal.reflect" not in text and "py4j.reflection.MethodInvoker" not in text
    if "jvm" in described:
        whole = case["attributes"].get("_stackTrace") or case["attributes"].get("stackTrace")
        whole = whole or case["attributes"].get("_stacktrace") or case["str"]
        lines = [line for line in whole.split("\n") if line.lstrip().startswith(("at ", "... "))]
        stack = described["jvm"]["stack"].split("\n")
        kept = [line for line in stack if line.lstrip().startswith("at ")]
        assert described["jvm"]["lines_left_out"] == len(lines) - len(kept)


def test_record_of_an_error_stays_small(told):
    """A failing query is a record of a few kilobytes, far below the limit."""
    _, described = told

    assert len(json.dumps(described)) < 8192


def test_message_of_the_error_is_kept(told):
    """The value begins with the message, and no line of a JVM stack is in it."""
    case, described = told

    value = described["value"]
    first = case["str"].strip().split("\n")[0]
    assert value.startswith(first.split("Traceback (most")[0].strip())
    assert "\tat " not in value


def test_worker_traceback_is_taken_out_of_the_jvm_text(told):
    """An error in a UDF, an RDD function or a `foreachBatch` shows the Python that failed."""
    case, described = told

    worker = described.get("python_traceback")
    if "Traceback (most recent call last):" not in case["str"] + str(case["attributes"]):
        assert worker is None
        return
    assert worker.startswith("Traceback (most recent call last):\n")
    assert 'File "/jobs/collect_spark_errors.py"' in worker
    assert "\tat " not in worker and "SQLSTATE" not in worker
    last = worker.rpartition("\n")[2]
    assert last.startswith(("ZeroDivisionError: ", "KeyError: ", "ValueError: "))
    assert last in described["value"] and worker not in described["value"]
    assert worker in described["traceback"]


# --- single facts -------------------------------------------------------------------------------


def described_case(name: str) -> dict:
    return describe(rebuilt(GOLDEN[name], stand_in))


def test_deepest_cause_is_named():
    """What a Parquet reader complained about is there, under three exceptions of Spark."""
    jvm = described_case("4.1.1: corrupt parquet")["jvm"]

    assert jvm["type"] == "java.lang.RuntimeException"
    assert jvm["message"].startswith("corrupted file: the footer index is not within the file")


def test_outermost_error_class_wins():
    """A stream that failed over its batch function is STREAM_FAILED, with the SQLSTATE of that."""
    described = described_case("4.1.1: stream")

    assert (described["error_class"], described["sqlstate"]) == ("STREAM_FAILED", "XXKST")


def test_message_parameters_of_python_errors_need_no_jvm():
    """Errors that PySpark raises itself keep their parameters."""
    described = described_case("4.1.1: wrong type")

    assert described["message_parameters"] == {"arg_name": "schema", "arg_type": "int"}


def test_jvm_is_asked_what_the_text_does_not_say():
    """Class, state and parameters of a Java exception come from the first cause that has them."""
    cause = JavaException(
        "",
        getCondition="DIVIDE_BY_ZERO",
        getSqlState="22012",
        getMessageParameters={"config": '"spark.sql.ansi.enabled"'},
    )
    java = JavaException(
        "org.apache.spark.SparkException: Job aborted\n\tat a.B.c(B.java:1)", cause
    )
    error = stand_in("py4j.protocol.Py4JJavaError")("An error occurred.\n", java)

    described = describe(error)

    assert described["error_class"] == "DIVIDE_BY_ZERO"
    assert described["sqlstate"] == "22012"
    assert described["message_parameters"] == {"config": '"spark.sql.ansi.enabled"'}


def test_captured_exception_is_asked_without_a_deprecation_warning():
    """`getErrorClass` warns since Spark 4.0; where `getCondition` is, it is not called."""

    class AnalysisException(Exception):
        __module__ = "pyspark.errors.exceptions.captured"

        def getCondition(self):
            return "TABLE_GONE"

        def getErrorClass(self):
            warnings.warn("Deprecated in 4.0.0", FutureWarning)

        def getSqlState(self):
            return "42P01"

        def getMessageParameters(self):
            return {"token": "x"}

    error = AnalysisException()
    error._desc, error._stackTrace, error._origin = "gone", "", object()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        described = describe(error)

    assert (described["error_class"], described["sqlstate"]) == ("TABLE_GONE", "42P01")


def test_subclass_of_a_pyspark_error_is_one():
    """An exception of the user's that inherits from PySpark's gives the same facts."""
    base = stand_in("pyspark.errors.exceptions.base.PySparkException")
    mine = type("OrdersError", (base,), {"__module__": "orders"})
    error = mine("[ORDERS_GONE] no orders")

    assert describe(error)["error_class"] == "ORDERS_GONE"


def test_two_errors_of_spark_share_the_lines_of_the_stack():
    """A retry that failed again leaves fewer than 40 lines for both errors together."""
    first = rebuilt(GOLDEN["4.1.1: udf write"], stand_in)
    second = rebuilt(GOLDEN["4.1.1: corrupt parquet"], stand_in)
    second.__cause__ = first

    described = describe(second)

    assert json.dumps(described).count("at org.apache.spark") < 40
    assert described["jvm"]["stack"] and described["cause"]["jvm"]["stack"]


# --- a JVM that does not answer -----------------------------------------------------------------


class FrozenJvm(JavaException):
    """A JVM that is stopped: it takes the question and never answers, until it is let go."""

    def __init__(self) -> None:
        super().__init__("")
        self.let_go = threading.Event()
        self.asked = 0
        outer = self

        class Client:
            def send_command(self, command, *_):
                outer.asked += 1
                outer.let_go.wait(300)
                return "ys" + "java.lang.Error: late"

        self._gateway_client = Client()

    text = property(lambda self: self._gateway_client.send_command(""))


@pytest.fixture
def frozen(monkeypatch):
    monkeypatch.setattr(chain, "_JVM_SECONDS", 0.05)
    monkeypatch.setattr(sparkerrors, "_hanging", None)
    jvm = FrozenJvm()
    yield jvm
    jvm.let_go.set()
    if sparkerrors._hanging is not None:
        sparkerrors._hanging.join(120)


def frozen_error(jvm: FrozenJvm) -> Exception:
    class Py4JJavaError(Exception):
        __module__ = "py4j.protocol"

        def __init__(self) -> None:
            self.errmsg, self.java_exception = "An error occurred while calling o5.count.\n", jvm

        def __str__(self) -> str:
            return jvm._gateway_client.send_command("text")

    return Py4JJavaError()


def test_frozen_jvm_holds_a_log_call_for_a_bounded_time(frozen):
    """What Py4J said at the call is logged when the JVM does not answer in time."""
    described = describe(frozen_error(frozen))

    assert described["value"].startswith("An error occurred while calling o5.count.")
    assert "did not give its message" in described["value"]


def test_frozen_jvm_is_not_asked_again_while_a_question_hangs(frozen):
    """A loop that logs a hundred errors waits once and leaves one thread."""
    for _ in range(100):
        describe(frozen_error(frozen))

    assert frozen.asked == 1


def test_jvm_that_came_back_is_asked_again(frozen, monkeypatch):
    """Once the hanging question is answered, the next error is told whole."""
    describe(frozen_error(frozen))
    frozen.let_go.set()
    monkeypatch.setattr(chain, "_JVM_SECONDS", 60)
    sparkerrors._hanging.join(120)

    assert "java.lang.Error: late" in describe(frozen_error(frozen))["value"]


def test_no_thread_can_be_started(monkeypatch):
    """At the end of the interpreter the text has to do."""

    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    described = describe(rebuilt(GOLDEN["4.1.1: missing table"], stand_in))

    assert described["error_class"] == "TABLE_OR_VIEW_NOT_FOUND"


# --- hostile texts ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "\tat org.apache.spark.sql.Foo.bar(Foo.scala:1)\n",
        "Caused by: java.lang.Error: x\n\tat a.B.c(B.java:1)\n",
        "Traceback (most recent call last):\n",
        "[[[[A_B",
        "SQLSTATE: 1234\n",
        "a.b.c.d.",
        "\n",
    ],
)
def test_megabytes_of_jvm_text_are_read_in_linear_time(line):
    """Text made to be slow or endless is cut, and what stays is within the limit."""
    error = stand_in("pyspark.errors.exceptions.captured.UnknownException")("x")
    error._desc = error._stackTrace = line * (4_000_000 // len(line))

    start = time.process_time()
    described = describe(error)

    assert time.process_time() - start < 10  # minutes if any step were quadratic
    assert len(json.dumps(described)) < 65536
    assert json.dumps(described).count("at org.apache.spark") < 40


@pytest.mark.parametrize("attribute", ["_desc", "_stackTrace", "_errorClass", "_messageParameters"])
def test_attributes_of_wrong_types_are_ignored(attribute):
    """What is not what PySpark keeps there costs that fact only."""
    error = stand_in("pyspark.errors.exceptions.captured.UnknownException")("what happened")
    setattr(error, attribute, object())

    assert describe(error)["value"]


# --- with real Spark ----------------------------------------------------------------------------


def test_real_queries_that_fail_give_what_only_the_jvm_knows(spark):
    """On a live session parameters and states come from the JVM, through threads of our own."""
    spark.conf.set("spark.sql.ansi.enabled", "true")
    found = []
    for run in (
        lambda: spark.sql("SELECT * FROM no_such_table").collect(),
        lambda: spark.sql("SELECT 1 / (id - 1) FROM range(3)").collect(),
        lambda: spark.sparkContext.parallelize([0]).map(lambda number: 1 // number).collect(),
    ):
        try:
            run()
        except Exception as error:
            found.append(describe(error))
    spark.conf.unset("spark.sql.ansi.enabled")

    missing, divided, rdd = found
    assert missing["message_parameters"]["relationName"] == "`no_such_table`"
    assert (missing["error_class"], missing["sqlstate"]) == ("TABLE_OR_VIEW_NOT_FOUND", "42P01")
    assert (divided["error_class"], divided["sqlstate"]) == ("DIVIDE_BY_ZERO", "22012")
    assert "config" in divided["message_parameters"]
    assert rdd["python_traceback"].endswith("ZeroDivisionError: integer division or modulo by zero")
