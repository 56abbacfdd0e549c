"""TOML and environment -> one frozen, checked `Settings`; every problem is reported at once."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from warehouse.errors import ConfigurationError
from warehouse.faults import describe, describe_syntax, is_echo
from warehouse.fields import ConfigPath, Secret, Section, refuse_repeats
from warehouse.loads import AccessSettings, AgentSettings, LoadSettings, PresetSettings, ScheduleSettings
from warehouse.scenarios import ScenarioSettings, presets_by_name, scenarios_by_name
from warehouse.sections import (
    ColdSettings,
    CollectorsSettings,
    DashboardSettings,
    DemoSettings,
    Listening,
    RegressionSettings,
    RetentionSettings,
    WarehouseSettings,
)
from warehouse.targets import DatabaseSettings, EndpointSettings, HostSettings, TargetSettings

__all__ = [
    "AccessSettings",
    "AgentSettings",
    "DatabaseSettings",
    "EndpointSettings",
    "HostSettings",
    "LoadSettings",
    "PresetSettings",
    "ScenarioSettings",
    "ScheduleSettings",
    "Secret",
    "Settings",
    "TargetSettings",
    "find_config",
    "load",
    "parse",
]

CONFIG_NAME = "perfhouse.toml"
ENVIRONMENT_PREFIX = "PERFHOUSE_"
DEMO = "demo"
"""The demo target's folder, and the name its database is watched by."""

DEMO_SAMPLE_MS = 90
NAMED = ("target", "database", "preset", "scenario", "schedule")
"""The lists of tables that each have a name of their own."""

Part = TypeVar("Part", bound=Section)


class Settings(Section):
    """Everything the configuration says. `path` is the file it came from."""

    path: Path
    data_dir: ConfigPath = Field(Path("data"), validate_default=True)
    warehouse: WarehouseSettings = WarehouseSettings()
    dashboard: DashboardSettings = DashboardSettings()
    retention: RetentionSettings = RetentionSettings()
    cold: ColdSettings = ColdSettings()
    regressions: RegressionSettings = RegressionSettings()
    collectors: CollectorsSettings = CollectorsSettings()
    demo: DemoSettings = DemoSettings()
    target: tuple[TargetSettings, ...] = ()
    database: tuple[DatabaseSettings, ...] = ()
    host: HostSettings | None = None
    preset: tuple[PresetSettings, ...] = ()
    scenario: tuple[ScenarioSettings, ...] = ()
    schedule: tuple[ScheduleSettings, ...] = ()
    agent: AgentSettings = AgentSettings()
    access: AccessSettings = AccessSettings()

    @field_validator(*NAMED)
    @classmethod
    def _names_differ(cls, named: tuple[Any, ...]) -> tuple[Any, ...]:
        refuse_repeats(each.name for each in named)
        return named

    @model_validator(mode="after")
    def _ports_differ(self) -> Settings:
        _refuse_shared_ports(self.warehouse, self.dashboard, self.demo)
        return self

    @model_validator(mode="after")
    def _cold_before_deleted(self) -> Settings:
        after = self.cold.after_days
        if after is not None and after >= self.retention.raw_days:
            raise ValueError(
                f"expected cold.after_days below raw_days ({self.retention.raw_days}), given {after}"
            )
        return self

    @model_validator(mode="after")
    def _names_refer(self) -> Settings:
        targets = [target.name for target in self.target]
        for scenario in self.scenario:
            for name in scenario.targets:
                _refuse_unknown(f"scenario {scenario.name}", "target", name, targets)
        for each in self.schedule:
            where = f"schedule {each.name}"
            _refuse_unknown(where, "target", each.target, targets)
            _refuse_unknown(where, "preset", each.preset, self.presets)
            if each.scenario is not None:
                _refuse_unknown(where, "scenario", each.scenario, self.scenarios)
        return self

    @property
    def presets(self) -> Mapping[str, PresetSettings]:
        """The presets by name, the built-in ones among them."""
        return presets_by_name(self.preset)

    @property
    def scenarios(self) -> Mapping[str, ScenarioSettings]:
        """The scenarios by name, the built-in ones among them."""
        return scenarios_by_name(self.scenario)

    @property
    def agent_name(self) -> str:
        """What the load agent of this machine is called."""
        return self.agent.name or self.collectors.name

    @property
    def runs_dir(self) -> Path:
        """A folder for each load test that this machine's agent runs or ran."""
        return self.data_dir / "runs"

    @property
    def database_file(self) -> Path:
        """The DuckDB file; opened by the warehouse process alone."""
        return self.data_dir / "warehouse.duckdb"

    @property
    def databases(self) -> tuple[DatabaseSettings, ...]:
        """The databases that are watched: those configured, and the demo's own unless one has its name."""
        if not self.demo.enabled or DEMO in {database.name for database in self.database}:
            return self.database
        url = Secret(file=self.demo_dir / "observer.url")
        own = DatabaseSettings(name=DEMO, engine="postgres", url=url, sample_activity_ms=DEMO_SAMPLE_MS)
        return (*self.database, own)

    @property
    def demo_dir(self) -> Path:
        """What the demo keeps, its database's address among it."""
        return self.data_dir / DEMO

    @property
    def token_dir(self) -> Path:
        """The tokens, one 0600 file each."""
        return self.data_dir / "tokens"

    @property
    def spool_dir(self) -> Path:
        """Batches that wait for the warehouse."""
        return self.data_dir / "spool"


def _refuse_unknown(where: str, kind: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise ValueError(f"{where}: expected a {kind} that is configured, given {name}")


def _refuse_shared_ports(*sections: Listening) -> None:
    ports = [section.port for section in sections if not isinstance(section, DemoSettings) or section.enabled]
    if len(set(ports)) < len(ports):
        raise ValueError(f"expected a port of its own for each part, given {', '.join(map(str, ports))}")


def find_config(explicit: Path | None = None) -> Path:
    """The configuration file: given, named by PERFHOUSE_CONFIG, or ./perfhouse.toml."""
    return explicit or Path(os.environ.get(f"{ENVIRONMENT_PREFIX}CONFIG", CONFIG_NAME))


def load(
    path: Path | None = None, environment: Mapping[str, str] | None = None, *, thorough: bool = False
) -> Settings:
    """Read and check the configuration.

    Scalars may be overridden by variables such as PERFHOUSE_WAREHOUSE__PORT or PERFHOUSE_DATA_DIR.
    Relative paths are taken from the file's own folder. `thorough` also looks at what the keys refer
    to: secrets and certificates. Raises ConfigurationError naming file, key, what was expected and
    what was given, for every problem at once.
    """
    file = find_config(path)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(
            [f"{file}: expected a configuration file, given none"],
            "Run `perfhouse init` to write one, or name it with --config or PERFHOUSE_CONFIG.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigurationError([f"{file}: expected a readable file, {why}"]) from None
    return parse(text, file, os.environ if environment is None else environment, thorough=thorough)


def parse(text: str, file: Path, environment: Mapping[str, str], *, thorough: bool = False) -> Settings:
    """As `load`, of a text that is in `file`, or will be."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([describe_syntax(file, text, error)]) from None
    except (ValueError, RecursionError):
        raise ConfigurationError([f"{file}: expected TOML with numbers and nesting of a sane size"]) from None
    origins = _override(document, environment)
    context = {"folder": file.absolute().parent, "thorough": thorough}
    problems = [f"{file}: path: no such key, given a value"] if "path" in document else []
    try:
        settings = Settings.model_validate({**document, "path": file.absolute()}, context=context)
    except ValidationError as error:
        problems += [describe(file, origins, fault) for fault in error.errors() if not is_echo(fault)]
        problems += [problem for problem in _hidden(file, document) if problem not in problems]
    if problems:
        raise ConfigurationError(problems)
    return settings


def _hidden(file: Path, document: Mapping[str, Any]) -> list[str]:
    """Repeated names and ports among the valid parts of a faulty document.

    The models compare parts only when each is valid, and a person wants to hear everything at once.
    """
    problems = []

    def judge(key: str, rule: Callable[..., None], *given: Any) -> None:
        try:
            rule(*given)
        except ValueError as error:
            problems.append(f"{file}: {key}: {error}")

    tables = {key: [each for each in _list(document.get(key)) if isinstance(each, dict)] for key in NAMED}
    for key, each in tables.items():
        judge(key, refuse_repeats, [str(table["name"]) for table in each if "name" in table])
    for number, target in enumerate(tables["target"], 1):
        endpoints = [_valid(EndpointSettings, each) for each in _list(target.get("endpoint"))]
        judge(f"target[{number}]", refuse_repeats, [each.label for each in endpoints if each])
    listening = [
        _valid(WarehouseSettings, document.get("warehouse", {})),
        _valid(DashboardSettings, document.get("dashboard", {})),
        _valid(DemoSettings, document.get("demo", {})),
    ]
    judge("the whole file", _refuse_shared_ports, *(section for section in listening if section))
    return problems


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _valid(kind: type[Part], value: object) -> Part | None:
    try:
        return kind.model_validate(value)
    except ValidationError:
        return None


def _override(document: dict[str, Any], environment: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """Lay environment variables over the document; returns which key came from which variable."""
    origins = {}
    for variable, value in environment.items():
        key = tuple(variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"))
        if not variable.startswith(ENVIRONMENT_PREFIX) or key == ("config",):
            continue
        section = document
        for part in key[:-1]:
            inner = section.setdefault(part, {})
            if not isinstance(inner, dict):
                inner = section[part] = {}
            section = inner
        section[key[-1]] = value
        origins[key] = variable
    return origins
