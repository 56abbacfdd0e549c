"""Deploys are marked once, by whom and where, and what is wrong is refused and audited."""

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from tests.hostile.conftest import token_of
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.loading import TARGETS
from tests.warehouse.records import attempt
from warehouse.errors import NotAllowedError, RefusedError
from warehouse.model import Batch, now
from warehouse.wire import pack


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    with running_warehouse(tmp_path_factory.mktemp("marks"), TARGETS) as process:
        yield process


def test_a_deploy_is_marked_listed_filtered_and_removed(served: WarehouseProcess) -> None:
    at = now().replace(microsecond=0) - timedelta(hours=2)
    window = {"start": at - timedelta(minutes=1), "end": now() + timedelta(minutes=1)}
    with served.client("cli") as client:
        first = client.mark("1.4.0", "shop", "new index", at)
        everywhere = client.mark("config-7")
        rows = client.ask("marks", **window).to_dicts()
        assert [(row["version"], row["target"], row["text"]) for row in rows] == [
            ("1.4.0", "shop", "new index"),
            ("config-7", None, ""),
        ]
        assert (rows[0]["at"], rows[0]["who"], rows[0]["kind"]) == (at, "token cli", "deploy")
        others = client.ask("marks", **window, target=["elsewhere"]).to_dicts()
        assert [row["mark_id"] for row in others] == [everywhere["mark_id"]], "a deploy to all concerns each"
        assert client.unmark(first["mark_id"])["version"] == "1.4.0"
        assert client.ask("marks", **window)["mark_id"].to_list() == [everywhere["mark_id"]]
        with pytest.raises(RefusedError) as refused:
            client.unmark(first["mark_id"])
        assert refused.value.status == 404
        log = client.ask("audit_log", **window).to_dicts()
    told = [(row["action"], row["outcome"]) for row in log]
    assert told == [("mark", "done"), ("mark", "done"), ("unmark", "done"), ("unmark", "refused")]
    assert first["mark_id"] in log[0]["text"]


def test_a_mark_sent_again_is_still_one(served: WarehouseProcess) -> None:
    sent = {
        "url": f"{served.settings.warehouse.url}/api/v1/marks",
        "json": {"version": "twice"},
        "headers": {
            "authorization": f"Bearer {token_of(served, 'cli')}",
            "x-request-id": "the-same-request",
        },
    }
    answers = [httpx.post(**sent, trust_env=False) for _ in range(3)]  # type: ignore[arg-type]
    assert {answer.status_code for answer in answers} == {201}
    (mark_id,) = {answer.json()["mark_id"] for answer in answers}
    with served.client("cli") as client:
        log = client.ask("audit_log", start=now() - timedelta(hours=1), end=now()).to_dicts()
    assert [row["outcome"] for row in log if mark_id in row["text"]] == ["done"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"version": ""}, "version"),
        ({"version": "   "}, "version"),
        ({"version": "1\n2"}, "version"),
        ({"version": "1", "target": "nowhere"}, "target"),
        ({"version": "1", "at": now() + timedelta(days=2)}, "at"),
        ({"version": "1", "at": now() - timedelta(days=500)}, "at"),
        ({"version": "1", "text": "x" * 2001}, "text"),
    ],
)
def test_what_is_wrong_is_named(served: WarehouseProcess, wrong: dict[str, object], field: str) -> None:
    with served.client("cli") as client, pytest.raises(RefusedError) as refused:
        client.mark(**wrong)  # type: ignore[arg-type]
    assert refused.value.field == field


def test_a_target_that_was_measured_elsewhere_may_be_marked(served: WarehouseProcess) -> None:
    with served.client("collect") as collector:
        batch = Batch(batch_id="marks-elsewhere", attempts=(attempt(now(), target="far"),))
        collector.send(batch.batch_id, pack(batch))
    with served.client("cli") as client:
        assert client.mark("2.0", "far")["target"] == "far"


def test_who_may_only_read_or_ingest_marks_nothing(served: WarehouseProcess) -> None:
    with served.client("collect") as collector, pytest.raises(NotAllowedError):
        collector.mark("1.0")
