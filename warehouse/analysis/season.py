"""What a series does by itself: its level, the time of day, rest days and a slow drift, as columns.

The columns are for a penalised regression on logarithms. Penalties are one over the variance that each
coefficient is believed to have, so that a short history bends to what is usual and a long one tells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from warehouse.analysis.requests import Floats, Ints


@dataclass(frozen=True)
class Season:
    """What is known of a series' calendar.

    `day` is how many points make a day (0: no season), `first_weekday` the day of week of point 0
    (0 is Monday), `drift_points` over how many points `drift` (standard deviation, logarithmic) is meant.
    On rest days the wave of the day may be weaker, or stronger, by a share (`damped`: standard deviation).
    """

    day: int = 0
    first_weekday: int = 0
    waves: int = 4
    swing: float = 0.35
    rest: float = 0.2
    damped: float = 0.5
    drift: float = 0.0
    drift_points: int = 2304

    def columns(self, places: Ints, wave_of_day: Floats) -> Floats:
        """One column for each part at these points, the level first.

        `wave_of_day` are the coefficients of the daily wave that rest days have more or less of: those that a
        regression found before, or zeros.
        """
        columns = [np.ones(len(places))]
        if self.day:
            turn = 2 * np.pi * places / self.day
            for wave in range(1, self.waves + 1):
                columns += [np.cos(wave * turn), np.sin(wave * turn)]
            weekday = (places // self.day + self.first_weekday) % 7
            rests = (weekday >= 5).astype(float)
            columns += [rests, rests * (np.column_stack(columns[1:]) @ wave_of_day)]
        if self.drift:
            columns.append(places / self.drift_points)
        return np.column_stack(columns)

    def penalties(self) -> Floats:
        """One over the variance of each column's coefficient; the level is free."""
        penalties = [1e-6]
        if self.day:
            for wave in range(1, self.waves + 1):
                penalties += [(wave / self.swing) ** 2] * 2
            penalties += [1 / self.rest**2, 1 / self.damped**2]
        if self.drift:
            penalties.append(1 / self.drift**2)
        return np.array(penalties)

    def wave_of_day(self, coefficients: Floats) -> Floats:
        """The coefficients of the daily wave among all."""
        return coefficients[1 : 1 + 2 * self.waves] if self.day else np.zeros(0)

    def no_wave(self) -> Floats:
        """The coefficients of no daily wave."""
        return np.zeros(2 * self.waves if self.day else 0)
