"""The one error tree: each error has a title for the screen and a hint what to do."""

from __future__ import annotations


class PerfhouseError(Exception):
    """Root of every error Perfhouse raises on purpose.

    `title` names the kind of trouble, `str(error)` says what happened here, `hint` says what to do.
    `exit_code` follows sysexits.h.
    """

    title = "Something went wrong"
    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigurationError(PerfhouseError):
    """The configuration cannot be used; `problems` holds every fault found, one line each."""

    title = "The configuration has problems"
    exit_code = 78

    def __init__(
        self, problems: list[str], hint: str = "Mend these and run `perfhouse check` again."
    ) -> None:
        super().__init__("\n".join(problems), hint)
        self.problems = problems


class AlreadyRunningError(PerfhouseError):
    """Another process holds the lock of this data directory."""

    title = "Already running"
    exit_code = 75


class NewerVersionError(PerfhouseError):
    """The warehouse file was written by a newer Perfhouse; it is left untouched."""

    title = "The warehouse is from a newer version"
    exit_code = 65


class DamagedBackupError(PerfhouseError):
    """A backup is not, or not wholly, what was written."""

    title = "The backup is damaged"
    exit_code = 65


class StorageError(PerfhouseError):
    """The warehouse file cannot be read or written."""

    title = "The warehouse cannot use its file"
    exit_code = 74


class StoppedError(StorageError):
    """Nothing is stored for now: the disk is nearly full or cannot be written. It goes on by itself."""

    title = "Storage is stopped"


class WarehouseAwayError(PerfhouseError):
    """No warehouse answers at the configured address."""

    title = "The warehouse is away"
    exit_code = 69


class RefusedError(PerfhouseError):
    """The warehouse answered, and refused: `status` is the HTTP status, `field` what it objects to."""

    title = "The warehouse refused"
    exit_code = 65
    is_audited = False
    """Whether the audit log tells of it already."""

    def __init__(self, message: str, hint: str = "", *, status: int = 400, field: str = "") -> None:
        super().__init__(message, hint)
        self.status = status
        self.field = field


class InvalidInputError(RefusedError):
    """Input that cannot be stored or asked; nothing of it was kept."""

    title = "Input refused"

    def __init__(self, message: str, *, field: str, hint: str = "", status: int = 422) -> None:
        super().__init__(message, hint, status=status, field=field)


class TooManyRowsError(RefusedError):
    """An answer would pass the row cap."""

    title = "The answer is too long"


class DeadlineError(RefusedError):
    """A question took longer than its deadline."""

    title = "The question took too long"


class BusyError(RefusedError):
    """As much of this kind runs already as may run at once."""

    title = "Others come first"


class NotAllowedError(RefusedError):
    """The token is missing, unknown, or lacks the scope."""

    title = "Not allowed"
