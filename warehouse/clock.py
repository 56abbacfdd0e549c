"""Notices when the wall clock steps, and holds back for a day what a wrong clock would destroy."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from warehouse.model import now

log = logging.getLogger(__name__)

STEP = timedelta(seconds=2)
"""How far the wall clock may move against the steady one between two looks."""

FORWARD = timedelta(hours=1)
"""A step forward by more than this would let retention delete what is not old."""

UNSEEN = timedelta(days=2)
"""After a boot nobody knows how long the machine was off: so much may have been."""

HOLD_S = 86_400.0
"""How long nothing is deleted after such a step."""

SAVE_EVERY_S = 60.0


def steady() -> float:
    """Seconds that pass whatever the wall clock does, those in which the machine sleeps included."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def boot_id() -> str:
    """Which start of the machine this is: the steady clock counts from it; empty where nobody tells."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


@dataclass(frozen=True)
class _Seen:
    """What a look saw, kept for the next start."""

    wall: str
    steady: float
    boot: str
    held_s: float
    why: str


class Clock:
    """The wall clock, watched against the steady one. One thread at a time may look; the rest is for any."""

    def __init__(
        self,
        file: Path,
        *,
        wall: Callable[[], datetime] = now,
        steady: Callable[[], float] = steady,
        boot: str | None = None,
    ) -> None:
        """`file` remembers the last look, so that a step while nothing ran is seen too."""
        self._file = file
        self._read_wall, self._read_steady = wall, steady
        self._boot = boot_id() if boot is None else boot
        self._wall, self._steady = wall(), steady()
        self._held_until = self._steady
        self._why = ""
        self._save_at = self._steady
        self._lock = threading.Lock()
        self._compare_with_last_start()

    @property
    def held_s(self) -> float:
        """For how much longer nothing may be deleted; 0 when all is well."""
        with self._lock:
            return max(0.0, self._held_until - self._read_steady())

    @property
    def why(self) -> str:
        """Why nothing may be deleted; empty when all is well."""
        return self._why if self.held_s else ""

    def look(self) -> timedelta:
        """How far the wall clock stepped since the last look; zero when it did not."""
        wall, steady_s = self._read_wall(), self._read_steady()
        step = (wall - self._wall) - timedelta(seconds=steady_s - self._steady)
        self._wall, self._steady = wall, steady_s
        if abs(step) <= STEP:
            step = timedelta()
        else:
            log.warning("the clock stepped %s, to %s", in_words(step), f"{wall:%Y-%m-%d %H:%M:%S} UTC")
        if step > FORWARD:
            self._hold(f"the clock stepped {in_words(step)}", HOLD_S)
        if step or steady_s >= self._save_at:
            self.save()
        return step

    def save(self) -> None:
        """Remember this look."""
        self._save_at = self._steady + SAVE_EVERY_S
        seen = _Seen(self._wall.isoformat(), self._steady, self._boot, self.held_s, self._why)
        draft = self._file.with_name(self._file.name + ".new")
        try:
            draft.write_text(json.dumps(asdict(seen)), encoding="utf-8")
            draft.replace(self._file)
        except OSError as error:
            log.warning("%s: %s", self._file.name, error.strerror)

    def _compare_with_last_start(self) -> None:
        last = _read(self._file)
        if last is None:
            return
        passed = self._wall - datetime.fromisoformat(last.wall)
        if last.held_s:
            self._hold(last.why, last.held_s)
        if self._boot and last.boot == self._boot:
            step = passed - timedelta(seconds=self._steady - last.steady)
            if step > FORWARD:
                self._hold(f"the clock stepped {in_words(step)} while the warehouse did not run", HOLD_S)
        elif passed > UNSEEN:
            self._hold(f"the machine was off, or its clock stepped {in_words(passed)}", HOLD_S)

    def _hold(self, why: str, for_s: float) -> None:
        with self._lock:
            self._held_until = max(self._held_until, self._steady + for_s)
        self._why = why
        log.warning("%s; nothing is deleted for %.0f hours", why, for_s / 3600)


def in_words(step: timedelta) -> str:
    """`forward by 30 days`, `back by 3600 s`."""
    way = "forward" if step > timedelta() else "back"
    days = round(abs(step) / timedelta(days=1))
    return f"{way} by {days} days" if days > 1 else f"{way} by {abs(step).total_seconds():.0f} s"


def _read(file: Path) -> _Seen | None:
    try:
        return _Seen(**json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        log.warning("%s cannot be read, so that a step of the clock before now is not seen", file.name)
        return None
