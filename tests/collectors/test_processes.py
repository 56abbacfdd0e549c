"""What processes use, by name: real processes with names of the test's choosing, and a /proc of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from collectors import processes
from collectors.host import HostCollector
from warehouse.model import Outcome, Sample
from warehouse.settings import HostSettings

Start = Callable[..., "subprocess.Popen[bytes]"]
BURN = ("-c", "while :; do :; done")
MEGABYTE = 1_000_000


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a program under a name of the test's choosing; all are ended with the test."""
    running = []

    def start(name: str, *arguments: str, program: str = "/bin/sh") -> "subprocess.Popen[bytes]":
        link = tmp_path / name
        if not link.exists():
            link.symlink_to(Path(program).resolve())
        # The command line begins with the program's path, as it does for most programs.
        process = subprocess.Popen([link, *arguments], stdout=subprocess.PIPE)
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate(timeout=10)


def collector(*watched: str, top: int = 0) -> HostCollector:
    return HostCollector(HostSettings(processes=watched, top=top))


def of(samples: list[Sample], name: str) -> dict[str, Sample]:
    return {
        sample.metric: sample
        for sample in samples
        if sample.object == name and sample.metric.startswith("process_")
    }


def cpu_seconds(*running: "subprocess.Popen[bytes]") -> float:
    times = [psutil.Process(process.pid).cpu_times() for process in running]
    return sum(spent.user + spent.system for spent in times)


def test_processes_of_one_name_are_summed(start: Start) -> None:
    burners = [start("ph-burner", *BURN) for _ in range(2)]
    host = collector("ph-burner")
    least = cpu_seconds(*burners)
    earliest = time.monotonic()
    host.collect()
    most, latest = cpu_seconds(*burners), time.monotonic()
    time.sleep(1)
    least, shortest = cpu_seconds(*burners) - most, time.monotonic() - latest
    found = of(host.collect(), "ph-burner")
    used, longest = cpu_seconds(*burners), time.monotonic() - earliest
    assert found["process_count"].value == 2
    # Within the clock tick by which the kernel counts, once per process and reading.
    assert (least - 0.04) / longest <= found["process_cpu_ratio"].value <= (used + 0.04) / shortest
    assert found["process_cpu_ratio"].value > 0
    assert found["process_cpu_ratio"].direction == "lower"


def test_the_hungriest_by_cpu_and_by_memory_are_told(start: Start) -> None:
    hold = "import time; held = bytearray(600_000_000); print(flush=True); time.sleep(60)"
    hog = start("ph-hog", "-c", hold, program=sys.executable)
    assert hog.stdout is not None
    assert hog.stdout.readline()
    burner = start("ph-burner", *BURN)
    host = collector(top=20)
    host.collect()
    time.sleep(1)
    samples = host.collect()
    assert of(samples, "ph-burner")["process_cpu_ratio"].value > 0
    resident = psutil.Process(hog.pid).memory_info().rss
    assert resident > 600 * MEGABYTE
    assert of(samples, "ph-hog")["process_memory_bytes"].value == pytest.approx(resident, abs=8 * MEGABYTE)
    assert burner.poll() is None


def test_a_watched_process_that_is_not_there_counts_zero_and_uses_nothing(start: Start) -> None:
    running = start("ph-comes-goes", *BURN)
    host = collector("ph-comes-goes")
    assert of(host.collect(), "ph-comes-goes")["process_count"].value == 1
    running.kill()
    running.wait(10)
    found = of(host.collect(), "ph-comes-goes")
    assert {metric: sample.value for metric, sample in found.items()} == {"process_count": 0}


def test_a_zombie_is_not_there(start: Start) -> None:
    running = start("ph-zombie", *BURN)
    os.kill(running.pid, signal.SIGKILL)
    os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(running.pid).status() == psutil.STATUS_ZOMBIE
    assert of(collector("ph-zombie").collect(), "ph-zombie")["process_count"].value == 0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ph) R 1 (x", "ph) R 1 (x"),
        ("ph\n\x1b[31m\x7f", "ph??[31m?"),
        ("ph-a-name-longer-than-the-kernel-keeps", "ph-a-name-longer-than-the-kernel-keeps"),
        ("ph-größer", "ph-größer"),
        ("ph-" + "n" * 230, None),
    ],
)
def test_names_are_whole_and_harmless(start: Start, name: str, told: str | None) -> None:
    start(name, *BURN)
    host = collector(top=20)
    host.collect()
    until = time.monotonic() + 20
    found: set[str] = set()
    while not found and time.monotonic() < until:
        time.sleep(0.2)
        used = {sample.object for sample in host.collect() if sample.metric == "process_cpu_ratio"}
        found = {text for text in used if text.startswith("ph")}
    if told is not None:
        assert found == {told}
    else:
        (long,) = found
        assert len(long) == 200


def write_stat(
    root: Path, pid: int, name: str, *, cpu: int, started: int, pages: int = 10, flags: int = 0
) -> None:
    folder = root / str(pid)
    folder.mkdir(exist_ok=True)
    fields = ["S", 1, 1, 1, 0, -1, flags, 0, 0, 0, 0, cpu, 0, 0, 0, 20, 0, 1, 0, started, 1000, pages]
    (folder / "statm").write_text(f"1000 {pages} 0 0 0 0 0\n")
    (folder / "stat").write_text(f"{pid} ({name}) {' '.join(map(str, fields))} 0 0 0\n")


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "proc"
    root.mkdir()
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(root))
    return root


def boot_ticks() -> int:
    return int(float(Path("/proc/uptime").read_text().split()[0]) * os.sysconf("SC_CLK_TCK"))


def test_only_the_top_and_the_watched_are_told(proc: Path) -> None:
    names = {"idle": (0, 1), "busy": (90, 2), "busier": (100, 3), "big": (0, 5000), "watched": (1, 1)}
    for pid, name in enumerate(names):
        write_stat(proc, pid, name, cpu=0, started=100, pages=names[name][1])
    host = collector("watched", top=1)
    first = {sample.object for sample in host.collect() if sample.metric == "process_count"}
    assert first == {"big", "watched"}
    for pid, name in enumerate(names):
        write_stat(proc, pid, name, cpu=names[name][0], started=100, pages=names[name][1])
    second = {sample.object for sample in host.collect() if sample.metric == "process_count"}
    assert second == {"big", "busier", "watched"}


def test_a_reused_pid_is_another_process(proc: Path) -> None:
    write_stat(proc, 7, "app", cpu=90_000, started=100)
    host = collector("app")
    host.collect()
    time.sleep(0.2)
    write_stat(proc, 7, "app", cpu=10, started=boot_ticks() + 5)
    found = of(host.collect(), "app")
    # All that the new one used, it used since: more than nothing, and far from 90,000 ticks.
    assert found["process_cpu_ratio"].outcome is Outcome.OK
    assert 0 < found["process_cpu_ratio"].value <= 0.1 / 0.2


def test_a_process_that_was_hidden_brings_no_cpu_of_before(proc: Path) -> None:
    host = collector("app")
    host.collect()
    write_stat(proc, 7, "app", cpu=90_000, started=100)
    found = of(host.collect(), "app")
    assert (found["process_count"].value, found["process_cpu_ratio"].value) == (1, 0)


def test_cpu_that_goes_back_is_an_error(proc: Path) -> None:
    write_stat(proc, 7, "app", cpu=500, started=100)
    host = collector("app")
    host.collect()
    write_stat(proc, 7, "app", cpu=400, started=100)
    found = of(host.collect(), "app")
    assert (found["process_cpu_ratio"].value, found["process_cpu_ratio"].outcome) == (None, Outcome.ERROR)
    assert found["process_memory_bytes"].value == 10 * os.sysconf("SC_PAGE_SIZE")


def test_kernel_threads_go_by_their_kind(proc: Path) -> None:
    for pid, name in enumerate(("kworker/0:1-events", "kworker/1:0H-kblockd", "kworker/u4:2"), 10):
        write_stat(proc, pid, name, cpu=1, started=1, pages=0, flags=0x00208040)
    write_stat(proc, 20, "slash/app", cpu=1, started=1)
    samples = collector(top=20).collect()
    counts = {sample.object: sample.value for sample in samples if sample.metric == "process_count"}
    assert counts == {"kworker": 3, "slash/app": 1}


def test_psutil_and_proc_tell_the_same(start: Start) -> None:
    running = [
        start(name, "-c", f"echo; {BURN[1]}") for name in ("ph-a-name-that-the-kernel-cuts", "ph-short")
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
    pids = {process.pid for process in running}

    def chosen(found: Iterator[processes.Process]) -> list[processes.Process]:
        return sorted((process for process in found if process.key[0] in pids), key=lambda found: found.name)

    ours, theirs = chosen(processes.read_proc({})), chosen(processes.read_portable())
    assert [process.name for process in ours] == ["ph-a-name-that-the-kernel-cuts", "ph-short"]
    assert [process.name for process in theirs] == [process.name for process in ours]
    for own, other in zip(ours, theirs, strict=True):
        assert own.cpu_s == pytest.approx(other.cpu_s, abs=0.05)
        assert own.started_s == pytest.approx(other.started_s, abs=2)
        assert own.memory_bytes == pytest.approx(other.memory_bytes, abs=8 * MEGABYTE)
