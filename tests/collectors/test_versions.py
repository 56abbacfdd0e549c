"""A target's version is read from its answers, and a change is told once, however it rolls out."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collectors import versions
from collectors.probe import Prober
from collectors.versions import Versions, in_header, in_json
from tests.collectors.processes import QUICK, asked, running_daemon, wait_for
from tests.servers.faulty import FaultyServer
from tests.servers.warehouse import running_warehouse
from warehouse.model import Version
from warehouse.settings import TargetSettings

START = datetime(2026, 11, 30, 8, tzinfo=UTC)


def told(of: Versions, *seen: tuple[float, str | None]) -> list[tuple[float, str]]:
    """Minutes and versions that are told of those seen at such minutes."""
    changes = [
        change for minute, version in seen for change in of.see(version, START + timedelta(minutes=minute))
    ]
    return [((change.at - START) / timedelta(minutes=1), change.version) for change in changes]


def test_a_version_is_told_when_it_is_first_seen_and_not_again() -> None:
    seen = [(0, "1.3"), (1, "1.3"), (2, None), (3, "1.4"), (4, "1.4"), (5, None)]
    assert told(Versions("shop"), *seen) == [(0, "1.3"), (3, "1.4")]


def test_instances_that_change_one_after_the_other_are_one_change() -> None:
    seen = [(0, "1.3"), (1, "1.4"), (2, "1.3"), (3, "1.4"), (4, "1.3"), (5, "1.4"), (20, "1.4")]
    assert told(Versions("shop"), *seen) == [(0, "1.3"), (1, "1.4")]


def test_an_older_version_is_back_when_the_newer_one_stays_away() -> None:
    seen = [
        (0, "1.3"),
        (10, "1.4"),
        (11, "1.3"),
        (14, "1.3"),
        (15, "1.3"),
        (16, "1.3"),
        (17, "1.4"),
        (18, "1.3"),
    ]
    assert told(Versions("shop"), *seen) == [(0, "1.3"), (10, "1.4"), (15, "1.3")]


def test_a_version_long_gone_may_come_back() -> None:
    days = 24 * 60.0
    seen = [(0, "1.3"), (1, "1.4"), (2 * days, "1.5"), (3 * days, "1.3"), (3 * days + 1, "1.3")]
    assert told(Versions("shop"), *seen) == [(0, "1.3"), (1, "1.4"), (2 * days, "1.5"), (3 * days, "1.3")]


def test_what_differs_with_each_answer_is_no_version(caplog: pytest.LogCaptureFixture) -> None:
    many = [(minute / 10, f"request {minute}") for minute in range(100)]
    of = Versions("shop")
    assert len(told(of, *many)) == versions.MOST_NEW
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        f"shop tells more than {versions.MOST_NEW} new versions within an hour"
    ]
    assert told(of, (200, "1.4"), (201, "1.4")) == [(200, "1.4")]


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("version", "1.4"),
        ("build.number", "17"),
        ("parts.1.v", "2"),
        ("build", None),
        ("parts.9.v", None),
        ("is_new", None),
        ("empty", None),
        ("line", "a?b"),
        (None, None),
    ],
)
def test_a_version_in_json_is_a_text_or_a_number(pointer: str | None, found: str | None) -> None:
    body = (
        b'{"version": " 1.4 ", "build": {"number": 17}, "parts": [{"v": 1}, {"v": 2}], "is_new": true,'
        b' "empty": " ", "line": "a\\nb"}'
    )
    assert in_json(body, pointer) == found
    assert in_json(b"no json", "version") is None


def test_a_version_in_a_header_is_found_by_its_name_in_any_case_and_cut() -> None:
    assert in_header({b"x-app-version": b"1.4"}, "X-App-Version") == "1.4"
    assert in_header({b"x-app-version": b"y" * 300}, "X-App-Version") == "y" * 100
    assert in_header({b"x-app-version": b"1.\xff"}, "X-App-Version") == "1.\ufffd"
    assert in_header({}, "X-App-Version") is None
    assert in_header({b"": b"1"}, None) is None


def probed(server: FaultyServer, *endpoints: dict[str, object], **of_target: object) -> list[str]:
    """The versions told by one attempt of each endpoint, in turn."""
    target = TargetSettings.model_validate(
        {"name": "shop", "url": server.url, "endpoint": endpoints, **of_target}
    )

    async def main() -> list[Version]:
        async with Prober(target, max_in_flight=None) as prober:
            changes = []
            for endpoint in target.endpoint:
                made = await prober.attempt(endpoint)
                found = prober.take_versions()
                assert all(change.at == made.at for change in found)
                changes += found
            return changes

    return [change.version for change in asyncio.run(asyncio.wait_for(main(), 30))]


def test_probes_read_it_where_the_configuration_says(server: FaultyServer) -> None:
    old, new = {"path": "/ok?version=1.3", "name": "a"}, {"path": "/ok?version=1.4&status=500", "name": "b"}
    assert probed(server, old, new, {**old, "name": "c"}, version_header="X-App-Version") == ["1.3", "1.4"]
    assert probed(server, old, new) == []
    json = {"path": "/ok", "name": "j", "version_json": "items.1"}
    assert probed(server, json) == ["2"]
    assert probed(server, {**json, "expect_status": [201]}) == [], "an answer that is not right tells nothing"
    assert probed(server, {**json, "path": "/ok?version=1.3"}, version_header="X-App-Version") == ["1.3"]


def test_a_deploy_is_marked_by_the_version_that_answers(tmp_path: Path, server: FaultyServer) -> None:
    """The whole way: from the header of an answer to the mark that charts show."""
    config = f"""{QUICK}
[[target]]
name = "shop"
url = "{server.url}"
interval_s = 0.2
version_header = "X-App-Version"
[[target.endpoint]]
path = "/ok?version=2026.11"
name = "old"
[[target.endpoint]]
path = "/ok?version=2026.12"
name = "new"
"""
    with running_warehouse(tmp_path, config) as warehouse, running_daemon(warehouse.config):
        wait_for(lambda: asked(warehouse, "marks").height)
        wait_for(lambda: asked(warehouse, "attempts").height > 20)
        deploys = asked(warehouse, "marks")
    assert deploys.select("kind", "target", "version").rows() == [("deploy", "shop", "2026.12")]
    first = asked_first(server, "2026.12")
    assert abs(deploys["at"][0].timestamp() - first) < 1


def asked_first(server: FaultyServer, version: str) -> float:
    """When the server was first asked as this version, in seconds since 1970."""
    shift = time.time() - time.perf_counter()
    return shift + next(one.received_at for one in server.served if one.query["version"] == version)
