"""What people make of regressions is kept, audited, and refused where it makes no sense."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.servers.warehouse import WarehouseProcess
from tests.warehouse.watched_worlds import served_world
from warehouse.errors import InvalidInputError, RefusedError
from warehouse.model import now


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    with served_world(tmp_path_factory.mktemp("watched")) as process:
        yield process


def test_people_acknowledge_resolve_and_reopen(watched: WarehouseProcess) -> None:
    window = {"start": now() - timedelta(days=1), "end": now() + timedelta(minutes=1)}
    with watched.client("cli") as client, watched.client("dashboard") as dashboard:
        (told,) = client.ask("regressions", **window, state=["open"]).to_dicts()
        chosen = told["regression_id"]
        client.judge_regression(chosen, "acknowledge", "looking")
        (row,) = client.ask("regression", regression_id=chosen).to_dicts()
        assert (row["state"], row["state_by"], row["note"]) == ("acknowledged", "token cli", "looking")
        with pytest.raises(RefusedError) as twice:
            client.judge_regression(chosen, "acknowledge")
        assert (twice.value.status, twice.value.field) == (409, "action")
        assert dashboard.judge_regression(chosen, "resolve", local=True)["state"] == "resolved"
        client.judge_regression(chosen, "reopen", "not over")
        life = client.ask("regression_events", regression_id=chosen).to_dicts()
        assert [(each["action"], each["text"]) for each in life[1:]] == [
            ("acknowledge", "looking"),
            ("resolve", ""),
            ("reopen", "not over"),
        ]
        log = client.ask("audit_log", **window).to_dicts()
    done = [(each["action"], each["subject"], each["outcome"]) for each in log]
    assert ("acknowledge", chosen, "done") in done
    assert ("acknowledge", chosen, "refused") in done


@pytest.mark.parametrize(
    ("regression", "action", "text", "status"),
    [
        ("c20260101000000-000000", "resolve", "", 404),
        ("../../secrets", "resolve", "", 404),
        ("c20260101000000-000000", "delete", "", 422),
        ("c20260101000000-000000", "resolve", "\x1b[31m", 422),
        ("c20260101000000-000000", "resolve", "x" * 2001, 422),
    ],
)
def test_what_is_wrong_is_refused(
    watched: WarehouseProcess, regression: str, action: str, text: str, status: int
) -> None:
    with watched.client("cli") as client, pytest.raises((RefusedError, InvalidInputError)) as refused:
        client.judge_regression(regression, action, text)
    assert refused.value.status == status


def test_questions_choose_by_target_state_and_verdict(watched: WarehouseProcess) -> None:
    window = {"start": now() - timedelta(days=1), "end": now() + timedelta(minutes=1)}
    with watched.client("cli") as client:
        assert len(client.ask("regressions", **window)) == 2
        assert client.ask("regressions", **window, target=["db"])["object"].to_list() == ["GET /cart"]
        assert client.ask("regressions", **window, verdict=["improvement"])["object"].to_list() == ["GET /"]
        assert len(client.ask("regressions", **window, target=["elsewhere"])) == 0
        points = client.ask("change_points", **window, kind=["query"]).to_dicts()
        assert [(each["metric"], each["role"]) for each in points] == [("query_mean_ms", "found")]
        early = {"start": now() - timedelta(days=2), "end": now() - timedelta(days=1)}
        assert len(client.ask("regressions", **early)) == 0, "nothing had changed then"
