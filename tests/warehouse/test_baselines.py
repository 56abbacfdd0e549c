"""Baselines are pinned once, by whom and of what, one active per target, and what is wrong is refused."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import httpx
import pytest

from tests.hostile.conftest import token_of
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.loading import TARGETS, finish, launch, rows, start
from tests.warehouse.records import attempt
from warehouse.errors import NotAllowedError, RefusedError
from warehouse.model import Batch, now
from warehouse.wire import pack

BEGAN = (now() - timedelta(days=2)).replace(minute=0, second=0, microsecond=0)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    """Probes of two endpoints of a shop, every ten seconds for two hours."""
    with running_warehouse(tmp_path_factory.mktemp("baselines"), TARGETS) as process:
        made = tuple(
            attempt(BEGAN + timedelta(seconds=10 * place), ms=20 + place % 10, endpoint=endpoint)
            for place in range(720)
            for endpoint in ("GET /", "GET /cart")
        )
        with process.client("collect") as collector:
            batch = Batch(batch_id="baselines", attempts=made)
            collector.send(batch.batch_id, pack(batch))
        yield process


def ended_run(served: WarehouseProcess, target: str = "shop") -> str:
    run_id = launch(served, target=target)
    with served.client("agent") as agent:
        began = start(agent, run_id)
        agent.send_rows(run_id, 0, "requests-0.bin", 0, rows(began, [1.0] * 10).tobytes())
        finish(agent, run_id, began)
    return run_id


def test_a_period_is_pinned_listed_activated_and_removed(served: WarehouseProcess) -> None:
    with served.client("cli") as client:
        first = client.pin_baseline("shop", "release 1.4", start=BEGAN, end=BEGAN + HOUR, text="calm")
        assert (first["kind"], first["is_active"], first["runs"]) == ("period", True, [])
        assert datetime.fromisoformat(first["start"]) == BEGAN
        second = client.pin_baseline(
            "shop", "release 1.5", start=BEGAN + HOUR, end=BEGAN + 2 * HOUR, activate=False
        )
        listed = client.ask("baselines", target=["shop"]).to_dicts()
        assert [(row["name"], row["is_active"]) for row in listed] == [
            ("release 1.5", False),
            ("release 1.4", True),
        ]
        assert (listed[1]["text"], listed[1]["who"], listed[1]["end"]) == ("calm", "token cli", BEGAN + HOUR)
        client.activate_baseline(second["baseline_id"])
        active = client.ask("baselines").to_dicts()
        assert [row["name"] for row in active if row["is_active"]] == ["release 1.5"]
        assert client.remove_baseline(second["baseline_id"])["name"] == "release 1.5"
        for act in (client.remove_baseline, client.activate_baseline):
            with pytest.raises(RefusedError) as refused:
                act(second["baseline_id"])
            assert refused.value.status == 404
        client.remove_baseline(first["baseline_id"])
        assert client.ask("baselines").is_empty()
        log = client.ask("audit_log", start=now() - HOUR, end=now() + HOUR).to_dicts()
    told = [(row["action"], row["outcome"]) for row in log if "baseline" in row["action"]]
    assert told == [
        *(("pin_baseline", "done"), ("pin_baseline", "done"), ("activate_baseline", "done")),
        *(("remove_baseline", "done"), ("remove_baseline", "refused"), ("activate_baseline", "refused")),
        ("remove_baseline", "done"),
    ]


def test_the_level_of_a_period_is_its_percentiles_with_a_band(served: WarehouseProcess) -> None:
    with served.client("cli") as client:
        pinned = client.pin_baseline("shop", "levels", start=BEGAN, end=BEGAN + 2 * HOUR)
        told = client.ask("baseline_levels", target=["shop"]).to_dicts()
        client.remove_baseline(pinned["baseline_id"])
        assert client.ask("baseline_levels").is_empty()
    assert [(row["endpoint"], row["percent"]) for row in told] == [
        (endpoint, percent) for endpoint in ("GET /", "GET /cart") for percent in (50, 95, 99)
    ]
    assert {(row["percent"], row["level_ms"], row["low_ms"], row["high_ms"]) for row in told} == {
        (50, 24.0, 24.0, 24.0),
        (95, 29.0, 29.0, 29.0),
        (99, 29.0, 29.0, 29.0),
    }
    assert all(row["n"] == 720 and row["above"] is False for row in told)


def test_runs_are_pinned_and_held_until_no_baseline_needs_them(served: WarehouseProcess) -> None:
    one, two = ended_run(served), ended_run(served)
    with served.client("cli") as client:
        client.pin_run(two)
        first = client.pin_baseline("shop", "of runs", runs=[one, two])
        second = client.pin_baseline("shop", "of one", runs=[one], activate=False)
        assert (first["kind"], first["runs"]) == ("runs", sorted([one, two]))
        assert all(row["is_baseline"] for row in client.ask("runs").to_dicts())
        with pytest.raises(RefusedError, match="belongs to the baseline") as refused:
            client.pin_run(one, pinned=False)
        assert refused.value.status == 409
        client.remove_baseline(first["baseline_id"])
        kept = {row["run_id"]: row["is_baseline"] for row in client.ask("runs").to_dicts()}
        assert kept == {one: True, two: True}, "the other baseline holds one, somebody pinned the other"
        client.remove_baseline(second["baseline_id"])
        kept = {row["run_id"]: row["is_baseline"] for row in client.ask("runs").to_dicts()}
        assert kept == {one: False, two: True}


def test_a_baseline_sent_again_is_still_one(served: WarehouseProcess) -> None:
    period = {"start": BEGAN.isoformat(), "end": (BEGAN + HOUR).isoformat()}
    sent = {
        "url": f"{served.settings.warehouse.url}/api/v1/baselines",
        "json": {"target": "shop", "name": "twice", **period},
        "headers": {
            "authorization": f"Bearer {token_of(served, 'cli')}",
            "x-request-id": "the-same-request",
        },
    }
    answers = [httpx.post(**sent, trust_env=False) for _ in range(3)]  # type: ignore[arg-type]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["baseline_id"] for answer in answers}) == 1
    with served.client("cli") as client:
        with pytest.raises(RefusedError, match="already") as refused:
            client.pin_baseline("shop", "twice", start=BEGAN, end=BEGAN + HOUR)
        assert (refused.value.status, refused.value.field) == (409, "name")
        client.remove_baseline(answers[0].json()["baseline_id"])


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"end": BEGAN}, "end"),
        ({"end": BEGAN + timedelta(days=40)}, "end"),
        ({"start": None}, "start"),
        ({"end": None}, "end"),
        ({"start": BEGAN - timedelta(days=3), "end": BEGAN - timedelta(days=2)}, "start"),
        ({"target": "nowhere"}, "start"),
        ({"end": now() + HOUR}, "end"),
        ({"runs": ["r20260101000000-000000"]}, "start"),
        ({"text": "x" * 2001}, "text"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_pinned(
    served: WarehouseProcess, wrong: dict[str, object], field: str
) -> None:
    asked = {"target": "shop", "name": "wrong", "start": BEGAN, "end": BEGAN + HOUR, **wrong}
    with served.client("cli") as client:
        with pytest.raises(RefusedError) as refused:
            client.pin_baseline(**asked)  # type: ignore[arg-type]
        assert refused.value.field == field
        assert client.ask("baselines").is_empty()


def test_runs_of_another_target_or_that_did_not_end_are_refused(served: WarehouseProcess) -> None:
    other, queued = ended_run(served, "other"), launch(served)
    with served.client("cli") as client:
        for runs, why in (
            ([other], "is of other"),
            ([queued], "did not come to its end"),
            ([other, other], "each run once"),
        ):
            with pytest.raises(RefusedError, match=why) as refused:
                client.pin_baseline("shop", "wrong", runs=runs)
            assert refused.value.field == "runs"
        with pytest.raises(RefusedError) as gone:
            client.pin_baseline("shop", "wrong", runs=["r20260101000000-000000"])
        assert gone.value.status == 404
        client.cancel_run(queued)


def test_who_may_only_read_or_ingest_pins_nothing(served: WarehouseProcess) -> None:
    with served.client("collect") as collector:
        with pytest.raises(NotAllowedError):
            collector.pin_baseline("shop", "mine", start=BEGAN, end=BEGAN + HOUR)
        with pytest.raises(NotAllowedError):
            collector.remove_baseline("b20260101000000-000000")
