"""What stops the demo from starting, in one line with what to do about it."""

from __future__ import annotations

EX_UNAVAILABLE = 69
EX_TEMPFAIL = 75


class DemoError(Exception):
    """The demo cannot start; `hint` says what to do, `exit_code` follows sysexits.h."""

    exit_code = EX_UNAVAILABLE

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}. {hint}")
        self.message = message
        self.hint = hint


class AlreadyRunningError(DemoError):
    """Another demo uses the same data directory."""

    exit_code = EX_TEMPFAIL
