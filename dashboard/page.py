"""What every page does: header, body, footer, and a readable end when the warehouse does not answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from dashboard import controls, data, exports, health, panels
from dashboard.controls import Scene
from warehouse.errors import WarehouseAwayError

Answers = Mapping[str, data.Answer]
COMMON = ("endpoints", "hosts", "freshness")


def show(
    title: str,
    questions: Callable[[Scene], Mapping[str, data.Question]],
    body: Callable[[Scene, Answers], None],
    *,
    timeless: bool = False,
    also: Sequence[str] = (),
) -> None:
    """Draw a page: ask its questions all at once, then draw `body` with the answers.

    `endpoints`, `hosts` and `freshness` are always among the answers: where they are empty nothing was
    measured, unless answers named in `also` have rows. A timeless page shows no window of time, and
    something to do where nothing was measured.
    """
    scene = controls.header(title, timeless=timeless)
    exports.progress()
    asked = questions(scene)
    answers = data.ask({**{name: data.question(name) for name in COMMON}, **asked})
    if scene.corner is not None and asked:
        with scene.corner:
            exports.menu(asked)
    missing, storage = data.away(answers), data.storage()
    health.storage_banner(scene, storage)
    health.simulated_banner(simulated=data.simulated())
    if isinstance(missing, WarehouseAwayError):
        if storage is None or storage["state"] == "ok":
            panels.away(missing, scene.now)
    elif empty(answers, also) and not timeless:
        panels.nothing_measured()
    else:
        body(scene, answers)
    panels.footer(scene, answers["freshness"], timeless=timeless)


def empty(answers: Answers, also: Sequence[str] = ()) -> bool:
    """Whether nothing was ever measured: the common answers, and those named, have no rows."""
    known = [answers[name] for name in (*COMMON, *also) if name in answers]
    return all(isinstance(answer, pl.DataFrame) and answer.is_empty() for answer in known)


def frame(answer: data.Answer | None) -> pl.DataFrame | None:
    """The rows where there are some to draw with; an error is not told."""
    return answer if isinstance(answer, pl.DataFrame) else None


def newest(answer: data.Answer) -> datetime | None:
    """When the newest of all endpoints or hosts was measured."""
    known = answer["newest_at"].max() if isinstance(answer, pl.DataFrame) else None
    return known if isinstance(known, datetime) else None


def newest_of(answer: data.Answer, target: str) -> datetime | None:
    """When the newest of one target was measured."""
    return newest(answer.filter(pl.col("target") == target)) if isinstance(answer, pl.DataFrame) else None


def first(answer: data.Answer | None) -> dict[str, Any] | None:
    """The first row of an answer; None where there is none."""
    rows = frame(answer)
    return None if rows is None or rows.is_empty() else rows.row(0, named=True)
