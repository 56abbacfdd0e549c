"""Versions that targets tell: the first is where they start from, each change is a deploy, marked once."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from warehouse import marks, versions
from warehouse.errors import InvalidInputError
from warehouse.marks import MarkRequest
from warehouse.model import Batch, Receipt, Version, now
from warehouse.store import Store

Put = Callable[[Batch], Receipt]
Ask = Callable[..., pa.Table]


def ago(minutes: int) -> datetime:
    return now().replace(microsecond=0) - timedelta(minutes=minutes)


def tell(
    put: Put, batch_id: str, *told: tuple[datetime, str], target: str = "shop", source: str = "local"
) -> None:
    rows = tuple(Version(at=at, target=target, version=version) for at, version in told)
    put(Batch(batch_id=f"versions-{batch_id}", source=source, versions=rows))


def deploys(ask: Ask) -> list[dict[str, Any]]:
    window = {"start": now() - timedelta(days=3), "end": now() + timedelta(minutes=1)}
    return list(ask("marks", **window).to_pylist())


def test_the_first_version_is_no_deploy_and_every_change_is_one(put: Put, ask: Ask) -> None:
    start = ago(360)
    tell(put, "first", (start, "1.3"))
    assert deploys(ask) == []
    tell(put, "second", (start + timedelta(hours=1), "1.4"))
    (deploy,) = deploys(ask)
    assert (deploy["at"], deploy["target"], deploy["version"]) == (start + timedelta(hours=1), "shop", "1.4")
    assert (deploy["kind"], deploy["who"], deploy["text"]) == ("deploy", "local", versions.TOLD)
    tell(put, "back", (start + timedelta(hours=2), "1.3"))
    assert [deploy["version"] for deploy in deploys(ask)] == ["1.4", "1.3"]


def test_what_is_told_again_by_a_restart_or_another_collector_is_no_deploy(put: Put, ask: Ask) -> None:
    start = ago(360)
    tell(put, "first", (start, "1.3"), (start + timedelta(hours=1), "1.4"))
    tell(put, "first", (start, "1.3"), (start + timedelta(hours=1), "1.4"))
    tell(put, "restart", (start + timedelta(hours=2), "1.4"))
    tell(put, "other", (start + timedelta(hours=1, minutes=1), "1.4"), source="elsewhere")
    assert [deploy["version"] for deploy in deploys(ask)] == ["1.4"]


def test_what_comes_late_is_judged_by_what_ran_at_its_time(put: Put, ask: Ask) -> None:
    start = ago(360)
    tell(put, "first", (start, "1.3"), (start + timedelta(hours=4), "1.5"))
    tell(put, "late", (start + timedelta(hours=2), "1.4"))
    tell(put, "same", (start + timedelta(hours=3), "1.5"))
    assert [deploy["version"] for deploy in deploys(ask)] == ["1.4", "1.5"]


def test_each_target_has_versions_of_its_own(put: Put, ask: Ask) -> None:
    start = ago(360)
    tell(put, "one", (start, "1.3"))
    tell(put, "two", (start + timedelta(hours=1), "9"), target="billing")
    assert deploys(ask) == []


@pytest.mark.parametrize(
    ("target", "version", "before", "told"),
    [
        ("shop", "1.4", timedelta(minutes=5), 0),
        (None, "1.4", timedelta(minutes=5), 0),
        ("shop", "1.4", timedelta(minutes=-10), 0),
        ("shop", "1.4", timedelta(hours=2), 1),
        ("shop", "1.5", timedelta(minutes=5), 1),
        ("billing", "1.4", timedelta(minutes=5), 1),
    ],
)
def test_a_deploy_that_somebody_marked_is_not_marked_twice(
    put: Put, ask: Ask, store: Store, target: str | None, version: str, before: timedelta, told: int
) -> None:
    at = ago(60)
    asked = MarkRequest(version=version, target=target, at=at - before)
    marks.add(store.cursor(), asked, ["shop", "billing"], "token cli", "by-hand")
    tell(put, "told", (at - timedelta(hours=3), "1.3"), (at, "1.4"))
    assert len(deploys(ask)) == 1 + told


def test_a_target_that_tells_another_each_time_fills_nothing(put: Put, ask: Ask, store: Store) -> None:
    start = ago(600)
    told = [(start + timedelta(minutes=minute), f"build {minute}") for minute in range(300)]
    tell(put, "many", *told)
    kept = store.cursor().execute("SELECT count(*) FROM version_told").fetchall()
    assert kept == [(versions.MOST_A_DAY,)]
    assert len(deploys(ask)) == versions.MOST_A_DAY - 1


@pytest.mark.parametrize(
    ("version", "problem"), [("x" * 101, "at most 100"), ("", "empty"), ("1\n2", "control characters")]
)
def test_what_is_no_version_is_refused_by_name(put: Put, version: str, problem: str) -> None:
    row = Version.model_construct(at=ago(1), target="shop", version=version)
    with pytest.raises(InvalidInputError, match=problem) as refused:
        put(Batch.model_construct(**{**dict(Batch(batch_id="versions-wrong")), "versions": (row,)}))
    assert refused.value.field == "versions.0.version"
