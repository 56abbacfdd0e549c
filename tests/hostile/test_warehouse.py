"""10,000 hostile texts sent, asked for and exported: nothing but data, no change of a table, no 500."""

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import duckdb
import httpx
import polars as pl
import pytest

from tests.cli.running import perfhouse
from tests.dashboard.worlds import hostile, send
from tests.hostile.conftest import SOAK, token_of
from tests.hostile.texts import STEERS, SURROGATES, as_name, corpus
from tests.servers.warehouse import WarehouseProcess, write_config
from tests.warehouse.records import attempt, minute_ago, sample
from warehouse import tokens
from warehouse.client import Client
from warehouse.model import Event, JobState, now
from warehouse.settings import load
from warehouse.store import Store

AMOUNT = 10_000
"""As many as one source may have series."""

SOURCE = "x'); DROP TABLE series; --"
TARGET = "![all](http://192.0.2.1/all.png)"
BLOCK = 1000
ASKED_AT_ONCE = 40
SHARE, PARTS = 4, 4
ODD_PLACES = len(corpus(AMOUNT)) if SOAK else 400
SCHEMA = """
    SELECT table_name, column_name, data_type, is_nullable, column_default, constraint_text
    FROM duckdb_columns() LEFT JOIN duckdb_constraints() USING (table_name)
    WHERE NOT internal
    ORDER BY ALL
"""


@pytest.fixture(scope="module")
def names() -> list[str]:
    return list(dict.fromkeys(map(as_name, corpus(AMOUNT))))


@pytest.fixture(scope="module")
def http(served: WarehouseProcess) -> Iterator[httpx.Client]:
    """The reader's client; an answer of 500 fails whatever test got it."""

    def check(answer: httpx.Response) -> None:
        assert answer.status_code < 500 or answer.status_code in (503, 504), answer.request.url

    with httpx.Client(
        base_url=served.settings.warehouse.url,
        headers={"authorization": f"Bearer {token_of(served, 'cli')}"},
        event_hooks={"response": [check]},
        trust_env=False,
        timeout=60,
    ) as client:
        yield client


@pytest.fixture(scope="module")
def stored(served: WarehouseProcess, names: list[str]) -> list[str]:
    """Every name is stored as an endpoint and as an object, every text as an event's: JSON and Arrow."""
    sender = tokens.add(served.settings.token_dir, "hostile", ["ingest"], [SOURCE])
    other = tokens.add(served.settings.token_dir, "hostile2", ["ingest"], ["two"])
    at = minute_ago()
    texts = corpus(AMOUNT)
    url = served.settings.warehouse.url
    with Client(url, lambda: sender, source=SOURCE) as client, Client(url, lambda: other) as second:
        for begin in range(0, AMOUNT, BLOCK):
            some = names[begin : begin + BLOCK]
            rows = [attempt(at, target=TARGET, endpoint=name) for name in some]
            if begin % (2 * BLOCK):
                send(client, *rows)
            else:
                post_json(url, sender, {"source": SOURCE, "attempts": [as_json(row) for row in rows]})
            send(second, *(sample(at, target=name, object=name, metric=name, kind=name) for name in some))
            events = [
                Event(at=at, job=as_name(text), state=JobState.FAILING, text=text[:2000])
                for text in texts[begin : begin + BLOCK]
            ]
            if begin % (2 * BLOCK):
                post_json(url, sender, {"source": SOURCE, "events": [as_json(row) for row in events]})
            else:
                send(client, *events)
    return names


def as_json(row: object) -> dict[str, object]:
    return row.model_dump(mode="json", exclude_none=True)  # type: ignore[attr-defined]


def as_header(text: str) -> str:
    return "".join(mark if " " <= mark < "\x7f" else "?" for mark in text)[:500].strip() or "x"


def post_json(url: str, token: str, batch: dict[str, object]) -> None:
    answer = httpx.post(
        f"{url}/api/v1/ingest",
        json={"batch_id": f"json-{datetime.now(UTC).timestamp()}", **batch},
        headers={"authorization": f"Bearer {token}"},
        trust_env=False,
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["overflowed"] == 0


def window() -> dict[str, str]:
    return {"start": (now() - timedelta(hours=1)).isoformat(), "end": now().isoformat()}


def test_every_name_and_text_comes_back_as_it_was(http: httpx.Client, stored: list[str]) -> None:
    for form, read in (("parquet", pl.read_parquet), ("arrow", pl.read_ipc_stream)):
        answer = http.get("/api/v1/export/attempts", params={**window(), "format": form, "target": TARGET})
        assert set(read(io.BytesIO(answer.content))["endpoint"]) == set(stored)
        answer = http.get("/api/v1/export/samples", params={**window(), "format": form})
        assert set(stored) <= set(read(io.BytesIO(answer.content))["object"])
    lines = http.get("/api/v1/export/events", params={**window(), "format": "json"}).text
    events = [json.loads(line) for line in lines.split("\n") if line]
    assert {event["text"] for event in events} >= {text[:2000] for text in corpus(AMOUNT)}
    assert {event["source"] for event in events} >= {SOURCE}
    table = http.get("/api/v1/export/attempts", params={**window(), "format": "csv", "target": TARGET})
    assert pl.read_csv(table.content, infer_schema=False).height == len(stored)


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_is_asked_for_is_all_that_is_answered(
    http: httpx.Client, stored: list[str], part: int
) -> None:
    """Names go through each question's texts; where the answer has a column of that name, it is one.

    A soak asks each question for every name, else one in SHARE; together they are asked for all. That is many
    answers, of which each part has its own limit of time.
    """
    listed = http.get("/api/v1/questions").json()
    seen = 0
    for place, question in enumerate(listed):
        taken = question["parameters"]["properties"]
        texts = [name for name, kind in taken.items() if kind.get("items", {}).get("type") == "string"]
        texts = [name for name in texts if "$ref" not in str(taken[name])]
        for number, begin in enumerate(range(0, len(stored), ASKED_AT_ONCE) if texts else ()):
            name = texts[number % len(texts)]
            turn = number + place
            if turn // SHARE % PARTS != part or (turn % SHARE and not SOAK):
                continue
            asked = stored[begin : begin + ASKED_AT_ONCE]
            required = set(question["parameters"].get("required", ())) - {"start", "end"}
            query = {
                **dict.fromkeys(required, asked[0]),
                name: asked,
                **(window() if "start" in taken else {}),
            }
            answer = http.get(f"/api/v1/ask/{question['name']}", params=query)
            if question["name"] in ("baseline_compare", "baseline_again"):
                assert "has no baseline" in answer.text
                continue
            assert answer.status_code in (200, 413), answer.text
            column = {"source_name": "source"}.get(name, name)
            for row in answer.json().get("rows", []):
                seen += 1
                assert column not in row or row[column] in asked
    assert seen > AMOUNT // 2 // PARTS


def test_odd_places_for_texts_are_refused_with_words(http: httpx.Client, stored: list[str]) -> None:
    for number, text in enumerate((*corpus(AMOUNT)[:ODD_PLACES], *SURROGATES)):
        escaped = quote(text, safe="", errors="surrogatepass")[:2000]
        header = as_header(text)
        for path in (
            f"/api/v1/ask/{escaped}",
            f"/api/v1/export/attempts/{escaped}",
            f"/{escaped}",
            f"/api/v1/ask/attempts?{escaped}={escaped}",
            f"/api/v1/ask/percentile_trend?start={escaped}&end={escaped}&buckets={escaped}",
            f"/api/v1/ask/freshness?format={escaped}",
            f"/api/v1/export/freshness?format={escaped}",
            f"/api/v1/ask/hosts?{escaped}",
        )[number % 2 :: 2]:
            assert http.get(path).status_code in (400, 404, 405, 422), path
        assert http.get("/api/v1/ask/hosts", headers={"accept": header}).status_code in (200, 406)
        refused = http.get("/api/v1/ask/hosts", headers={"authorization": f"Bearer {header}"})
        assert refused.status_code == 401


def test_batches_that_are_nonsense_are_refused_with_words(
    http: httpx.Client, served: WarehouseProcess
) -> None:
    token = {"authorization": f"Bearer {token_of(served, 'collect')}", "content-type": "application/json"}
    at = now().isoformat()
    for text in (*corpus(AMOUNT)[:ODD_PLACES], *SURROGATES):
        told = json.dumps(text)
        for body in (
            told,
            f'{{"batch_id": {told}}}',
            f'{{"batch_id": "hostile-x", {told}: 1}}',
            f'{{"batch_id": "hostile-x", "source": {told}}}',
            f'{{"batch_id": "hostile-x", "events": [{{"at": {told}, "job": {told}}}]}}',
            f'{{"batch_id": "hostile-x", "samples": [{{"at": "{at}", "kind": {told}, "unit": {told}}}]}}',
            f'{{"batch_id": "hostile-x", "attempts": [{{"at": "{at}", "outcome": {told}}}]}}',
        ):
            answer = http.post("/api/v1/ingest", content=body, headers=token)
            assert answer.status_code in (403, 422), (body, answer.text)
            assert answer.json()["error"]["message"]
        header = as_header(text)
        odd = {"x-batch-id": header, "content-type": "application/vnd.apache.arrow.stream"}
        answer = http.post(
            "/api/v1/ingest", content=text.encode("utf-8", "replace"), headers={**token, **odd}
        )
        assert answer.status_code == 422
        odd |= {"x-batch-id": "hostile-arrow", "x-source": quote(text, errors="surrogatepass")[:2000]}
        answer = http.post("/api/v1/ingest", content=b"", headers={**token, **odd})
        assert answer.status_code in (403, 422)


def test_a_window_at_the_end_of_time_is_refused_with_words(http: httpx.Client) -> None:
    for start in ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "-1", "0"):
        for route in ("ask", "export"):
            for question in ("attempts", "collector_jobs", "percentile_trend", "gaps"):
                query = {"start": start, "end": "9999-12-31T23:59:59-14:00"}
                assert http.get(f"/api/v1/{route}/{question}", params=query).status_code == 422
    whole = {"start": "1970-01-01T00:00:00+00:00", "end": "2200-01-01T00:00:00+00:00"}
    for question in ("collector_jobs", "percentile_trend", "host_trend", "gaps", "collector_health"):
        assert http.get(f"/api/v1/ask/{question}", params=whole).status_code in (200, 413), question


def test_the_command_line_lets_no_text_steer_the_terminal(
    served: WarehouseProcess, stored: list[str]
) -> None:
    with served.client("collect") as client:
        hostile(client)  # heard just now: what is silent is told otherwise
    shown = perfhouse("status", config=served.config)
    assert "is failing" in shown.stdout
    assert not STEERS.search((shown.stdout + shown.stderr).replace("\n", ""))
    assert not any(line.startswith("INFO warehouse") for line in shown.stdout.splitlines())
    document = json.loads(perfhouse("status", "--json", config=served.config).stdout)
    assert document["failing_jobs"]
    text = "x'; DROP TABLE attempt; --\x1b]0;title\x07\u202e"
    for arguments in (
        ("export", text, "--out", "-"),
        ("export", "attempts", "--out", "-", "--param", text),
        ("export", "attempts", "--out", "-", "--from", text),
        ("token", "add", text),
    ):
        done = perfhouse(*arguments, config=served.config)
        assert done.returncode == 65
        assert "DROP TABLE" in done.stderr or arguments[0] == "token"
        assert not STEERS.search((done.stdout + done.stderr).replace("\n", ""))


def test_nothing_went_wrong_in_the_warehouse_and_no_table_changed(
    served: WarehouseProcess, stored: list[str], tmp_path: object
) -> None:
    """The last test: it stops the warehouse to look into its file."""
    assert served.stop() in (0, -15)
    assert served.log is not None
    log = served.log.read_text()
    assert "Traceback" not in log
    assert all(line.startswith(("INFO", "WARNING")) for line in log.splitlines()), log
    fresh = load(write_config(tmp_path), {})  # type: ignore[arg-type]
    Store(fresh).close()
    with duckdb.connect(fresh.database_file) as new, duckdb.connect(served.settings.database_file) as used:
        wanted = new.execute(SCHEMA).fetchall()
        assert len(wanted) > 20
        assert used.execute(SCHEMA).fetchall() == wanted
        views = "SELECT count(*) FROM duckdb_views() WHERE NOT internal"
        assert used.execute(views).fetchall() == [(0,)]
        assert used.execute("SELECT count(*) FROM attempt").fetchall()[0][0] >= len(stored)
