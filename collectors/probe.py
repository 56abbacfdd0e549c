"""One probe of one endpoint: each attempt is one row, whatever the target does."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache, partial

import httpcore
import httpx
import orjson

from collectors.dialer import Dialer, Marks
from collectors.expect import asserts_body, judge
from collectors.failure import classify
from collectors.lag import LagTicker
from collectors.names import clean_name
from collectors.resolve import Resolver
from collectors.threads import in_thread
from collectors.versions import Versions, in_header, in_json
from warehouse import VERSION
from warehouse.errors import ConfigurationError
from warehouse.model import MAX_US, Attempt, Outcome, Version, now
from warehouse.settings import EndpointSettings, Secret, TargetSettings

log = logging.getLogger(__name__)

REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
"""Methods that may be sent again when a kept connection turns out to be closed (RFC 9110, 9.2.2)."""

DEFAULT_HEADERS = {
    "accept": "*/*",
    "accept-encoding": "identity",
    "user-agent": f"perfhouse/{VERSION} (probe)",
}


@dataclass
class _Answer:
    """What came back, as far as it came."""

    status: int | None = None
    headers: dict[bytes, bytes] = field(default_factory=dict)
    received: int | None = None
    body: bytearray = field(default_factory=bytearray)
    whole: bool = False


class Probe:
    """One endpoint of one target."""

    def __init__(
        self,
        target: TargetSettings,
        endpoint: EndpointSettings,
        tls: ssl.SSLContext,
        resolver: Resolver,
        ticker: LagTicker,
    ) -> None:
        """Raises ConfigurationError when a secret of its headers is not there."""
        self.version: str | None = None
        """What version the last answer told, if it did."""
        self.target = clean_name(target.name)
        self.endpoint = clean_name(endpoint.label)
        self._settings = endpoint
        self._version_header = target.version_header
        self._deadline_s = endpoint.deadline_s or target.deadline_s
        self._ticker = ticker
        self.turn = asyncio.Lock()
        """Held round an attempt where two could meet: the marks are of one attempt at a time."""
        self._headers, self._secrets = _split_headers(target.headers, endpoint.headers)
        self._request = _build(target, endpoint, self._headers)
        self._reveal()
        self._dialer = Dialer(resolver, self._deadline_s)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=None,
            max_keepalive_connections=0 if endpoint.connection == "fresh" else None,
            network_backend=self._dialer,
        )

    async def attempt(self) -> Attempt:
        """Make one request. Everything the target can do wrong ends as an outcome, not as an exception.

        Raises ConfigurationError when a secret has gone.
        """
        headers = [*self._request.headers.raw, *self._reveal()]
        marks = self._dialer.marks = Marks()
        answer = _Answer()
        at = now()
        with self._ticker.watch() as watch:
            try:
                async with asyncio.timeout(self._deadline_s) as deadline:
                    outcome = await self._ask(headers, answer)
            except Exception as error:  # noqa: BLE001 - every failure is a row with its class
                outcome = Outcome.TIMEOUT if deadline.expired() else classify(error, self._dialer.marks)
                if outcome is Outcome.ERROR:
                    # Only the kind: the text of some errors quotes headers.
                    log.warning("%s %s: %s", self.target, self.endpoint, type(error).__name__)
        marks = self._dialer.marks
        self.version = self._version(answer, outcome)
        return Attempt(
            at=at,
            target=self.target,
            endpoint=self.endpoint,
            outcome=outcome,
            status=answer.status,
            dns_us=_between(marks.lookup_began, marks.lookup_ended),
            connect_us=_between(marks.connect_began, marks.connected),
            tls_us=_between(marks.tls_began, marks.tls_ended),
            first_byte_us=_between(marks.sent, marks.first_byte),
            total_us=_total(marks) if answer.whole and outcome is not Outcome.TIMEOUT else None,
            bytes=answer.received,
            loop_lag_us=min(round(watch.worst_s * 1e6), MAX_US),
            deadline_us=round(self._deadline_s * 1e6),
        )

    async def aclose(self) -> None:
        """Close what is kept open."""
        await self._pool.aclose()

    async def _ask(self, headers: list[tuple[bytes, bytes]], answer: _Answer) -> Outcome:
        try:
            return await self._exchange(headers, answer)
        except (httpcore.RemoteProtocolError, httpcore.NetworkError, OSError) as error:
            marks = self._dialer.marks
            stale = marks.reused and marks.first_byte is None
            if not stale or self._settings.method not in REPEATABLE or isinstance(error, TimeoutError):
                raise
        # The server closed the kept connection while the request was on its way: no fault of the endpoint.
        self._dialer.marks = Marks()
        return await self._exchange(headers, answer)

    async def _exchange(self, headers: list[tuple[bytes, bytes]], answer: _Answer) -> Outcome:
        url = self._request.url
        keep_body = asserts_body(self._settings) or self._settings.version_json is not None
        async with self._pool.stream(
            self._request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=headers,
            content=self._request.content or None,
        ) as response:
            answer.status = response.status
            answer.headers = {name.lower(): value for name, value in response.headers}
            answer.received = 0
            async for part in response.aiter_stream():
                answer.received += len(part)
                if answer.received > self._settings.max_bytes:
                    return Outcome.TOO_LARGE
                if keep_body:
                    answer.body += part
                await self._dialer.breathe()
            answer.whole = True
        return judge(self._settings, answer.status, answer.headers, bytes(answer.body))

    def _version(self, answer: _Answer, outcome: Outcome) -> str | None:
        """The version that an answer tells: in a header whatever it answers, in a body that is right."""
        if not answer.whole:
            return None
        told = in_header(answer.headers, self._version_header)
        if told is None and outcome is Outcome.OK:
            told = in_json(bytes(answer.body), self._settings.version_json)
        return told

    def _reveal(self) -> list[tuple[bytes, bytes]]:
        """The secret headers, read anew: a token in a file may have been exchanged."""
        return [(name.encode(), secret.reveal().encode()) for name, secret in self._secrets.items()]


class Prober:
    """The probes of one target, each with a connection of its own, behind the places they share."""

    def __init__(self, target: TargetSettings, *, max_in_flight: asyncio.Semaphore | None) -> None:
        """`max_in_flight` holds the places, None sets no limit; waiting for one is no part of an attempt."""
        self._target = target
        self._places = nullcontext() if max_in_flight is None else max_in_flight
        self._tls: ssl.SSLContext | None = None
        self._resolver = Resolver()
        self._ticker = LagTicker()
        self._probes: dict[str, Probe] = {}
        self._versions = Versions(clean_name(target.name))
        self._changes: list[Version] = []

    async def __aenter__(self) -> Prober:
        """Read the certificates. Raises ConfigurationError when the `ca_file` cannot be used."""
        self._tls = await in_thread(partial(tls_context, self._target), "certificates")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close what is kept open."""
        for probe in self._probes.values():
            await probe.aclose()

    async def attempt(self, endpoint: EndpointSettings) -> Attempt:
        """One attempt, once there is a place. Raises ConfigurationError when a secret is not there."""
        assert self._tls is not None, "used outside its context"
        probe = self._probes.get(endpoint.label)
        if probe is None:
            probe = Probe(self._target, endpoint, self._tls, self._resolver, self._ticker)
            self._probes[endpoint.label] = probe
        async with probe.turn, self._places:
            attempt = await probe.attempt()
        self._changes += self._versions.see(probe.version, attempt.at)
        return attempt

    def take_versions(self) -> list[Version]:
        """The changes of the target's version since this was asked before."""
        changes, self._changes = self._changes, []
        return changes


def tls_context(target: TargetSettings) -> ssl.SSLContext:
    """How a target's certificate is checked: by the usual authorities, and its own `ca_file`.

    Raises ConfigurationError when the `ca_file` cannot be used.
    """
    if not target.verify_tls:
        return httpx.create_ssl_context(verify=False, trust_env=False)
    if target.ca_file is None:
        return _usual_authorities()
    context = _trust_usual()
    try:
        context.load_verify_locations(target.ca_file)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror or type(error).__name__
        raise ConfigurationError(
            [f"target {target.name}: ca_file: expected certificates in {target.ca_file}, {why}"]
        ) from None
    return context


@cache
def _usual_authorities() -> ssl.SSLContext:
    """One for all targets: it holds some hundred certificates."""
    return _trust_usual()


def _trust_usual() -> ssl.SSLContext:
    """Those of certifi, and those this machine trusts beside them."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


def _build(target: TargetSettings, endpoint: EndpointSettings, headers: Mapping[str, str]) -> httpx.Request:
    """The request without its secrets: httpx knows how addresses, hosts and lengths are written."""
    defaults = dict(DEFAULT_HEADERS)
    content = endpoint.body.encode() if endpoint.body is not None else None
    if endpoint.json_body is not None:
        content = orjson.dumps(endpoint.json_body)
        defaults["content-type"] = "application/json"
    request = httpx.Request(
        endpoint.method,
        target.url + endpoint.path,
        headers=[(name.encode(), value.encode()) for name, value in {**defaults, **headers}.items()],
        content=content,
    )
    request.read()
    return request


def _split_headers(
    *given: Mapping[str, str | Secret],
) -> tuple[dict[str, str], dict[str, Secret]]:
    """Plain and secret headers by lower-case name; the endpoint's win over the target's."""
    merged = {name.lower(): value for headers in given for name, value in headers.items()}
    return (
        {name: value for name, value in merged.items() if isinstance(value, str)},
        {name: value for name, value in merged.items() if isinstance(value, Secret)},
    )


def _between(began: int | None, ended: int | None) -> int | None:
    """Microseconds between two marks, if both were reached."""
    if began is None or ended is None:
        return None
    return min((ended - began) // 1000, MAX_US)


def _total(marks: Marks) -> int | None:
    """From connect (kept connection: from the first byte sent) to the last byte received."""
    return _between(marks.connect_began if marks.connect_began is not None else marks.sent, marks.last_byte)
