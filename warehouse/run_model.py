"""What is said of runs over HTTP: requests, claims, reports, and the answers to them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from warehouse.model import Name, OptionalName

RUN_ID = r"^r[0-9]{14}-[0-9a-f]{6}$"
LATEST_US = 7_258_118_400_000_000
"""The latest instant that is told, in µs since 1970: the year 2200."""

RunId = Annotated[str, StringConstraints(pattern=RUN_ID)]
Prose = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]
InstantUs = Annotated[int, Field(ge=0, le=LATEST_US)]
Host = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[0-9A-Za-z.:_-]+$")]
Via = Literal["dashboard", "cli", "schedule", "ci"]


class RunState(StrEnum):
    """Where a run is in its life."""

    REQUESTED = "requested"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = (RunState.FINISHED, RunState.FAILED, RunState.CANCELLED)
UNDER_WAY = (RunState.STARTING, RunState.RUNNING, RunState.STOPPING)


class Said(BaseModel):
    """Base of what is said: frozen, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RunRequest(Said):
    """A run that somebody wants. With `waits` it queues behind another of the target."""

    target: Name
    preset: Name
    scenario: Name | None = None
    waits: bool = False
    confirm: Annotated[str, StringConstraints(max_length=200)] | None = None
    via: Via
    note: Prose = ""


class Pin(Said):
    """Whether a run is a baseline: kept for ever, its requests included."""

    pinned: bool


class Note(Said):
    """A few words on a run."""

    text: Prose


class Claim(Said):
    """A load agent that looks for work; `busy` are the runs it has in hand."""

    agent: Name
    version: OptionalName = ""
    advertise: OptionalName = ""
    busy: Annotated[tuple[RunId, ...], Field(max_length=100)] = ()


class Report(Said):
    """How a run does on an agent. `complete`: every byte of its spool was acknowledged."""

    agent: Name
    state: Literal["starting", "running", "stopping", "finished", "failed", "cancelled"]
    reason: Prose = ""
    started_at_us: InstantUs | None = None
    ended_at_us: InstantUs | None = None
    is_partial: bool = False
    master_host: Host | None = None
    master_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    versions: Annotated[dict[str, str], Field(max_length=50)] | None = None
    target_version: OptionalName | None = None
    complete: bool = False


class Missed(Said):
    """A scheduled run that was due and was not requested, and why."""

    schedule: Name
    target: Name
    preset: Name
    due_at_us: InstantUs
    why: Prose


class Noted(BaseModel):
    """Whether something was new."""

    is_new: bool


class RunAnswer(BaseModel):
    """A run as it stands now."""

    run_id: str
    state: str
    verdict: str = ""


class Work(BaseModel):
    """A run to start."""

    run_id: str
    plan: dict[str, Any]


class Cancel(BaseModel):
    """A run to stop, and who wants it."""

    run_id: str
    by: str


class Seat(BaseModel):
    """A run to help with: workers for the master of another agent, numbered from `first_worker`."""

    run_id: str
    plan: dict[str, Any]
    master_host: str
    master_port: int
    first_worker: int


class Orders(BaseModel):
    """What an agent is to do."""

    run: Work | None = None
    cancel: list[Cancel] = []
    seats: list[Seat] = []


class LastPiece(BaseModel):
    """The last piece of a spool's file that is stored: where it began, and its rows or readable lines."""

    offset: int
    rows: int


class SpoolState(BaseModel):
    """What is stored of a run's spool, by file."""

    files: dict[str, LastPiece]


class RowsReceipt(BaseModel):
    """What became of a piece of a spool. `stored` is False when it was there already."""

    batch_id: str
    stored: bool
    rows: int
    skipped: int = 0
