"""The life of a run over HTTP: requested, claimed, reported, cancelled, pinned, noted, deleted, audited."""

import re
from datetime import datetime, timedelta

import httpx
import pytest

from tests.servers.warehouse import WarehouseProcess
from tests.warehouse.loading import AGENT, TARGETS, launch, rows, start, us
from warehouse import runs
from warehouse.client import Client
from warehouse.errors import NotAllowedError, RefusedError
from warehouse.model import now
from warehouse.plan import make_plan
from warehouse.run_model import RUN_ID, Claim, Report, RunRequest
from warehouse.run_orders import Agents, report
from warehouse.settings import Settings, parse
from warehouse.store import Store
from warehouse.tokens import add


@pytest.fixture
def served(without_runs: WarehouseProcess) -> WarehouseProcess:
    return without_runs


def posted(served: WarehouseProcess, path: str, process: str = "cli", **options: object) -> httpx.Response:
    """What the warehouse answers to a plain POST with the token of a process."""
    token = served.client(process)._token()
    url = f"{served.settings.warehouse.url}/api/v1/{path}"
    return httpx.post(
        url, headers={"authorization": f"Bearer {token}"} | options.pop("headers", {}), **options
    )


def test_a_run_is_requested_claimed_and_reported(
    served: WarehouseProcess, cli: Client, agent: Client
) -> None:
    answer = cli.request_run("shop", "tiny", via="cli", person="ann", note="before the release")
    run_id = answer["run_id"]
    assert re.fullmatch(RUN_ID, run_id)
    assert answer["state"] == "requested"
    given = agent.claim(AGENT, version="0.1.0", advertise="box")
    assert given["run"]["run_id"] == run_id
    assert given["run"]["plan"]["stages"] == [[20, 2, 1]]
    assert (given["cancel"], given["seats"]) == ([], [])
    began = us(now())
    told = agent.report_run(
        run_id, agent=AGENT, state="running", started_at_us=began, versions={"locust": "2.47"}
    )
    assert told["state"] == "running"
    assert agent.claim(AGENT, busy=[run_id])["run"] is None
    agent.report_run(run_id, agent=AGENT, state="finished", ended_at_us=began + 20_000_000)
    assert agent.report_run(run_id, agent=AGENT, state="running")["state"] == "finished", "an end stays"


def test_the_same_request_again_is_the_same_run(served: WarehouseProcess) -> None:
    asked = {"target": "shop", "preset": "tiny", "via": "ci"}
    headers = {"x-request-id": "0123456789"}
    answers = [posted(served, "runs", json=asked, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["run_id"] == answers[1].json()["run_id"]


def test_a_claim_that_got_lost_is_given_again_until_the_run_is_reported(
    served: WarehouseProcess, agent: Client
) -> None:
    run_id = launch(served)
    for _ in range(2):
        assert agent.claim(AGENT)["run"]["run_id"] == run_id
    assert agent.claim("another")["run"] is None
    assert agent.claim(AGENT, busy=[run_id])["run"] is None
    agent.report_run(run_id, agent=AGENT, state="starting")
    assert agent.claim(AGENT)["run"] is None


def test_one_run_a_target_the_others_wait_or_are_refused(
    served: WarehouseProcess, cli: Client, agent: Client
) -> None:
    first = launch(served)
    with pytest.raises(RefusedError, match=f"busy with run {first}") as refused:
        launch(served)
    assert (refused.value.status, refused.value.field) == (409, "target")
    second = launch(served, waits=True)
    third = launch(served, target="other")
    assert agent.claim(AGENT)["run"]["run_id"] == first
    assert agent.claim(AGENT, busy=[first])["run"]["run_id"] == third, "another target is free"
    assert agent.claim(AGENT, busy=[first, third])["run"] is None
    agent.report_run(first, agent=AGENT, state="finished")
    assert agent.claim(AGENT, busy=[third])["run"]["run_id"] == second


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"target": "nowhere"}, "target"),
        ({"target": "watched"}, "target"),
        ({"preset": "none"}, "preset"),
        ({"scenario": "none"}, "scenario"),
        ({"preset": "volume", "target": "other"}, "preset"),
        ({"preset": "heavy"}, "confirm"),
        ({"preset": "heavy", "confirm": "Heavy"}, "confirm"),
    ],
)
def test_what_is_not_allowed_is_refused_by_field_and_audited(
    served: WarehouseProcess, cli: Client, asked: dict[str, str], field: str
) -> None:
    began = now()
    with pytest.raises(RefusedError) as refused:
        cli.request_run(**{"target": "shop", "preset": "tiny", "via": "cli"} | asked)
    assert (refused.value.status, refused.value.field) == (422, field)
    (row,) = audit(cli, began)
    assert (row["who"], row["via"], row["action"], row["outcome"]) == (
        "token cli",
        "cli",
        "launch",
        "refused",
    )
    assert row["text"] == refused.value.message


def test_a_hundred_users_need_the_presets_name(cli: Client, agent: Client) -> None:
    assert cli.request_run("shop", "heavy", via="ci", confirm="heavy")["state"] == "requested"
    assert agent.request_run("shop", "heavy", via="schedule", waits=True)["state"] == "requested"


def test_who_may_launch(served: WarehouseProcess, cli: Client, dashboard: Client, agent: Client) -> None:
    value = add(served.settings.token_dir, "pipeline", ["act"])
    with Client(served.settings.warehouse.url, lambda: value) as pipeline:
        allowed = [
            (dashboard, "dashboard", {"local": True}, "local"),
            (dashboard, "dashboard", {"person": "ann"}, "ann"),
            (cli, "cli", {"person": "Zoë Ω"}, "Zoë Ω"),
            (cli, "cli", {}, "token cli"),
            (pipeline, "ci", {}, "token pipeline"),
            (agent, "schedule", {}, "token agent"),
        ]
        for client, via, named, who in allowed:
            client.request_run("shop", "tiny", via=via, waits=True, **named)
            assert (audit(cli)[-1]["who"], audit(cli)[-1]["outcome"]) == (who, "done")
        refused = [
            (dashboard, "dashboard", {}, "nobody is signed in"),
            (dashboard, "dashboard", {"person": "bob"}, "bob may neither launch"),
            (dashboard, "dashboard", {"person": "bob", "local": True}, "bob may neither launch"),
            (pipeline, "ci", {"person": "ann"}, "may not speak for a person"),
            (agent, "ci", {}, "the token agent may not act"),
            (agent, "schedule", {"person": "ann"}, "may not speak for a person"),
        ]
        for client, via, named, why in refused:
            with pytest.raises(NotAllowedError, match=why) as caught:
                client.request_run("shop", "tiny", via=via, waits=True, **named)
            assert caught.value.status == 403
            assert audit(cli)[-1]["outcome"] == "refused"
    with served.client("collect") as collect, pytest.raises(NotAllowedError):
        collect.request_run("shop", "tiny", via="ci")


def test_a_stop_reaches_the_agent_and_is_audited(
    served: WarehouseProcess, cli: Client, agent: Client
) -> None:
    began = now()
    run_id = launch(served)
    start(agent, run_id)
    for _ in range(2):
        assert cli.cancel_run(run_id, person="ann")["state"] == "running"
    given = agent.claim(AGENT, busy=[run_id])
    assert given["cancel"] == [{"run_id": run_id, "by": "ann"}]
    agent.report_run(run_id, agent=AGENT, state="cancelled", reason="cancelled by ann")
    assert agent.claim(AGENT)["cancel"] == []
    with pytest.raises(RefusedError, match="has ended") as refused:
        cli.cancel_run(run_id)
    assert refused.value.status == 409
    log = [(row["action"], row["subject"], row["outcome"]) for row in audit(cli, began)[1:]]
    assert log == [*[("cancel", run_id, "done")] * 2, ("cancel", run_id, "refused")]


def test_a_stop_before_the_start_ends_it_at_once(
    served: WarehouseProcess, cli: Client, agent: Client
) -> None:
    waiting = launch(served)
    assert cli.cancel_run(waiting)["state"] == "cancelled"
    assert agent.claim(AGENT)["run"] is None
    lost = launch(served)
    assert agent.claim(AGENT)["run"]["run_id"] == lost
    cli.cancel_run(lost)
    given = agent.claim(AGENT)
    assert (given["run"], given["cancel"]) == (None, []), "its claim was lost: it never began"
    assert states(cli) == {waiting: "cancelled", lost: "cancelled"}


def test_agents_of_other_machines_get_seats(served: WarehouseProcess, cli: Client, agent: Client) -> None:
    run_id = launch(served, "shared")
    assert agent.claim("a")["run"]["run_id"] == run_id
    assert agent.claim("b")["seats"] == [], "nobody knows the master yet"
    agent.report_run(run_id, agent="a", state="running", master_host="10.0.0.1", master_port=5557)
    seats = [agent.claim(name)["seats"] for name in ("b", "c", "d", "b")]
    assert [seat and seat[0]["first_worker"] for seat in seats] == [2, 3, [], 2]
    assert (seats[0][0]["master_host"], seats[0][0]["master_port"]) == ("10.0.0.1", 5557)
    assert agent.claim("b", busy=[run_id])["seats"] == []
    cli.cancel_run(run_id)
    assert [agent.claim(name, busy=[run_id])["cancel"][0]["run_id"] for name in "abc"] == [run_id] * 3
    assert agent.report_run(run_id, agent="b", state="stopping")["state"] == "running", "only a leads"
    with pytest.raises(RefusedError, match="is not run by d"):
        agent.report_run(run_id, agent="d", state="stopping")


def test_a_run_is_pinned_noted_and_deleted(served: WarehouseProcess, cli: Client, agent: Client) -> None:
    run_id = launch(served)
    began = start(agent, run_id)
    agent.send_rows(run_id, 0, "requests-0.bin", 0, rows(began, [1.0]).tobytes())
    with pytest.raises(RefusedError, match="has not ended"):
        cli.delete_run(run_id)
    agent.report_run(run_id, agent=AGENT, state="finished", complete=True)
    cli.pin_run(run_id)
    cli.note_run(run_id, "the <b>old</b> version")
    (run,) = cli.ask("runs").to_dicts()
    assert (run["is_baseline"], run["note"]) == (True, "the <b>old</b> version")
    with pytest.raises(RefusedError, match="is a baseline") as refused:
        cli.delete_run(run_id)
    assert refused.value.status == 409
    cli.pin_run(run_id, pinned=False)
    cli.delete_run(run_id)
    assert cli.ask("runs").is_empty()
    for act in (cli.delete_run, cli.cancel_run, cli.pin_run):
        with pytest.raises(RefusedError) as gone:
            act(run_id)
        assert gone.value.status == 404
    with pytest.raises(RefusedError) as gone:
        agent.send_rows(run_id, 0, "requests-0.bin", 32, rows(began, [1.0]).tobytes())
    assert gone.value.status == 404


def test_a_run_of_an_agent_that_is_gone_can_be_given_up(store: Store, settings: Settings) -> None:
    connection = store.cursor()
    plan = make_plan(parse(TARGETS, settings.path, {}), "shop", "tiny", None)
    asked = RunRequest(target="shop", preset="tiny", via="cli")
    run_id = runs.request(connection, plan, asked, "ann", "12345678").run_id
    Agents().claim(connection, Claim(agent=AGENT))
    assert runs.cancel(connection, run_id, "ann").state == "starting", "it was claimed a moment ago"
    at = now().replace(tzinfo=None)
    runs.change(connection, run_id, {"heartbeat_at": at - timedelta(seconds=61), "state": "running"})
    assert runs.cancel(connection, run_id, "ann").state == "failed"
    kept = runs.find(connection, run_id, "reason, is_partial, ended_at")
    assert kept["reason"].startswith(f"given up by ann: no news from agent {AGENT} since ")
    assert (kept["is_partial"], kept["ended_at"]) == (True, None)
    again = Report(agent=AGENT, state="running")
    assert report(connection, run_id, again).state == "running", "its agent is back and tells the truth"


def test_agents_are_remembered(cli: Client, agent: Client) -> None:
    agent.claim("load-1", version="0.1.0", advertise="load-1.internal")
    (row,) = cli.ask("load_agents").filter(name="load-1").to_dicts()
    assert (row["name"], row["version"], row["advertise"]) == ("load-1", "0.1.0", "load-1.internal")
    assert now() - row["seen_at"] < timedelta(seconds=60)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("runs/r20260101000000-aaaaaa/report", {"agent": "local", "state": "running"}, 404),
        ("runs/nonsense/report", {"agent": "local", "state": "running"}, 422),
        ("runs/r20260101000000-aaaaaa/report", {"agent": "local", "state": "requested"}, 422),
        ("runs/r20260101000000-aaaaaa/report", {"agent": "local", "state": "running", "x": 1}, 422),
        ("agent/claim", {"agent": ""}, 422),
        ("agent/claim", {"agent": "local", "busy": ["x"]}, 422),
    ],
)
def test_nonsense_of_agents_is_refused(
    served: WarehouseProcess, path: str, body: dict[str, object], status: int
) -> None:
    assert posted(served, path, "agent", json=body).status_code == status
    assert posted(served, path, "cli", json=body).status_code == 403


def states(cli: Client) -> dict[str, str]:
    return dict(cli.ask("runs").select("run_id", "state").iter_rows())


def audit(cli: Client, start: datetime | None = None) -> list[dict[str, object]]:
    """What was noted since then, or within an hour."""
    end = now() + timedelta(minutes=1)
    return cli.ask("audit_log", start=start or end - timedelta(hours=1), end=end).to_dicts()
