"""What users of a load test do: their mix, order, files, checks, and how many there are."""

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests.load_run import LoadRun
from tests.loadtests.running import LaunchedRun, launch, launched, make_plan, request, write_plan
from tests.servers.counting import CountingServer, counting_server
from tests.servers.ports import free_port
from warehouse.plan import users_at

WEIGHTS = {"/health": 3, "/health/invoices": 2, "/token": 1, "/health/metrics": 1}
MIX = tuple(request(path, weight=weight) for path, weight in WEIGHTS.items())


@pytest.fixture
def server() -> Iterator[CountingServer]:
    with counting_server() as started:
        yield started


def deviations(counts: dict[str, int]) -> dict[str, float]:
    """By how many sigmas each count is off its share."""
    total, all_weights = sum(counts.values()), sum(WEIGHTS.values())
    shares = {path: weight / all_weights for path, weight in WEIGHTS.items()}
    return {
        path: abs(counts[path] - total * share) / (total * share * (1 - share)) ** 0.5
        for path, share in shares.items()
    }


def test_requests_are_drawn_by_weight_within_3_sigma(tmp_path: Path) -> None:
    random.seed(20261124)
    run = LoadRun.open(write_plan(tmp_path, make_plan("http://127.0.0.1:1", *MIX)), 0, 1)
    drawn = Counter(run.draw().request.path for _ in range(100_000))
    assert max(deviations(drawn).values()) < 3


def test_the_server_sees_the_mix(server: CountingServer, tmp_path: Path) -> None:
    with launch(tmp_path / "runs", make_plan(server.url, *MIX, stages=((4, 20, 100),))) as run:
        run.wait_ended()
    counts = {name.removeprefix("GET "): count for name, count in server.counts().items()}
    assert sum(counts.values()) == len(run.rows()) > 500
    assert max(deviations(counts).values()) < 4.5, "what chance does to one run in 30,000"


def test_fifty_uploads_are_there_at_once(server: CountingServer, tmp_path: Path) -> None:
    upload = request(
        "/upload",
        method="POST",
        file={"field": "file", "name": "invoice.txt", "bytes": 2000},
        repeat=50,
        concurrent=True,
    )
    plan = make_plan(server.url, upload, stages=((3, 1, 10),), order="sequence", think_s=(0.5, 0.5))
    with launch(tmp_path / "runs", plan) as run:
        run.wait_ended()
    told = server.told()
    assert told["peaks"]["upload"] == 50
    assert told["counts"]["POST /upload"] == len(run.rows())
    assert len(run.rows()) % 50 == 0
    assert run.outcomes() == {"ok": len(run.rows())}
    assert {row.user for row in run.rows()} == {1}


def test_a_sequence_keeps_its_order_and_fills_in_what_it_extracted(
    server: CountingServer, tmp_path: Path
) -> None:
    steps = (
        request("/items", method="POST", json_body={"name": "{other}"}, extract={"item": "data.0.id"}),
        request("/health/{item}", headers={"x-item": "{item}"}),
        request("/items/{item}", method="PUT", json_body={"id": "{item}", "text": "of {item}"}),
    )
    plan = make_plan(server.url, *steps, order="sequence", stages=((2, 1, 10),))
    with launch(tmp_path / "runs", plan) as run:
        run.wait_ended()
    counts = server.counts()
    rounds = counts["POST /items"]
    assert rounds > 5
    assert all(counts[f"GET /health/{number}"] == 1 for number in range(1, rounds))
    endpoints = [row.endpoint for row in run.rows()]
    assert endpoints == [number % 3 for number in range(len(endpoints))]
    last = server.told()["last"]
    if last["name"].startswith("PUT"):
        number = last["name"].rpartition("/")[2]
        assert last["body"] == f'{{"id":{number},"text":"of {number}"}}'
    assert run.outcomes() == {"ok": server.total}


OUTCOMES = {
    "/health": ({}, "ok", ""),
    "/status/503": ({}, "bad_status", "status 503"),
    "/status/404": ({"expect_status": (404,)}, "ok", ""),
    "/drop": ({}, "reset", "the server closed the connection without a whole answer"),
    "/garbage": ({}, "protocol", "the answer is not HTTP/1.1: Expected HTTP/, RTSP/ or ICE/"),
    "/delay/1500": ({"deadline_s": 0.3}, "timeout", "no whole answer within 0.3 s"),
    "/health/a": ({"expect_text": "nowhere"}, "assertion", "the expected text is not in the body"),
    "/health/b": ({"expect_json": {"status": "bad"}}, "assertion", "the body is not the expected JSON"),
    "/health/c": ({"expect_json": {"status": "ok"}, "expect_text": "ok"}, "ok", ""),
    "/health/d": ({"extract": {"gone": "data.id"}}, "assertion", "nothing at data.id in the body"),
}


def test_every_failure_has_its_outcome_and_text(server: CountingServer, tmp_path: Path) -> None:
    """A broken connection is no reason to ask again: the server counts what is recorded."""
    asked = tuple(request(path, **fields) for path, (fields, _, _) in OUTCOMES.items())
    plan = make_plan(server.url, *asked, order="sequence", stages=((3, 4, 50),))
    with launch(tmp_path / "runs", plan) as run:
        run.wait_ended()
    assert len(run.rows()) == server.total
    texts = {event["error"]: event["text"] for event in run.events("error")} | {0: ""}
    words = outcome_words(run)
    for endpoint, (path, (_, outcome, text)) in enumerate(OUTCOMES.items()):
        found = {(words[row.outcome], texts[row.error]) for row in run.rows() if row.endpoint == endpoint}
        assert found == {(outcome, text)}, path
    waited = [row.service_us for row in run.rows() if words[row.outcome] == "timeout"]
    assert min(waited) >= 300_000


def outcome_words(run: LaunchedRun) -> dict[int, str]:
    program = "from warehouse.model import Outcome; print(*[each.value for each in Outcome])"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    return dict(enumerate(said.split()))


def test_nobody_there_is_refused(tmp_path: Path) -> None:
    plan = make_plan(f"http://127.0.0.1:{free_port()}", stages=((1, 2, 50),))
    with launch(tmp_path / "runs", plan) as run:
        assert run.wait_ended()["state"] == "finished"
    assert set(run.outcomes()) == {"refused"}


def test_a_server_without_tls_fails_in_the_handshake(server: CountingServer, tmp_path: Path) -> None:
    plan = make_plan(
        server.url.replace("http:", "https:"), request("/health", deadline_s=1), stages=((2, 2, 50),)
    )
    with launch(tmp_path / "runs", plan) as run:
        assert run.wait_ended()["state"] == "finished"
    assert set(run.outcomes()) <= {"tls", "timeout"}
    assert server.total == 0


@pytest.mark.parametrize("workers", [0, 2], ids=["one process", "two workers"])
def test_there_are_as_many_users_as_planned_each_second(
    server: CountingServer, tmp_path: Path, workers: int
) -> None:
    """Up, level and down; users whose answer is still awaited when they are stopped are no users any more."""
    stages = ((3.0, 6, 2.0), (2.0, 6, 1.0), (3.0, 2, 2.0), (2.0, 2, 1.0))
    plan = make_plan(server.url, request("/delay/700"), stages=stages, workers=workers)
    with launch(tmp_path / "runs", plan) as run:
        started_at_us = run.wait_ended()["started_at_us"]
    beats = [beat for beat in run.events("beat") if beat["worker"] or not workers]
    seconds = {round((beat["at_us"] - started_at_us) / 1e6) for beat in beats}
    assert {2, 4, 6, 8} <= seconds
    for second in range(1, 10):
        now = {}
        for beat in beats:
            if round((beat["at_us"] - started_at_us) / 1e6) == second:
                now[beat["worker"]] = beat
        if len(now) != max(workers, 1):
            continue
        elapsed = [(beat["at_us"] - started_at_us) / 1e6 for beat in now.values()]
        near = [users_at(stages, at_s + shift) for at_s in elapsed for shift in (-0.5 * bool(workers), 0)]
        users = sum(beat["users"] for beat in now.values())
        assert min(near) - 1 <= users <= max(near) + 1, (second, users, near)


def test_a_second_run_at_the_same_target_is_refused(server: CountingServer, tmp_path: Path) -> None:
    plan = make_plan(server.url, stages=((60, 2, 50),))
    same = plan.model_copy(update={"url": server.url.replace("127.0.0.1", "localhost")})
    with launch(tmp_path / "runs", plan) as first:
        first.wait_running()
        with launch(tmp_path / "runs", same, "r20261124120001-abcdef") as second:
            state = second.wait_ended()
        assert state["state"] == "failed"
        assert state["reason"] == (
            f"could not run: 127.0.0.1:{server.port} is under load from {first.run_dir.name}"
        )
        assert not second.rows()
        first.cancel()
        first.wait_ended()
    with launched(write_plan(tmp_path / "runs", same, "r20261124120002-abcdef")) as third:
        third.wait_running()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"max_users": 4}, "users = 5 is over the target's cap of 4"),
        ({"max_duration_s": 2.0}, "duration_s = 3 is over the target's cap of 2"),
        (
            {"arrivals": "constant", "rate_per_s": 20.0, "max_requests_per_s": 10.0},
            "requests_per_s = 20 is over the target's cap of 10",
        ),
        ({"url": "http://no-such-host.invalid"}, "no-such-host.invalid cannot be resolved"),
        ({"headers": {"x-key": {"env": "NO_SUCH_SECRET"}}}, "environment variable NO_SUCH_SECRET: expected"),
    ],
)
def test_what_cannot_run_says_why_and_sends_nothing(
    server: CountingServer, tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    plan = make_plan(**({"url": server.url} | change))  # type: ignore[arg-type]
    with launch(tmp_path / "runs", plan) as run:
        state = run.wait_ended()
    assert state["state"] == "failed"
    assert state["reason"].startswith(f"could not run: {reason}")
    assert server.total == 0
    assert not run.rows()


def test_secrets_are_sent_and_never_written(server: CountingServer, tmp_path: Path) -> None:
    plan = make_plan(server.url, headers={"x-key": {"env": "SHOP_KEY"}}, stages=((1, 2, 50),))
    run_dir = write_plan(tmp_path / "runs", plan)
    with launched(run_dir, environment={"SHOP_KEY": "s3cret-of-the-shop"}) as run:
        run.wait_ended()
    assert server.told()["last"]["headers"]["x-key"] == "s3cret-of-the-shop"
    written = [file for file in run_dir.rglob("*") if file.is_file()]
    assert written
    assert not any(b"s3cret-of-the-shop" in file.read_bytes() for file in written)
