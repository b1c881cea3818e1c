"""Events of OpenLineage, by the official client."""

from __future__ import annotations

import importlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from laketrace import ConfigError, Logger, get_logger
from laketrace.pipeline import outbox

pytestmark = pytest.mark.extra("openlineage")

ROWS = [{"id": 1, "amount": 2.5}, {"id": None, "amount": 4.0}]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Logger]:
    logger = get_logger("lineage", log_dir=tmp_path / "log", stdout=False)
    yield logger
    logger.close()


class Receiver:
    """A client that keeps what it is to send, as the JSON that would be sent."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def emit(self, event: Any) -> None:
        from openlineage.client.serde import Serde

        self.events.append(json.loads(Serde.to_json(event)))


def daily(log: Logger, lineage: Any) -> None:
    """A run of two stages."""
    with log.run("daily", lineage=lineage) as run:
        with run.stage("bronze") as stage:
            stage.reads("abfss://lake@acme.dfs.core.windows.net/raw/orders", data="orders")
            stage.writes("main.bronze.orders", data="orders")
            stage.expect("ids", column="id", max_null_percent=10)
            stage.observe(ROWS, name="orders", nulls=["id"], min_max=["amount"])
        with run.stage("silver") as stage:
            stage.observe(ROWS[:1], name="checked")


def test_a_run_is_told_from_start_to_complete(log: Logger) -> None:
    """START, RUNNING for each stage with its datasets, COMPLETE with all; one run id."""
    receiver = Receiver()

    daily(log, receiver)
    outbox.drain(120)

    events = receiver.events
    assert [event["eventType"] for event in events] == ["START", "RUNNING", "RUNNING", "COMPLETE"]
    assert len({event["run"]["runId"] for event in events}) == 1
    assert {(event["job"]["namespace"], event["job"]["name"]) for event in events} == {
        ("default", "daily")
    }
    bronze, end = events[1], events[-1]
    (read,), (written,) = bronze["inputs"], bronze["outputs"]
    assert (read["namespace"], read["name"]) == (
        "abfss://lake@acme.dfs.core.windows.net", "raw/orders",
    )  # fmt: skip
    assert [field["name"] for field in read["facets"]["schema"]["fields"]] == ["id", "amount"]
    quality = read["inputFacets"]["dataQualityMetrics"]
    assert quality["rowCount"] == 2
    assert quality["columnMetrics"]["id"]["nullCount"] == 1
    assert quality["columnMetrics"]["amount"]["max"] == 4.0
    (assertion,) = read["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert (assertion["assertion"], assertion["success"]) == ("max_null_percent", False)
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 2
    assert {each["name"] for each in end["inputs"]} == {"raw/orders", "checked"}
    assert [each["name"] for each in end["outputs"]] == ["main.bronze.orders"]


def test_the_records_say_which_run_of_lineage_it_is(log: Logger) -> None:
    """Both can be brought together by the id."""
    receiver = Receiver()

    daily(log, receiver)
    outbox.drain(120)
    log.flush()

    lines = [json.loads(line) for line in log.log_file_path.read_text().splitlines()]
    (start,) = [line for line in lines if line.get("event") == "run_start"]
    assert start["lineage_run_id"] == receiver.events[0]["run"]["runId"]
    bronze = next(line for line in lines if line.get("event") == "stage_end")
    assert bronze["outputs"] == ["main.bronze.orders"]


def test_a_failed_run_is_told_with_its_error_and_without_secrets(log: Logger) -> None:
    """FAIL with the facet of the error; what leaves the machine is redacted."""
    receiver = Receiver()

    with pytest.raises(ValueError), log.run("daily", lineage=receiver) as run, run.stage("bronze"):
        raise ValueError("login failed: password=hunter2")
    outbox.drain(120)

    end = receiver.events[-1]
    message = end["run"]["facets"]["errorMessage"]
    assert end["eventType"] == "FAIL"
    assert message["message"].startswith("ValueError: login failed")
    assert "hunter2" not in json.dumps(receiver.events)


@pytest.mark.parametrize("fails", [False, True])
def test_events_have_the_form_that_the_official_schemas_give(log: Logger, fails: bool) -> None:
    """Each part fits the class that the client has, made from the published JSON schema of it."""
    receiver = Receiver()
    try:
        daily(log, receiver)
        if fails:
            with log.run("daily", lineage=receiver):
                raise ValueError("x")
    except ValueError:
        pass
    outbox.drain(120)

    for event in receiver.events:
        assert_published("base", "RunEvent", event)
        assert_published("base", "Run", event["run"])
        assert_published("base", "Job", event["job"])
        parts = [event["run"], event["job"], *event["inputs"], *event["outputs"]]
        for dataset in event["inputs"]:
            assert_published("base", "InputDataset", dataset)
        for dataset in event["outputs"]:
            assert_published("base", "OutputDataset", dataset)
        for part in parts:
            for key in ("facets", "inputFacets", "outputFacets"):
                for facet in part.get(key, {}).values():
                    name = facet["_schemaURL"].rpartition("/")[2]
                    assert_published(module_of(name), name, facet)


def test_what_is_no_number_and_no_name_in_json_is_left_out_or_made_one(log: Logger) -> None:
    """Extremes of true and false or without end, and columns that are numbered."""
    receiver = Receiver()
    rows = [{"paid": True, "rate": float("inf"), 0: 5}, {"paid": False, "rate": 1.5, 0: 7}]

    with log.run("daily", lineage=receiver) as run, run.stage("bronze") as stage:
        stage.observe(rows, name="orders", min_max=["paid", "rate"])
    outbox.drain(120)

    (read,) = receiver.events[-1]["inputs"]
    assert [field["name"] for field in read["facets"]["schema"]["fields"]] == ["paid", "rate", "0"]
    columns = read["inputFacets"]["dataQualityMetrics"]["columnMetrics"]
    extremes = {name: (each.get("min"), each.get("max")) for name, each in columns.items()}
    assert extremes == {"paid": (None, None), "rate": (1.5, None)}


def module_of(name: str) -> str:
    """The module of the client that was generated from the schema of this name."""
    from openlineage.client import generated

    folder = Path(str(generated.__file__)).parent
    (found,) = [
        path.stem for path in folder.glob("*.py") if f"\nclass {name}(" in path.read_text("utf-8")
    ]
    return found


def assert_published(module: str, name: str, value: dict[str, Any]) -> None:
    """The client's classes are generated from the published JSON schemas; they take the value."""
    import attr

    cls = getattr(importlib.import_module(f"openlineage.client.generated.{module}"), name)
    fields = attr.fields_dict(cls)
    required = {key for key, field in fields.items() if field.default is attr.NOTHING}
    assert required <= set(value) <= set(fields), (name, value)
    taken = {fields[key].alias: item for key, item in value.items() if fields[key].init}
    made = cls(**taken)
    for key, item in value.items():
        assert getattr(made, key) == item, (name, key)


def test_the_file_transport_takes_them(log: Logger, tmp_path: Path) -> None:
    """The client's own configuration as a dict; a line for each event."""
    path = tmp_path / "lineage.jsonl"
    transport = {"type": "file", "log_file_path": str(path), "append": True}

    daily(log, {"transport": transport})
    log.close()  # waits, bounded, for what is on its way

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["eventType"] for line in lines] == ["START", "RUNNING", "RUNNING", "COMPLETE"]


def test_the_console_transport_takes_them(log: Logger, caplog: pytest.LogCaptureFixture) -> None:
    """The client's console is `logging`."""
    with caplog.at_level("INFO", logger="openlineage"):
        daily(log, {"transport": {"type": "console"}})
        log.close()

    told = [json.loads(text) for text in caplog.messages if text.startswith("{")]
    assert [one["eventType"] for one in told] == ["START", "RUNNING", "RUNNING", "COMPLETE"]


def test_the_http_transport_takes_them(log: Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lineage=True` and the client's own variable, against a real server on loopback."""
    got: list[str] = []

    class Backend(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append(f"{self.path} {json.loads(body)['eventType']}")
            self.send_response(201)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Backend)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OPENLINEAGE_URL", f"http://127.0.0.1:{server.server_port}")
    try:
        daily(log, True)
        log.close()
    finally:
        server.shutdown()
        server.server_close()

    kinds = ["START", "RUNNING", "RUNNING", "COMPLETE"]
    assert got == [f"/api/v1/lineage {kind}" for kind in kinds]


class SlowReceiver:
    """Takes an event only when it is told to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked = threading.Event()

    def emit(self, event: Any) -> None:
        self.asked.set()
        self.go.wait(600)


def test_a_receiver_that_hangs_never_holds_up_the_run(log: Logger) -> None:
    """The run ends at once; what does not fit is counted."""
    receiver = SlowReceiver()
    lost = outbox.lost()
    began = time.monotonic()

    try:
        for _ in range(600):
            with log.run("daily", lineage=receiver):
                pass
            assert receiver.asked.wait(120)
        taken = time.monotonic() - began
        assert outbox.lost() - lost == 1200 - 1000 - 1  # one is in the sender's hand
    finally:
        receiver.go.set()
        outbox.drain(120)

    assert taken < 200


class BrokenReceiver:
    """Refuses every event."""

    def emit(self, event: Any) -> None:
        raise ConnectionError("no such host")


def test_a_receiver_that_fails_is_told_once_and_costs_nothing(
    log: Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    """The run goes on; each event that was not sent is counted."""
    lost = outbox.lost()

    daily(log, BrokenReceiver())
    outbox.drain(120)

    assert outbox.lost() - lost == 4
    assert capfd.readouterr().err.count("lineage") <= 1


@pytest.mark.parametrize("wrong", ["yes", 7, {"transport": {"type": "pigeon"}}])
def test_a_configuration_that_cannot_be_meant_is_refused(log: Logger, wrong: Any) -> None:
    """Before the run begins."""
    with pytest.raises(ConfigError, match="lineage="):
        log.run("daily", lineage=wrong)
