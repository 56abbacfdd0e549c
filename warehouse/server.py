"""The warehouse process: opens everything, listens, serves, and stops cleanly."""

from __future__ import annotations

import logging
import os
import socket

import uvicorn

from warehouse import allocator, logs
from warehouse.analysis.solving import solve_on_one_thread
from warehouse.api import create_app
from warehouse.errors import AlreadyRunningError
from warehouse.service import Warehouse
from warehouse.settings import Settings

log = logging.getLogger(__name__)

NICENESS = 10
"""How far the warehouse steps back for others: a heavy query must not bend what collectors measure."""


def run(settings: Settings) -> None:
    """Serve until told to stop. Raises AlreadyRunningError and the errors of Store."""
    allocator.keep_few_arenas()
    solve_on_one_thread()
    logs.set_up()
    os.nice(max(0, NICENESS - os.nice(0)))
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # turns that are skipped: see `schedule`
    warehouse = Warehouse(settings)
    try:
        listener = _listen(settings)
    except BaseException:
        warehouse.close()
        raise
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(warehouse),
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
    )
    log.info("serving %s from %s (pid %d)", settings.warehouse.url, settings.database_file, os.getpid())
    server.run(sockets=[listener])
    log.info("stopped")


def _listen(settings: Settings) -> socket.socket:
    address = (settings.warehouse.host, settings.warehouse.port)
    family = socket.AF_INET6 if ":" in settings.warehouse.host else socket.AF_INET
    listener = socket.socket(
        family, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )  # named, so that TCP_NODELAY is set
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise AlreadyRunningError(
            f"cannot listen on {address[0]}:{address[1]}: {error.strerror}",
            "Stop the program that uses this port, or set warehouse.port.",
        ) from None
    return listener
