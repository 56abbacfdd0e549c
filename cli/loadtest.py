"""Requests load tests, waits for them, and tells how they came out: what the command line does with runs."""

from __future__ import annotations

import getpass
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

from cli.loadtest_tables import clock, is_known
from loadtests.bundle import run_row
from loadtests.outputs import Outcome, as_junit, as_markdown, could_not_start
from warehouse.client import Client
from warehouse.errors import InvalidInputError, WarehouseAwayError
from warehouse.visible import visible

ENDED = ("finished", "failed", "cancelled")
LOOK_EVERY_S = 0.5
JUDGED_WITHIN_S = 60.0
"""How long after its end a run's verdict is waited for."""

PATIENCE_S = 120.0
"""How long a warehouse may be away while a run is waited for: the run goes on without it."""

CLEAR_REST = "\x1b[K"
"""What a terminal takes as: nothing more on this line."""


@dataclass(frozen=True)
class Asked:
    """A load test as the command line asks for it."""

    preset: str
    target: str
    scenario: str | None
    confirm: str | None
    waits: bool
    note: str


@dataclass(frozen=True)
class Reports:
    """Where to tell of the outcome beside the terminal."""

    junit: Path | None = None
    markdown: Path | None = None

    def write(self, outcome: Outcome) -> None:
        """Raises InvalidInputError where a file cannot be written."""
        for file, text in ((self.junit, as_junit), (self.markdown, as_markdown)):
            if file is not None:
                try:
                    file.write_text(text(outcome), encoding="utf-8")
                except OSError as error:
                    raise InvalidInputError(f"cannot write {file}: {error.strerror}", field="file") from None


def via(environment: Mapping[str, str]) -> Literal["ci", "cli"]:
    """Whether a CI asks: GitHub, GitLab, Jenkins' plugins and most others set CI."""
    return "ci" if environment.get("CI", "").lower() not in {"", "0", "false"} else "cli"


def person() -> str | None:
    """The user of this machine who asks; None where it has no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return None


def request(client: Client, asked: Asked) -> str:
    """Request the run; its id. Raises the errors of the client."""
    answer = client.request_run(
        asked.target,
        asked.preset,
        asked.scenario,
        via=via(os.environ),
        waits=asked.waits,
        confirm=asked.confirm,
        note=asked.note,
        person=person(),
    )
    return str(answer["run_id"])


def wait(client: Client, run_id: str, out: TextIO) -> Outcome:
    """Wait for a run's end and verdict, telling on `out` how far it is. The first Ctrl-C stops the run.

    Raises WarehouseAwayError when nobody answers for PATIENCE_S, KeyboardInterrupt at a second Ctrl-C.
    """
    line = Line(out)
    stopped = False
    ended_at: float | None = None
    while True:
        try:
            row = _look(client, run_id)
            if row["state"] in ENDED:
                ended_at = ended_at or time.monotonic()
                if is_judged(row) or time.monotonic() - ended_at > JUDGED_WITHIN_S:
                    line.clear()
                    return Outcome.of(row)
            line.tell(progress(row, datetime.now(UTC)))
            time.sleep(LOOK_EVERY_S)
        except KeyboardInterrupt:
            if stopped:
                raise
            stopped = True
            line.say(f"stopping {run_id}; what it measured is kept. Ctrl-C again: do not wait for its end.")
            client.cancel_run(run_id, person=person())


def is_judged(row: Mapping[str, Any]) -> bool:
    """Whether nothing will be added to a run that has ended: it never began, or all is stored and judged."""
    if row["started_at"] is None:
        return True
    return row["judged_at"] is not None


def progress(row: Mapping[str, Any], at: datetime) -> str:
    """How far a run is, in a line: state, time left, users, requests."""
    if row["started_at"] is None:
        return f"{row['run_id']} {row['state']}"
    planned_s = float(json.loads(row["plan"]).get("duration_s", 0)) if row.get("plan") else 0.0
    left_s = max(0.0, planned_s - (at - row["started_at"]).total_seconds())
    told = [f"{row['run_id']} {row['state']}"]
    if row["state"] in {"starting", "running"}:
        told.append(f"{clock(left_s)} left")
    for column, words in (("users_max", "{:.0f} users"), ("requests", "{:,.0f} requests")):
        if is_known(row.get(column)):
            told.append(words.format(row[column]))
    if is_known(row.get("p95_ms")):
        told.append(f"p95 {row['p95_ms']:,.0f} ms")
    if row.get("failures"):
        told.append(f"{row['failures']:,} failed")
    return ", ".join(told)


def refused(asked: Asked, error: Exception, run_id: str) -> Outcome:
    """What CI is told of a run that never came to be, or of which nothing was heard any more."""
    return could_not_start(asked.preset, asked.target, str(error), run_id)


def stop(client: Client, run_id: str) -> str:
    """Stop a run; the state it is in then."""
    return str(client.cancel_run(run_id, person=person())["state"])


def _look(client: Client, run_id: str) -> dict[str, Any]:
    """The run now, however long within PATIENCE_S that takes."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return run_row(client, run_id)
        except WarehouseAwayError:
            if time.monotonic() > until:
                raise
            time.sleep(LOOK_EVERY_S)


class Line:
    """One line that changes on a terminal; in a log only what is new, ever more rarely."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._on_terminal = out.isatty()
        self._state = ""
        self._next_s = 0.0
        self._pause_s = 10.0
        self._is_open = False

    def tell(self, text: str) -> None:
        """Show how far it is now."""
        text = visible(text)
        if self._on_terminal:
            self._out.write(f"{text}{CLEAR_REST}\r")
            self._is_open = True
        else:
            state = " ".join(text.split(" ")[:2])
            if state == self._state and time.monotonic() < self._next_s:
                return
            if state == self._state:
                self._pause_s = min(300.0, self._pause_s * 2)
            self._state, self._next_s = state, time.monotonic() + self._pause_s
            self._out.write(f"{text}\n")
        self._out.flush()

    def say(self, text: str) -> None:
        """A line that stays."""
        self.clear()
        self._out.write(f"{visible(text)}\n")
        self._out.flush()

    def clear(self) -> None:
        """Leave a clean line behind."""
        if self._is_open:
            self._out.write(CLEAR_REST)
            self._out.flush()
            self._is_open = False
