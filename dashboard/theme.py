"""Colours for both modes, taken from Streamlit's own configuration file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

CONFIG_FILE = Path(__file__).parents[1] / "streamlit_config.toml"


@dataclass(frozen=True)
class Palette:
    """The colours of one mode, as CSS hex."""

    dark: bool
    background: str
    surface: str
    text: str
    muted: str
    ok: str
    warning: str
    critical: str
    primary: str
    series: tuple[str, ...]

    def alpha(self, colour: str, opacity: float) -> str:
        """The colour, seen through."""
        red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
        return f"rgba({red},{green},{blue},{opacity})"

    def of(self, position: int) -> str:
        """The colour of the n-th series."""
        return self.series[position % len(self.series)]


@cache
def streamlit_config() -> dict[str, Any]:
    """Our Streamlit configuration, as its tables."""
    return tomllib.loads(CONFIG_FILE.read_text(encoding="utf-8"))


@cache
def palette(mode: str | None) -> Palette:
    """The palette of "dark" mode, or of "light" for anything else."""
    dark = mode == "dark"
    colours = streamlit_config()["theme"]["dark" if dark else "light"]
    return Palette(
        dark=dark,
        background=colours["backgroundColor"],
        surface=colours["secondaryBackgroundColor"],
        text=colours["textColor"],
        muted=colours["grayColor"],
        ok=colours["greenColor"],
        warning=colours["orangeColor"],
        critical=colours["redColor"],
        primary=colours["blueColor"],
        series=tuple(colours["chartCategoricalColors"]),
    )
