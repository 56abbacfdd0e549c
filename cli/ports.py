"""Which ports are taken already, and by whom."""

from __future__ import annotations

import socket

import psutil


def is_taken(host: str, port: int) -> bool:
    """Whether another program listens where we want to."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def owner_of(port: int) -> str:
    """Who listens on a port, as far as we may know."""
    try:
        pids = {
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid
        }
        owners = [f"process {pid} ({psutil.Process(pid).name()})" for pid in sorted(pids)]
    except (psutil.Error, OSError):
        owners = []
    return ", ".join(owners) or "another program"
