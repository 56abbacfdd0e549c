"""A session with a database server that ends at its deadline, whatever answers there."""

from __future__ import annotations

import socket
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from collectors.address import Address
from collectors.backoff import Backoff
from collectors.cutoff import cut_off
from collectors.tcp import Dialer, PlainSocket, TlsSocket, TooMuchError, grip
from collectors.trouble import TroubleError
from warehouse.model import DatabaseCondition as Condition

_MEANINGS: tuple[tuple[type[Exception], Condition, str], ...] = (
    (ssl.SSLError, Condition.TLS, "the TLS handshake fails"),
    (TimeoutError, Condition.TIMEOUT, ""),
    (TooMuchError, Condition.ERROR, "the answer has no end"),
    (OSError, Condition.DOWN, "the connection broke"),
)


class BoundedSession(ABC):
    """One connection, opened when it is first needed and after it broke; used by one thread at a time."""

    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        self._backoff = Backoff()
        self._dialer = Dialer()
        self._grip: socket.socket | None = None
        self._until_s = 0.0

    @property
    def is_due(self) -> bool:
        """Whether there is a connection, or it is time to try for one."""
        return self.is_open or self._backoff.is_due

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that is not known to be broken."""
        return self._grip is not None

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """What is asked within ends at the deadline. Raises TroubleError; the connection is then closed."""
        self._until_s = time.monotonic() + self.deadline_s
        with cut_off(self.deadline_s, lambda: self._grip) as cutoff:
            try:
                self._open()
                yield
            except Exception as error:  # noqa: BLE001 - whatever a stranger's answer does to the client is a state
                self.close()
                late = TroubleError(Condition.TIMEOUT, self._late())
                trouble = late if cutoff.passed else self._explain(error)
                if trouble.condition is not Condition.STARTING:
                    self._backoff.failed()
                raise trouble from None
        self._backoff.succeeded()

    def close(self) -> None:
        """Give the connection back, without waiting for a goodbye."""
        held, self._grip = self._grip, None
        self._leave()
        if held is not None:
            held.close()

    def _open(self) -> None:
        """Have a connection that answers; one that broke since the last look is made anew."""
        if self.is_open:
            try:
                self._socket().received = 0
                self._greet()
            except Exception as error:
                if self._explain(error).condition is not Condition.DOWN:
                    raise
                self.close()
            else:
                return
        address = self._address()
        plain = self._dialer.dial(address.host, address.port, self._until_s)
        try:
            self._grip = grip(plain)
            plain.settimeout(self.deadline_s)
            self._join(plain, address)
        except BaseException:
            plain.close()
            raise
        self._greet()

    def _explain(self, error: Exception) -> TroubleError:
        """What an error means. None of its text is told: it may quote what was sent."""
        if isinstance(error, TroubleError):
            return error
        if isinstance(error, ssl.SSLCertVerificationError):
            return TroubleError(Condition.TLS, f"the certificate is refused: {error.verify_message}")
        for kind, condition, text in _MEANINGS:
            if isinstance(error, kind):
                return TroubleError(condition, text or self._late())
        return TroubleError(Condition.ERROR, f"the answer cannot be read ({type(error).__name__})")

    def _late(self) -> str:
        return f"no whole answer within {self.deadline_s:g} s"

    @staticmethod
    def _origin(error: Exception) -> Exception:
        """The socket's own error, where a client's stands for it."""
        seen: BaseException | None = error
        while seen is not None and not isinstance(seen, ssl.SSLError | TooMuchError):
            seen = seen.__context__
        return seen or error

    @abstractmethod
    def _address(self) -> Address:
        """Where the server is. Raises TroubleError."""

    @abstractmethod
    def _join(self, plain: PlainSocket, address: Address) -> None:
        """Sign in over a fresh connection."""

    @abstractmethod
    def _greet(self) -> None:
        """Ask something small."""

    @abstractmethod
    def _leave(self) -> None:
        """Close the client, if there is one. Raises nothing."""

    @abstractmethod
    def _socket(self) -> PlainSocket | TlsSocket:
        """What the client reads from."""
