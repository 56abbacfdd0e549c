"""Load test runs in words: states, verdicts, marks, how far a run has come, how many users a preset has."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from dashboard import format as fmt

Row = Mapping[str, Any]
Colour = Literal["green", "orange", "red", "gray", "blue", "violet"]

ACTIVE = ("requested", "starting", "running", "stopping")
ENDED = ("finished", "failed", "cancelled")
STATES = (*ACTIVE, *ENDED)
VERDICTS = ("pass", "fail", "no_data")
LONGEST_CURVE = 60
"""Points of a preset's curve."""

VIA = {"dashboard": "the dashboard", "cli": "the command line", "schedule": "a schedule", "ci": "CI"}


@dataclass(frozen=True)
class Mark:
    """A small coloured word about a run; the colour is never its only sign."""

    text: str
    colour: Colour
    icon: str
    help: str = ""


STATE_MARKS: Mapping[str, Mark] = {
    "requested": Mark("waiting", "gray", ":material/hourglass_top:", "No load agent has taken it yet."),
    "starting": Mark("starting", "blue", ":material/rocket_launch:"),
    "running": Mark("running", "blue", ":material/play_circle:"),
    "stopping": Mark("stopping", "blue", ":material/stop_circle:"),
    "finished": Mark("finished", "gray", ":material/done:", "It came to its planned end."),
    "failed": Mark("failed", "red", ":material/error:", "It broke off by itself."),
    "cancelled": Mark("cancelled", "orange", ":material/cancel:", "Somebody stopped it."),
}
VERDICT_MARKS: Mapping[str, Mark] = {
    "pass": Mark("pass", "green", ":material/check_circle:", "Every criterion held."),
    "fail": Mark("fail", "red", ":material/cancel:", "A criterion did not hold."),
    "no_data": Mark(
        "no data",
        "orange",
        ":material/help:",
        "Too little was measured to judge a criterion: that is no pass.",
    ),
}
UNJUDGED = Mark("not judged", "gray", ":material/remove:", "It had no criteria, or has not been judged yet.")
PARTIAL = Mark("partial", "orange", ":material/incomplete_circle:", "Some of its measurements are missing.")
GENERATOR_BOUND = Mark(
    "generator-bound",
    "orange",
    ":material/speed:",
    "The load generator was at its limit (over 90 % CPU, or arrivals dropped): the numbers tell more of it "
    "than of the target.",
)
BASELINE = Mark("baseline", "violet", ":material/keep:", "Kept for ever, with every request.")


def deleted(row: Row) -> str:
    """What is left of a run whose single requests are deleted; empty while they are there."""
    at = row["raw_deleted_at"]
    if at is None:
        return ""
    if not row["has_seconds"]:
        return f"Single requests were deleted on {at:%Y-%m-%d}, and nothing second by second was kept."
    return (
        f"Single requests were deleted on {at:%Y-%m-%d}. What is shown was counted second by second before: "
        "counts are exact, percentiles within 1 %; texts of failures, the list of requests and intervals are "
        "gone."
    )


def is_active(row: Row) -> bool:
    """Whether the run may still change by itself."""
    return row["state"] in ACTIVE


def marks(row: Row) -> list[Mark]:
    """State, then verdict, then what to bear in mind."""
    shown = [state_mark(str(row["state"]))]
    if not is_active(row):
        shown.append(VERDICT_MARKS.get(row["verdict"], UNJUDGED))
    flags = (("is_generator_bound", GENERATOR_BOUND), ("is_partial", PARTIAL), ("is_baseline", BASELINE))
    return shown + [mark for name, mark in flags if row[name]]


def state_mark(state: str) -> Mark:
    """The mark of a state; one that is not known goes by its name."""
    return STATE_MARKS.get(state) or Mark(state, "gray", ":material/help:")


def flags(row: Row) -> str:
    """What to bear in mind of a run, for a table."""
    told = (("is_generator_bound", "generator-bound"), ("is_partial", "partial"), ("is_baseline", "baseline"))
    return ", ".join(text for name, text in told if row[name])


def verdict_text(row: Row) -> str:
    """The verdict for a table."""
    if is_active(row):
        return fmt.NOTHING
    return VERDICT_MARKS.get(row["verdict"], UNJUDGED).text


def name_of(row: Row) -> str:
    """What a run is called: its preset and its target."""
    return f"{row['preset']} on {row['target']}"


def began(row: Row) -> datetime:
    """When it started, or was asked for where it has not."""
    at: datetime = row["started_at"] or row["requested_at"]
    return at


def asked_by(row: Row) -> str:
    """Who asked for it and how."""
    who = row["requested_by"] or "nobody"
    who = "whoever sat at this machine" if who == "local" else who
    return f"{who} by {VIA.get(row['via'], row['via'])}"


@dataclass(frozen=True)
class Progress:
    """How far a run has come. `share` is of the planned time."""

    share: float
    text: str


def progress(row: Row, planned_s: float, present: datetime) -> Progress:
    """Time gone and left; a run that waits or ends has not much to tell."""
    state = row["state"]
    ending = state == "stopping" or row["cancel_at"] is not None
    if row["is_silent"]:
        told = "It is stopping, but its" if ending else "Its"
        return Progress(0.0, f"{told} load agent has been silent for a while: how it does is not known")
    if state == "requested":
        return Progress(0.0, "Waits for its turn" if row["waits"] else "Waits for a load agent")
    if row["started_at"] is None:
        return Progress(0.0, "Is being started")
    until = row["ended_at"] or present
    gone_s = max(0.0, (until - row["started_at"]).total_seconds())
    told = f"{span(gone_s)} of {span(planned_s)}"
    share = min(1.0, gone_s / planned_s) if planned_s else 0.0
    if ending:
        return Progress(share, f"{told}, stopping: requests under way come to their end")
    left_s = planned_s - gone_s
    return Progress(share, f"{told}, {span(left_s)} left" if left_s > 0 else f"{told}, coming to its end")


def span(seconds: float) -> str:
    """A span in its one or two largest units: `1 min 20 s`."""
    return fmt.length(timedelta(seconds=max(0.0, seconds)))


def elapsed(seconds: float) -> str:
    """A moment of a run: `12:05`, `1:02:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def per_second(value: float | None) -> str:
    """A rate of requests."""
    return fmt.NOTHING if value is None else f"{fmt.number(value)}/s"


def decoded(text: str | None) -> Any:
    """JSON the warehouse keeps as text; None where there is none."""
    return json.loads(text) if text else None


def curve_text(stages: Sequence[tuple[float, int, float]]) -> str:
    """What a preset's users do, in words."""
    users = [stage[1] for stage in stages]
    most = max(users)
    if len(stages) == 1:
        return f"{fmt.number(stages[0][2])} more each second until all are there"
    if users == sorted(users):
        return f"up to {fmt.plural(most, 'user')} in {len(stages)} steps"
    return " → ".join(fmt.count(amount) for amount in users) + " users"
