"""Load tests that a warehouse may hold: one of each ending, one that is on, one that waits."""

from datetime import datetime, timedelta

import numpy as np

from tests.warehouse.loading import AGENT, OUTCOMES, beats, lines, rows, us
from warehouse.client import Client
from warehouse.model import Outcome, now
from warehouse.run_rows import ROW

HOSTILE = "![x](http://192.0.2.1/a.png) [click](http://192.0.2.1/) <b>bold</b> `code` :red[red] $x^2$ %{y}"

CONFIG = """
[[target]]
name = "shop"
url = "http://127.0.0.1:9"
[target.load]
users = 200
requests_per_s = 1000
duration_s = 3600
environment = "staging"
[[target.endpoint]]
path = "/"
[[target.endpoint]]
path = "/cart"

[[target]]
name = "small"
url = "http://127.0.0.1:9"
[target.load]
users = 10
requests_per_s = 10
duration_s = 150
[[target.endpoint]]
path = "/"

[[preset]]
name = "judged"
users = 4
duration_s = 30
criteria = ["p95 < 500ms", "GET /cart: errors < 5%"]

[[preset]]
name = "strict"
users = 4
duration_s = 30
criteria = ["p95 < 20ms", "p99 < 30ms"]

[[preset]]
name = "steps"
stage = [
  { duration_s = 10, users = 2 , spawn_rate = 2 },
  { duration_s = 10, users = 8 , spawn_rate = 8 },
  { duration_s = 10, users = 20, spawn_rate = 20 },
  { duration_s = 10, users = 40, spawn_rate = 40 },
]
"""

LENGTH_S = 30


class Story:
    """Makes runs one after another through the warehouse's own client, as the load agent does."""

    def __init__(self, asks: Client, agent: Client) -> None:
        self._asks, self._agent = asks, agent

    def requested(self, preset: str = "judged", target: str = "shop", **more: object) -> str:
        """A run that waits."""
        return str(self._asks.request_run(target, preset, via="cli", person="ann", **more)["run_id"])

    def started(
        self, ago_s: float, preset: str = "judged", target: str = "shop", **more: object
    ) -> tuple[str, datetime]:
        """A run that began so long ago and is on."""
        run_id = self.requested(preset, target, **more)
        work = self._agent.claim(AGENT)["run"]
        assert work is not None
        assert work["run_id"] == run_id
        began = now() - timedelta(seconds=ago_s)
        self._agent.report_run(
            run_id,
            agent=AGENT,
            state="running",
            started_at_us=us(began),
            target_version=more.get("version", "1.4.2"),
            versions={"locust": "2.47.0"},
        )
        return run_id, began

    def measured(
        self,
        run_id: str,
        began: datetime,
        *,
        seconds: float = LENGTH_S,
        ms: float = 40.0,
        failing: int = 0,
        cpu: float = 0.35,
        dropped: int = 0,
        users: int = 4,
        every_ms: float = 20,
        text: str = "expected 200, got 503",
    ) -> None:
        """Requests and beats of so many seconds; every `failing`-th request failed."""
        amount = int(seconds * 1000 / every_ms)
        noise = np.random.default_rng(7).gamma(2.0, 0.25, amount)
        made = rows(began, list(ms * (0.6 + noise)), every_ms=every_ms, wait_ms=1)
        made["endpoint"] = np.arange(amount) % 2
        made["bytes"] = 1200
        made["user"] = np.arange(amount) % users
        if failing:
            bad = np.arange(amount) % failing == 0
            made["outcome"][bad] = OUTCOMES.index(Outcome.BAD_STATUS)
            made["status"][bad] = 503
            made["error"][bad] = 1
        assert made.dtype == ROW
        self._agent.send_rows(run_id, 0, "requests-0.bin", 0, made.tobytes())
        told = beats(began, [cpu] * int(seconds), users=users, dropped=dropped)
        told.append({"kind": "error", "error": 1, "endpoint": 0, "text": text})
        self._agent.send_events(run_id, 0, "events-0.jsonl", 0, lines(*told))

    def ended(self, run_id: str, began: datetime, *, seconds: float = LENGTH_S, **told: object) -> str:
        """That it has ended and everything is here; its verdict."""
        end = us(began + timedelta(seconds=seconds))
        said = {"agent": AGENT, "state": "finished", "ended_at_us": end, "complete": True} | told
        return str(self._agent.report_run(run_id, **said)["verdict"])

    def whole(
        self,
        ago_s: float,
        preset: str = "judged",
        *,
        report: dict[str, object] | None = None,
        **measures: object,
    ) -> str:
        """A run from its request to its end."""
        run_id, began = self.started(ago_s, preset)
        self.measured(run_id, began, **measures)
        self.ended(run_id, began, **(report or {}))
        return run_id


def full(asks: Client, agent: Client) -> dict[str, str]:
    """One run of each kind, by what it is."""
    story = Story(asks, agent)
    made = {
        "baseline": story.whole(9000),
        "pass": story.whole(7200, ms=44),
        "fail": story.whole(5400, "strict", ms=60, failing=9),
        "no_data": story.whole(4800, "judged", every_ms=2000),
        "bound": story.whole(4000, cpu=0.97, dropped=12),
        "partial": story.whole(
            3000, report={"state": "failed", "is_partial": True, "reason": "its launcher was killed"}
        ),
    }
    run_id, began = story.started(2400)
    story.measured(run_id, began, seconds=12)
    asks.cancel_run(run_id, person="ann")
    story.ended(run_id, began, seconds=12, state="cancelled", reason="stopped by ann")
    made["cancelled"] = run_id
    asks.pin_run(made["baseline"], person="ann")
    asks.note_run(made["pass"], f"after the release {HOSTILE}", person="ann")
    return made


def running(asks: Client, agent: Client, *, preset: str = "judged", ago_s: float = 12) -> str:
    """A run that is on."""
    story = Story(asks, agent)
    run_id, began = story.started(ago_s, preset)
    story.measured(run_id, began, seconds=ago_s, failing=25, text=f"503 {HOSTILE}")
    return run_id
