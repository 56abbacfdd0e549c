"""The address of a database server, read apart."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from collectors.trouble import TroubleError
from warehouse.errors import ConfigurationError
from warehouse.model import DatabaseCondition
from warehouse.settings import DatabaseSettings

KEYS = frozenset({"tls", "ca"})
"""What may follow the `?`: everything else could change how a connection behaves."""


@dataclass(frozen=True, repr=False)
class Address:
    """Where a server is and who asks. Holds a password: never shown, never told."""

    host: str
    port: int
    user: str
    password: str
    database: str
    context: ssl.SSLContext | None
    """How its certificate is checked; None where the address does not ask for TLS."""


def read_address(settings: DatabaseSettings, schemes: Mapping[str, bool], port: int, example: str) -> Address:
    """The address that the settings refer to; `schemes` says which of them always mean TLS.

    Raises TroubleError without a word of the address itself.
    """
    try:
        text = settings.url.reveal()
    except ConfigurationError as error:
        raise TroubleError(DatabaseCondition.ERROR, error.message) from None
    try:
        parts = urlsplit(text)
        asked = (
            {name: values[-1] for name, values in parse_qs(parts.query, strict_parsing=True).items()}
            if (parts.query)
            else {}
        )
        is_usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, asked, is_usable = urlsplit(""), {}, False
    if not is_usable or set(asked) - KEYS or asked.get("tls", "1") not in ("0", "1"):
        raise TroubleError(DatabaseCondition.ERROR, f"the address is not like {example}")
    has_tls = schemes[parts.scheme] or asked.get("tls") == "1" or "ca" in asked
    return Address(
        host=parts.hostname or "",
        port=parts.port or port,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=unquote(parts.path.lstrip("/")),
        context=_context(asked.get("ca")) if has_tls else None,
    )


def _context(ca: str | None) -> ssl.SSLContext:
    """Checks certificates against this file, or against whom the system trusts."""
    try:
        return ssl.create_default_context(cafile=None if ca is None else Path(ca))
    except OSError:
        raise TroubleError(
            DatabaseCondition.TLS, "the file that ca= names holds no certificates that can be read"
        ) from None
