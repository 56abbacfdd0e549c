"""What `check` tells about a configuration that is right and may still surprise."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from cli.parts import taken_ports
from warehouse.sections import LOOPBACK
from warehouse.settings import Secret, Settings, TargetSettings


def notes(settings: Settings) -> list[str]:
    """One line each; none of them keeps Perfhouse from starting."""
    lines = [f"{line} (by Perfhouse itself, if it is running)" for line in taken_ports(settings)]
    if not settings.target and not settings.databases and settings.host is None:
        lines.append("nothing is watched: there is neither a [[target]] nor a [[database]] nor a [host]")
    lines += [
        f"target {target.name}: its secret headers travel unencrypted, because url begins with http:"
        for target in settings.target
        if target.url.startswith("http:")
        and urlsplit(target.url).hostname not in LOOPBACK
        and _secrets(target)
    ]
    lines += [line for target in settings.target for line in _overlapping(target)]
    lines += [
        f"database {database.name} has a deadline_s of {database.deadline_s:g}, not below its interval_s of"
        f" {database.interval_s:g}: a server that hangs makes the next samples be skipped"
        for database in settings.databases
        if database.deadline_s >= database.interval_s
    ]
    if settings.warehouse.host not in LOOPBACK:
        lines.append(
            f"warehouse.host: {settings.warehouse.host} is open to other machines without encryption;"
            " put a proxy with TLS before it"
        )
    if settings.agent.bind not in LOOPBACK:
        lines.append(
            f"agent.bind: whoever reaches {settings.agent.bind} can join or steer a distributed load test,"
            " Locust's protocol knows no authentication; keep it in a private network"
        )
    if not _writable(settings.data_dir):
        lines.append(f"data_dir: {settings.data_dir} cannot be written by the user who ran this check")
    return lines


def _overlapping(target: TargetSettings) -> list[str]:
    pauses = [
        (endpoint.label, endpoint.deadline_s or target.deadline_s, endpoint.interval_s or target.interval_s)
        for endpoint in target.endpoint
    ]
    return [
        f"target {target.name}: {label} has a deadline_s of {deadline_s:g}, not below its interval_s of"
        f" {interval_s:g}: an answer that hangs makes the next probes be skipped, so an outage is understated"
        for label, deadline_s, interval_s in pauses
        if deadline_s >= interval_s
    ]


def _secrets(target: TargetSettings) -> bool:
    headers = [target.headers, *(endpoint.headers for endpoint in target.endpoint)]
    return any(isinstance(value, Secret) for each in headers for value in each.values())


def _writable(folder: Path) -> bool:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
