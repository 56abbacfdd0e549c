"""Light children for the supervisor, and waiting with a bound."""

import sys
import textwrap
import time
from collections.abc import Callable

SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"
TALKATIVE = f"""
import signal, sys
def stop(*_):
    try:
        print("Stopping...", flush=True)
    except OSError:
        return
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
{SLEEPER}
"""
PARENT = """
    import subprocess, sys, time
    print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, flush=True)
    time.sleep(60)
"""


def python(code: str, *arguments: str) -> list[str]:
    """A command that runs `code`."""
    return [sys.executable, "-c", textwrap.dedent(code), *arguments]


def wait_for(what: Callable[[], bool], seconds: float = 20, *, told: Callable[[], str] = str) -> None:
    """Wait until it is so; fail with what `told` says when it does not come to pass."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if what():
            return
        time.sleep(0.02)
    raise AssertionError(f"it did not come to pass within {seconds} s: {told()}")
