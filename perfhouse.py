#!/usr/bin/env python3
"""The command line: starts the parts, checks the configuration, shows the state, exports."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from warehouse.errors import (
    ConfigurationError,
    InvalidInputError,
    PerfhouseError,
    RefusedError,
    WarehouseAwayError,
)
from warehouse.settings import CONFIG_NAME, Secret, Settings, load

app = typer.Typer(
    help="Perfhouse: a performance observatory for an API, its database and its host.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
tokens_app = typer.Typer(help="Tokens for remote collectors and other programs.", no_args_is_help=True)
app.add_typer(tokens_app, name="token")

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
PROGRESS_AFTER_S = 1.0


def narrate(text: str) -> None:
    """Tell the person at the terminal; stdout is for data."""
    typer.echo(text, err=True)


@app.callback()
def main(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help=f"The configuration file; default ./{CONFIG_NAME}.", metavar="FILE")
    ] = None,
) -> None:
    """Remember which configuration the command is about."""
    context.obj = config


def settings_of(context: typer.Context) -> Settings:
    """The checked configuration. Raises ConfigurationError."""
    return load(context.obj)


@app.command()
def up(context: typer.Context) -> None:
    """Start everything, restart what dies, stop on Ctrl-C."""
    from cli.parts import dashboard_url, parts_of
    from cli.supervise import Supervisor, taken_ports

    settings = settings_of(context)
    faults = secret_faults(settings)
    if faults:
        raise ConfigurationError(faults)
    parts = parts_of(settings)
    taken = taken_ports(parts)
    if taken:
        raise PortsTakenError(
            "\n".join(taken), "Stop those programs, or set other ports; nothing was started."
        )

    def announce() -> None:
        narrate(f"\nPerfhouse is ready: {dashboard_url(settings)}  (Ctrl-C stops it)\n")

    supervisor = Supervisor(parts, on_ready=announce)
    signal.signal(signal.SIGTERM, supervisor.stop)
    signal.signal(signal.SIGINT, supervisor.stop)
    narrate(f"starting {', '.join(part.name for part in parts)}; data in {settings.data_dir}")
    code = supervisor.run()
    narrate("stopped")
    raise typer.Exit(code)


@app.command()
def warehouse(context: typer.Context) -> None:
    """Run the warehouse: owns the data, answers on its port."""
    from warehouse import server

    server.run(settings_of(context))


@app.command()
def collect(context: typer.Context) -> None:
    """Run the collectors: probe the endpoints, sample the host."""
    from collectors import daemon

    daemon.run(settings_of(context))


@app.command()
def dashboard(context: typer.Context) -> None:
    """Run the dashboard: the pages in the browser."""
    from dashboard import launch

    raise typer.Exit(launch.run(settings_of(context)))


@app.command()
def init(
    context: typer.Context,
    url: Annotated[str, typer.Option(help="Where your API is.")] = "http://127.0.0.1:8000",
    endpoint: Annotated[
        list[str] | None, typer.Option(help="A path to probe; repeat for more.", metavar="PATH")
    ] = None,
    name: Annotated[str, typer.Option(help="What to call your API.")] = "my api",
    force: Annotated[bool, typer.Option(help="Overwrite an existing file.")] = False,
) -> None:
    """Write a commented configuration for your own system."""
    from cli.starter import starter

    file: Path = context.obj or Path(CONFIG_NAME)
    if file.exists() and not force:
        raise InvalidInputError(
            f"{file} exists already",
            field="--config",
            hint="Name another file with --config, or add --force.",
        )
    draft = file.with_name(f"{file.name}.draft")
    draft.write_text(starter(name, url, endpoint or ["/"]), encoding="utf-8")
    try:
        load(draft, {})
    except ConfigurationError as error:
        draft.unlink()
        problems = [problem.replace(str(draft), "the given options") for problem in error.problems]
        raise ConfigurationError(problems, "Nothing was written.") from None
    draft.replace(file)
    narrate(f"wrote {file}; next: perfhouse.py check, then perfhouse.py up")


@app.command()
def check(context: typer.Context) -> None:
    """Check the configuration; tells all problems at once."""
    from cli.parts import parts_of
    from cli.supervise import taken_ports

    settings = settings_of(context)
    faults = secret_faults(settings)
    if faults:
        raise ConfigurationError(faults)
    for line in taken_ports(parts_of(settings)):
        narrate(f"note: {line} (Perfhouse itself, if it is running)")
    endpoints = sum(len(target.endpoint) for target in settings.target)
    narrate(f"{settings.path}: ok, {len(settings.target)} targets with {endpoints} endpoints")


@app.command()
def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the state as JSON.")] = False,
) -> None:
    """Show what runs and how fresh its data is. Exit code 0 well, 1 not, 69 warehouse away."""
    from cli.status import lines, look

    report = look(settings_of(context))
    if as_json:
        typer.echo(json.dumps(report, default=datetime.isoformat, indent=2))
    else:
        typer.echo("\n".join(lines(report)))
    if report["error"]:
        raise typer.Exit(WarehouseAwayError.exit_code)
    raise typer.Exit(0 if report["healthy"] else 1)


@app.command()
def export(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="Which question; GET /api/v1/questions lists them.")],
    out: Annotated[str, typer.Option(help="The file to write; - is stdout.", metavar="FILE")],
    form: Annotated[str, typer.Option("--format", help="csv, parquet, arrow or json (lines).")] = "csv",
    start: Annotated[str, typer.Option("--from", help="An instant, or so long ago: 24h, 7d.")] = "24h",
    end: Annotated[str, typer.Option("--to", help="An instant, or so long ago; default now.")] = "0s",
    param: Annotated[
        list[str] | None, typer.Option(help="More parameters, as name=value.", metavar="NAME=VALUE")
    ] = None,
    force: Annotated[bool, typer.Option(help="Overwrite an existing file.")] = False,
) -> None:
    """Write the answer to a question into a file: any length, UTC, exact types."""
    from warehouse.client import Client

    target = None if out == "-" else Path(out)
    if target and target.exists() and not force:
        raise InvalidInputError(
            f"{target} exists already", field="--out", hint="Add --force to overwrite it."
        )
    if form not in ("csv", "parquet", "arrow", "json"):
        raise InvalidInputError(f"expected csv, parquet, arrow or json, given {form}", field="--format")
    parameters = given_parameters(param or [])
    with Client.for_process(settings_of(context), "cli", timeout_s=600) as client:
        known = {entry["name"]: entry["parameters"]["properties"] for entry in client.questions()}
        if question not in known:
            raise InvalidInputError(
                f"no question {question}", field="question", hint=f"There are: {', '.join(sorted(known))}."
            )
        if "start" in known[question]:
            at = datetime.now(UTC)
            parameters |= {"start": [instant(start, at, "--from")], "end": [instant(end, at, "--to")]}
        written = _export(client, question, form, target, parameters)
    narrate(f"wrote {written:,} bytes" + (f" to {target}" if target else ""))


def _export(client, question: str, form: str, target: Path | None, parameters: dict[str, list[str]]) -> int:  # type: ignore[no-untyped-def] # the client is imported late
    """Stream into the target by way of a draft, so that a broken export leaves no half file."""
    began = time.monotonic()

    def progress(written: int) -> None:
        if time.monotonic() - began > PROGRESS_AFTER_S and sys.stderr.isatty():
            typer.echo(f"\r{written / 1e6:,.1f} MB", err=True, nl=False)

    if target is None:
        return int(client.export(question, form, sys.stdout.buffer, progress, **parameters))
    draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
    try:
        written = int(client.export(question, form, draft, progress, **parameters))
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return written


@tokens_app.command("add")
def token_add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What to call it.")],
    scope: Annotated[list[str], typer.Option(help="ingest, read or act; repeat for more.")],
    source: Annotated[
        list[str] | None, typer.Option(help="A source it may send for; repeat for more.")
    ] = None,
) -> None:
    """Make a token and print it; it cannot be shown again."""
    from warehouse import tokens

    typer.echo(tokens.add(settings_of(context).token_dir, name, scope, source or []))


@tokens_app.command("list")
def token_list(context: typer.Context) -> None:
    """List the tokens and what they allow, not the tokens themselves."""
    from warehouse import tokens

    for token in tokens.list_tokens(settings_of(context).token_dir):
        typer.echo(f"{token.name}\t{','.join(token.scopes)}\t{','.join(token.sources)}")


@tokens_app.command("revoke")
def token_revoke(context: typer.Context, name: Annotated[str, typer.Argument(help="Which one.")]) -> None:
    """Delete a token; it is refused from then on."""
    from warehouse import tokens

    if not tokens.revoke(settings_of(context).token_dir, name):
        raise InvalidInputError(f"no token named {name}", field="name")
    narrate(f"revoked {name}")


class PortsTakenError(PerfhouseError):
    """Another program listens where a part wants to."""

    title = "A port is taken"
    exit_code = 75


def instant(text: str, at: datetime, option: str) -> str:
    """An ISO 8601 instant with an offset, or so long before `at` (24h, 7d)."""
    relative = re.fullmatch(r"(\d{1,9})([smhdw])", text)
    if relative:
        return (at - timedelta(seconds=int(relative[1]) * UNITS_S[relative[2]])).isoformat()
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        given = None
    if given is None or given.tzinfo is None:
        raise InvalidInputError(
            f"expected an instant with an offset (2026-11-23T12:00:00Z) or a length (24h), given {text}",
            field=option,
        )
    return given.isoformat()


def given_parameters(pairs: list[str]) -> dict[str, list[str]]:
    """name=value pairs as lists by name."""
    parameters: dict[str, list[str]] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise InvalidInputError(f"expected NAME=VALUE, given {pair}", field="--param")
        parameters.setdefault(name, []).append(value)
    return parameters


def secret_faults(settings: Settings) -> list[str]:
    """What the settings refer to and is not there: secrets and files."""
    faults = []
    for number, target in enumerate(settings.target, 1):
        where = f"{settings.path}: target[{number}]"
        if target.ca_file and not os.access(target.ca_file, os.R_OK):
            faults.append(f"{where}.ca_file: expected a readable file, given {target.ca_file}")
        headers = [
            *target.headers.items(),
            *(item for each in target.endpoint for item in each.headers.items()),
        ]
        for name, value in headers:
            if isinstance(value, Secret):
                try:
                    value.reveal()
                except ConfigurationError as error:
                    faults += [f"{where}.headers.{name}: {problem}" for problem in error.problems]
    return faults


def run() -> None:
    """Run the command; expected trouble becomes words and an exit code."""
    try:
        app()
    except PerfhouseError as error:
        field = f"{error.field}: " if isinstance(error, RefusedError) and error.field else ""
        narrate(f"{error.title}\n{field}{error.message}" + (f"\n{error.hint}" if error.hint else ""))
        sys.exit(error.exit_code)


if __name__ == "__main__":
    run()
