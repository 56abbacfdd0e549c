"""The commands of `perfhouse regressions`: list, show, acknowledge, resolve, reopen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from cli.loadtest_commands import Json, client_of, narrate

app = typer.Typer(help="What got slower or better, and what becomes of it.", no_args_is_help=True)

Which = Annotated[str, typer.Argument(help="A regression's id, as `list` tells it.")]
Why = Annotated[str, typer.Option(help="A few words why.")]

EXIT_OPEN = 1
"""`list --check` found an open regression."""


@app.command("list")
def list_regressions(
    context: typer.Context,
    since: Annotated[str, typer.Option("--from", help="An instant, or so long ago.", metavar="WHEN")] = "7d",
    target: Annotated[list[str] | None, typer.Option(help="Only of this target; repeat for more.")] = None,
    state: Annotated[
        list[str] | None, typer.Option(help="open, acknowledged, resolved, told (improvements).")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 where one is open.")] = False,
    as_json: Json = False,
) -> None:
    """List what stood since then, the newest first: regressions, and improvements as such."""
    from cli.export import instant
    from warehouse.model import now

    at = now()
    start = datetime.fromisoformat(instant(since, at, "--from"))
    with client_of(context) as client:
        found = client.ask("regressions", start=start, end=at, target=target or [], state=state or [])
    rows = found.to_dicts()
    if as_json:
        typer.echo(json.dumps(rows, default=datetime.isoformat, indent=2))
    else:
        typer.echo("\n".join(_listed(rows)))
    if check and any(row["state"] == "open" for row in rows):
        raise typer.Exit(EXIT_OPEN)


@app.command()
def show(context: typer.Context, regression: Which, as_json: Json = False) -> None:
    """Show one: its series, what moved with it, what became of it."""
    names = ("regression", "regression_series", "moved_with", "regression_events")
    with client_of(context) as client:
        found = {name: client.ask(name, regression_id=regression).to_dicts() for name in names}
    if not found["regression"]:
        typer.echo(f"there is no regression {regression}", err=True)
        raise typer.Exit(2)
    if as_json:
        typer.echo(json.dumps(found, default=datetime.isoformat, indent=2))
        return
    typer.echo("\n".join([*_listed(found["regression"]), "", *_series(found["regression_series"])]))
    typer.echo("\n".join(["", "moved with it:", *_moved(found["moved_with"])]))
    lines = (
        f"{row['at']:%Y-%m-%d %H:%M:%S}  {row['action']}  {row['who']}  {row['text']}".rstrip()
        for row in found["regression_events"]
    )
    typer.echo("\n".join(["", *lines]))


@app.command()
def acknowledge(context: typer.Context, regression: Which, text: Why = "") -> None:
    """Say that somebody looks after it."""
    _live(context, regression, "acknowledge", text)


@app.command()
def resolve(context: typer.Context, regression: Which, text: Why = "") -> None:
    """Say that it is over, or accepted."""
    _live(context, regression, "resolve", text)


@app.command()
def reopen(context: typer.Context, regression: Which, text: Why = "") -> None:
    """Take back that it was acknowledged or resolved."""
    _live(context, regression, "reopen", text)


def _live(context: typer.Context, regression: str, action: str, text: str) -> None:
    with client_of(context) as client:
        told = client.judge_regression(regression, action, text)
    narrate(f"{told['regression_id']} is {told['state']}")


def _listed(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    from cli.loadtest_tables import table

    return table(
        (
            (
                *(row["regression_id"], row["verdict"], row["state"]),
                f"{row['changed_at']:%Y-%m-%d %H:%M}",
                *_changed(row),
                str(row["series"]),
            )
            for row in rows
        ),
        (
            *("regression", "verdict", "state", "since (UTC)"),
            *("what", "before", "after", "size", "series"),
        ),
    )


def _series(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    from cli.loadtest_tables import table

    told = ((f"{row['at']:%Y-%m-%d %H:%M}", row["role"], *_changed(row)) for row in rows)
    return table(told, ("at (UTC)", "role", "what", "before", "after", "size"))


def _moved(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    from cli.loadtest_tables import table

    told = (
        (
            *(row["kind"], _what(row), _level(row["before"], row["unit"]), _level(row["after"], row["unit"])),
            "" if row["share"] is None else f"{row['share']:.0%} of {row['of_ms']:+,.1f} ms",
        )
        for row in rows
    )
    return table(told, ("kind", "what", "before", "after", "part"))


def _changed(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    size = "from nothing" if row["size_ratio"] is None else f"{row['size_ratio']:+.0%}"
    if row["low_ratio"] is not None:
        size += f" ({row['low_ratio']:+.0%} to {row['high_ratio']:+.0%})"
    if row["low_difference"] is not None:
        low, difference, high = (
            100 * share
            for share in (row["low_difference"], row["after"] - row["before"], row["high_difference"])
        )
        size += f", {difference:+.1f} points ({low:+.1f} to {high:+.1f})"
    return _what(row), _level(row["before"], row["unit"]), _level(row["after"], row["unit"]), size


def _what(row: Mapping[str, Any]) -> str:
    return " ".join(filter(None, (row["metric"], row["target"], row["object"])))


def _level(value: float, unit: str) -> str:
    return f"{value:.2%}" if unit == "ratio" else f"{value:,.2f}{' ms' if unit == 'ms' else ''}"
