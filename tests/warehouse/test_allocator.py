"""malloc keeps few arenas, and gives free pages back: seen in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

COUNT = """
import ctypes, sys, threading
from warehouse import allocator
if sys.argv[1] == "few":
    allocator.keep_few_arenas()
library = ctypes.CDLL(None)
library.malloc.restype = library.fopen.restype = ctypes.c_void_p
together = threading.Barrier(12)
def allocate():
    together.wait()
    library.malloc(ctypes.c_size_t(1000))
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(12)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
told = ctypes.c_void_p(library.fopen(sys.argv[2].encode(), b"w"))
library.malloc_info(0, told)
library.fclose(told)
print(open(sys.argv[2]).read().count("<heap nr="))
"""

TRIM = """
import ctypes
from warehouse import allocator
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
blocks = [library.malloc(ctypes.c_size_t(3000)) for _ in range(20_000)]
for block in blocks:
    ctypes.memset(ctypes.c_void_p(block), 1, 3000)
for block in blocks[:-1]:
    library.free(ctypes.c_void_p(block))
before = resident()
allocator.give_back()
print(before - resident())
"""


def run(code: str, *arguments: str) -> int:
    command = [sys.executable, "-c", code, *arguments]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="arenas are glibc's")
def test_threads_share_two_arenas(tmp_path: Path) -> None:
    assert run(COUNT, "few", str(tmp_path / "few")) <= 2 < run(COUNT, "many", str(tmp_path / "many"))


@pytest.mark.skipif(sys.platform != "linux", reason="free pages are glibc's")
def test_free_pages_are_given_back() -> None:
    assert run(TRIM) > 40e6
