"""Where a plan's requests go, and how its TLS is done."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

from warehouse.plan import Plan


class Site:
    """What all users of a process share of it."""

    def __init__(self, plan: Plan) -> None:
        parts = urlsplit(plan.url)
        self.prefix = parts.path.rstrip("/")
        self.host = parts.netloc
        self.name = parts.hostname or ""
        self.addresses = plan.addresses
        self.tls = _tls(plan) if parts.scheme == "https" else None


def _tls(plan: Plan) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=plan.ca_file)
    if not plan.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
