"""Regressions in words: the size of a change with its interval."""

from typing import Any

import pytest

from dashboard import regression_words as words

UNKNOWN = dict.fromkeys(("size_ratio", "low_ratio", "high_ratio", "low_difference", "high_difference"))


def row(**known: Any) -> words.Row:
    return {**UNKNOWN, "before": 0.01, "after": 0.05, "unit": "ratio", **known}


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({"size_ratio": 0.75, "low_ratio": 0.68, "high_ratio": 0.81}, "+75 % (+68 % to +81 %)"),
        ({"size_ratio": 4.0}, "+400 %"),
        ({}, "from nothing"),
    ],
)
def test_a_size_is_a_ratio_with_its_interval(known: dict[str, Any], told: str) -> None:
    assert words.size(row(**known)) == told


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({}, "confidence over 99.9 %, told by 24 points of 5 min"),
        ({"looked_back": True}, "confidence over 99.9 %, found looking back, told by 24 points of 5 min"),
        ({"kind": "loadtest", "point_s": None, "points_after": 3}, "confidence over 99.9 %, told by 3 runs"),
    ],
)
def test_it_is_told_by_how_many_points(known: dict[str, Any], told: str) -> None:
    given = {"kind": "probe", "confidence": 1.0, "points_after": 24, "point_s": 300, "looked_back": False}
    assert words.sureness({**given, **known}) == told


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (
            {"size_ratio": 4.0, "low_difference": 0.0294, "high_difference": 0.0533},
            "+400 %, +4.0 points (+2.9 to +5.3 points)",
        ),
        (
            {"before": 0.0, "after": 0.25, "low_difference": 0.2, "high_difference": 0.31},
            "from nothing, +25.0 points (+20.0 to +31.0 points)",
        ),
        (
            {
                "size_ratio": -0.8,
                "before": 0.05,
                "after": 0.01,
                "low_difference": -0.06,
                "high_difference": -0.0004,
            },
            "-80 %, -4.0 points (-6.0 to -0.04 points)",
        ),
    ],
)
def test_an_error_share_has_the_interval_of_its_difference(known: dict[str, Any], told: str) -> None:
    assert words.size(row(**known)) == told
