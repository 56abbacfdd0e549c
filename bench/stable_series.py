"""Series in which nothing changes, as hard as real ones: whatever is found in them is a false alarm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Series = list[float | None]
DAY = 288
DAYS = 8


@dataclass(frozen=True)
class Latency:
    """Logarithms of a series, the season (day and weekend) in them, and which points were not measured."""

    logs: np.ndarray
    season: np.ndarray
    gone: np.ndarray

    def series(self, planted: np.ndarray | float = 0.0, *, is_seasonal: bool = True) -> Series:
        """The values, with what is planted on the logarithms and with the season or without."""
        values = np.exp(self.logs + planted - (0.0 if is_seasonal else self.season)).round(2)
        return [None if lost else float(value) for value, lost in zip(values, self.gone, strict=True)]


def latency(random: np.random.Generator) -> Series:
    """Eight days of a p95 in which nothing changes."""
    return latency_parts(random).series()


def latency_parts(random: np.random.Generator) -> Latency:
    """Eight days of a p95 every 5 minutes: a daily wave and its double, calmer weekends with a wave as high
    or lower, correlated noise of heavy tails that grows with the hour's load, slow drift, single spikes,
    bursts of 2 to 4, gaps.
    """
    n = DAY * DAYS
    turn = 2 * np.pi * (np.arange(n) / DAY + random.random())
    swing = random.choice([0.0, 0.1, 0.2, 0.35, 0.5])
    wave = 0.7 * np.cos(turn) + 0.3 * np.cos(2 * turn + random.uniform(0, 6.3))
    rests = np.arange(n) // DAY % 7 >= 5
    weekend = np.where(rests, random.uniform(-0.2, 0.0), 0.0)
    growth = 1 + random.choice([0.0, 0.6, 1.2]) * (wave - wave.min()) / np.ptp(wave)
    noise = random.choice([0.03, 0.06, 0.1, 0.15]) * growth
    noise = noise * _correlated(random, n, random.choice([0.0, 0.3, 0.6, 0.8]))
    drift = random.uniform(-0.1, 0.1) * np.arange(n) / n
    season = swing * wave * np.where(rests, random.choice([1.0, 0.7, 0.4]), 1.0) + weekend
    logs = season + noise + drift
    logs[random.random(n) < 0.004] += random.uniform(0.4, 1.5)
    for place in random.integers(0, n, random.poisson(8)):
        logs[place : place + random.integers(2, 5)] += random.uniform(0.3, 1.2)
    logs = logs + random.uniform(2, 6)
    gone = random.random(n) < 0.002
    for place in random.integers(0, n, random.poisson(1)):
        gone[place : place + random.integers(12, 90)] = True
    return Latency(logs, season, gone)


def load_run(random: np.random.Generator) -> Series:
    """A p95 of each of 24 to 120 load tests on two kinds of runners, with runs that went astray."""
    n = int(random.integers(24, 121))
    logs = random.choice([0.02, 0.04, 0.07, 0.1]) * random.standard_normal(n)
    logs += np.where(random.random(n) < 0.3, random.uniform(0, 0.08), 0.0)
    astray = random.random(n) < 0.05
    logs[astray] += random.uniform(0.3, 1.0, int(astray.sum()))
    return [float(value) for value in np.exp(logs + random.uniform(4, 7)).round(1)]


def ci(random: np.random.Generator) -> Series:
    """80 to 400 benchmark results: heavy tails, skewed, calm and restless stretches, neighbours alike."""
    n = int(random.integers(80, 401))
    noise = _correlated(random, n, random.choice([0.0, 0.2, 0.4]))
    noise = np.where(noise < 0, noise * random.uniform(0.8, 2.0), noise)
    logs = random.choice([0.005, 0.02, 0.04, 0.08, 0.2]) * noise
    for place in random.integers(0, n, random.poisson(n / 60)):
        logs[place : place + random.integers(1, 4)] += random.uniform(-0.3, 0.3)
    return [float(f"{value:.5g}") for value in np.exp(logs + random.uniform(0, 9))]


def errors(random: np.random.Generator) -> Series:
    """Eight days of an endpoint's share of errors every 5 minutes, drawn in as the product does.

    10 to 300 attempts a point, of which none to 5 % fail, in waves or not, often several together, and now
    and then in bursts of up to 4 points.
    """
    n, attempts = DAY * DAYS, int(random.choice([10, 24, 60, 300]))
    turn = 2 * np.pi * (np.arange(n) / DAY + random.random())
    share = random.choice([0, 0.0005, 0.002, 0.01, 0.05]) * np.exp(
        random.choice([0, 0.3, 0.6]) * np.cos(turn)
    )
    together = random.choice([0, 0.5, 1.0])
    if together:
        share = share * random.gamma(1 / together, together, n)
    for place in random.integers(0, n, random.poisson(8)):
        share[place : place + random.integers(1, 5)] += random.uniform(0.05, 1)
    failed = random.binomial(attempts, np.clip(share, 0, 1))
    return [float(value) for value in (failed + 0.5) / (attempts + 1)]


def _correlated(random: np.random.Generator, n: int, lag: float) -> np.ndarray:
    """A first-order autoregression of variance 1 with innovations of Student's t with 5 degrees."""
    new = random.standard_t(5, n) * np.sqrt(0.6 * (1 - lag**2))
    noise = np.empty(n)
    noise[0] = new[0] / np.sqrt(1 - lag**2)
    for place in range(1, n):
        noise[place] = lag * noise[place - 1] + new[place]
    return noise


KINDS: Mapping[str, Callable[[np.random.Generator], Series]] = {
    "p95": latency,
    "loadrun": load_run,
    "ci": ci,
    "errors": errors,
}
