"""The product's detector of changes, fed one point at a time."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for whoever loads this file by its path

from warehouse.analysis.kinds import watch_of
from warehouse.analysis.solving import solve_on_one_thread

solve_on_one_thread()


class Detector:
    """Looks at the kind of a series and at nothing else of what is told about it."""

    def __init__(self, meta: Mapping[str, Any]) -> None:
        self._watch = watch_of(str(meta.get("kind", "")))

    def update(self, t: float, v: float | None) -> dict[str, float] | None:
        """The change that this point proves: its first point, relative size and confidence."""
        del t
        change = self._watch.update(v)
        if change is None:
            return None
        return {"cp": change.place, "rel": change.size, "conf": change.confidence}
