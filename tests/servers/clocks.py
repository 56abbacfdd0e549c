"""A wall clock that a test moves while a process runs (libfaketime); its steady clock stays the machine's."""

from __future__ import annotations

from pathlib import Path

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
"""Debian's, where it is installed."""


class WallClock:
    """The clock of the processes started with `environment`."""

    def __init__(self, file: Path) -> None:
        """`file` is where its offset is kept."""
        self._file = file
        self.step_to(0)

    @property
    def environment(self) -> dict[str, str]:
        """What puts a process under this clock."""
        return {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def step_to(self, seconds: float) -> None:
        """So far ahead of the machine's clock, or behind it; seen within a second."""
        draft = self._file.with_suffix(".draft")
        draft.write_text(f"{seconds:+.0f}\n")
        draft.replace(self._file)
