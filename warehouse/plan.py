"""A load test's plan: all the load generator needs to know, made from the configuration, free of secrets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from warehouse.errors import InvalidInputError
from warehouse.fields import ConfigPath, Headers, JsonBody, Secret
from warehouse.loads import Arrivals, LoadSettings, Order, PresetSettings, Stage
from warehouse.scenarios import (
    FileSettings,
    RequestSettings,
    ScenarioSettings,
    TokenSettings,
    label_of,
)
from warehouse.settings import Settings
from warehouse.targets import TargetSettings

ENDPOINTS = "endpoints"
"""The scenario made of a target's own GET endpoints, where none names the target."""

PLATEAU_S = 5.0
SETTLING_S = 2.0
"""A plateau lasts at least PLATEAU_S; what is measured in its first SETTLING_S belongs to the ramp."""

PARTS = ("load", "token", "setup", "teardown")
"""What a request is part of, in the order of the numbers it is stored under."""

Part = Literal["load", "token", "setup", "teardown"]


class Planned(BaseModel):
    """Base of a plan's parts: frozen, no unknown fields, the same after a round trip through JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PlanRequest(Planned):
    """One request, with the number and label its measurements carry."""

    endpoint: int
    label: str
    part: Part
    method: str
    path: str
    weight: int = 1
    headers: Headers = {}
    body: str | None = None
    json_body: JsonBody | None = None
    file: FileSettings | None = None
    expect_status: tuple[int, ...] = (200,)
    expect_text: str | None = None
    expect_json: dict[str, Any] | None = None
    deadline_s: float = 10.0
    repeat: int = 1
    concurrent: bool = False
    extract: dict[str, str] = {}


class PlanToken(Planned):
    """The request for a user's token, and where that is found and sent."""

    request: PlanRequest
    pointer: str
    header: str
    prefix: str


class Plan(Planned):
    """One load test as it will be run. `headers` refer to secrets and never hold them.

    `addresses` are the IP addresses and ports of `url`, which whoever starts the run fills in.
    `stages` are (seconds, users, users started or stopped a second).
    """

    target: str
    url: str
    environment: str
    addresses: tuple[tuple[str, int], ...] = ()
    verify_tls: bool
    ca_file: ConfigPath | None
    headers: Headers
    preset: str
    scenario: str
    stages: tuple[Stage, ...]
    duration_s: float
    workers: int
    agents: int
    max_users: int
    max_requests_per_s: float
    max_duration_s: float
    order: Order
    think_s: tuple[float, float]
    pacing_s: float | None
    arrivals: Arrivals
    rate_per_s: float | None
    token: PlanToken | None
    requests: tuple[PlanRequest, ...]
    setup: tuple[PlanRequest, ...] = ()
    teardown: tuple[PlanRequest, ...] = ()
    criteria: tuple[str, ...] = ()
    scenario_hash: str

    @property
    def users(self) -> int:
        """The most users at any moment."""
        return max(users for _, users, _ in self.stages)

    @property
    def endpoints(self) -> tuple[PlanRequest, ...]:
        """Every request of the plan, by its number."""
        token = () if self.token is None else (self.token.request,)
        return (*token, *self.setup, *self.requests, *self.teardown)


def make_plan(settings: Settings, target_name: str, preset_name: str, scenario_name: str | None) -> Plan:
    """The plan of a load test.

    Without `scenario_name` the first scenario that names the target, else one over the target's own GET
    endpoints. Raises InvalidInputError naming `target`, `preset` or `scenario`: unknown, not allowed, or
    over a cap of the target.
    """
    target, caps = _allowed_target(settings, target_name)
    preset = _known(settings.presets, preset_name, "preset")
    scenario = _scenario_for(settings, target, scenario_name)
    _refuse_over_cap(target, caps, preset, scenario)
    token, setup, requests, teardown = _numbered(scenario)
    return Plan(
        target=target.name,
        url=target.url,
        environment=caps.environment,
        verify_tls=target.verify_tls,
        ca_file=target.ca_file,
        headers=target.headers,
        preset=preset.name,
        scenario=scenario.name,
        stages=preset.stages,
        duration_s=total_s(preset.stages),
        workers=preset.workers,
        agents=preset.agents,
        max_users=caps.users,
        max_requests_per_s=caps.requests_per_s,
        max_duration_s=caps.duration_s,
        order=scenario.order,
        think_s=scenario.think_s,
        pacing_s=scenario.pacing_s,
        arrivals=scenario.arrivals,
        rate_per_s=scenario.rate_per_s,
        token=token,
        requests=requests,
        setup=setup,
        teardown=teardown,
        criteria=(*preset.criteria, *scenario.criteria),
        scenario_hash=_hash(scenario, token, requests),
    )


def total_s(stages: Iterable[Stage]) -> float:
    """How long all stages take."""
    return float(sum(duration_s for duration_s, _, _ in stages))


def users_at(stages: Sequence[Stage], elapsed_s: float) -> float:
    """Users planned `elapsed_s` after the start; those of the last stage after its end."""
    before = 0.0
    start_s = 0.0
    for duration_s, users, rate in stages:
        change = users - before
        if elapsed_s < start_s + duration_s:
            reached = min(abs(change), rate * max(0.0, elapsed_s - start_s))
            return before + (reached if change > 0 else -reached)
        start_s, before = start_s + duration_s, float(users)
    return before


def plateaus(stages: Sequence[Stage]) -> tuple[tuple[float, float, int], ...]:
    """Where the planned users stand still for at least 5 s, as (from_s, to_s, users), without settling."""
    still: list[tuple[float, float, int]] = []
    before, start_s = 0, 0.0
    for duration_s, users, rate in stages:
        reached_s, end_s = start_s + abs(users - before) / rate, start_s + duration_s
        if still and users == before and still[-1][1] == start_s:
            still[-1] = (still[-1][0], end_s, users)
        else:
            still.append((reached_s, end_s, users))
        before, start_s = users, end_s
    return tuple(
        (from_s + SETTLING_S, to_s, users)
        for from_s, to_s, users in still
        if users and to_s - from_s >= PLATEAU_S
    )


def _allowed_target(settings: Settings, name: str) -> tuple[TargetSettings, LoadSettings]:
    targets = {target.name: target for target in settings.target}
    target = _known(targets, name, "target")
    if target.load is None:
        raise InvalidInputError(
            f"no load may be sent to {name}",
            field="target",
            hint="Give it a [target.load] table with its caps to allow it.",
        )
    return target, target.load


def _known(known: Any, name: str, field: str) -> Any:
    found = known.get(name)
    if found is None:
        raise InvalidInputError(f"no {field} is named {name}; there are {', '.join(known)}", field=field)
    return found


def _scenario_for(settings: Settings, target: TargetSettings, name: str | None) -> ScenarioSettings:
    if name is None or (name == ENDPOINTS and ENDPOINTS not in settings.scenarios):
        meant = [each for each in settings.scenarios.values() if target.name in each.targets]
        return meant[0] if meant and name is None else _of_endpoints(target)
    scenario: ScenarioSettings = _known(settings.scenarios, name, "scenario")
    if scenario.targets and target.name not in scenario.targets:
        raise InvalidInputError(
            f"{name} is for {', '.join(scenario.targets)}, not for {target.name}", field="scenario"
        )
    return scenario


def _of_endpoints(target: TargetSettings) -> ScenarioSettings:
    """The target's own GET endpoints, each as often as the others."""
    requests = tuple(
        RequestSettings(
            name=endpoint.label,
            path=endpoint.path,
            headers=endpoint.headers,
            expect_status=endpoint.expect_status,
            expect_text=endpoint.expect_text,
            expect_json=endpoint.expect_json,
            deadline_s=endpoint.deadline_s or target.deadline_s,
        )
        for endpoint in target.endpoint
        if endpoint.method == "GET"
    )
    if not requests:
        raise InvalidInputError(
            f"{target.name} has no GET endpoint to ask", field="scenario", hint="Write a [[scenario]] for it."
        )
    return ScenarioSettings(name=ENDPOINTS, request=requests)


def _refuse_over_cap(
    target: TargetSettings, caps: LoadSettings, preset: PresetSettings, scenario: ScenarioSettings
) -> None:
    users = max(users for _, users, _ in preset.stages)
    asked = (
        ("users", users, caps.users, "preset", preset.name),
        ("duration_s", total_s(preset.stages), caps.duration_s, "preset", preset.name),
        ("requests_per_s", scenario.rate_per_s or 0, caps.requests_per_s, "scenario", scenario.name),
    )
    for cap, wanted, most, field, name in asked:
        if wanted > most:
            raise InvalidInputError(
                f"{name} asks for {cap} = {wanted:g}, and {target.name} allows at most {most:g}", field=field
            )


def _numbered(
    scenario: ScenarioSettings,
) -> tuple[PlanToken | None, tuple[PlanRequest, ...], tuple[PlanRequest, ...], tuple[PlanRequest, ...]]:
    """The scenario's requests, numbered: token, setup, load, teardown."""
    token = None if scenario.token is None else _token(scenario.token)
    count = 0 if token is None else 1
    numbered = []
    parts: tuple[tuple[Part, tuple[RequestSettings, ...]], ...] = (
        ("setup", scenario.setup),
        ("load", scenario.request),
        ("teardown", scenario.teardown),
    )
    for part, requests in parts:
        numbered.append(tuple(_request(each, number, part) for number, each in enumerate(requests, count)))
        count += len(requests)
    setup, load, teardown = numbered
    return token, setup, load, teardown


def _request(asked: RequestSettings, number: int, part: Part) -> PlanRequest:
    fields = {name: getattr(asked, name) for name in RequestSettings.model_fields if name != "name"}
    return PlanRequest(endpoint=number, label=asked.label, part=part, **fields)


def _token(asked: TokenSettings) -> PlanToken:
    fields = ("method", "path", "headers", "json_body", "expect_status", "deadline_s")
    request = PlanRequest(
        endpoint=0,
        label=label_of(None, asked.method, asked.path),
        part="token",
        **{name: getattr(asked, name) for name in fields},
    )
    return PlanToken(request=request, pointer=asked.pointer, header=asked.header, prefix=asked.prefix)


def _hash(scenario: ScenarioSettings, token: PlanToken | None, requests: Sequence[PlanRequest]) -> str:
    """SHA-256 of what is asked, whatever machine asks it and however many users do."""
    said = {
        "order": scenario.order,
        "think_s": scenario.think_s,
        "pacing_s": scenario.pacing_s,
        "arrivals": scenario.arrivals,
        "requests": [_said(request) for request in requests],
        "token": None if token is None else [_said(token.request), token.header, token.prefix],
    }
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _said(request: PlanRequest) -> dict[str, Any]:
    """A request without its number, and without where this machine keeps secrets and files."""
    said = request.model_dump(mode="json", exclude={"endpoint", "headers", "file"})
    said["headers"] = {
        name: "a secret" if isinstance(value, Secret) else value for name, value in request.headers.items()
    }
    said["file"] = (
        None if request.file is None else [request.file.field, request.file.name, request.file.bytes]
    )
    return said
