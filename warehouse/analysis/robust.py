"""Scatter, running medians and correlation that outliers, bursts and single steps do not bend."""

from __future__ import annotations

import numpy as np

from warehouse.analysis.requests import Floats

Z = 1.959964
"""The 97.5 % quantile of the normal distribution: between it and its mirror image lie 95 %."""

NORMAL = 1.4826
"""The standard deviation of a normal distribution by its median absolute deviation."""


def scatter(values: Floats) -> float:
    """The standard deviation, told by the median absolute deviation; 0 of fewer than two values."""
    if len(values) < 2:
        return 0.0
    return float(NORMAL * np.median(np.abs(values - np.median(values))))


def running_median(values: Floats, width: int) -> Floats:
    """The median of the `width` (odd) values around each; the ends are continued by their last value."""
    half = min(width, len(values)) // 2
    if half == 0:
        return values.copy()
    padded = np.pad(values, half, mode="reflect") if len(values) > half else values
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    return np.asarray(np.median(windows, axis=1), dtype=float)


def winsorised(values: Floats, width: int, reach: float, least: float = 0.0) -> Floats:
    """Values no farther than `reach` standard deviations from the running median: steps stay, spikes do not.

    Spikes shorter than half of `width` are drawn in. Where more than half of the values equal their
    running median, the mean absolute distance stands in for the median one; a deviation is taken to be
    `least` at least.
    """
    middle = running_median(values, width)
    rest = values - middle
    spread = max(scatter(rest) or float(np.mean(np.abs(rest))), least)
    return np.asarray(middle + np.clip(rest, -reach * spread, reach * spread), dtype=float)


def lag_correlation(values: Floats) -> float:
    """The correlation of neighbours in a first-order autoregression with steps in it, 0 to 0.95.

    Of such a series the variance of differences over two places is (1 + r) times that over one place,
    and both are hardly touched by a few steps.
    """
    if len(values) < 8:
        return 0.0
    one = float(np.mean(_trimmed(np.diff(values)) ** 2))
    two = float(np.mean(_trimmed(values[2:] - values[:-2]) ** 2))
    return float(np.clip(two / one - 1.0, 0.0, 0.95)) if one > 0 else 0.0


def _trimmed(differences: Floats) -> Floats:
    """Differences drawn in to four standard deviations."""
    spread = scatter(differences) or float(np.std(differences))
    return np.clip(differences, -4 * spread, 4 * spread)
