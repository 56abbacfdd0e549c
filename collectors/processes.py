"""What processes use, by name: the hungriest by CPU and by memory, and those that are watched."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from collectors.names import clean_name
from collectors.readings import Reading, missing
from warehouse.model import Outcome

PROCESS = ("process_cpu_ratio", "process_memory_bytes", "process_count")

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_KERNEL_THREAD = 0x00200000
_CUT_AT = 15
"""The kernel keeps this many bytes of a process's name."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process as it is now. `key` tells it from another that got the same pid later."""

    key: tuple[int, float]
    name: str
    cpu_s: float
    memory_bytes: int
    started_s: float


@dataclass(slots=True)
class _Name:
    """What all processes of one name use together."""

    pids: list[int] = field(default_factory=list)
    memory_bytes: int = 0
    cpu_s: float = 0.0
    went_back: bool = False


class ProcessMeter:
    """Reads all processes and remembers what CPU each had used."""

    def __init__(self, watched: Iterable[str], top: int) -> None:
        self._watched = sorted({clean_name(name) for name in watched})
        self._top = top
        self._before: dict[tuple[int, float], float] | None = None
        self._seen_s = 0.0
        self._seen_boot_s = 0.0
        self._long_names: dict[tuple[int, float], str] = {}

    def read(self) -> Iterator[Reading]:
        """Readings of each name among the top by CPU or memory, and of each that is watched.

        Memory is what is resident; what processes share is counted for each of them. CPU is a share
        of one core since the previous reading, so the first has none.
        """
        seen_s, boot_s = time.monotonic(), _since_boot()
        processes = self._list()
        names = self._sum_up(processes)
        before, seconds = self._before, seen_s - self._seen_s
        self._before = {process.key: process.cpu_s for process in processes}
        self._seen_s, self._seen_boot_s = seen_s, boot_s
        for name in self._choose(names, rank_cpu=before is not None):
            used = names.get(name, _Name())
            yield Reading("process_count", len(used.pids), name)
            if not used.pids:
                continue
            memory = sum(map(_resident, used.pids)) if psutil.LINUX else used.memory_bytes
            yield Reading("process_memory_bytes", memory, name)
            if used.went_back:
                yield missing("process_cpu_ratio", name, Outcome.ERROR)
            elif before is not None:
                yield Reading("process_cpu_ratio", used.cpu_s / seconds, name)

    def _list(self) -> list[Process]:
        if not psutil.LINUX:
            return list(read_portable())
        found = list(read_proc(self._long_names))
        alive = {process.key for process in found}
        self._long_names = {key: name for key, name in self._long_names.items() if key in alive}
        return found

    def _sum_up(self, processes: Iterable[Process]) -> dict[str, _Name]:
        names: dict[str, _Name] = {}
        for process in processes:
            used = names.setdefault(process.name, _Name())
            used.pids.append(process.key[0])
            used.memory_bytes += process.memory_bytes
            grown = self._grown(process)
            used.went_back |= grown < 0
            used.cpu_s += grown
        return names

    def _grown(self, process: Process) -> float:
        """CPU seconds since the previous reading; of a process that began since then, all it used."""
        if self._before is None:
            return 0.0
        before = self._before.get(process.key)
        if before is not None:
            return process.cpu_s - before
        # One that is older was hidden until now: what it used was used before.
        return process.cpu_s if process.started_s >= self._seen_boot_s - 1 / _CLOCK_TICKS else 0.0

    def _choose(self, names: Mapping[str, _Name], *, rank_cpu: bool) -> list[str]:
        by_memory = sorted(names, key=lambda name: (-names[name].memory_bytes, name))[: self._top]
        by_cpu = sorted(names, key=lambda name: (-names[name].cpu_s, name))[: self._top] if rank_cpu else []
        return sorted({*by_memory, *(name for name in by_cpu if names[name].cpu_s > 0), *self._watched})


def read_proc(long_names: dict[tuple[int, float], str]) -> Iterator[Process]:
    """Every process from one small file each: a quarter of what psutil's objects cost.

    Its memory is good for ranking only: the kernel gathers it from its cores now and then.
    `long_names` keeps the names that the kernel cuts off. Zombies are gone already: not told.
    """
    root = psutil.PROCFS_PATH
    for entry in os.listdir(root):  # noqa: PTH208 - a Path for each of hundreds of entries costs more than the rest
        if not entry.isdigit():
            continue
        try:
            line = _read(f"{root}/{entry}/stat")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            # It ended while the list was read, or is hidden from this user.
            continue
        process = _parse(int(entry), line, long_names)
        if process is not None:
            yield process


def _read(path: str) -> bytes:
    """A small file at once: file objects would double what hundreds of these cost."""
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(number, 4096)
    finally:
        os.close(number)


def _parse(pid: int, line: bytes, long_names: dict[tuple[int, float], str]) -> Process | None:
    """One line of /proc/PID/stat, see proc(5). A name may hold spaces and brackets."""
    head, _, tail = line.rpartition(b")")
    fields = tail.split()
    if len(fields) < 22 or fields[0] in (b"Z", b"X"):
        return None
    name = head.partition(b"(")[2]
    started = int(fields[19]) / _CLOCK_TICKS
    key = (pid, started)
    if int(fields[6]) & _KERNEL_THREAD:
        # kworker/0:1-events and the like are named anew all the time.
        text = name.partition(b"/")[0].decode("utf-8", "replace")
    elif len(name) >= _CUT_AT:
        text = long_names.get(key) or long_names.setdefault(key, _full_name(pid, name))
    else:
        text = name.decode("utf-8", "replace")
    cpu_s = (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS
    return Process(key, clean_name(text), cpu_s, int(fields[21]) * _PAGE_BYTES, started)


def _resident(pid: int) -> int:
    """Bytes resident now; 0 for a process that has ended since."""
    try:
        return int(_read(f"{psutil.PROCFS_PATH}/{pid}/statm").split()[1]) * _PAGE_BYTES
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0


def _full_name(pid: int, cut: bytes) -> str:
    """The whole name of a process, when its command line begins with it."""
    try:
        command = Path(psutil.PROCFS_PATH, str(pid), "cmdline").read_bytes().partition(b"\0")[0]
    except OSError:
        command = b""
    whole = command.rpartition(b"/")[2]
    return (whole if whole.startswith(cut) else cut).decode("utf-8", "replace")


def read_portable() -> Iterator[Process]:
    """Every process by psutil, where there is no /proc."""
    boot_s = psutil.boot_time()
    for process in psutil.process_iter():
        try:
            with process.oneshot():
                times, created = process.cpu_times(), process.create_time()
                memory, name = process.memory_info().rss, process.name()
        except psutil.Error:
            # It ended, or is hidden from this user.
            continue
        yield Process(
            (process.pid, created), clean_name(name), times.user + times.system, memory, created - boot_s
        )


def _since_boot() -> float:
    """Seconds since this host was started, suspended time included."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time() - psutil.boot_time()
