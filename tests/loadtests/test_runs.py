"""A real Locust against a real server: what the server counted is what stands in the spool."""

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests.spool_format import OUTCOMES
from tests.loadtests.running import LaunchedRun, launch, make_plan, request
from tests.servers.counting import CountingServer, counting_server
from warehouse.plan import PARTS

PROCESSES = pytest.mark.parametrize("workers", [0, 2], ids=["one process", "two workers"])


@pytest.fixture
def server() -> Iterator[CountingServer]:
    with counting_server() as started:
        yield started


def counted(run: LaunchedRun) -> Counter[int]:
    return Counter(row.endpoint for row in run.rows())


@PROCESSES
def test_a_run_records_what_the_server_counts(server: CountingServer, tmp_path: Path, workers: int) -> None:
    plan = make_plan(server.url, request("/health", weight=3), request("/delay/20"), workers=workers)
    with launch(tmp_path / "runs", plan) as run:
        state = run.wait_ended()
    assert (state["state"], state["reason"], state["is_partial"]) == ("finished", "", False)
    counts = server.counts()
    assert dict(counted(run)) == {0: counts["GET /health"], 1: counts["GET /delay/20"]}
    assert min(counts.values()) > 20
    assert run.outcomes() == {"ok": server.total}
    workers_seen = {
        int(file.stem.rpartition("-")[2])
        for file in run.run_dir.glob("requests-*.bin")
        if file.stat().st_size
    }
    assert workers_seen == ({1, 2} if workers else {0})


@PROCESSES
def test_a_cancelled_run_ends_within_5_s_and_keeps_everything(
    server: CountingServer, tmp_path: Path, workers: int
) -> None:
    plan = make_plan(
        server.url, request("/health"), request("/delay/200"), stages=((60, 8, 50),), workers=workers
    )
    with launch(tmp_path / "runs", plan) as run:
        run.wait_running()
        run.cancel("somebody")
        state = run.wait_ended()
        assert not run.members()
    assert (state["state"], state["reason"], state["is_partial"]) == ("cancelled", "somebody", False)
    assert run.outcomes() == {"ok": server.total}
    stopping_at_us = min(event["at_us"] for event in run.events("life") if event["state"] == "stopping")
    assert state["ended_at_us"] - stopping_at_us < 5_000_000


@PROCESSES
def test_sigterm_to_the_launcher_is_a_graceful_stop(
    server: CountingServer, tmp_path: Path, workers: int
) -> None:
    plan = make_plan(server.url, request("/delay/100"), stages=((60, 8, 50),), workers=workers)
    with launch(tmp_path / "runs", plan) as run:
        run.wait_running()
        run.process.send_signal(signal.SIGTERM)
        state = run.wait_ended()
    assert (state["state"], state["reason"]) == ("cancelled", "the launcher got SIGTERM")
    assert run.outcomes() == {"ok": server.total}


def test_what_is_still_open_at_the_end_is_cut_off_and_recorded(
    server: CountingServer, tmp_path: Path
) -> None:
    plan = make_plan(server.url, request("/delay/20000", deadline_s=30), stages=((1, 5, 50),))
    with launch(tmp_path / "runs", plan) as run:
        state = run.wait_ended()
    assert state["state"] == "finished"
    assert run.outcomes() == {"not_measurable": server.total} == {"not_measurable": 5}
    assert [event["text"] for event in run.events("error")] == ["still open when the run ended"]


def test_rows_hold_real_times(server: CountingServer, tmp_path: Path) -> None:
    with launch(tmp_path / "runs", make_plan(server.url, request("/delay/50"))) as run:
        state = run.wait_ended()
    rows = run.rows()
    times = sorted(server.told()["times"])
    starts = sorted(row.start_us for row in rows)
    assert starts[0] >= state["started_at_us"]
    assert all(-1000 <= seen * 1e6 - start < 500_000 for seen, start in zip(times, starts, strict=True))
    assert all(50_000 <= row.service_us < 1_000_000 for row in rows)
    assert {row.status for row in rows} == {200}
    assert {row.bytes for row in rows} == {len('{"status":"ok"}')}
    assert {PARTS[row.part] for row in rows} == {"load"}
    assert {OUTCOMES[row.outcome].value for row in rows} == {"ok"}
    assert len({row.user for row in rows}) == 5
