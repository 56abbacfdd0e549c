"""Hostile texts and bytes in every place of a load test: kept as they are or refused, never a 500."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote

import httpx
import pytest

from tests.hostile.conftest import SOAK, token_of
from tests.hostile.texts import corpus
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.loading import AGENT, TARGETS, beats, launch, lines, rows, start, us
from warehouse.client import Client
from warehouse.model import now

AMOUNT = 5_000 if SOAK else 80
SEED = 20261124


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    folder = tmp_path_factory.mktemp("hostile runs")
    with running_warehouse(folder, TARGETS, log=folder / "warehouse.log") as process:
        yield process
        assert "Traceback" not in (folder / "warehouse.log").read_text()


@pytest.fixture(scope="module")
def run_id(served: WarehouseProcess) -> str:
    """A run that is under way."""
    run_id = launch(served)
    with served.client("agent") as agent:
        start(agent, run_id)
    return run_id


@pytest.fixture
def cli(served: WarehouseProcess) -> Iterator[Client]:
    with served.client("cli") as client:
        yield client


def as_json(**said: object) -> bytes:
    """JSON that may hold half a pair of surrogates."""
    return json.dumps(said).encode()


def door(served: WarehouseProcess, process: str) -> httpx.Client:
    token = token_of(served, process)
    url = f"{served.settings.warehouse.url}/api/v1"
    return httpx.Client(
        base_url=url,
        headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
        trust_env=False,
    )


def test_hostile_texts_are_kept_or_refused(served: WarehouseProcess, cli: Client, run_id: str) -> None:
    kept = 0
    with door(served, "cli") as act, door(served, "agent") as tell:
        for text in corpus(AMOUNT):
            answer = act.post(f"/runs/{run_id}/note", content=as_json(text=text))
            assert answer.status_code in (200, 422)
            if answer.status_code == 200:
                kept += 1
                assert cli.ask("run", run_id=run_id)["note"].item() == text
            person = {"x-person": quote(text, errors="replace")[:900]}
            asked = {"target": text, "preset": text, "scenario": text, "via": "ci", "confirm": text}
            assert act.post("/runs", content=as_json(**asked), headers=person).status_code == 422
            pinned = act.post(f"/runs/{run_id}/baseline", json={"pinned": False}, headers=person)
            assert pinned.status_code in (200, 422)
            told = {"agent": AGENT, "state": "running", "reason": text, "target_version": text}
            assert tell.post(f"/runs/{run_id}/report", content=as_json(**told)).status_code in (200, 422)
            claimed = {"agent": text, "version": text, "advertise": text}
            assert tell.post("/agent/claim", content=as_json(**claimed)).status_code in (200, 422)
            assert act.get("/ask/runs", params={"text": text[:200], "target": text[:200]}).status_code == 200
    assert kept > AMOUNT / 4


def test_hostile_bytes_are_stored_or_refused(served: WarehouseProcess, cli: Client, run_id: str) -> None:
    chance = random.Random(SEED)
    statuses: Counter[int] = Counter()
    good = rows(now() - timedelta(seconds=20), [1.0] * 4, outcome=["ok", "timeout"] * 2).tobytes()
    began = now() - timedelta(seconds=10)
    beat = lines(
        *beats(began, [0.5]),
        {"kind": "life", "at_us": us(began), "state": "started"},
        {"kind": "error", "error": 1, "text": "x"},
    )
    with door(served, "agent") as tell:
        for number in range(AMOUNT):
            for route, body in (("rows", bytearray(good)), ("events", bytearray(beat))):
                for _ in range(chance.randint(0, 3)):
                    body[chance.randrange(len(body))] = chance.randrange(256)
                headers = {"x-batch-id": f"{run_id}:{route}:{number}", "x-worker": str(number)}
                answer = tell.post(f"/runs/{run_id}/{route}", content=bytes(body), headers=headers)
                statuses[answer.status_code] += 1
    assert set(statuses) == {200, 422}
    for question in ("run", "run_seconds", "run_endpoints", "run_failures", "run_requests"):
        assert cli.ask(question, run_id=run_id).height, question
    assert cli.count("run_requests", run_id=run_id) % 4 == 0, "a piece is stored whole or not at all"
