"""Compares two runs wherever they are: both in the warehouse, or as bundles in files, without one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

from loadtests import bundle
from warehouse.analysis.comparable import Side
from warehouse.analysis.compare import compare
from warehouse.analysis.phases import Plateau
from warehouse.analysis.requests import Requests
from warehouse.client import Client
from warehouse.errors import InvalidInputError

Rows = list[dict[str, Any]]

BASELINE = "baseline"
"""In place of a run: the newest baseline of the other one's scenario and target."""


def compared(a: str, b: str, client: Callable[[], AbstractContextManager[Client]]) -> Rows:
    """The differences of b from a, as the question `run_compare` tells them.

    Each is a run's id or a bundle's file; `client` is called only for an id. Raises InvalidInputError where
    they cannot be compared, and the errors of the client.
    """
    if BASELINE in {a, b}:
        with client() as own:
            a, b = (baseline_of(own, other) if name == BASELINE else name for name, other in ((a, b), (b, a)))
    if not any(Path(each).is_file() for each in (a, b)):
        with client() as own:
            return own.ask("run_compare", a=a, b=b).to_dicts()
    return [asdict(row) for row in compare(_side(a, client), _side(b, client))]


def baseline_of(client: Client, run_id: str) -> str:
    """The newest baseline that asks the same target the same. Raises InvalidInputError without one."""
    row = bundle.run_row(client, run_id)
    pinned = client.ask("runs", target=[row["target"]], baseline=True).filter(
        (pl.col("scenario_hash") == row["scenario_hash"]) & (pl.col("run_id") != run_id)
    )
    if pinned.is_empty():
        raise InvalidInputError(
            f"no other run of {row['scenario']} at {row['target']} is pinned as a baseline",
            field=BASELINE,
            hint="Pin one on its page.",
        )
    return str(pinned["run_id"][0])


def _side(name: str, client: Callable[[], AbstractContextManager[Client]]) -> Side:
    if Path(name).is_file():
        return side_of(bundle.read(Path(name)))
    with TemporaryDirectory() as folder, client() as own:
        file = Path(folder, "run.zip")
        bundle.write(own, name, file)
        return side_of(bundle.read(file))


def side_of(own: bundle.Bundle) -> Side:
    """A bundle as one side of a comparison."""
    table = own.requests.unify_dictionaries().combine_chunks()
    labels, endpoint = np.unique(
        np.asarray(table["label"].to_numpy(zero_copy_only=False), dtype=str), return_inverse=True
    )
    order = [request.label for request in own.run.plan.requests]

    def planned(entry: tuple[int, str]) -> int:
        return order.index(entry[1]) if entry[1] in order else len(order)

    return Side(
        run_id=own.run.run_id,
        state=own.run.state,
        scenario_hash=own.run.scenario_hash,
        plan=own.run.plan.model_dump(),
        plateaus=[Plateau(each.from_s, each.to_s, each.users) for each in own.run.plateaus],
        length_s=own.run.length_s,
        requests=Requests.of_columns(
            table["elapsed_s"].to_numpy(),
            table["corrected_us"].to_numpy(),
            np.asarray(table["outcome"].to_numpy(zero_copy_only=False), dtype=str),
            endpoint,
        ),
        labels=dict(sorted(enumerate(labels.tolist()), key=planned)),
    )
