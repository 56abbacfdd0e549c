"""TOML and environment -> one frozen, checked `Settings`; every problem is reported at once."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from warehouse.errors import ConfigurationError
from warehouse.model import Name

CONFIG_NAME = "perfhouse.toml"
ENVIRONMENT_PREFIX = "PERFHOUSE_"
SECRET_WORDS = ("authorization", "cookie", "token", "secret", "password", "api-key", "apikey")
LOOPBACK = ("127.0.0.1", "localhost", "::1")

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Section(BaseModel):
    """Base of every table in the configuration: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Secret(Section):
    """A reference to a secret: the name of an environment variable, or of a file. Never the secret."""

    env: str | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Secret:
        if (self.env is None) == (self.file is None):
            raise ValueError('expected either { env = "NAME" } or { file = "path" }')
        return self

    def reveal(self) -> str:
        """The secret itself, read now. Raises ConfigurationError when it is not there."""
        if self.env is not None:
            if self.env not in os.environ:
                raise ConfigurationError(
                    [f"environment variable {self.env}: expected a secret, given nothing"]
                )
            return os.environ[self.env]
        assert self.file is not None
        try:
            return self.file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                [f"{self.file}: expected a readable file with a secret, {error}"]
            ) from None


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
        return f"http://{self.host}:{self.port}"


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
    warehouse_url: str | None = None
    token: Secret | None = None


class DemoSettings(Section):
    """The sample invoice API that the default configuration watches."""

    enabled: bool = False
    port: Port = 8000


class EndpointSettings(Section):
    """One request that is probed, and what a right answer looks like."""

    path: Annotated[str, Field(pattern=r"^/[^\s]*$", max_length=2000)]
    name: Name | None = None
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    headers: Mapping[str, str | Secret] = {}
    body: str | None = None
    json_body: dict[str, Any] | list[Any] | None = None
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

    @field_validator("headers")
    @classmethod
    def _no_literal_secrets(cls, headers: Mapping[str, str | Secret]) -> Mapping[str, str | Secret]:
        return _refuse_literal_secrets(headers)

    @model_validator(mode="after")
    def _one_body(self) -> EndpointSettings:
        if self.body is not None and self.json_body is not None:
            raise ValueError("expected either body or json_body, given both")
        return self


class TargetSettings(Section):
    """An API that is watched: where it is, and its endpoints."""

    name: Name
    url: str
    interval_s: Seconds = 10.0
    deadline_s: Annotated[float, Field(gt=0, le=300)] = 3.0
    headers: Mapping[str, str | Secret] = {}
    verify_tls: bool = True
    ca_file: Path | None = None
    endpoint: tuple[EndpointSettings, ...] = Field(min_length=1)

    @field_validator("url")
    @classmethod
    def _plain_http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected an address such as https://api.example.com")
        if parts.username or parts.password:
            raise ValueError(
                'expected an address without user and password; use headers with { env = "NAME" }'
            )
        if parts.query or parts.fragment:
            raise ValueError("expected an address without ? and #; they belong into an endpoint's path")
        return url.rstrip("/")

    @field_validator("headers")
    @classmethod
    def _no_literal_secrets(cls, headers: Mapping[str, str | Secret]) -> Mapping[str, str | Secret]:
        return _refuse_literal_secrets(headers)

    @model_validator(mode="after")
    def _endpoint_names_differ(self) -> TargetSettings:
        _refuse_repeats([endpoint.label for endpoint in self.endpoint], "endpoint")
        return self


class HostSettings(Section):
    """This machine's resources, watched from inside."""

    name: Name = "this machine"
    interval_s: Seconds = 5.0
    processes: tuple[Name, ...] = ()
    top: Annotated[int, Field(ge=0, le=20)] = 5


class Settings(Section):
    """Everything the configuration says. `path` is the file it came from."""

    path: Path
    data_dir: Path = Path("data")
    warehouse: WarehouseSettings = WarehouseSettings()
    dashboard: DashboardSettings = DashboardSettings()
    retention: RetentionSettings = RetentionSettings()
    collectors: CollectorsSettings = CollectorsSettings()
    demo: DemoSettings = DemoSettings()
    target: tuple[TargetSettings, ...] = ()
    host: HostSettings | None = None

    @model_validator(mode="after")
    def _names_and_ports_differ(self) -> Settings:
        _refuse_repeats([target.name for target in self.target], "target")
        ports = {"warehouse": self.warehouse.port, "dashboard": self.dashboard.port}
        if self.demo.enabled:
            ports["demo"] = self.demo.port
        _refuse_repeats([str(port) for port in ports.values()], "port")
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


def _refuse_repeats(names: list[str], what: str) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"expected every {what} once, given more than once: {', '.join(repeated)}")


def _refuse_literal_secrets(headers: Mapping[str, str | Secret]) -> Mapping[str, str | Secret]:
    for name, value in headers.items():
        if isinstance(value, str) and any(word in name.lower() for word in SECRET_WORDS):
            raise ValueError(f'{name} holds a secret: expected {{ env = "NAME" }} or {{ file = "path" }}')
    return headers


def find_config(explicit: Path | None = None) -> Path:
    """The configuration file: given, named by PERFHOUSE_CONFIG, or ./perfhouse.toml."""
    return explicit or Path(os.environ.get(f"{ENVIRONMENT_PREFIX}CONFIG", CONFIG_NAME))


def load(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read and check the configuration.

    Scalars may be overridden by variables such as PERFHOUSE_WAREHOUSE__PORT or PERFHOUSE_DATA_DIR.
    Relative paths are taken from the file's own folder. Raises ConfigurationError naming file, key,
    what was expected and what was given, for every problem at once.
    """
    file = find_config(path)
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            [f"{file}: expected a configuration file, given none"],
            "Run `perfhouse init` to write one, or name it with --config or PERFHOUSE_CONFIG.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{file}: expected a readable file, {error}"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([f"{file}: expected TOML, {error}"]) from None
    origins = _override(document, os.environ if environment is None else environment)
    try:
        settings = Settings.model_validate({**document, "path": file.absolute()})
    except ValidationError as error:
        raise ConfigurationError([_describe(file, origins, fault) for fault in error.errors()]) from None
    return settings.model_copy(update={"data_dir": (file.absolute().parent / settings.data_dir).resolve()})


def _override(document: dict[str, Any], environment: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """Lay environment variables over the document; returns which key came from which variable."""
    origins = {}
    for variable, value in environment.items():
        key = tuple(variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"))
        if not variable.startswith(ENVIRONMENT_PREFIX) or key == ("config",):
            continue
        section: Any = document
        for part in key[:-1]:
            section = section.setdefault(part, {}) if isinstance(section, dict) else {}
        if isinstance(section, dict):
            section[key[-1]] = value
            origins[key] = variable
    return origins


def _describe(file: Path, origins: Mapping[tuple[str, ...], str], fault: Any) -> str:
    """One problem in one line: file, key, expected, given."""
    location = tuple(part for part in fault["loc"] if part not in ("str", "Secret"))
    key = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    variable = origins.get(tuple(str(part) for part in location))
    where = f"environment variable {variable}" if variable else str(file)
    expected = {
        "extra_forbidden": "no such key",
        "missing": "expected a value",
    }.get(fault["type"], fault["msg"].removeprefix("Value error, ").replace("Input should be", "expected"))
    given = "nothing" if fault["type"] == "missing" else _shorten(fault["input"], key)
    return f"{where}: {key or 'the whole file'}: {expected}, given {given}"


def _shorten(value: object, key: str) -> str:
    """What was given, short, and never a secret."""
    if any(word in key.lower() for word in (*SECRET_WORDS, "headers", "url", "body")):
        return "something else"
    text = repr(value) if isinstance(value, str | int | float | bool) else f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."
