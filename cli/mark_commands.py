"""The commands of `perfhouse mark`: deploy, list, remove."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated

import typer

from cli.loadtest_commands import Json, client_of, narrate

app = typer.Typer(help="Marks of deploys on the charts.", no_args_is_help=True)


@app.command()
def deploy(
    context: typer.Context,
    version: Annotated[str, typer.Option(help="What was deployed: a version, a commit.")],
    target: Annotated[str | None, typer.Option(help="To which target; default all of them.")] = None,
    text: Annotated[str, typer.Option(help="A few words to keep with it.")] = "",
    at: Annotated[str, typer.Option(help="An instant, or so long ago; default now.", metavar="WHEN")] = "now",
    as_json: Json = False,
) -> None:
    """Mark a deploy: charts show it as a line with its version."""
    from cli.export import instant
    from warehouse.model import now

    when = None if at == "now" else datetime.fromisoformat(instant(at, now(), "--at"))
    with client_of(context) as client:
        told = client.mark(version, target, text, when)
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return
    typer.echo(told["mark_id"])
    narrate(f"{told['version']} to {told['target'] or 'all targets'} is marked at {told['at']}")


@app.command("list")
def list_marks(
    context: typer.Context,
    target: Annotated[
        list[str] | None, typer.Option(help="Only of this target and of all; repeat for more.")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=10_000, metavar="N")] = 30,
    as_json: Json = False,
) -> None:
    """List the marks, the newest first."""
    from cli.loadtest_tables import table
    from warehouse.model import MAX_FUTURE, MAX_PAST, now

    at = now()
    with client_of(context) as client:
        found = client.ask("marks", start=at - MAX_PAST, end=at + MAX_FUTURE, target=target or [])
    rows = found.reverse().head(limit).to_dicts()
    if as_json:
        typer.echo(json.dumps(rows, default=datetime.isoformat, indent=2))
        return
    told = (
        (
            *(row["mark_id"], f"{row['at']:%Y-%m-%d %H:%M:%S}", row["target"] or "all"),
            *(row["version"], row["who"], row["text"]),
        )
        for row in rows
    )
    typer.echo("\n".join(table(told, ("mark", "at (UTC)", "target", "version", "who", "text"))))


@app.command()
def remove(
    context: typer.Context, mark: Annotated[str, typer.Argument(help="A mark's id, as `list` tells it.")]
) -> None:
    """Remove a mark."""
    with client_of(context) as client:
        told = client.unmark(mark)
    narrate(f"{told['version']} to {told['target'] or 'all targets'} is marked no more")
