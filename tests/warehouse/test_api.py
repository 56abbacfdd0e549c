"""The HTTP API against a real server: what is stored, refused, answered, and to whom."""

import io
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import polars as pl
import psutil
import pyarrow as pa
import pytest

from tests.servers.ports import free_port
from tests.servers.warehouse import WarehouseProcess
from tests.warehouse.records import attempt, minute_ago, sample
from warehouse import tokens
from warehouse.client import Client, pack
from warehouse.errors import NotAllowedError, RefusedError, WarehouseAwayError
from warehouse.model import Batch, Event, Gap, GapReason, JobState, now
from warehouse.questions import QUESTIONS
from warehouse.server import NICENESS

_numbers = count()


def fresh_id() -> str:
    return f"api-batch-{next(_numbers)}"


@pytest.fixture(scope="module")
def collect(served: WarehouseProcess) -> Iterator[Client]:
    with served.client("collect") as client:
        yield client


@pytest.fixture(scope="module")
def read(served: WarehouseProcess) -> Iterator[Client]:
    with served.client("dashboard") as client:
        yield client


@pytest.fixture
def post(served: WarehouseProcess) -> Iterator[Any]:
    """POST a JSON document to the ingest route as the local collector."""
    token = json.loads((served.settings.token_dir / "collect.json").read_text())["token"]
    with httpx.Client(base_url=served.settings.warehouse.url, trust_env=False) as http:

        def post(document: object, **headers: str) -> httpx.Response:
            body = document if isinstance(document, bytes) else json.dumps(document).encode()
            sent = {"authorization": f"Bearer {token}", "content-type": "application/json", **headers}
            return http.post("/api/v1/ingest", content=body, headers=sent)

        yield post


def row(**fields: object) -> dict[str, object]:
    known = {"at": now().isoformat(), "kind": "host", "target": "box", "object": "", "metric": "cpu_ratio"}
    return {**known, "unit": "ratio", "value": 0.5, "outcome": "ok", **fields}


def stored_samples(read: Client, target: str) -> pl.DataFrame:
    window = {"start": now() - timedelta(days=399), "end": now() + timedelta(hours=1)}
    return read.ask("samples", target=[target], **window)


def test_health_needs_no_token_and_tells_version_and_start(read: Client) -> None:
    health = read.health()
    assert health["status"] == "ok"
    assert health["schema_version"] >= 1
    assert health["started_at"] <= now()


def test_the_warehouse_steps_back_for_what_measures(served: WarehouseProcess) -> None:
    assert psutil.Process(served.pid).nice() == NICENESS


def test_json_batch_is_stored_once(post: Any, read: Client) -> None:
    batch = {"batch_id": fresh_id(), "samples": [row(target="json-once", value=0.25)]}
    first, second = post(batch), post(batch)
    assert (first.status_code, first.json()["stored"], first.json()["samples"]) == (200, True, 1)
    assert (second.status_code, second.json()["stored"], second.json()["samples"]) == (200, False, 1)
    frame = stored_samples(read, "json-once")
    assert frame["value"].to_list() == [0.25]
    assert frame["outcome"].to_list() == ["ok"]


def test_arrow_batch_keeps_every_field(collect: Client, read: Client) -> None:
    at = minute_ago()
    sent = attempt(
        at,
        ms=12.345,
        target="arrow",
        status=204,
        dns_us=1,
        connect_us=2,
        tls_us=3,
        first_byte_us=4,
        bytes=5,
        loop_lag_us=6,
    )
    gap = Gap(at=at, until=at + timedelta(seconds=5), job="arrow job", reason=GapReason.MISSED, missed=3)
    event = Event(at=at, job="arrow job", state=JobState.FAILING, text="refused by box:80")
    batch = Batch(batch_id=fresh_id(), attempts=(sent,), gaps=(gap,), events=(event,))
    receipt = collect.send(batch.batch_id, pack(batch))
    assert (receipt.stored, receipt.attempts, receipt.gaps, receipt.events) == (True, 1, 1, 1)
    window = {"start": at, "end": now()}
    assert read.ask("attempts", target=["arrow"], **window).to_dicts() == [
        {**sent.model_dump(mode="python"), "at": at, "outcome": "ok"}
    ]
    gaps = read.ask("gaps", **window).filter(pl.col("job") == "arrow job").to_dicts()
    assert gaps == [{**gap.model_dump(), "source": "local", "reason": "missed"}]
    events = read.ask("events", **window).filter(pl.col("job") == "arrow job").to_dicts()
    assert events == [{**event.model_dump(), "source": "local", "state": "failing"}]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"colour": "red"}, "samples.1.colour"),
        ({"value": "fast"}, "samples.1.value"),
        ({"value": None}, "samples.1.value"),
        ({"value": True}, "samples.1.value"),
        ({"outcome": "sunny"}, "samples.1.outcome"),
        ({"outcome": "timeout"}, "samples.1.value"),
        ({"at": "yesterday"}, "samples.1.at"),
        ({"at": "2026-11-23T12:00:00"}, "samples.1.at"),
        ({"at": 1_700_000_000}, "samples.1.at"),
        ({"at": "1999-01-01T00:00:00Z"}, "samples.1.at"),
        ({"at": "2999-01-01T00:00:00Z"}, "samples.1.at"),
        ({"metric": ""}, "samples.1.metric"),
        ({"metric": "x" * 201}, "samples.1.metric"),
        ({"target": "a\nb"}, "samples.1.target"),
        ({"unit": "percent"}, "samples.unit"),
    ],
)
def test_a_bad_row_is_named_and_nothing_of_its_batch_is_stored(
    post: Any, read: Client, change: dict[str, object], field: str
) -> None:
    target = f"refused-{next(_numbers)}"
    first = post({"batch_id": fresh_id(), "samples": [row(target=target)]}) if "unit" in change else None
    batch = {"batch_id": fresh_id(), "samples": [row(target=target), row(**{"target": target, **change})]}
    answer = post(batch)
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == field
    assert stored_samples(read, target).height == (1 if first else 0)


def test_nan_and_infinity_are_refused_in_json_and_in_arrow(post: Any, collect: Client) -> None:
    text = json.dumps({"batch_id": fresh_id(), "samples": [row(value=0.125)]})
    for word in ("NaN", "Infinity", "-Infinity", "1e999"):
        answer = post(text.replace("0.125", word).encode())
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, "samples.0.value")
    batch = Batch.model_construct(
        batch_id=fresh_id(), samples=(sample().model_copy(update={"value": float("nan")}),)
    )
    batch = batch.model_copy(update={"attempts": (), "gaps": (), "events": ()})
    with pytest.raises(RefusedError) as refused:
        collect.send(batch.batch_id, pack(batch))
    assert refused.value.field == "samples.0.value"


def test_arrow_with_unknown_column_wrong_type_or_no_table_is_named(collect: Client) -> None:
    at = pa.array([0], pa.timestamp("ms", "UTC"))
    for columns, metadata, field in (
        ({"at": at, "colour": ["red"]}, {"table": "events"}, "events.colour"),
        ({"at": at}, {"table": "events"}, "events.job"),
        ({"at": [5], "job": ["j"], "state": ["ok"], "text": [""]}, {"table": "events"}, "events.at"),
        ({"at": at}, {}, "table"),
    ):
        table = pa.table(columns).replace_schema_metadata(metadata)
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        with pytest.raises(RefusedError) as refused:
            collect.send(fresh_id(), sink.getvalue())
        assert (refused.value.status, refused.value.field) == (422, field)
    with pytest.raises(RefusedError) as refused:
        collect.send(fresh_id(), b"\xff\xff\xff\xffnonsense")
    assert refused.value.field == "body"


def test_an_oversized_body_is_refused_before_it_is_read_whole(post: Any) -> None:
    answer = post(b" " * 33_000_000)
    assert (answer.status_code, answer.json()["error"]["field"]) == (413, "body")


def test_a_batch_in_another_media_type_is_refused(post: Any) -> None:
    assert post(b"{}", **{"content-type": "text/plain"}).status_code == 415


def test_series_past_the_limit_are_counted_not_stored(
    collect: Client, read: Client, served: WarehouseProcess
) -> None:
    """Sent for a source of its own, so that the other tests keep their room."""
    value = tokens.add(served.settings.token_dir, "crowd", ["ingest"], ["Köln 漢"])
    with Client(served.settings.warehouse.url, lambda: value, source="Köln 漢") as client:
        many = tuple(sample(target="crowd", object=str(number)) for number in range(10_007))
        batch = Batch(batch_id=fresh_id(), samples=many)
        receipt = client.send(batch.batch_id, pack(batch))
    assert receipt.overflowed == 7
    assert stored_samples(read, "crowd").height == 10_000
    counted = stored_samples(read, "other")
    assert (counted["metric"].to_list(), counted["value"].to_list()) == (["overflow_total"], [7.0])


def test_tokens_have_scopes_and_can_be_revoked(
    served: WarehouseProcess, collect: Client, read: Client
) -> None:
    batch = Batch(batch_id=fresh_id(), samples=(sample(target="tokens"),))
    with pytest.raises(NotAllowedError) as refused:
        read.send(batch.batch_id, pack(batch))
    assert refused.value.status == 403
    with pytest.raises(NotAllowedError):
        collect.ask("freshness")
    with pytest.raises(NotAllowedError) as foreign:
        collect.send(batch.batch_id, pack(batch), source="elsewhere")
    assert foreign.value.status == 403
    value = tokens.add(served.settings.token_dir, "guest", ["read"])
    with Client(served.settings.warehouse.url, lambda: value) as guest:
        assert guest.ask("storage").height > 0
        assert tokens.revoke(served.settings.token_dir, "guest")
        with pytest.raises(NotAllowedError) as revoked:
            guest.ask("storage")
    assert revoked.value.status == 401
    assert stored_samples(read, "tokens").height == 0


@pytest.mark.parametrize("path", ["/api/v1/questions", "/api/v1/ask/freshness", "/api/v1/export/attempts"])
def test_no_token_no_answer(served: WarehouseProcess, path: str) -> None:
    answer = httpx.get(served.settings.warehouse.url + path, trust_env=False)
    assert answer.status_code == 401
    assert answer.json()["error"]["title"] == "Not allowed"


@pytest.mark.parametrize("path", ["/healthz", "/api/v1/ask/freshness", "/api/v1/openapi.json", "/nowhere"])
def test_a_foreign_host_is_refused_everywhere(served: WarehouseProcess, path: str) -> None:
    answer = httpx.get(
        served.settings.warehouse.url + path, headers={"host": "evil.example"}, trust_env=False
    )
    assert answer.status_code == 400


def test_every_question_is_listed_with_its_parameters(read: Client) -> None:
    listed = {question["name"]: question for question in read.questions()}
    assert set(listed) == set(QUESTIONS)
    assert set(listed["percentile_trend"]["parameters"]["properties"]) == {
        *("start", "end", "buckets", "target", "endpoint", "merged")
    }
    assert all(question["answers"] for question in listed.values())


COMPARING = {"run_compare", "run_compare_curves", "baseline_compare", "baseline_again"}
"""Questions that refuse runs and baselines which are not there."""


@pytest.mark.parametrize("question", sorted(QUESTIONS.keys() - COMPARING))
def test_every_question_answers_in_every_format(
    read: Client, served: WarehouseProcess, question: str
) -> None:
    (schema,) = [each["parameters"] for each in read.questions() if each["name"] == question]
    window = {"start": minute_ago(3600).isoformat(), "end": now().isoformat()}
    known = {**window, "run_id": "r20260101000000-000000", "scenario": "invoice-api"}
    window = {name: value for name, value in known.items() if name in schema["properties"]}
    window |= {name: "nothing" for name in schema.get("required", ()) if name not in window}
    token = json.loads((served.settings.token_dir / "cli.json").read_text())["token"]
    with httpx.Client(
        base_url=served.settings.warehouse.url,
        headers={"authorization": f"Bearer {token}"},
        trust_env=False,
        params=window,
    ) as http:
        path = f"/api/v1/ask/{question}"
        arrow = pl.read_ipc_stream(
            http.get(path, headers={"accept": "application/vnd.apache.arrow.stream"}).content
        )
        parquet = pl.read_parquet(http.get(path, params={"format": "parquet", **window}).content)
        document = http.get(path).json()
        counted = http.get(f"/api/v1/count/{question}").json()["rows"]
        table = pl.read_csv(http.get(path, headers={"accept": "text/csv"}).content, infer_schema=False)
    assert document["columns"] == arrow.columns == parquet.columns == table.columns
    assert len(document["rows"]) == arrow.height == parquet.height == table.height == counted
    assert arrow.cast({pl.Categorical: pl.String}).schema == parquet.schema
    assert all(kind.time_zone == "UTC" for kind in arrow.schema.values() if isinstance(kind, pl.Datetime))


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({}, "start"),
        ({"start": "2026-11-23T00:00:00", "end": "2026-11-24T00:00:00Z"}, "start"),
        ({"start": "2026-11-24T00:00:00Z", "end": "2026-11-23T00:00:00Z"}, "parameters"),
        ({"start": "2026-11-23T00:00:00Z", "end": "2026-11-24T00:00:00Z", "buckets": "1001"}, "buckets"),
        ({"start": "2026-11-23T00:00:00Z", "end": "2026-11-24T00:00:00Z", "sql": "DROP TABLE x"}, "sql"),
        ({"start": "2026-11-23T00:00:00Z", "end": "2026-11-24T00:00:00Z", "format": "xlsx"}, "format"),
    ],
)
def test_bad_parameters_are_named(read: Client, parameters: dict[str, str], field: str) -> None:
    with pytest.raises(RefusedError) as refused:
        read.ask("percentile_trend", **parameters)
    assert (refused.value.status, refused.value.field) == (422, field)


def test_names_are_bound_never_run(collect: Client, read: Client) -> None:
    hostile = "x'); DROP TABLE attempt; --"
    batch = Batch(batch_id=fresh_id(), attempts=(attempt(minute_ago(), target=hostile),))
    collect.send(batch.batch_id, pack(batch))
    answer = read.ask("latency_summary", start=minute_ago(120), end=now(), target=[hostile])
    assert answer["target"].to_list() == [hostile]


def test_csv_disarms_formulas_and_parquet_keeps_the_text(collect: Client, read: Client) -> None:
    names = ["=1+1", "+1", "-1", "@SUM(A1)", " =cmd", "plain"]
    batch = Batch(
        batch_id=fresh_id(),
        attempts=tuple(attempt(minute_ago(), target="sheet", endpoint=name) for name in names),
    )
    collect.send(batch.batch_id, pack(batch))
    window = {"start": minute_ago(120), "end": now(), "target": "sheet"}
    text, parquet = io.BytesIO(), io.BytesIO()
    read.export("attempts", "csv", text, **window)
    read.export("attempts", "parquet", parquet, **window)
    disarmed = {f"'{name}" if name != "plain" else name for name in names}
    assert set(pl.read_csv(text.getvalue())["endpoint"]) == disarmed
    assert set(pl.read_parquet(parquet.getvalue())["endpoint"]) == set(names)


def test_a_retry_after_the_answer_was_lost_changes_nothing(collect: Client, read: Client) -> None:
    batch = Batch(batch_id=fresh_id(), samples=(sample(target="retry"),))
    body = pack(batch)
    senders = [threading.Thread(target=collect.send, args=(batch.batch_id, body)) for _ in range(8)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert stored_samples(read, "retry").height == 1


def test_the_client_says_when_nothing_answers(served: WarehouseProcess) -> None:
    with Client(f"http://127.0.0.1:{free_port()}", lambda: "x", retries=0) as client:
        with pytest.raises(WarehouseAwayError) as away:
            client.health()
        assert "perfhouse" in away.value.hint


def test_instants_are_utc_whatever_the_offset_sent(post: Any, read: Client) -> None:
    at = datetime.now(UTC).replace(microsecond=0)
    elsewhere = at.astimezone(ZoneInfo("Asia/Kathmandu"))
    post({"batch_id": fresh_id(), "samples": [row(target="zone", at=elsewhere.isoformat())]})
    assert stored_samples(read, "zone")["at"].to_list() == [at]


def test_ingest_is_acknowledged_within_reason_under_readers(collect: Client, read: Client) -> None:
    """Readers at work keep no batch from being stored."""
    stop = threading.Event()

    def keep_asking() -> None:
        while not stop.is_set():
            read.ask("percentile_trend", start=minute_ago(3600), end=now())

    readers = [threading.Thread(target=keep_asking) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(20):
            batch = Batch(batch_id=fresh_id(), samples=(sample(target="busy"),))
            assert collect.send(batch.batch_id, pack(batch)).stored
            time.sleep(0.01)
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert stored_samples(read, "busy").height == 20


@pytest.mark.parametrize("body", [b"", b"[]", b'{"error": "no"}', b'{"error": [1]}', b"<html>", b"\xff"])
@pytest.mark.parametrize("status", [400, 403, 422, 502])
def test_a_strangers_error_answer_is_still_one_of_our_errors(body: bytes, status: int) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=body, headers={"content-type": "application/json"})

    with Client("http://127.0.0.1:9", lambda: "x", retries=0) as client:
        client._http = httpx.Client(base_url=client.url, transport=httpx.MockTransport(answer))
        with pytest.raises((RefusedError, WarehouseAwayError)) as refused:
            client.ask("freshness")
    assert not getattr(refused.value, "field", "")
