"""What every test keeps to: no process is left behind, what a busy machine spoils is tried once more."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

GRACE_S = 3.0
OURS_FOR_LONG = ("resource_tracker", "forkserver")
"""Processes that Python's multiprocessing keeps for as long as the test run lasts."""

REAL = ("cli", "collectors", "dashboard", "demo", "e2e", "faults", "hostile", "loadtests", "warehouse")
"""Folders whose tests start processes, servers and browsers, and wait for them."""


LONG = ("e2e", "faults", "loadtests", "collectors", "demo")
"""Folders whose tests wait longest: begun first, they leave neither of two workers waiting at the end."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try a test of real processes a second time when it fails; the summary names it as rerun.

    A soak is judged by its first try. The tests that wait longest begin. Tests of a file share a worker, and
    so do all that drive a browser: two browsers at once are more than two cores bear.
    """
    items.sort(key=lambda item: LONG.index(_folder(item)) if _folder(item) in LONG else len(LONG))
    for item in items:
        group = "browser" if _folder(item) == "e2e" else str(item.path.relative_to(Path(__file__).parent))
        item.add_marker(pytest.mark.xdist_group(group))
        if _folder(item) in REAL and os.environ.get("PERFHOUSE_SOAK") != "1":
            item.add_marker(pytest.mark.flaky(reruns=1))


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).parts[0]


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
