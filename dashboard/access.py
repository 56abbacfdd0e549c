"""Who may start and stop load tests from these pages: the rules, free of Streamlit, and what they are fed.

Whoever sits at this machine may: the server listens on loopback alone, was asked by a loopback name, and no
header says that somebody handed the request on. Everybody else must be signed in (Streamlit's OIDC login, or
a header that a trusted proxy sets) and hold the launch role (`access.launch`). The warehouse checks again.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import streamlit as st
from streamlit import config

from dashboard import data
from warehouse.settings import AccessSettings

HANDED_ON = ("forwarded", "x-real-ip", "via")
"""Headers that a proxy adds, besides all of X-Forwarded-*."""

ANYONE = "*"
LONGEST_NAME = 200


@dataclass(frozen=True)
class Caller:
    """What is known of a browser's session. `peer` is the address it came from, `login` who signed in."""

    bind: str
    peer: str | None
    headers: Sequence[tuple[str, str]]
    login: str | None = None


@dataclass(frozen=True)
class Access:
    """Whether somebody may act, as whom, and where not, what to do. `person` is "" for the local one."""

    allowed: bool
    person: str = ""
    why: str = ""

    @property
    def is_local(self) -> bool:
        """Whether it is whoever sits at this machine, nobody having signed in."""
        return self.allowed and not self.person


def judge(caller: Caller, rules: AccessSettings) -> Access:
    """Whether this caller may act."""
    if caller.login:
        return _role(caller.login, rules)
    named = _values(caller, rules.proxy_header)
    if named:
        return _by_proxy(caller, rules, named)
    told = _handed_on(caller)
    if told is None and _is_loopback(caller.bind) and _is_local_host(caller):
        return Access(allowed=True)
    return Access(allowed=False, why=f"{_why_not_local(told)} {_how(rules)}")


def _role(person: str, rules: AccessSettings) -> Access:
    if ANYONE in rules.launch or person in rules.launch:
        return Access(allowed=True, person=person)
    return Access(
        allowed=False,
        person=person,
        why=f"You are signed in as {person}, who may neither launch load tests nor change anything. Whoever "
        "keeps the configuration can add you to `launch` in its `[access]` table.",
    )


def _by_proxy(caller: Caller, rules: AccessSettings, named: Sequence[str]) -> Access:
    if caller.peer is None or not any(_is_same(caller.peer, proxy) for proxy in rules.proxy_from):
        return Access(
            allowed=False,
            why=f"{rules.proxy_header} is only believed from the proxies in `access.proxy_from`, and this "
            "came from elsewhere.",
        )
    person = named[0].strip()
    if len(named) > 1 or not person or len(person) > LONGEST_NAME or not person.isprintable():
        return Access(allowed=False, why=f"The proxy must say one name in {rules.proxy_header}.")
    return _role(person, rules)


def _handed_on(caller: Caller) -> str | None:
    """The first header that says that a proxy stands between."""
    for name, _ in caller.headers:
        low = name.lower()
        if low in HANDED_ON or low.startswith("x-forwarded-"):
            return name
    return None


def _why_not_local(told: str | None) -> str:
    if told is not None:
        return f"This page came through a proxy (header {told}), and nobody is signed in."
    return "This page is not open on the machine that serves it, and nobody is signed in."


def _how(rules: AccessSettings) -> str:
    if rules.proxy_header:
        return f"Sign in at the proxy, which must say who you are in {rules.proxy_header}."
    return (
        "Sign in, or open the page on that machine by the name 127.0.0.1 or localhost; "
        "docs/loadtests.md tells how to set up a sign-in."
    )


def _values(caller: Caller, header: str) -> list[str]:
    return [value for name, value in caller.headers if header and name.lower() == header.lower()]


def _is_local_host(caller: Caller) -> bool:
    hosts = _values(caller, "host")
    if len(hosts) != 1:
        return False
    try:
        parts = urlsplit(f"//{hosts[0]}")
        return parts.netloc == hosts[0] and _is_loopback(parts.hostname or "")
    except ValueError:
        return False


def _is_loopback(name: str) -> bool:
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_same(peer: str, proxy: str) -> bool:
    """Whether a peer is a proxy, given as an address or a network."""
    try:
        return ipaddress.ip_address(peer) in ipaddress.ip_network(proxy, strict=False)
    except ValueError:
        return False


def caller() -> Caller:
    """This session's caller, as Streamlit knows it."""
    headers = st.context.headers
    return Caller(
        bind=str(config.get_option("server.address") or ""),
        peer=st.context.ip_address or "127.0.0.1",  # Streamlit says None of a loopback address
        headers=tuple((name, value) for name in headers for value in headers.get_all(name)),
        login=name_of(st.user.to_dict()),
    )


def name_of(claims: Mapping[str, object]) -> str | None:
    """Who signed in by Streamlit's login; None for nobody.

    By the address of mail the provider vouches for, else by its own identifier: other claims a person may
    choose freely, another's name too.
    """
    if not claims.get("is_logged_in"):
        return None
    mail = claims.get("email") if claims.get("email_verified") is not False else None
    return str(mail or claims.get("sub") or "") or None


def can_sign_in() -> bool:
    """Whether a login is configured and nobody has used it in this session."""
    return st.user.to_dict().get("is_logged_in") is False


def is_signed_in() -> bool:
    """Whether somebody signed in by Streamlit's login in this session."""
    return st.user.to_dict().get("is_logged_in") is True


def mine() -> Access:
    """Whether the reader of this page may act."""
    return judge(caller(), data.configuration().access)
