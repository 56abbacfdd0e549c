"""What users ask in a load test: scenarios as data, and the built-in ones with the built-in presets."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from warehouse.fields import ConfigPath, Headers, JsonBody, Section, refuse_repeats
from warehouse.loads import Arrivals, Criterion, Order, PresetSettings, Rate
from warehouse.model import Name, OptionalName
from warehouse.pointer import Pointer

BUILTIN = Path(__file__).with_name("builtin_loads.toml")

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
RequestPath = Annotated[str, StringConstraints(pattern=r"^/[^\s]*$", max_length=2000)]
Statuses = Annotated[tuple[Annotated[int, Field(ge=100, le=599)], ...], Field(min_length=1)]
Deadline = Annotated[float, Field(gt=0, le=300)]
Pause = Annotated[float, Field(ge=0, le=3600)]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=50)]


def _pair(value: object) -> object:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    if not plain and not isinstance(value, list | tuple):
        raise ValueError("expected a number or a list of two")
    return (value, value) if plain else value


Think = Annotated[tuple[Pause, Pause], BeforeValidator(_pair)]
"""Seconds between two requests of a user: from the first to the second, equally likely."""


class FileSettings(Section):
    """A file that is sent as a form: one of this machine, or so many bytes."""

    field: Name = "file"
    name: Name
    path: ConfigPath | None = None
    bytes: Annotated[int, Field(ge=0, le=100_000_000)] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> FileSettings:
        if (self.path is None) == (self.bytes is None):
            raise ValueError("expected either path or bytes")
        return self


class RequestSettings(Section):
    """One request of a scenario, and what a right answer looks like."""

    name: Name | None = None
    method: Method = "GET"
    path: RequestPath
    weight: Annotated[int, Field(ge=1, le=10_000)] = 1
    headers: Headers = Field(default_factory=dict)
    body: str | None = None
    json_body: JsonBody | None = None
    file: FileSettings | None = None
    expect_status: Statuses = (200,)
    expect_text: str | None = None
    expect_json: dict[str, Any] | None = None
    deadline_s: Deadline = 10.0
    repeat: Annotated[int, Field(ge=1, le=10_000)] = 1
    concurrent: bool = False
    extract: Mapping[Variable, Pointer] = Field(default_factory=dict)

    @property
    def label(self) -> str:
        """What the request is called: its name, or method and path (without the query)."""
        return label_of(self.name, self.method, self.path)

    @model_validator(mode="after")
    def _one_body(self) -> RequestSettings:
        given = [key for key in ("body", "json_body", "file") if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"expected one of body, json_body and file, given {' and '.join(given)}")
        return self


class TokenSettings(Section):
    """A token that each user asks for once, and sends with every request."""

    model_config = ConfigDict(str_strip_whitespace=False)

    method: Method = "POST"
    path: RequestPath
    headers: Headers = Field(default_factory=dict)
    json_body: JsonBody | None = None
    expect_status: Statuses = (200,)
    deadline_s: Deadline = 10.0
    pointer: Pointer = "access_token"
    header: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$", max_length=100)] = "Authorization"
    prefix: Annotated[str, Field(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")] = "Bearer "


class ScenarioSettings(Section):
    """What the users of a load test ask, in which order and how often."""

    name: Name
    title: OptionalName = ""
    targets: tuple[Name, ...] = ()
    order: Order = "weighted"
    think_s: Think = (0.0, 0.0)
    pacing_s: Annotated[float, Field(gt=0, le=86_400)] | None = None
    arrivals: Arrivals = "users"
    rate_per_s: Rate | None = None
    criteria: tuple[Criterion, ...] = ()
    token: TokenSettings | None = None
    request: tuple[RequestSettings, ...] = Field(min_length=1)
    setup: tuple[RequestSettings, ...] = ()
    teardown: tuple[RequestSettings, ...] = ()

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> ScenarioSettings:
        if self.think_s[0] > self.think_s[1]:
            raise ValueError("expected think_s as [low, high], given the higher first")
        if (self.arrivals == "users") != (self.rate_per_s is None):
            raise ValueError('expected rate_per_s with arrivals "constant" or "poisson", and with these only')
        for requests in (self.request, self.setup, self.teardown):
            refuse_repeats(request.label for request in requests)
        return self


def label_of(name: str | None, method: str, path: str) -> str:
    """What a request is called: its name, or method and path without the query, which may hold data."""
    return name or f"{method} {path.partition('?')[0]}"


@cache
def builtin() -> tuple[tuple[PresetSettings, ...], tuple[ScenarioSettings, ...]]:
    """The presets and scenarios that ship with Perfhouse."""
    document = tomllib.loads(BUILTIN.read_text(encoding="utf-8"))
    presets = tuple(PresetSettings.model_validate(each) for each in document["preset"])
    return presets, tuple(ScenarioSettings.model_validate(each) for each in document["scenario"])


def presets_by_name(own: tuple[PresetSettings, ...]) -> dict[str, PresetSettings]:
    """The built-in presets, then the configured ones; one with a built-in's name takes its place."""
    return {preset.name: preset for preset in (*builtin()[0], *own)}


def scenarios_by_name(own: tuple[ScenarioSettings, ...]) -> dict[str, ScenarioSettings]:
    """The configured scenarios, then the built-in ones whose name is not taken."""
    mine = {scenario.name: scenario for scenario in own}
    return mine | {scenario.name: scenario for scenario in builtin()[1] if scenario.name not in mine}
