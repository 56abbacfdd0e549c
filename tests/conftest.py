"""What every test keeps to: no process is left behind, and what a busy machine spoils is tried once more."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's threads only spin beside what is so small

GRACE_S = 3.0
OURS_FOR_LONG = ("resource_tracker", "forkserver")
"""Processes that Python's multiprocessing keeps for as long as the test run lasts."""

TOLD_CHARACTERS = 4_000
"""How much of a failure is told at once, from its end; the summary tells it whole."""

REAL = ("cli", "collectors", "dashboard", "demo", "e2e", "faults", "hostile", "loadtests", "warehouse")
"""Folders whose tests start processes, servers and browsers, and wait for them."""


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Try a test of real processes a second time when it fails; the summary names it as rerun.

    A soak is judged by its first try.
    """
    if os.environ.get("PERFHOUSE_SOAK") == "1":
        return
    for item in items:
        if item.path.relative_to(Path(__file__).parent).parts[0] in REAL:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> Iterator[None]:
    """Tell a failed try at once: who ends a run early then still sees what failed in it."""
    yield
    if (report.failed or report.outcome == "rerun") and "PYTEST_XDIST_WORKER" not in os.environ:
        print(
            f"\n{report.outcome}: {report.nodeid} ({report.when})\n{report.longreprtext[-TOLD_CHARACTERS:]}",
            flush=True,
        )


@pytest.fixture(autouse=True)
def no_process_left() -> Iterator[None]:
    """Fail a test that leaves a child process of its own running, and end that process."""
    before = set(psutil.Process().children())
    yield
    left = [child for child in psutil.Process().children() if child not in before and not _may_stay(child)]
    _, alive = psutil.wait_procs(left, GRACE_S)
    told = [_tell(child) for child in alive]
    for child in alive:
        child.kill()
    assert not told, f"left running: {told}"


def _may_stay(child: psutil.Process) -> bool:
    try:
        return any(word in " ".join(child.cmdline()) for word in OURS_FOR_LONG)
    except psutil.NoSuchProcess:
        return True


def _tell(child: psutil.Process) -> str:
    try:
        return " ".join(child.cmdline())[:200]
    except psutil.NoSuchProcess:
        return f"process {child.pid}"
