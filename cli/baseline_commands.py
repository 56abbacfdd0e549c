"""The commands of `perfhouse baseline`: pin, list, activate, remove, compare, again."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated

import typer

from cli.loadtest_commands import Json, client_of, narrate
from warehouse.errors import InvalidInputError

app = typer.Typer(help="Baselines, and comparing with them.", no_args_is_help=True)

Baseline = Annotated[str, typer.Argument(help="A baseline's id, as `list` tells it.")]
Target = Annotated[str, typer.Option(help="The target.")]
Endpoints = Annotated[list[str] | None, typer.Option(help="Only this endpoint; repeat for more.")]
Minimum = Annotated[float, typer.Option(help="Changes count from so many percent on.", metavar="PERCENT")]
FloorMs = Annotated[float, typer.Option(help="And from so many milliseconds on.", metavar="MS")]
Effect = Annotated[
    float, typer.Option(help="Changes of so many percent must not be missed.", metavar="PERCENT")
]

REGRESSED, UNDECIDED = 1, 2
"""Exit codes of `compare`."""


@app.command()
def pin(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What to call it: a release, a day.")],
    target: Target,
    start: Annotated[str, typer.Option("--from", help="Where the period begins.", metavar="WHEN")] = "",
    end: Annotated[str, typer.Option("--to", help="Where it ends; default now.", metavar="WHEN")] = "now",
    run: Annotated[list[str] | None, typer.Option(help="A load test instead; repeat for more.")] = None,
    text: Annotated[str, typer.Option(help="A few words to keep with it.")] = "",
    inactive: Annotated[bool, typer.Option("--inactive", help="Do not compare with it yet.")] = False,
    as_json: Json = False,
) -> None:
    """Pin a period, or ended load tests, as a baseline of a target."""
    if bool(start) == bool(run):
        raise InvalidInputError("expected --from WHEN, or --run for each load test", field="--from")
    since, until = (None, None) if run else (_instant(start, "--from"), _instant(end, "--to"))
    with client_of(context) as client:
        told = client.pin_baseline(
            target, name, start=since, end=until, runs=run or (), text=text, activate=not inactive
        )
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return
    typer.echo(told["baseline_id"])
    narrate(f"{told['name']} is a baseline of {target}{', the active one' if told['is_active'] else ''}")


@app.command("list")
def list_baselines(
    context: typer.Context,
    target: Annotated[list[str] | None, typer.Option(help="Only of this target; repeat for more.")] = None,
    as_json: Json = False,
) -> None:
    """List the baselines; of each target one is active."""
    from cli.baseline_tables import listed

    with client_of(context) as client:
        rows = client.ask("baselines", target=target or []).to_dicts()
    typer.echo(json.dumps(rows, default=datetime.isoformat, indent=2) if as_json else "\n".join(listed(rows)))


@app.command()
def activate(context: typer.Context, baseline: Baseline) -> None:
    """Compare with this baseline of its target from now on."""
    with client_of(context) as client:
        told = client.activate_baseline(baseline)
    narrate(f"{told['name']} is the active baseline of {told['target']}")


@app.command()
def remove(context: typer.Context, baseline: Baseline) -> None:
    """Remove a baseline; what only it kept is deleted by age again."""
    with client_of(context) as client:
        told = client.remove_baseline(baseline)
    narrate(f"{told['name']} is no baseline of {told['target']} any more")


@app.command()
def compare(
    context: typer.Context,
    target: Target,
    start: Annotated[str, typer.Option("--from", help="Where the window begins.", metavar="WHEN")] = "1h",
    end: Annotated[str, typer.Option("--to", help="Where it ends.", metavar="WHEN")] = "now",
    run: Annotated[str, typer.Option(help="An ended load test instead of a window.")] = "",
    baseline: Annotated[str, typer.Option(help="A baseline's id; default the active one.")] = "",
    endpoint: Endpoints = None,
    minimum: Minimum = 5,
    floor_ms: FloorMs = 1,
    effect: Effect = 20,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 2 where anything had not enough data.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare a window, or a load test, with a baseline.

    Exits 1 where anything regressed, 2 where nothing could be judged.
    """
    from cli.baseline_tables import findings

    what = {"run": run} if run else {"start": _instant(start, "--from"), "end": _instant(end, "--to")}
    rules = _rules(minimum, floor_ms, effect)
    with client_of(context) as client:
        rows = client.ask(
            "baseline_compare", target=target, baseline_id=baseline, endpoint=endpoint or [], **what, **rules
        ).to_dicts()
    typer.echo(json.dumps(rows, indent=2) if as_json else "\n".join(findings(rows)))
    raise typer.Exit(outcome([row["verdict"] for row in rows], strict=strict))


@app.command()
def again(
    context: typer.Context,
    baseline: Baseline,
    target: Target,
    start: Annotated[str, typer.Option("--from", help="Where the history begins.", metavar="WHEN")] = "24h",
    end: Annotated[str, typer.Option("--to", help="Where it ends.", metavar="WHEN")] = "now",
    window: Annotated[
        int, typer.Option(help="How long each window of probes is.", metavar="MINUTES", min=1, max=1440)
    ] = 60,
    endpoint: Endpoints = None,
    minimum: Minimum = 5,
    floor_ms: FloorMs = 1,
    effect: Effect = 20,
    as_json: Json = False,
) -> None:
    """Judge history again: what would have regressed or improved against this baseline, and the active one.

    A period judges windows of probes, load tests judge load tests. Nothing is changed.
    """
    from cli.baseline_tables import judged_again

    with client_of(context) as client:
        rows = client.ask(
            "baseline_again",
            target=target,
            baseline_id=baseline,
            endpoint=endpoint or [],
            start=_instant(start, "--from"),
            end=_instant(end, "--to"),
            length_s=60 * window,
            **_rules(minimum, floor_ms, effect),
        ).to_dicts()
    as_text = json.dumps(rows, default=datetime.isoformat, indent=2) if as_json else None
    typer.echo(as_text or "\n".join(judged_again(rows)))


def _rules(minimum: float, floor_ms: float, effect: float) -> dict[str, float]:
    """What counts, as a question asks for it."""
    return {"minimum": minimum / 100, "floor_ms": floor_ms, "effect": effect / 100}


def outcome(verdicts: list[str], *, strict: bool) -> int:
    """The exit code of a comparison: nothing judged is never a pass."""
    if "regressed" in verdicts:
        return REGRESSED
    unknown = verdicts.count("not_enough_data")
    return UNDECIDED if unknown == len(verdicts) or (strict and unknown) else 0


def _instant(text: str, option: str) -> datetime:
    from cli.export import instant
    from warehouse.model import now

    return datetime.fromisoformat(instant(text, now(), option))
