"""Why an attempt failed: an exception and how far the attempt had come -> its outcome."""

from __future__ import annotations

import errno
import socket
import ssl

import anyio
import h11
import httpcore

from collectors.dialer import Marks
from warehouse.model import Outcome

_OWN_FAULTS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}
"""This process ran out of something: not the target's doing."""

_HUNG_UP = ("Server disconnected", "peer closed connection")
"""How httpcore and h11 begin to tell of an answer that was cut off, or never began."""

_HEAD_TOO_LARGE = 431


def classify(error: BaseException, marks: Marks) -> Outcome:
    """The outcome of an attempt that ended with `error`. What is not understood is `error`, never hidden."""
    outcome = Outcome.ERROR
    if isinstance(error, socket.gaierror):
        outcome = Outcome.DNS
    elif marks.encrypting or isinstance(error, ssl.SSLError):
        outcome = Outcome.TLS
    elif isinstance(error, httpcore.RemoteProtocolError):
        outcome = _classify_answer(error)
    elif isinstance(error, ConnectionRefusedError):
        outcome = Outcome.REFUSED
    elif isinstance(error, ConnectionError | httpcore.NetworkError | anyio.BrokenResourceError):
        outcome = Outcome.RESET
    elif isinstance(error, OSError) and error.errno not in _OWN_FAULTS:
        outcome = Outcome.RESET if marks.sent is not None else Outcome.UNREACHABLE
    return outcome


def _classify_answer(error: httpcore.RemoteProtocolError) -> Outcome:
    told = error.args[0] if error.args else None
    if isinstance(told, h11.RemoteProtocolError) and told.error_status_hint == _HEAD_TOO_LARGE:
        return Outcome.TOO_LARGE
    if str(error).startswith(_HUNG_UP):
        return Outcome.RESET
    return Outcome.PROTOCOL
