"""How much one run differs from the next with nothing changed: what is believed of it, and what follows.

A run's number scatters for two reasons: chance within the run (sampling), which the run itself tells, and
what differs from run to run (process layout, caches, neighbours on the machine), which only several runs
tell. The latter, a standard deviation on the scale of logarithms, is integrated over a grid instead of
estimated: a prior, times the likelihood of the scatter that the baseline's runs show (given the sampling
within them, their sample variance is chi-squared), is a posterior; a new run's number is then distributed
as a mixture of normals. Without sampling this is the moderated t of Smyth (2004, Linear models and empirical
Bayes methods, Stat. Appl. Genet. Mol. Biol. 3); with much of it the prior hardly matters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from warehouse.analysis.requests import Floats

GRID: Floats = np.exp(np.linspace(math.log(0.003), math.log(1.5), 64))
"""Standard deviations from run to run that are thought possible."""

MOST_WITNESSES = 5.0
"""As many others at most tell of an endpoint's noise: they share machines, so are not independent."""

BISECTIONS = 50


@dataclass(frozen=True)
class Belief:
    """One part of a prior: noise around `noise` from run to run, as sure as so many runs had told it."""

    weight: float
    noise: float
    runs: float


CALM = (Belief(0.95, 0.03, 48.0), Belief(0.05, 0.08, 6.0))
"""Of twenty machines nineteen are calm (3 %) and one is restless, which a few runs give away."""

RESTLESS = (Belief(1.0, 0.25, 3.0),)
"""Of shares of errors little is known beforehand: they differ by a quarter of themselves."""


@dataclass(frozen=True)
class Scatter:
    """Of each of C series: variance over its runs, sampling variance of one run, degrees of freedom."""

    between: Floats
    within: Floats
    freedom: Floats


def weights(scatter: Scatter, prior: tuple[Belief, ...], endpoints: int) -> Floats:
    """The posterior of the noise from run to run, of each series over the grid (C x G); rows add up to 1.

    Each series' own runs count once, and those of all series on average as often as there are other
    endpoints, at most MOST_WITNESSES times. A series of a single run is told by the prior and the others.
    """
    total = GRID**2 + scatter.within[:, None]
    freedom = scatter.freedom[:, None]
    own = -freedom / 2 * (np.log(total) + scatter.between[:, None] / total)
    witnesses = min(MOST_WITNESSES, max(0, endpoints - 1))
    logs = _log_prior(prior) + own + witnesses * own.mean(axis=0)
    likely: Floats = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(likely / likely.sum(axis=1, keepdims=True), dtype=float)


def _log_prior(prior: tuple[Belief, ...]) -> Floats:
    """Scaled inverse chi-squared densities of the variance over the grid, mixed; each sums to its weight."""
    parts = np.zeros(len(GRID))
    for belief in prior:
        logs = -belief.runs / 2 * (np.log(GRID**2) + belief.noise**2 / GRID**2)
        density = np.exp(logs - logs.max())
        parts += belief.weight * density / density.sum()
    return np.asarray(np.log(np.maximum(parts, 1e-300)), dtype=float)


@dataclass(frozen=True)
class Prediction:
    """Where the difference of a new run from the mean of the baseline's lies with nothing changed.

    `weights` and `spreads` (standard deviations) are C x G: a mixture of normals around 0 for each series.
    """

    weights: Floats
    spreads: Floats

    @classmethod
    def make(cls, weights: Floats, runs: Floats, within: Floats) -> Prediction:
        """Of baselines of so many runs; `within` is the sampling variance of the difference."""
        return cls(weights, np.sqrt(GRID**2 * (1 + 1 / runs)[:, None] + within[:, None]))

    def p_values(self, differences: Floats) -> Floats:
        """How likely a difference at least as large, either way, is with nothing changed."""
        far = np.abs(differences)[:, None] / self.spreads
        return np.asarray((self.weights * both_tails(far)).sum(axis=1), dtype=float)

    def reach(self, level: float) -> Floats:
        """The difference of each series whose p-value is the level, by bisection."""
        low, high = np.zeros(len(self.weights)), np.full(len(self.weights), 12.0) * self.spreads.max(axis=1)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            is_likelier = self.p_values(middle) > level
            low, high = np.where(is_likelier, middle, low), np.where(is_likelier, high, middle)
        return np.asarray(high, dtype=float)


def both_tails(far: Floats) -> Floats:
    """How much of a normal distribution lies further than so many deviations from its middle, either way.

    erfc(far / sqrt(2)) by the Chebyshev fit of Press et al. (Numerical Recipes, 6.2), to 1.2e-7 of itself.
    """
    z = np.abs(far) / math.sqrt(2)
    t = 1 / (1 + z / 2)
    series = np.zeros_like(t)
    for factor in FIT:
        series = series * t + factor
    return np.asarray(t * np.exp(-(z**2) + series), dtype=float)


FIT = (
    *(0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807),
    *(-0.18628806, 0.09678418, 0.37409196, 1.00002368, -1.26551223),
)
