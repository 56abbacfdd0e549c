"""What a process of the load generator uses: its CPU, its memory."""

from __future__ import annotations

import time

import psutil


class Usage:
    """This process's share of one core between two readings, and its resident memory."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._cpu_s = time.process_time()
        self._at_s = time.monotonic()

    def read(self) -> tuple[float, int]:
        """(CPU ratio of one core since the last reading, resident bytes)."""
        cpu_s, at_s = time.process_time(), time.monotonic()
        ratio = (cpu_s - self._cpu_s) / max(at_s - self._at_s, 1e-6)
        self._cpu_s, self._at_s = cpu_s, at_s
        return round(ratio, 4), int(self._process.memory_info().rss)
