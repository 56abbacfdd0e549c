"""The commands of `perfhouse loadtest`: run, list, show, stop, compare, export, presets, scenarios."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from warehouse.errors import InvalidInputError, PerfhouseError, RefusedError
from warehouse.settings import Settings, load
from warehouse.visible import visible

if TYPE_CHECKING:
    from warehouse.client import Client

# Engines are imported inside the commands that need them: --help answers at once.
app = typer.Typer(help="Load tests: run, compare, export.", no_args_is_help=True)

COULD_NOT = 2
TABLES = {
    "requests": "run_requests",
    "seconds": "run_seconds",
    "endpoints": "run_endpoints",
    "summary": "run",
}
FORMATS = ("csv", "parquet")

Run = Annotated[str, typer.Argument(help="A run's id, as `list` tells it.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def settings_of(context: typer.Context) -> Settings:
    """The checked configuration. Raises ConfigurationError."""
    return load(context.obj)


@contextmanager
def client_of(context: typer.Context) -> Iterator[Client]:
    """The warehouse of the configuration, with the command line's token."""
    from warehouse.client import Client

    with Client.for_process(settings_of(context), "cli") as client:
        yield client


def narrate(text: str) -> None:
    """Tell the person at the terminal; stdout is for data."""
    typer.echo(visible(text, lines=True), err=True)


def told(error: PerfhouseError) -> str:
    """An expected trouble in words."""
    field = f"{error.field}: " if isinstance(error, RefusedError) and error.field else ""
    return f"{error.title}\n{field}{error.message}" + (f"\n{error.hint}" if error.hint else "")


@app.command()
def run(
    context: typer.Context,
    preset: Annotated[str, typer.Argument(help="How many users for how long; `presets` lists them.")],
    target: Annotated[str, typer.Option(help="Which target of the configuration.")],
    scenario: Annotated[
        str | None, typer.Option(help="What users ask; default the target's own scenario.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end and the verdict.")] = False,
    as_json: Json = False,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML there; waits.", metavar="FILE")] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write a Markdown summary there; waits.", metavar="FILE")
    ] = None,
    confirm: Annotated[
        str | None, typer.Option(help="The preset's name again; 100 users or more need it.", metavar="PRESET")
    ] = None,
    queue: Annotated[bool, typer.Option("--queue", help="Wait in line where the target is busy.")] = False,
    note: Annotated[str, typer.Option(help="A few words to keep with the run.")] = "",
) -> None:
    """Request a load test.

    Exit code 0: requested, or with --wait passed; 1: its criteria failed; 2: it could not run.
    """
    from cli import loadtest
    from loadtests import outputs

    asked = loadtest.Asked(preset, target, scenario, confirm, queue, note)
    reports = loadtest.Reports(junit, markdown)
    waits = wait or junit is not None or markdown is not None
    run_id = ""
    try:
        with client_of(context) as client:
            run_id = loadtest.request(client, asked)
            if not waits:
                typer.echo(json.dumps({"run_id": run_id}) if as_json else run_id)
                return
            narrate(f"requested {run_id}; Ctrl-C stops it")
            outcome = loadtest.wait(client, run_id, sys.stderr)
    except PerfhouseError as error:
        narrate(told(error))
        outcome = loadtest.refused(asked, error, run_id)
    except KeyboardInterrupt:
        narrate(f"no longer waiting for {run_id}; `perfhouse loadtest show {run_id}` tells how it ended")
        raise typer.Exit(COULD_NOT) from None
    if as_json or outcome.row.get("started_at"):
        typer.echo(outputs.as_json(outcome) if as_json else outputs.as_text(outcome))
    reports.write(outcome)
    raise typer.Exit(outcome.exit_code)


@app.command("list")
def list_runs(
    context: typer.Context,
    target: Annotated[list[str] | None, typer.Option(help="Only of this target; repeat for more.")] = None,
    preset: Annotated[list[str] | None, typer.Option(help="Only of this preset; repeat for more.")] = None,
    scenario: Annotated[
        list[str] | None, typer.Option(help="Only of this scenario; repeat for more.")
    ] = None,
    verdict: Annotated[
        list[str] | None, typer.Option(help="Only with this verdict: pass, fail or no_data.")
    ] = None,
    text: Annotated[str, typer.Option(help="Only with this in note, names or version.")] = "",
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=10_000, metavar="N")] = 30,
    as_json: Json = False,
) -> None:
    """List the runs, the newest first."""
    from cli.loadtest_tables import listed

    with client_of(context) as client:
        found = client.ask(
            "runs",
            target=target or [],
            preset=preset or [],
            scenario=scenario or [],
            verdict=verdict or [],
            text=text,
        )
    rows = found.head(limit).to_dicts()
    if as_json:
        typer.echo(json.dumps(rows, default=datetime.isoformat, indent=2))
    else:
        typer.echo("\n".join(listed(rows)))


@app.command()
def show(context: typer.Context, run: Run, as_json: Json = False) -> None:
    """Show how a run came out, or how far it is."""
    from loadtests import bundle, outputs

    with client_of(context) as client:
        outcome = outputs.Outcome.of(bundle.run_row(client, run))
        if as_json:
            typer.echo(outputs.as_json(outcome))
            return
        began = outcome.row["started_at"] is not None
        found = client.ask("run_saturation", run_id=run).to_dicts() if began else []
    typer.echo(outputs.as_text(outcome, found[0] if found else None))


@app.command()
def stop(context: typer.Context, run: Run) -> None:
    """Stop a run; what it measured is kept."""
    from cli import loadtest

    with client_of(context) as client:
        state = loadtest.stop(client, run)
    narrate(f"{run} is {state}" if state == "cancelled" else f"{run} is stopping")


@app.command()
def compare(
    context: typer.Context,
    a: Annotated[str, typer.Argument(help="A run's id, a bundle's file, or `baseline`.")],
    b: Annotated[str, typer.Argument(help="The one to compare with it.")],
    as_json: Json = False,
) -> None:
    """Compare two runs of one scenario: b less a, with intervals.

    Two bundles are compared without a warehouse.
    """
    from cli.loadtest_tables import differences
    from loadtests.compare import compared
    from warehouse.client import Client

    rows = compared(a, b, lambda: Client.for_process(settings_of(context), "cli"))
    typer.echo(json.dumps(rows, indent=2) if as_json else "\n".join(differences(rows)))


@app.command()
def export(
    context: typer.Context,
    run: Run,
    file: Annotated[Path, typer.Argument(help="The file to write: .csv, .parquet, or any bundle.")],
    what: Annotated[
        str, typer.Option(help="requests (default), seconds, endpoints or summary.")
    ] = "requests",
    bundle: Annotated[
        bool, typer.Option("--bundle", help="All of it in one portable file, for `compare`.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a run to a file.

    Its requests, seconds, endpoints or summary as CSV or Parquet; or all of it as a bundle.
    """
    from cli.export import Wanted
    from cli.export import export as export_to
    from loadtests import bundle as bundles

    with client_of(context) as client:
        if bundle:
            if file.exists() and not force:
                hint = "Add --force to overwrite it."
                raise InvalidInputError(f"{file} exists already", field="file", hint=hint)
            narrate(f"wrote {bundles.write(client, run, file):,} bytes to {file}")
            return
        form = file.suffix.lstrip(".").lower()
        if form not in FORMATS:
            hint = "Or add --bundle to write all of the run into one file."
            raise InvalidInputError(
                f"expected a file that ends in .csv or .parquet, given {file}", field="file", hint=hint
            )
        if what not in TABLES:
            raise InvalidInputError(f"expected one of {', '.join(TABLES)}, given {what}", field="--what")
        bundles.run_row(client, run)
        wanted = Wanted(TABLES[what], form, None, None, [f"run_id={run}"])
        narrate(f"wrote {export_to(client, wanted, file, force=force):,} bytes to {file}")


@app.command()
def presets(context: typer.Context) -> None:
    """List the presets: users, length, criteria."""
    from cli.loadtest_tables import presets as listed

    typer.echo("\n".join(listed(settings_of(context))))


@app.command()
def scenarios(context: typer.Context) -> None:
    """List the scenarios: targets, arrivals, requests, criteria."""
    from cli.loadtest_tables import scenarios as listed

    typer.echo("\n".join(listed(settings_of(context))))
