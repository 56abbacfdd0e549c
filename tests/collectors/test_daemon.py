"""The daemon as a real process: restarts and kills on either side lose and double nothing."""

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from collectors.heartbeat import Heartbeat
from collectors.spool import Spool
from tests.collectors.batches import packed
from tests.collectors.processes import (
    QUICK,
    CountingTarget,
    DaemonProcess,
    asked,
    counting_target,
    running_daemon,
    ship_rest,
    stored,
    wait_for,
    watching,
)
from tests.servers import faulty
from tests.servers.lying import LyingServer, lying_servers
from tests.servers.warehouse import running_warehouse, write_config
from tests.warehouse.records import attempt, minute_ago
from warehouse.model import GapReason, now

IN_FLIGHT = timedelta(seconds=1)
"""From the request's arrival at the target until its attempt is recorded, on a busy machine."""

STOP_S = 6
"""A stop takes less than 3 seconds; twice as much on a machine that is busy with other tests."""

PATHS = ["/a", "/b", "/c", "/d"]
HOST = '[host]\nname = "box"\ninterval_s = 1\n'


@pytest.fixture
def target() -> Iterator[CountingTarget]:
    with counting_target() as server:
        yield server


def test_a_warehouse_killed_and_restarted_loses_and_doubles_nothing(
    tmp_path: Path, target: CountingTarget
) -> None:
    config = QUICK + watching("shop", target.url, PATHS)
    with running_warehouse(tmp_path, config) as warehouse, running_daemon(warehouse.config) as daemon:
        wait_for(lambda: target.served.total() > 20)
        warehouse.kill()
        before = target.served.total()
        wait_for(lambda: target.served.total() > before + 20)
        warehouse.start()
        wait_for(lambda: stored(warehouse, "shop").total() > before + 20)
        warehouse.stop()
        time.sleep(1)
        warehouse.start()
        time.sleep(1)
        code, took_s = daemon.end()
        assert (code, took_s < STOP_S) == (0, True), daemon.log
        ship_rest(warehouse)
        assert stored(warehouse, "shop") == target.served
        assert not {"spool_full", "refused"} & set(asked(warehouse, "gaps")["reason"])


def test_a_daemon_killed_loses_at_most_what_was_not_flushed(tmp_path: Path, target: CountingTarget) -> None:
    config = QUICK + watching("shop", target.url, PATHS)
    unsafe: list[tuple[datetime, datetime]] = []
    with running_warehouse(tmp_path, config) as warehouse, running_daemon(warehouse.config) as daemon:
        heartbeat = warehouse.settings.spool_dir / "heartbeat.json"
        for _ in range(3):
            seen = target.served.total()
            wait_for(lambda seen=seen: target.served.total() > seen + 30)
            daemon.end(signal.SIGKILL)
            beat = datetime.fromisoformat(json.loads(heartbeat.read_text())["at"])
            time.sleep(1.2)
            unsafe.append((beat - IN_FLIGHT, now()))
            daemon.start()
        seen = target.served.total()
        wait_for(lambda: target.served.total() > seen + 8)
        assert daemon.end()[0] == 0
        assert not list(warehouse.settings.spool_dir.glob("*.part"))
        ship_rest(warehouse)
        kept = stored(warehouse, "shop")
        assert kept <= target.served
        safe = Counter(
            endpoint
            for endpoint, at in target.requests
            if not any(begin <= at <= end for begin, end in unsafe)
        )
        assert safe <= kept
        assert safe.total() > 30
        down = asked(warehouse, "gaps").filter(reason=GapReason.DOWN.value)
        for path in PATHS:
            told = down.filter(job=f"probe shop GET {path}")
            assert told.height == 3
            assert (told["missed"] >= 2).all()


def test_stopped_with_the_warehouse_away_everything_is_in_the_spool(
    tmp_path: Path, target: CountingTarget
) -> None:
    config = QUICK + HOST + watching("shop", target.url, PATHS)
    with running_warehouse(tmp_path, config) as warehouse:
        warehouse.stop()
        with running_daemon(warehouse.config) as daemon:
            wait_for(lambda: target.served.total() > 20)
            code, took_s = daemon.end(signal.SIGINT)
            assert (code, took_s < STOP_S) == (0, True), daemon.log
            warehouse.start()
            rows = [int(file.name.split("_")[2]) for file in warehouse.settings.spool_dir.glob("*.batch")]
            assert sum(rows) >= target.served.total()
            ship_rest(warehouse)
            assert stored(warehouse, "shop") == target.served


def test_a_second_daemon_exits_75_and_names_the_first(tmp_path: Path) -> None:
    config = write_config(tmp_path, QUICK)
    with running_daemon(config) as first:
        second = DaemonProcess(config)
        second.start()
        assert second.wait() == 75
        assert str(first.pid) in second.log
        first.end(signal.SIGKILL)
        second.start()
        assert second.end()[0] == 0


def test_bad_targets_have_no_effect_on_a_healthy_one(tmp_path: Path, target: CountingTarget) -> None:
    """Bad HTTP targets, and each lie told to each kind of database's collector, all at once."""
    bad = faulty.start()
    with lying_servers() as liars:
        _watch_with(tmp_path, target, bad, databases_of(tmp_path, liars))


def databases_of(tmp_path: Path, liars: Mapping[str, LyingServer]) -> str:
    """Configuration of a database per engine and lie."""
    text = ""
    for engine in ("postgres", "mysql", "redis"):
        for number, (lie, server) in enumerate(liars.items()):
            address = tmp_path / f"{engine}{number}.url"
            scheme = "postgresql" if engine == "postgres" else engine
            address.write_text(f"{scheme}://who:word@127.0.0.1:{server.port}/0", encoding="utf-8")
            text += f'''
                [[database]]
                name = "{engine} {lie}"
                engine = "{engine}"
                url = {{ file = "{address}" }}
                interval_s = 1
                deadline_s = 2
                '''
    return text


def _watch_with(tmp_path: Path, target: CountingTarget, bad: faulty.FaultyServer, databases: str) -> None:
    config = (
        QUICK
        + databases
        + watching("healthy", target.url, PATHS, interval_s=2)
        + "".join(
            watching(name, bad.url, paths, more="deadline_s = 2")
            for name, paths in {
                "hung": [f"/hang?{number}" for number in range(6)],
                "slow": ["/drip", "/slow_headers"],
                "lying": ["/malformed", "/cut_mid_body", "/reset_mid_body", "/big"],
            }.items()
        )
    )
    try:
        with running_warehouse(tmp_path, config) as warehouse, running_daemon(warehouse.config) as daemon:
            wait_for(lambda: min(target.served[f"GET {path}"] for path in PATHS) >= 6)
            code, took_s = daemon.end()
            assert (code, took_s < STOP_S) == (0, True), daemon.log
            ship_rest(warehouse)
            assert stored(warehouse, "healthy") == target.served
            outcomes = asked(warehouse, "attempts", target="healthy")["outcome"]
            assert set(outcomes) == {"ok"}
            gaps = asked(warehouse, "gaps")
            assert gaps.filter(pl.col("job").str.starts_with("probe healthy")).to_dicts() == []
            assert gaps.filter(reason=GapReason.OVERLAP.value)["job"].str.starts_with("probe hung").any()
            hung = asked(warehouse, "attempts", target="hung")["outcome"]
            assert set(hung) == {"timeout"}
            states = asked(warehouse, "database_states").filter(part="connection")
            assert states.height == 12, "each is told of"
            assert "ok" not in set(states["state"])
            jobs = asked(warehouse, "collector_jobs")
            assert set(jobs.filter(state="failing")["job"]) == set(), (
                "a target that is down is no failing job"
            )
    finally:
        bad.stop()


def test_without_targets_and_host_it_reports_its_own_health(tmp_path: Path) -> None:
    with running_warehouse(tmp_path, QUICK) as warehouse, running_daemon(warehouse.config) as daemon:
        wait_for(lambda: asked(warehouse, "samples", kind="collector").height > 20)
        assert daemon.end()[0] == 0
        samples = asked(warehouse, "samples", kind="collector")
        assert set(samples["metric"]) == {
            "interval_s",
            "runs_total",
            "errors_total",
            "missed_total",
            "lag_max_ms",
            "run_max_ms",
            "last_success_age_s",
            "cpu_ratio",
            "memory_bytes",
            "spool_batches",
            "spool_bytes",
            "spool_dropped_total",
            "spool_refused_total",
            "loop_lag_max_ms",
            "in_flight_max",
        }
        assert set(samples["object"]) == {"daemon"}
        assert set(samples["target"]) == {"local"}
        jobs = asked(warehouse, "collector_jobs").to_dicts()
        assert [(job["job"], job["state"]) for job in jobs] == [("daemon", "ok")]


def test_health_tells_of_jobs_and_only_changes_of_state_are_events(tmp_path: Path) -> None:
    """A target whose secret is missing fails by itself; the host goes on."""
    missing = '[target.headers]\nAuthorization = { env = "PERFHOUSE_TEST_NOT_SET" }'
    target = watching("locked", "http://127.0.0.1:9", ["/x"], more=missing)
    with running_warehouse(tmp_path, QUICK + HOST + target) as warehouse:
        with running_daemon(warehouse.config):
            wait_for(lambda: asked(warehouse, "samples", kind="host").height > 20)
            wait_for(lambda: asked(warehouse, "samples", object="probe locked GET /x").height > 20)
        jobs = {job["job"]: job for job in asked(warehouse, "collector_jobs").to_dicts()}
        assert {name: job["state"] for name, job in jobs.items()} == {
            "daemon": "ok",
            "host box": "ok",
            "probe locked GET /x": "failing",
        }
        failing = jobs["probe locked GET /x"]
        assert "PERFHOUSE_TEST_NOT_SET" in failing["text"]
        assert failing["errors"] == failing["runs"] >= 4
        events = asked(warehouse, "events")
        assert events["job"].is_unique().all()


def test_a_warehouse_long_away_is_an_event_with_reason_and_recovery(tmp_path: Path) -> None:
    with running_warehouse(tmp_path, QUICK) as warehouse:
        with running_daemon(warehouse.config) as daemon:
            wait_for(lambda: asked(warehouse, "events").height == 1)
            warehouse.kill()
            wait_for(lambda: "daemon is failing" in daemon.log)
            assert str(warehouse.settings.warehouse.port) in daemon.log
            warehouse.start()
            wait_for(lambda: asked(warehouse, "events").height == 3)
        events = asked(warehouse, "events").sort("at")
        assert events["state"].to_list() == ["ok", "failing", "ok"]
        assert "since" in events["text"][1]
        token = json.loads((warehouse.settings.token_dir / "collect.json").read_text())["token"]
        assert token not in daemon.log
        assert not any(token in text for text in events["text"])


def test_a_full_spool_drops_the_oldest_and_tells(tmp_path: Path, target: CountingTarget) -> None:
    config = "[collectors]\nflush_s = 0.2\nhealth_interval_s = 1\nspool_mb = 1\n"
    config += watching("shop", target.url, PATHS)
    with running_warehouse(tmp_path, config) as warehouse:
        folder = warehouse.settings.spool_dir
        warehouse.kill()
        spool = Spool(folder, 1_000_000)
        for number in range(240):
            spool.put(packed([attempt(minute_ago(600 - number), target="old", endpoint=f"GET /{number}")]))
        spool.close()
        assert spool.dropped_rows == 0
        with running_daemon(warehouse.config) as daemon:
            wait_for(lambda: "rows were dropped" in daemon.log)
            wait_for(lambda: target.served.total() > 20)
            assert sum(-(-file.stat().st_size // 4096) * 4096 for file in folder.glob("*.batch")) <= 1_000_000
            warehouse.start()
            daemon.end()
        ship_rest(warehouse)
        assert stored(warehouse, "shop") == target.served
        kept = stored(warehouse, "old")
        gaps = asked(warehouse, "gaps").filter(reason=GapReason.SPOOL_FULL.value)
        assert gaps["missed"].sum() == 240 - kept.total() > 0
        assert set(kept) >= {f"GET /{number}" for number in range(140, 240)}, "not the oldest were dropped"
        dropped = asked(warehouse, "samples", metric="spool_dropped_total")["value"]
        assert 0 < dropped.max() <= 240 - kept.total()


def test_a_heartbeat_tells_how_long_the_daemon_was_down(tmp_path: Path) -> None:
    file = tmp_path / "heartbeat.json"
    at = now()
    Heartbeat(file, {"host box": 5.0, "gone": 5.0}).beat(at)
    jobs = {"host box": 5.0, "daemon": 15.0, "new": 1.0}
    later = Heartbeat(file, jobs)
    assert later.gaps(at.replace(microsecond=at.microsecond)) == []
    Heartbeat(file, jobs).beat(at.replace(year=at.year - 3))
    gaps = {gap.job: gap for gap in later.gaps(at)}
    assert set(gaps) == {"host box", "daemon", "new"}
    assert all((at - gap.at).days == 399 for gap in gaps.values())
    Heartbeat(file, {"host box": 5.0}).beat(at.replace(year=at.year + 1))
    assert later.gaps(at) == []
    file.write_text("{")
    assert later.gaps(at) == []
