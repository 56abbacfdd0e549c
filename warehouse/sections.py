"""The sections of the configuration for the parts of Perfhouse themselves."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from warehouse.fields import Port, Seconds, Secret, Section, Url
from warehouse.model import Name

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PointWidth = Literal[1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600]
"""Seconds of a point of a watched series."""

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
    reserve_mb: Annotated[int, Field(ge=0, le=1_000_000)] = 512

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

    raw_days: Annotated[int, Field(ge=1, le=3700)] = 30
    cell_days: Annotated[int, Field(ge=1, le=3700)] = 400
    fine_cell_days: Annotated[int, Field(ge=1, le=3700)] = 100


class ColdSettings(Section):
    """Closed days as Parquet files beside the warehouse; without `after_days` none goes there."""

    after_days: Annotated[int, Field(ge=1, le=4000)] | None = None
    keep_days: Annotated[int, Field(ge=1, le=36_500)] = 3650


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


class RegressionSettings(Section):
    """When a change of what is watched is told."""

    point_s: PointWidth = 300
    smallest_ratio: Annotated[float, Field(ge=0.01, le=10)] = 0.1
    smallest_ms: Annotated[float, Field(ge=0, le=60_000)] = 1.0


class DemoSettings(Section):
    """The sample invoice API that the default configuration watches."""

    enabled: bool = False
    port: Port = 8000


Listening = WarehouseSettings | DashboardSettings | DemoSettings
"""The sections of the parts that listen on a port."""
