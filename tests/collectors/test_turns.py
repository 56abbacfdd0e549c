"""Short turns are asked of the kernel, and where it grants them they are in force."""

import ctypes
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from collectors import turns

ROOT = Path(__file__).parents[2]
READ = """
import ctypes
from collectors import turns
granted = turns.ask_for_short_turns()
told = ctypes.create_string_buffer(64)
ctypes.CDLL(None).syscall(turns._CALL_NUMBERS[{machine!r}] + 1, 0, told, 64, 0)
print(granted, turns._ATTRIBUTES.unpack(told.raw[: turns._ATTRIBUTES.size])[5])
"""


def test_what_is_granted_is_in_force() -> None:
    code = READ.format(machine=platform.machine())
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    granted, slice_ns = done.stdout.split()
    assert done.returncode == 0
    assert granted == "False" or int(slice_ns) in (0, turns.SLICE_NS)  # kernels before 6.12 keep no slice


def test_on_another_machine_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns.platform, "machine", lambda: "sparc")
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: pytest.fail("asked"))
    assert turns.ask_for_short_turns() is False
