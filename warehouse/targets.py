"""What the configuration watches: targets with their endpoints, databases, and this host."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from warehouse.fields import (
    ConfigPath,
    HeaderName,
    Headers,
    JsonBody,
    Seconds,
    Secret,
    Section,
    Url,
    is_thorough,
    refuse_repeats,
)
from warehouse.loads import LoadSettings
from warehouse.model import Name
from warehouse.pointer import Pointer

Objective = Annotated[float, Field(gt=0, le=3_600_000)]
"""A limit that answers should keep, in ms."""


class EndpointSettings(Section):
    """One request that is probed, and what a right answer looks like."""

    path: Annotated[str, Field(pattern=r"^/[^\s]*$", max_length=2000)]
    name: Name | None = None
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    headers: Headers = Field(default_factory=dict)
    body: str | None = None
    json_body: JsonBody | None = None
    expect_status: tuple[Annotated[int, Field(ge=100, le=599)], ...] = (200,)
    expect_text: str | None = None
    expect_json: dict[str, Any] | None = None
    interval_s: Seconds | None = None
    deadline_s: Annotated[float, Field(gt=0, le=300)] | None = None
    objective_ms: Objective | None = None
    version_json: Pointer | None = None
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
    objective_ms: Objective | None = None
    headers: Headers = Field(default_factory=dict)
    version_header: HeaderName | None = None
    verify_tls: bool = True
    ca_file: ConfigPath | None = None
    load: LoadSettings | None = None
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
        refuse_repeats(endpoint.label for endpoint in self.endpoint)
        return self


class HostSettings(Section):
    """This machine's resources, watched from inside."""

    name: Name = "this machine"
    interval_s: Seconds = 5.0
    processes: tuple[Name, ...] = ()
    top: Annotated[int, Field(ge=0, le=20)] = 5


class DatabaseSettings(Section):
    """A database server that is watched. Its address holds a password, so it is only referred to."""

    name: Name
    engine: Literal["postgres", "mysql", "redis"]
    url: Secret
    interval_s: Seconds = 10.0
    deadline_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    objective_ms: Annotated[float, Field(gt=0, le=3_600_000)] = 100.0
    sample_activity_ms: Annotated[int, Field(ge=10, le=1000)] | None = None
    tables: Annotated[int, Field(ge=0, le=100)] = 20
    exclude_users: tuple[Name, ...] = ()
