"""TOML and environment -> one frozen, checked `Settings`; every problem is reported at once."""

from __future__ import annotations

import os
import ssl
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator, model_validator

from warehouse.errors import ConfigurationError
from warehouse.faults import describe, is_echo
from warehouse.fields import (
    ConfigPath,
    Headers,
    Port,
    Seconds,
    Secret,
    Section,
    Url,
    is_thorough,
)
from warehouse.model import Name

__all__ = ["Secret", "Settings", "find_config", "load", "parse"]

CONFIG_NAME = "perfhouse.toml"
ENVIRONMENT_PREFIX = "PERFHOUSE_"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
Part = TypeVar("Part", bound=Section)

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound
"""Addresses that mean every interface, and where this machine finds what listens there."""


class WarehouseSettings(Section):
    """The process that owns the data and serves it."""

    host: str = "127.0.0.1"
    port: Port = 8620
    allowed_hosts: tuple[str, ...] = LOOPBACK
    deadline_s: Seconds = 10.0
    row_cap: Annotated[int, Field(ge=100, le=10_000_000)] = 200_000
    max_body_mb: Annotated[int, Field(ge=1, le=1024)] = 32
    memory_limit_mb: Annotated[int, Field(ge=256)] = 2048

    @property
    def url(self) -> str:
        """Where this machine's other processes find the warehouse."""
        host = EVERYWHERE.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


class DashboardSettings(Section):
    """The pages in the browser."""

    port: Port = 8501


class RetentionSettings(Section):
    """For how long measurements are kept, in days."""

    raw_days: Annotated[int, Field(ge=1, le=400)] = 30


class CollectorsSettings(Section):
    """The scheduled daemon."""

    name: Name = "local"
    flush_s: Annotated[float, Field(ge=0.2, le=60)] = 1.0
    health_interval_s: Annotated[float, Field(ge=1, le=600)] = 15.0
    spool_mb: Annotated[int, Field(ge=1, le=100_000)] = 256
    max_in_flight: Annotated[int, Field(ge=1, le=64)] = 4
    warehouse_url: Url | None = None
    token: Secret | None = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> CollectorsSettings:
        if (self.warehouse_url is None) != (self.token is None):
            raise ValueError("expected both warehouse_url and token or neither, given one of them")
        return self


class DemoSettings(Section):
    """The sample invoice API that the default configuration watches."""

    enabled: bool = False
    port: Port = 8000


def _table_or_list(value: object) -> object:
    if not isinstance(value, dict | list):
        raise ValueError("expected a table or a list")  # noqa: TRY004 - pydantic reports ValueError
    return value


class EndpointSettings(Section):
    """One request that is probed, and what a right answer looks like."""

    path: Annotated[str, Field(pattern=r"^/[^\s]*$", max_length=2000)]
    name: Name | None = None
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    headers: Headers = Field(default_factory=dict)
    body: str | None = None
    json_body: Annotated[dict[str, Any] | list[Any], BeforeValidator(_table_or_list)] | None = None
    expect_status: tuple[Annotated[int, Field(ge=100, le=599)], ...] = (200,)
    expect_text: str | None = None
    expect_json: dict[str, Any] | None = None
    interval_s: Seconds | None = None
    deadline_s: Annotated[float, Field(gt=0, le=300)] | None = None
    max_bytes: Annotated[int, Field(ge=1, le=100_000_000)] = 1_000_000
    connection: Literal["fresh", "keep"] = "fresh"

    @property
    def label(self) -> str:
        """The endpoint's name: its own, or method and path (without the query, which may hold data)."""
        return self.name or f"{self.method} {self.path.partition('?')[0]}"

    @model_validator(mode="after")
    def _one_body(self) -> EndpointSettings:
        if self.body is not None and self.json_body is not None:
            raise ValueError("expected either body or json_body, given both")
        return self


class TargetSettings(Section):
    """An API that is watched: where it is, and its endpoints."""

    name: Name
    url: Url
    interval_s: Seconds = 10.0
    deadline_s: Annotated[float, Field(gt=0, le=300)] = 3.0
    headers: Headers = Field(default_factory=dict)
    verify_tls: bool = True
    ca_file: ConfigPath | None = None
    endpoint: tuple[EndpointSettings, ...] = Field(min_length=1)

    @field_validator("ca_file")
    @classmethod
    def _holds_certificates(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if file is not None and is_thorough(info):
            try:
                ssl.create_default_context(cafile=file)
            except OSError as error:
                why = "none found" if isinstance(error, ssl.SSLError) else error.strerror
                raise ValueError(f"expected a readable file of certificates (PEM), {why}") from None
        return file

    @model_validator(mode="after")
    def _endpoint_names_differ(self) -> TargetSettings:
        _refuse_repeats(endpoint.label for endpoint in self.endpoint)
        return self


class HostSettings(Section):
    """This machine's resources, watched from inside."""

    name: Name = "this machine"
    interval_s: Seconds = 5.0
    processes: tuple[Name, ...] = ()
    top: Annotated[int, Field(ge=0, le=20)] = 5


Listening = WarehouseSettings | DashboardSettings | DemoSettings
"""The sections of the parts that listen on a port."""


class Settings(Section):
    """Everything the configuration says. `path` is the file it came from."""

    path: Path
    data_dir: ConfigPath = Field(Path("data"), validate_default=True)
    warehouse: WarehouseSettings = WarehouseSettings()
    dashboard: DashboardSettings = DashboardSettings()
    retention: RetentionSettings = RetentionSettings()
    collectors: CollectorsSettings = CollectorsSettings()
    demo: DemoSettings = DemoSettings()
    target: tuple[TargetSettings, ...] = ()
    host: HostSettings | None = None

    @field_validator("target")
    @classmethod
    def _target_names_differ(cls, targets: tuple[TargetSettings, ...]) -> tuple[TargetSettings, ...]:
        _refuse_repeats(target.name for target in targets)
        return targets

    @model_validator(mode="after")
    def _ports_differ(self) -> Settings:
        _refuse_shared_ports(self.warehouse, self.dashboard, self.demo)
        return self

    @property
    def database_file(self) -> Path:
        """The DuckDB file; opened by the warehouse process alone."""
        return self.data_dir / "warehouse.duckdb"

    @property
    def token_dir(self) -> Path:
        """The tokens, one 0600 file each."""
        return self.data_dir / "tokens"

    @property
    def spool_dir(self) -> Path:
        """Batches that wait for the warehouse."""
        return self.data_dir / "spool"


def _refuse_repeats(names: Iterable[str]) -> None:
    listed = list(names)
    repeated = sorted({name for name in listed if listed.count(name) > 1})
    if repeated:
        raise ValueError(f"expected each name once, given more than once: {', '.join(repeated)}")


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
        raise ConfigurationError([f"{file}: expected TOML, {error}"]) from None
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

    targets = [target for target in _list(document.get("target")) if isinstance(target, dict)]
    judge("target", _refuse_repeats, [str(target["name"]) for target in targets if "name" in target])
    for number, target in enumerate(targets, 1):
        endpoints = [_valid(EndpointSettings, each) for each in _list(target.get("endpoint"))]
        judge(f"target[{number}]", _refuse_repeats, [each.label for each in endpoints if each])
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
