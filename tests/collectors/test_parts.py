"""States of a watch's parts: told at changes and once a minute, and of no part without a connection."""

import pytest

from collectors.parts import Parts
from tests.collectors.databases import states
from warehouse.model import DatabaseCondition, Engine, now


def test_without_a_connection_nothing_is_told_of_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("collectors.parts.time.monotonic", lambda: clock[0])
    parts = Parts("main", Engine.REDIS)
    parts.say("connection", DatabaseCondition.OK, "Redis 7")
    parts.say("persistence", DatabaseCondition.OK)
    assert states(parts.rows(now())) == {"connection": "ok", "persistence": "ok"}
    assert states(parts.rows(now())) == {}
    clock[0] += 61
    assert states(parts.rows(now())) == {"connection": "ok", "persistence": "ok"}
    parts.say("connection", DatabaseCondition.DOWN, "nothing listens there")
    assert states(parts.rows(now())) == {"connection": "down"}
    clock[0] += 61
    assert states(parts.rows(now())) == {"connection": "down"}
    parts.say("connection", DatabaseCondition.OK, "Redis 7")
    parts.say("persistence", DatabaseCondition.OK)
    assert states(parts.rows(now())) == {"connection": "ok", "persistence": "ok"}
