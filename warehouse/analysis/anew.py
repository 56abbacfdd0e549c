"""The size of a change that is known, told anew: by the regression it was found in, over more points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from warehouse.analysis.changes import Change, Setting, Study, changes_of, study
from warehouse.analysis.requests import Floats
from warehouse.analysis.steps import fit


def told_anew(values: Floats, place: int, setting: Setting, near: int, *, upwards: bool) -> Change | None:
    """What the change at a place is by all these values; None where there are too few of them.

    It is the nearest one that goes the same way, less than `near` points away: more points may find it
    elsewhere, since the first ones mix both levels. One that is too small to be found any more is measured
    where it was told.
    """
    done = study(values, setting)
    if done is None:
        return None
    alone = replace(setting, ramp=0)
    for ways in (setting, alone):
        found = _nearest(changes_of(done, ways), place, near, upwards=upwards)
        if found is not None:
            return found
    return _measured(done, place, alone)


def _nearest(changes: Sequence[Change], place: int, near: int, *, upwards: bool) -> Change | None:
    """The nearest change that goes this way."""
    same = [each for each in changes if abs(each.place - place) < near and (each.size > 0) == upwards]
    return min(same, key=lambda each: abs(each.place - place), default=None)


def _measured(done: Study, place: int, setting: Setting) -> Change | None:
    """The step at a place beside those that were found, however small; None where no values lie before it."""
    step = int(np.searchsorted(done.places, place))
    if not 0 < step < len(done.places):
        return None
    others = [each for each in done.found.places if abs(each - step) >= setting.rules.shortest]
    found = fit(done.seen, sorted([*others, step]))
    return changes_of(replace(done, found=found), setting)[found.places.index(step)]
