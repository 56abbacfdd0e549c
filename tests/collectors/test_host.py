"""A host's sample against truths had another way: files of /proc, statvfs, and a /proc of the test's own."""

import os
import re
import time
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from collectors import resources
from collectors.host import HostCollector
from collectors.readings import METRICS
from tests.collectors.ownproc import NET_HEAD, OwnProc
from warehouse import checks, wire
from warehouse.model import Batch, Outcome, Sample, now
from warehouse.settings import HostSettings

ROOT = Path(__file__).parents[2]
RATES = {
    *resources.CPU,
    *resources.DISK,
    *resources.NETWORK,
    "process_cpu_ratio",
}


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OwnProc:
    """An empty /proc, and a /sys in which sda is a disk."""
    own = OwnProc(tmp_path / "proc")
    own.root.mkdir()
    for disk in ("sda", "sr0", "loop0"):
        (tmp_path / "block" / disk / "device").mkdir(parents=True)
    (tmp_path / "block" / "dm-0").mkdir()
    monkeypatch.setattr(resources, "_SYS_BLOCK", tmp_path / "block")
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(own.root))
    return own


def collector(**settings: object) -> HostCollector:
    return HostCollector(HostSettings.model_validate({"name": "box", **settings}))


def by_metric(samples: list[Sample], thing: str = "") -> dict[str, Sample]:
    return {sample.metric: sample for sample in samples if sample.object == thing}


def meminfo() -> dict[str, int]:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}


def test_metrics_and_units_are_those_of_the_design() -> None:
    documented = {}
    for row in re.findall(r"^\| host.*?\| (.*) \|$", (ROOT / "docs/design.md").read_text(), re.MULTILINE):
        for names, unit in re.findall(r"((?:`\w+`,? ?)+)\((1|[\w/]+)", row):
            documented.update(dict.fromkeys(re.findall(r"`(\w+)`", names), unit))
        for name in re.findall(r"`(\w+)`", row):
            documented.setdefault(name, "bytes" if name.endswith("_bytes") else None)
    assert documented == {metric: unit for metric, (unit, _) in METRICS.items()}


def test_the_first_sample_invents_no_rate_and_the_second_has_them() -> None:
    host = collector()
    first = {sample.metric for sample in host.collect() if sample.outcome is Outcome.OK}
    assert first
    assert not first & RATES
    until = time.monotonic() + 20
    while time.monotonic() < until:
        time.sleep(0.05)
        second = {sample.metric for sample in host.collect() if sample.outcome is Outcome.OK}
        if "cpu_ratio" in second:
            break
    assert {"cpu_ratio", "cpu_user_ratio", "cpu_system_ratio", "process_cpu_ratio"} <= second
    assert first <= second


def test_the_warehouse_takes_a_whole_sample() -> None:
    host = collector(processes=("no such process",))
    host.collect()
    samples = host.collect()
    batch = Batch(batch_id="host-sample", source="local", samples=tuple(samples))
    batch_id, tables = wire.unpack_arrow(batch.batch_id, wire.pack(batch))
    checks.check(batch_id, "local", tables, now())
    assert {(sample.kind, sample.target) for sample in samples} == {("host", "box")}
    assert len({sample.at for sample in samples}) == 1
    series = [(sample.metric, sample.object) for sample in samples]
    assert len(series) == len(set(series))


def test_memory_is_what_the_kernel_says() -> None:
    before = meminfo()
    found = by_metric(collector().collect())
    after = meminfo()
    assert found["memory_total_bytes"].value == before["MemTotal"]
    used = found["memory_used_bytes"].value
    truths = [info["MemTotal"] - info["MemAvailable"] for info in (before, after)]
    # Other programs come and go while the three readings are made.
    assert min(truths) - 256e6 <= used <= max(truths) + 256e6
    assert found["memory_used_ratio"].value == pytest.approx(used / before["MemTotal"])
    assert found["swap_used_bytes"].value == pytest.approx(before["SwapTotal"] - before["SwapFree"], abs=64e6)


def test_without_swap_its_share_is_not_measurable(proc: OwnProc) -> None:
    (proc.root / "meminfo").write_text(
        "MemTotal: 4000 kB\nMemFree: 500 kB\nMemAvailable: 1000 kB\nBuffers: 0 kB\nCached: 0 kB\n"
        "Shmem: 0 kB\nActive: 0 kB\nInactive: 0 kB\nSlab: 0 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"
    )
    (proc.root / "vmstat").write_text("pswpin 0\npswpout 0\n")
    found = by_metric(collector().collect())
    assert found["memory_used_ratio"].value == 0.75
    assert found["memory_used_bytes"].value == 3000 * 1024
    assert found["swap_used_bytes"].value == 0
    assert found["swap_used_ratio"].value is None
    assert found["swap_used_ratio"].outcome is Outcome.NOT_MEASURABLE


def test_load_and_cores_are_what_the_kernel_says() -> None:
    before = Path("/proc/loadavg").read_text().split()[:3]
    found = by_metric(collector().collect())
    after = Path("/proc/loadavg").read_text().split()[:3]
    for metric, *truths in zip(("load1", "load5", "load15"), before, after, strict=True):
        assert any(found[metric].value == pytest.approx(float(truth), abs=0.006) for truth in truths)
    assert found["cores"].value == Path("/proc/cpuinfo").read_text().count("processor\t:")


def test_disk_space_is_what_statvfs_says() -> None:
    found = by_metric(collector().collect(), "/")
    truth = os.statvfs("/")
    free, used = truth.f_bavail * truth.f_frsize, (truth.f_blocks - truth.f_bfree) * truth.f_frsize
    assert found["disk_free_bytes"].value == pytest.approx(free, abs=2e9)
    assert found["disk_used_ratio"].value == pytest.approx(used / (used + free), abs=0.02)


def test_each_device_is_one_mount_and_only_directories_count(
    proc: OwnProc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, image = tmp_path / "data", tmp_path / "image"
    again, file = data / "mounted" / "again", tmp_path / "hosts"
    for folder in (data, image, again):
        folder.mkdir(parents=True)
    file.touch()
    (proc.root / "filesystems").write_text("nodev\tproc\n\text4\n\tsquashfs\n")
    (proc.root / "self").mkdir()
    (proc.root / "self" / "mounts").write_text(
        f"overlay / overlay rw 0 0\n/dev/sda1 {file} ext4 rw 0 0\n/dev/sda1 {again} ext4 rw 0 0\n"
        f"/dev/sda1 {data} ext4 rw 0 0\n/dev/loop0 {image} squashfs ro 0 0\nproc /proc proc rw 0 0\n"
    )
    assert resources.mounts() == ["/", str(data)]


def test_a_mount_that_went_away_fails_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    monkeypatch.setattr(resources, "mounts", lambda: ["/", gone])
    samples = collector().collect()
    assert by_metric(samples, "/")["disk_free_bytes"].outcome is Outcome.OK
    assert by_metric(samples, gone)["disk_free_bytes"].outcome is Outcome.NOT_MEASURABLE
    assert by_metric(samples, gone)["disk_used_ratio"].value is None


def test_cpu_shares_of_all_cores(proc: OwnProc) -> None:
    proc.cpu(user=1000, nice=10, system=500, idle=8000, iowait=100, irq=5, softirq=5, steal=7, guest=900)
    host = collector()
    host.collect()
    proc.cpu(user=1300, nice=20, system=580, idle=8500, iowait=200, irq=10, softirq=10, steal=7, guest=1100)
    found = by_metric(host.collect())
    # 1000 ticks went by; a guest's are among the user's.
    assert found["cpu_ratio"].value == pytest.approx(0.4)
    assert found["cpu_user_ratio"].value == pytest.approx(0.31)
    assert found["cpu_system_ratio"].value == pytest.approx(0.09)
    assert found["cpu_iowait_ratio"].value == pytest.approx(0.1)
    assert {found[metric].direction for metric in resources.CPU} == {"lower"}


def test_a_counter_that_goes_back_is_an_error_without_value(proc: OwnProc) -> None:
    proc.cpu(user=1000, idle=8000, iowait=100)
    proc.disks(sda=(1000, 1000, 1000))
    proc.network(eth0=(1000, 1000, 5, 5))
    host = collector()
    host.collect()
    proc.cpu(user=900, idle=9000, iowait=200)
    proc.disks(sda=(900, 1000, 1000))
    proc.network(eth0=(10, 2000, 5, 5))
    samples = host.collect()
    cpu, disk, network = by_metric(samples), by_metric(samples, "sda"), by_metric(samples, "eth0")
    for failed in (cpu["cpu_ratio"], cpu["cpu_user_ratio"], disk["disk_read_bytes_per_s"]):
        assert (failed.value, failed.outcome) == (None, Outcome.ERROR)
    assert network["net_received_bytes_per_s"].outcome is Outcome.ERROR
    assert network["net_sent_bytes_per_s"].outcome is Outcome.OK
    assert disk["disk_write_bytes_per_s"].value == 0


def test_disks_and_interfaces_have_rates_over_the_time_between(proc: OwnProc) -> None:
    names = {"sda1": (9, 9, 9), "loop0": (9, 9, 9), "dm-0": (9, 9, 9), "sr0": (9, 9, 9)}
    proc.disks(sda=(1000, 5000, 700), **names)
    proc.network(lo=(5, 5, 0, 0), eth0=(1000, 500, 2, 3), veth12ab=(1, 1, 0, 0))
    host = collector()
    earliest = time.monotonic()
    host.collect()
    latest = time.monotonic()
    time.sleep(0.5)
    proc.disks(sda=(3000, 13000, 900), **names)
    proc.network(lo=(9, 9, 0, 0), eth0=(51000, 20500, 4, 6), veth12ab=(9, 9, 0, 0), wlan0=(1, 1, 0, 0))
    shortest = time.monotonic() - latest
    samples = host.collect()
    longest = time.monotonic() - earliest
    disk, network = by_metric(samples, "sda"), by_metric(samples, "eth0")
    for sample, grown in (
        (disk["disk_read_bytes_per_s"], 2000 * 512),
        (disk["disk_write_bytes_per_s"], 8000 * 512),
        (disk["disk_busy_ratio"], 0.2),
        (network["net_received_bytes_per_s"], 50_000),
        (network["net_sent_bytes_per_s"], 20_000),
    ):
        assert grown / longest <= sample.value <= grown / shortest
    assert network["net_errors_total"].value == 5
    # wlan0 is new: it has no rate yet. What is no whole disk, or no way out, is not told at all.
    assert {sample.object for sample in samples if sample.metric in RATES} == {"", "sda", "eth0"}


def test_a_disk_is_never_busy_for_more_than_all_the_time(proc: OwnProc) -> None:
    proc.disks(sda=(0, 0, 0))
    host = collector()
    host.collect()
    proc.disks(sda=(0, 0, 3_600_000))
    assert by_metric(host.collect(), "sda")["disk_busy_ratio"].value == 1.0


def test_without_busy_time_that_alone_is_not_measurable(monkeypatch: pytest.MonkeyPatch) -> None:
    io = namedtuple("io", "read_bytes write_bytes")
    monkeypatch.setattr(resources, "whole_disks", list)
    monkeypatch.setattr(psutil, "disk_io_counters", lambda **_: {"disk0": io(5, 5)})
    host = collector()
    host.collect()
    found = by_metric(host.collect(), "disk0")
    assert (found["disk_busy_ratio"].value, found["disk_busy_ratio"].outcome) == (
        None,
        Outcome.NOT_MEASURABLE,
    )
    assert found["disk_read_bytes_per_s"].value == 0


def test_without_proc_every_part_says_that_it_cannot_be_measured(proc: OwnProc) -> None:
    proc.root.rmdir()
    host = collector()
    host.collect()
    samples = host.collect()
    silent = by_metric(samples)
    for metric in (*resources.CPU, *resources.MEMORY, *resources.NETWORK, "process_memory_bytes"):
        assert (silent[metric].value, silent[metric].outcome) == (None, Outcome.NOT_MEASURABLE)
    assert by_metric(samples, "/")["disk_free_bytes"].outcome is Outcome.OK


def test_what_cannot_be_understood_is_an_error_of_its_part_alone(proc: OwnProc) -> None:
    proc.disks(sda=(0, 0, 0))
    (proc.root / "meminfo").write_text("MemTotal: a lot\n")
    (proc.root / "net").mkdir()
    (proc.root / "net/dev").write_text(NET_HEAD + "eth0: 1 2\n")
    host = collector()
    host.collect()
    samples = host.collect()
    found = by_metric(samples)
    assert found["memory_used_ratio"].outcome is Outcome.ERROR
    assert found["net_sent_bytes_per_s"].outcome is Outcome.ERROR
    assert by_metric(samples, "sda")["disk_busy_ratio"].value == 0


@pytest.mark.parametrize(
    ("present", "whole"),
    [
        (["sda", "sda1", "sda2", "sdb"], ["sda", "sdb"]),
        (["disk0", "loop1", "ram0", "zram0", "dm-1", "md0"], ["disk0"]),
    ],
)
def test_whole_disks_by_name_where_there_is_no_sys(
    present: list[str], whole: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(resources, "_SYS_BLOCK", tmp_path / "none")
    assert resources.whole_disks(present) == whole
