"""CPU, memory, load, disks and network of this host, each read by psutil as a list of readings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from collectors.names import clean_name
from collectors.readings import Meter, Reading, guarded, missing

CPU = ("cpu_ratio", "cpu_user_ratio", "cpu_system_ratio", "cpu_iowait_ratio")
MEMORY = ("memory_used_ratio", "memory_used_bytes", "memory_total_bytes")
SWAP = ("swap_used_ratio", "swap_used_bytes")
LOAD = ("load1", "load5", "load15")
SPACE = ("disk_used_ratio", "disk_free_bytes")
DISK = ("disk_busy_ratio", "disk_read_bytes_per_s", "disk_write_bytes_per_s")
NETWORK = ("net_received_bytes_per_s", "net_sent_bytes_per_s", "net_errors_total")

_IMAGES = frozenset({"squashfs", "iso9660", "erofs", "cramfs"})
"""File systems that are written once, and so always full."""

_NOT_DISKS = re.compile(r"(loop|ram|zram|dm-|md|sr|fd|nbd)\d")
_OWN_TRAFFIC = re.compile(r"lo\d*$")
_CONTAINER_ENDS = re.compile(r"veth")
"""A container's end of a cable is named anew at each start; its bridge shows the same bytes."""

_SYS_BLOCK = Path("/sys/block")


def read_cpu(meter: Meter) -> Iterable[Reading]:
    """Shares of all cores' time since the previous reading; stolen time counts as busy, as in psutil."""
    times = psutil.cpu_times()._asdict()
    # Linux counts the time of guests within user and nice too.
    own = {name: value for name, value in times.items() if name not in {"guest", "guest_nice"}}
    growth = meter.grow({"": own}).get("")
    if growth is None:
        return
    total = sum(growth.by.values())
    if total <= 0:
        return
    busy = [name for name in own if name not in {"idle", "iowait"}]
    kernel = [name for name in ("system", "irq", "softirq", "interrupt", "dpc") if name in own]
    yield growth.share("cpu_ratio", "", busy, total)
    yield growth.share("cpu_user_ratio", "", [name for name in ("user", "nice") if name in own], total)
    yield growth.share("cpu_system_ratio", "", kernel, total)
    yield growth.share("cpu_iowait_ratio", "", ["iowait"], total)


def read_memory() -> Iterable[Reading]:
    """Memory that is not available to programs, as `free` has it: caches are available."""
    memory = psutil.virtual_memory()
    used = memory.total - memory.available
    yield Reading("memory_used_ratio", used / memory.total)
    yield Reading("memory_used_bytes", used)
    yield Reading("memory_total_bytes", memory.total)


def read_swap() -> Iterable[Reading]:
    """Swap; where there is none its share is not measurable, not 0."""
    swap = psutil.swap_memory()
    ratio = swap.used / swap.total if swap.total else None
    yield Reading("swap_used_ratio", ratio) if ratio is not None else missing("swap_used_ratio")
    yield Reading("swap_used_bytes", swap.used)


def read_load() -> Iterable[Reading]:
    """The load averages of 1, 5 and 15 minutes."""
    for metric, value in zip(LOAD, psutil.getloadavg(), strict=True):
        yield Reading(metric, value)


def read_cores() -> Iterable[Reading]:
    """The cores this host's CPU ratio is shared among."""
    cores = psutil.cpu_count()
    yield Reading("cores", cores) if cores else missing("cores")


def read_space() -> Iterable[Reading]:
    """Space of each mounted file system, as `df` has it for ordinary users."""
    for mount in mounts():
        yield from guarded(SPACE, lambda mount=mount: _space_of(mount), clean_name(mount))  # type: ignore[misc]


def _space_of(mount: str) -> Iterable[Reading]:
    usage = psutil.disk_usage(mount)
    name, size = clean_name(mount), usage.used + usage.free
    yield Reading("disk_used_ratio", usage.used / size, name) if size else missing("disk_used_ratio", name)
    yield Reading("disk_free_bytes", usage.free, name)


def mounts() -> list[str]:
    """The root and every other file system on a device, each once, where it is mounted first."""
    try:
        found = psutil.disk_partitions(all=False)
    except (OSError, psutil.Error):
        # Without a list of mounts the root can still be measured.
        found = []
    by_device: dict[str, str] = {}
    for part in sorted(found, key=lambda part: (part.mountpoint != "/", len(part.mountpoint))):
        # Containers see files such as /etc/hosts as mounts of their host's disk.
        if part.fstype not in _IMAGES and Path(part.mountpoint).is_dir():
            by_device.setdefault(part.device, part.mountpoint)
    return sorted({"/", *by_device.values()})


def read_disks(meter: Meter) -> Iterable[Reading]:
    """Share of time with work in flight, and bytes moved, of each whole physical disk."""
    found: Any = psutil.disk_io_counters(perdisk=True, nowrap=False) or {}
    disks = {name: found[name]._asdict() for name in whole_disks(found)}
    if not disks:
        raise NotImplementedError("this platform shows no physical disk")
    for name, growth in meter.grow(disks).items():
        disk = clean_name(name)
        yield growth.share("disk_busy_ratio", disk, ["busy_time"], growth.seconds * 1000, most=1.0)
        yield growth.share("disk_read_bytes_per_s", disk, ["read_bytes"], growth.seconds)
        yield growth.share("disk_write_bytes_per_s", disk, ["write_bytes"], growth.seconds)


def whole_disks(names: Iterable[str]) -> list[str]:
    """Those of the block devices that are disks: no partitions, nothing stacked on or made of others."""
    candidates = [name for name in names if not _NOT_DISKS.match(name)]
    if _SYS_BLOCK.is_dir():
        return [name for name in candidates if (_SYS_BLOCK / name.replace("/", "!") / "device").exists()]
    return [
        name
        for name in candidates
        if not any(name != other and name.startswith(other) for other in candidates)
    ]


def read_network(meter: Meter) -> Iterable[Reading]:
    """Bytes each interface moved, and its errors and drops since the previous reading."""
    found = psutil.net_io_counters(pernic=True, nowrap=False) or {}
    interfaces = {
        name: counters._asdict()
        for name, counters in found.items()
        if not _OWN_TRAFFIC.match(name) and not _CONTAINER_ENDS.match(name)
    }
    for name, growth in meter.grow(interfaces).items():
        interface = clean_name(name)
        yield growth.share("net_received_bytes_per_s", interface, ["bytes_recv"], growth.seconds)
        yield growth.share("net_sent_bytes_per_s", interface, ["bytes_sent"], growth.seconds)
        yield growth.share("net_errors_total", interface, ["errin", "errout", "dropin", "dropout"], 1)
