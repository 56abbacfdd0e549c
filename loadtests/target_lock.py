"""One run at a target: a lock on each of its addresses, which all processes of the run hold together."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from warehouse.errors import AlreadyRunningError

LOCKS = "locks"


def lock_file(runs_dir: Path, address: tuple[str, int]) -> Path:
    """Where the lock of an address stands."""
    host, port = address
    return runs_dir / LOCKS / f"{host}-{port}.lock"


@contextmanager
def locked(runs_dir: Path, addresses: Iterable[tuple[str, int]], run_id: str) -> Iterator[tuple[int, ...]]:
    """Hold the addresses; the descriptors are for the run's other processes, which then hold them too.

    Held by `flock`, and so until the last of these processes has ended, however it did. Raises
    AlreadyRunningError naming the run that holds one.
    """
    (runs_dir / LOCKS).mkdir(mode=0o700, parents=True, exist_ok=True)
    held: list[int] = []
    try:
        for address in sorted(set(addresses)):
            held += [_lock(lock_file(runs_dir, address), address, run_id)]
        yield tuple(held)
    finally:
        for descriptor in held:
            os.close(descriptor)


def is_held(file: Path) -> bool:
    """Whether some process holds this lock: something may still be attacking."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lock(file: Path, address: tuple[str, int], run_id: str) -> int:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 100, 0).decode(errors="replace").strip() or "another run"
        os.close(descriptor)
        raise AlreadyRunningError(f"{address[0]}:{address[1]} is under load from {owner}") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{run_id}\n".encode(), 0)
    return descriptor
