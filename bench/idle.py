"""What an idle installation costs: CPU and memory of each process over ten minutes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from bench.report import Section
from bench.service import ROOT, free_port, scratch

SETTLE_S = 30.0
WATCH_S = float(os.environ.get("BENCH_IDLE_S", "600"))
READY_S = 120.0


def measure() -> Section:
    """Run `up` with the default configuration on free ports, no browser open, and read /proc."""
    with scratch() as folder:
        supervisor = subprocess.Popen(
            [sys.executable, str(ROOT / "perfhouse.py"), "--config", str(_config(folder)), "up"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(SETTLE_S)
            if supervisor.poll() is not None:
                raise RuntimeError(f"`up` ended with {supervisor.returncode}")
            before = _spent(supervisor.pid)
            began = time.monotonic()
            time.sleep(WATCH_S)
            after = _spent(supervisor.pid)
            watched = time.monotonic() - began
        finally:
            supervisor.send_signal(signal.SIGTERM)
            supervisor.wait(30)
    rows = []
    for name in sorted(after):
        cpu = (after[name][0] - before.get(name, (0.0, 0))[0]) / watched
        rows.append((name, f"{cpu * 100:.2f} %", f"{after[name][1] / 2**20:,.0f} MiB"))
    total = sum(float(row[1].split()[0]) for row in rows)
    memory = sum(value[1] for value in after.values()) / 2**20
    rows.append(("together", f"{total:.2f} %", f"{memory:,.0f} MiB"))
    return Section(
        "An idle installation",
        f"""`perfhouse.py up` with the default configuration (the demo target with its PostgreSQL, six
endpoints every 2 to 10 s, the host every 5 s), no page open, for {watched:.0f} s after {SETTLE_S:.0f} s to
settle. CPU is user and system time of the process and its children as a share of one core; memory is the
proportional set size (shared pages divided among their users) at the end.""",
        ("process", "CPU, of one core", "memory"),
        rows,
    )


def _config(folder: Path) -> Path:
    """The default configuration with other ports and its data below `folder`."""
    text = (ROOT / "perfhouse.toml").read_text(encoding="utf-8")
    demo = free_port()
    text = text.replace('data_dir = "data"', f'data_dir = "{folder / "data"}"')
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{demo}")
    text = text.replace("enabled = true", f"enabled = true\nport = {demo}", 1)
    text += f"\n[warehouse]\nport = {free_port()}\n[dashboard]\nport = {free_port()}\n"
    file = folder / "perfhouse.toml"
    file.write_text(text, encoding="utf-8")
    return file


def _spent(pid: int) -> dict[str, tuple[float, int]]:
    """CPU seconds and bytes of the supervisor, and of each part with its children."""
    parent = psutil.Process(pid)
    spent = {"up (supervisor)": _of(parent)}
    for child in parent.children():
        command = child.cmdline()
        name = "demo and its PostgreSQL" if "demo" in command else command[-1]
        if "streamlit" in " ".join(command):
            name = "dashboard"
        family = [_of(process) for process in (child, *child.children(recursive=True))]
        spent[name] = (sum(cpu for cpu, _ in family), sum(memory for _, memory in family))
    return spent


def _of(process: psutil.Process) -> tuple[float, int]:
    try:
        times = process.cpu_times()
        return (times.user + times.system, process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return (0.0, 0)
