"""Requests refused for their token or body are in the audit log, and a flood of them fills nothing."""

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from tests.cli.children import wait_for
from tests.hostile.conftest import token_of
from tests.servers.warehouse import WarehouseProcess, running_warehouse
from tests.warehouse.loading import TARGETS
from warehouse import tokens
from warehouse.model import now
from warehouse.refusals import MINUTE_S, MOST_KINDS, Refusals, Refused

SECRET = "canary-9d41-in-a-wrong-place"
RUN = "r20260101000000-aaaaaa"
WANTED = {"target": "shop", "preset": "tiny", "via": "cli"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseProcess]:
    with running_warehouse(tmp_path_factory.mktemp("refusals"), TARGETS) as process:
        yield process


def log(served: WarehouseProcess) -> list[dict[str, str]]:
    with served.client("cli") as client:
        end = now() + timedelta(minutes=1)
        return client.ask("audit_log", start=end - timedelta(days=1), end=end).to_dicts()


def send(served: WarehouseProcess, path: str, token: str | None, **more: object) -> int:
    url = f"{served.settings.warehouse.url}/api/v1/{path}"
    headers = {"authorization": f"Bearer {token}"} if token else {}
    headers |= more.pop("headers", {})  # type: ignore[arg-type]
    return httpx.post(url, headers=headers, trust_env=False, **more).status_code  # type: ignore[arg-type]


BROKEN = b'{"target": "' + SECRET.encode()
JSON = {"content-type": "application/json"}
PERSON = {"x-person": "%01" + SECRET}
CASES = [
    ("runs", None, {"json": WANTED}, 401, "no token from 127.0.0.1", "launch", "a bearer token is needed"),
    ("runs", SECRET, {"json": WANTED}, 401, "an unknown token from 127.0.0.1", "launch", "not known here"),
    (f"runs/{RUN}/cancel", "looker", {}, 403, "token looker", "cancel", "may not act"),
    ("runs", "cli", {"json": {**WANTED, SECRET: 1}}, 422, "token cli", "launch", "no such field"),
    ("runs", "cli", {"json": {**WANTED, "via": SECRET}}, 422, "token cli", "launch", "via"),
    ("runs", "cli", {"content": BROKEN, "headers": JSON}, 422, "token cli", "launch", "JSON"),
    ("runs", "cli", {"json": WANTED, "headers": PERSON}, 422, "token cli", "launch", "name"),
    (f"runs/{RUN}/baseline", "cli", {"json": {"pinned": SECRET}}, 422, "token cli", "pin", "pinned"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "token", "sent", "status", "who", "action", "text"), CASES)
def test_what_is_refused_for_its_token_or_body_is_audited(
    served: WarehouseProcess,
    path: str,
    token: str | None,
    sent: dict[str, object],
    status: int,
    who: str,
    action: str,
    text: str,
) -> None:
    if token == "looker":
        token = tokens.add(served.settings.token_dir, "looker", ["read"])
    elif token == "cli":
        token = token_of(served, "cli")
    assert send(served, path, token, **sent) == status

    def rows() -> list[dict[str, str]]:
        return [row for row in log(served) if (row["who"], row["action"]) == (who, action)]

    wait_for(lambda: any(text in row["text"] for row in rows()))
    (row,) = [row for row in rows() if text in row["text"]]
    assert row["outcome"] == "refused"
    assert row["subject"] == (RUN if RUN in path else "")
    assert SECRET not in str(log(served))


def test_a_flood_of_refused_requests_makes_one_row(served: WarehouseProcess) -> None:
    before = len(log(served))
    for number in range(300):
        assert send(served, f"runs/{RUN}/note", f"guess-{number}", json={"text": "x"}) == 401
    wait_for(lambda: len(log(served)) > before)
    assert len(log(served)) == before + 1


def test_a_refusal_that_says_who_and_what_is_told_once(served: WarehouseProcess) -> None:
    before = len(log(served))
    assert send(served, "runs", token_of(served, "cli"), json=WANTED | {"preset": "nowhere"}) == 422
    (row,) = log(served)[before:]
    assert (row["subject"], row["outcome"]) == ("nowhere at shop", "refused")


class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def refused(who: str, text: str = "no") -> Refused:
    return Refused(who, "", "launch", "", text)


def test_each_kind_has_one_row_a_minute_with_its_count() -> None:
    told: list[Refused] = []
    clock = Clock()
    refusals = Refusals(told.append, clock)
    for second in range(int(MINUTE_S) * 3):
        clock.at = float(second)
        for _ in range(10):
            refusals.note(refused("a"))
    clock.at += MINUTE_S
    refusals.flush()
    assert [row.text for row in told] == ["no", "no (599 more times)", *["no (600 more times)"] * 2]
    refusals.flush(all_of_them=True)
    assert len(told) == 4


def test_many_kinds_are_one() -> None:
    told: list[Refused] = []
    refusals = Refusals(told.append, Clock())
    for number in range(1000):
        refusals.note(refused(f"peer {number}"))
    refusals.flush(all_of_them=True)
    assert len(told) == MOST_KINDS + 2
    assert told[-1].who == "others"
    assert "(979 more times)" in told[-1].text
