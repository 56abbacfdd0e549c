"""What the configuration says of load: caps, presets, schedules, the load agent, and who may launch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from warehouse.analysis import criteria
from warehouse.fields import ConfigPath, Seconds, Secret, Section, Url, is_thorough
from warehouse.model import Name, OptionalName
from warehouse.signin import refuse_unusable

MOST_USERS = 100_000
SPAWN_SHARE = 0.1
"""Of a preset's users, as many start a second unless it says otherwise; at least one."""

SLACK_S = 1e-6
"""By how much a stage may be too short: what rounding leaves."""

Users = Annotated[int, Field(ge=0, le=MOST_USERS)]
SpawnRate = Annotated[float, Field(gt=0, le=MOST_USERS, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
Workers = Annotated[int, Field(ge=0, le=64)]
Cron = Annotated[str, StringConstraints(pattern=r"^\S+( +\S+){4}$", max_length=200)]


def _readable(text: str) -> str:
    criteria.parse(text)
    return text


Criterion = Annotated[str, AfterValidator(_readable)]
"""What must hold of a run, or must not: `warehouse.analysis.criteria` reads it."""

Stage = tuple[float, int, float]
"""How long (s), towards how many users, and how many of them start or stop a second."""


class LoadSettings(Section):
    """How much load a target may be given. A target without this table is given none."""

    users: Annotated[int, Field(ge=1, le=MOST_USERS)]
    requests_per_s: Rate
    duration_s: Seconds
    environment: OptionalName = ""


class StageSettings(Section):
    """A part of a preset: towards so many users, reached over the whole stage unless a rate is given."""

    duration_s: Seconds
    users: Users
    spawn_rate: SpawnRate | None = None


class PresetSettings(Section):
    """How many users for how long, with what it takes to pass."""

    name: Name
    title: OptionalName = ""
    users: Annotated[int, Field(ge=1, le=MOST_USERS)] | None = None
    duration_s: Seconds | None = None
    spawn_rate: SpawnRate | None = None
    stage: tuple[StageSettings, ...] = ()
    workers: Workers = 0
    agents: Workers = 0
    criteria: tuple[Criterion, ...] = ()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages with their spawn rates."""
        if self.users is not None and self.duration_s is not None:
            rate = self.spawn_rate or max(1.0, self.users * SPAWN_SHARE)
            return ((self.duration_s, self.users, rate),)
        starts = (0, *(stage.users for stage in self.stage))
        return tuple(_stage(before, stage) for before, stage in zip(starts, self.stage, strict=False))

    @model_validator(mode="after")
    def _one_form(self) -> PresetSettings:
        plain = (self.users, self.duration_s)
        if self.stage and any(value is not None for value in (*plain, self.spawn_rate)):
            raise ValueError("expected either users and duration_s or stages, given both")
        if not self.stage and None in plain:
            raise ValueError("expected users and duration_s, or stages")
        if not any(users for _, users, _ in self.stages):
            raise ValueError("expected a stage with users, given none")
        refuse_unreachable(self.stages)
        return self


def _stage(before: int, stage: StageSettings) -> Stage:
    change = abs(stage.users - before)
    rate = stage.spawn_rate or change / stage.duration_s or 1.0
    return (stage.duration_s, stage.users, rate)


def refuse_unreachable(stages: Iterable[Stage]) -> None:
    """Raise ValueError for a stage that ends before its users are reached."""
    before = 0
    for number, (duration_s, users, rate) in enumerate(stages, 1):
        needed_s = abs(users - before) / rate
        if needed_s > duration_s + SLACK_S:
            raise ValueError(
                f"stage {number} goes from {before} to {users} users at {rate:g} a second, "
                f"which takes {math.ceil(needed_s * 10) / 10:g} s; expected at most its {duration_s:g} s"
            )
        before = users


class ScheduleSettings(Section):
    """A run that is requested again and again."""

    name: Name
    cron: Cron
    target: Name
    preset: Name
    scenario: Name | None = None


class AgentSettings(Section):
    """The load agent of this machine."""

    name: Name | None = None
    bind: Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[0-9A-Za-z.:_-]+$")] = (
        "127.0.0.1"
    )
    advertise: Annotated[str, StringConstraints(min_length=1, max_length=253)] | None = None
    warehouse_url: Url | None = None
    token: Secret | None = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> AgentSettings:
        if (self.warehouse_url is None) != (self.token is None):
            raise ValueError("expected both warehouse_url and token or neither, given one of them")
        return self


class AccessSettings(Section):
    """Who may launch load tests and change what is told, besides whoever sits at this machine."""

    launch: tuple[Name, ...] = ()
    proxy_header: Annotated[str, StringConstraints(max_length=100, pattern=r"^[A-Za-z0-9-]*$")] = ""
    proxy_from: tuple[Name, ...] = ("127.0.0.1",)
    sign_in_file: ConfigPath | None = None

    @field_validator("sign_in_file")
    @classmethod
    def _can_sign_in(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if file is not None and is_thorough(info):
            refuse_unusable(file)
        return file


Order = Literal["weighted", "sequence"]
Arrivals = Literal["users", "constant", "poisson"]
