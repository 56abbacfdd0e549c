#!/usr/bin/env python3
"""The command line: starts the parts, checks the configuration, shows the state, exports, backs up."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.baseline_commands import app as baseline_app
from cli.loadtest_commands import app as loadtest_app
from cli.mark_commands import app as mark_app
from cli.regression_commands import app as regressions_app
from warehouse import VERSION
from warehouse.errors import (
    AlreadyRunningError,
    ConfigurationError,
    InvalidInputError,
    PerfhouseError,
    RefusedError,
    WarehouseAwayError,
)
from warehouse.settings import CONFIG_NAME, Settings, find_config, load, parse
from warehouse.visible import visible

# Engines are imported inside the commands that need them: --help and check answer at once.
app = typer.Typer(
    help="Perfhouse: a performance observatory for an API, its database and its host.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
tokens_app = typer.Typer(help="Tokens for remote collectors and other programs.", no_args_is_help=True)
app.add_typer(tokens_app, name="token")
app.add_typer(loadtest_app, name="loadtest")
app.add_typer(mark_app, name="mark")
app.add_typer(baseline_app, name="baseline")
app.add_typer(regressions_app, name="regressions")


class PartEndedError(PerfhouseError):
    """A part cannot run here, so that nothing else was kept running either."""

    title = "A part cannot run"

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def narrate(text: str) -> None:
    """Tell the person at the terminal; stdout is for data."""
    typer.echo(visible(text, lines=True), err=True)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(VERSION)
        raise typer.Exit


@app.callback()
def main(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(help=f"The configuration file; default ./{CONFIG_NAME}.", metavar="FILE"),
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback answers
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Remember which configuration the command is about."""
    context.obj = config


def settings_of(context: typer.Context) -> Settings:
    """The checked configuration. Raises ConfigurationError."""
    return load(context.obj)


def thorough_settings(context: typer.Context) -> Settings:
    """The configuration, checked as far as it can be without starting anything. Raises ConfigurationError."""
    settings = load(context.obj, thorough=True)
    if settings.schedule:
        from loadtests.schedule import refuse_impossible

        refuse_impossible(settings)
    return settings


@app.command()
def up(context: typer.Context) -> None:
    """Start everything, restart what dies, stop on Ctrl-C."""
    from cli.parts import dashboard_url, parts_of, sends_elsewhere, taken_ports
    from cli.supervise import Supervisor

    settings = thorough_settings(context)
    taken = taken_ports(settings)
    if taken:
        hint = "Stop those programs, or set other ports; nothing was started."
        raise AlreadyRunningError("\n".join(taken), hint)

    def announce() -> None:
        elsewhere = settings.collectors.warehouse_url if sends_elsewhere(settings) else None
        narrate(f"\nPerfhouse is ready{f', sending to {elsewhere}' if elsewhere else ''}; Ctrl-C stops it.")
        if not elsewhere:
            typer.echo(dashboard_url(settings))

    parts = parts_of(settings)
    supervisor = Supervisor(parts, on_ready=announce)
    supervisor.obey_signals()
    narrate(f"starting {', '.join(part.name for part in parts)}; data in {settings.data_dir}")
    ended = supervisor.run()
    if ended:
        message = f"{ended.name} ended with exit code {ended.code}, everything was stopped\n"
        raise PartEndedError(message + "\n".join(ended.words), ended.code)
    narrate("stopped")


@app.command()
def warehouse(context: typer.Context) -> None:
    """Run the warehouse: owns the data, answers on its port."""
    from cli.presence import noted
    from warehouse import server

    settings = settings_of(context)
    with noted(settings, "warehouse"):
        server.run(settings)


@app.command()
def collect(context: typer.Context) -> None:
    """Run the collectors: probe the endpoints, sample the host."""
    from cli.presence import noted
    from collectors import daemon

    settings = settings_of(context)
    with noted(settings, "collect"):
        daemon.run(settings)


@app.command()
def agent(
    context: typer.Context,
    stop_runs: Annotated[
        bool, typer.Option("--stop-runs", help="When stopped, stop the load tests under way too.")
    ] = False,
) -> None:
    """Run the load agent: starts the load tests that are requested."""
    from cli.presence import noted
    from loadtests import agent as load_agent

    settings = settings_of(context)
    with noted(settings, "agent"):
        load_agent.run(settings, stop_runs=stop_runs)


@app.command()
def dashboard(context: typer.Context) -> None:
    """Run the dashboard: the pages in the browser."""
    from cli.parts import LOCAL
    from cli.ports import is_taken, owner_of
    from cli.presence import noted
    from dashboard import launch

    settings = settings_of(context)
    port = settings.dashboard.port
    if is_taken(LOCAL, port):
        hint = "Stop that program, or set dashboard.port."
        raise AlreadyRunningError(f"dashboard.port: {LOCAL}:{port} is used by {owner_of(port)}", hint)
    with noted(settings, "dashboard"):
        code = launch.run(settings)
    raise typer.Exit(code)


@app.command()
def demo(context: typer.Context) -> None:
    """Run the demo target: an invoice API on a real PostgreSQL."""
    from cli.parts import ROOT
    from cli.presence import note

    settings = settings_of(context)
    note(settings, "demo")
    folder = str(settings.demo_dir)
    command = [sys.executable, "-m", "demo", "--port", str(settings.demo.port), "--data-dir", folder]
    os.chdir(ROOT)
    os.execv(sys.executable, command)  # noqa: S606 - becomes the demo, which knows nothing of us


@app.command()
def init(
    context: typer.Context,
    url: Annotated[
        str | None, typer.Option(help="Where your API is; without it only this host is watched.")
    ] = None,
    endpoint: Annotated[
        list[str] | None, typer.Option(help="A path to probe, default /; repeat for more.", metavar="PATH")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call your API; default its host name.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a commented configuration for your own system."""
    from cli.starter import starter

    file = find_config(context.obj)
    if file.exists() and not force:
        hint = "Name another file with --config, or add --force."
        raise InvalidInputError(f"{file} exists already", field="--config", hint=hint)
    if url is None and (endpoint or name):
        raise InvalidInputError("--endpoint and --name need --url", field="--url")
    text = starter(url, name, endpoint or [])
    try:
        parse(text, file, {})
    except ConfigurationError as error:
        raise ConfigurationError(error.problems, "Mend the options; nothing was written.") from None
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"cannot write {file}: {error.strerror}", field="--config") from None
    narrate(f"wrote {file}; next: perfhouse --config {file} check, then up")


@app.command()
def check(context: typer.Context) -> None:
    """Check the configuration; tell all problems at once.

    Looks at secrets and certificates too, and notes what may surprise.
    """
    from cli.notes import notes

    settings = thorough_settings(context)
    for line in notes(settings):
        narrate(f"note: {line}")
    endpoints = sum(len(target.endpoint) for target in settings.target)
    host = "1 host" if settings.host else "no host"
    narrate(
        f"{settings.path}: ok; targets: {len(settings.target)}, endpoints: {endpoints}, "
        f"databases: {len(settings.databases)}, {host}"
    )


@app.command()
def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the state as JSON.")] = False,
) -> None:
    """Show what runs and how fresh its data is.

    Exit code 0: all is well, 1: something is not, 69: the warehouse is away.
    """
    from cli.status import lines, look

    report = look(settings_of(context))
    if as_json:
        typer.echo(json.dumps(report, default=datetime.isoformat, indent=2))
    else:
        typer.echo("\n".join(map(visible, lines(report))))
    if report["error"] and report["error"]["kind"] == "warehouse_away":
        raise typer.Exit(WarehouseAwayError.exit_code)
    raise typer.Exit(0 if report["healthy"] else 1)


@app.command()
def export(
    context: typer.Context,
    question: Annotated[str | None, typer.Argument(help="Which question; --list names them.")] = None,
    out: Annotated[str | None, typer.Option(help="The file to write; - is stdout.", metavar="FILE")] = None,
    form: Annotated[str, typer.Option("--format", help="csv, parquet, arrow or json (lines).")] = "csv",
    start: Annotated[
        str | None, typer.Option("--from", help="An instant, or so long ago; default 24h.", metavar="WHEN")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="An instant, or so long ago; default now.", metavar="WHEN")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(help="A parameter of the question; repeat for more.", metavar="NAME=VALUE"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="Print every question with what it answers and takes.")
    ] = False,
) -> None:
    """Write the answer to a question, of any length, to a file.

    Instants are UTC, types exact. A file appears whole or not at all.
    """
    from cli.export import Wanted, listing
    from cli.export import export as export_to
    from warehouse.client import Client

    if list_:
        with Client.for_process(settings_of(context), "cli") as client:
            typer.echo("\n".join(listing(client)))
        return
    if question is None or out is None:
        missing = "question" if question is None else "--out"
        hint = "Say `perfhouse export QUESTION --out FILE`; `perfhouse export --list` names the questions."
        raise InvalidInputError("it is missing", field=missing, hint=hint)
    wanted = Wanted(question, form, start, end, param or [])
    with Client.for_process(settings_of(context), "cli") as client:
        written = export_to(client, wanted, None if out == "-" else Path(out), force=force)
    narrate(f"wrote {written:,} bytes" + (f" to {out}" if out != "-" else ""))


@app.command()
def backup(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="The file to write; - is stdout.", metavar="FILE")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only prove that FILE is a sound backup.")] = False,
) -> None:
    """Write the whole warehouse to one file.

    The file holds every row as it was at one instant, and is proved before it appears. Collecting goes on.
    """
    from cli.backup import backup as back_up
    from cli.backup import check as prove
    from cli.backup import step_back

    step_back()
    if check:
        narrate(prove(Path(file)))
    else:
        narrate(back_up(settings_of(context), None if file == "-" else Path(file), force=force))


@app.command()
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="What `backup` wrote.", metavar="FILE")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Move aside, and keep, a warehouse that holds measurements.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Only prove that FILE is a sound backup.")] = False,
) -> None:
    """Make a backup the warehouse.

    Every row is compared with what the warehouse held; until then nothing is changed. Collecting goes on.
    """
    from cli.backup import check as prove
    from cli.backup import step_back
    from cli.restore import restore as restore_from

    step_back()
    if check:
        narrate(prove(file))
    else:
        narrate(restore_from(settings_of(context), file, replace=replace))


@app.command()
def verify(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Prove that the warehouse's file is sound.

    Reads every block and every row. Works while the warehouse runs and while it does not. Exit code 0:
    sound, 65: damaged.
    """
    from cli.verify import lines, look

    found = look(settings_of(context))
    typer.echo(json.dumps(found, indent=2) if as_json else "\n".join(lines(found)))
    if not found["sound"]:
        narrate("Restore a backup (`perfhouse restore`); docs/operations.md says what else may be saved.")
        raise typer.Exit(RefusedError.exit_code)


@app.command()
def compact(context: typer.Context) -> None:
    """Give the room of deleted rows back to the disk.

    Copies the warehouse into a new file and proves every row of it. Collecting goes on, pages answer.
    """
    from cli.compact import compact as give_back

    narrate(give_back(settings_of(context)))


@app.command()
def rebuild(context: typer.Context) -> None:
    """Prove cells equal to the attempts that are kept.

    Computes those of all tiers anew, names and replaces what differs, and exits 1 then. Collecting goes on.
    """
    from cli.rebuild import rebuild as compute

    text, differences = compute(settings_of(context))
    narrate(text)
    if differences:
        raise typer.Exit(1)


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="A new folder to write it to.", metavar="FOLDER")],
    days: Annotated[float, typer.Option(help="How long the history is.", metavar="N")] = 30,
    attempts: Annotated[
        int | None, typer.Option(help="Attempts of all endpoints together.", metavar="N")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="The same as attempts a second; default 5.", metavar="N")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another history.", min=0, metavar="N")] = 1,
    end: Annotated[str | None, typer.Option(help="When it ends; default now.", metavar="WHEN")] = None,
    no_phases: Annotated[
        bool, typer.Option("--no-phases", help="Attempts tell no phases, bytes and loop lag.")
    ] = False,
    port: Annotated[int, typer.Option(help="The port of its warehouse.", metavar="N")] = 8630,
    dashboard_port: Annotated[int, typer.Option(help="The port of its dashboard.", metavar="N")] = 8511,
) -> None:
    """Write a made-up history into a new folder.

    50 endpoints, three hosts, a database, load tests, outages and labelled changes, in a warehouse of its
    own that is marked as simulated wherever it is shown.
    """
    from cli import simulate as simulation

    asked = simulation.wanted(days, attempts, rate, seed, simulation.instant_of(end), phases=not no_phases)
    narrate(simulation.simulate(folder, asked, port=port, dashboard=dashboard_port))


@tokens_app.command("add")
def token_add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What to call it.")],
    scope: Annotated[list[str], typer.Option(help="ingest, read, act or load; repeatable.")] = ["ingest"],  # noqa: B006 - Typer copies it
    source: Annotated[
        list[str] | None, typer.Option(help="A source it may send for, default its name; repeat for more.")
    ] = None,
) -> None:
    """Make a token and print it; it cannot be shown again."""
    from warehouse import tokens

    sources = source or ([name] if "ingest" in scope else [])
    value = tokens.add(settings_of(context).token_dir, name, scope, sources)
    narrate(f"{name} may {', '.join(scope)}{' for ' + ', '.join(sources) if sources else ''}; its token:")
    typer.echo(value)


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
