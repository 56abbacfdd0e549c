"""A plan's requests made ready to be sent: secrets read, bodies built, once for all users of a process."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from loadtests.filling import Filler, Values
from loadtests.site import Site
from warehouse.errors import ConfigurationError
from warehouse.fields import Secret
from warehouse.plan import Plan, PlanRequest
from warehouse.scenarios import FileSettings

BOUNDARY = "perfhouse-3f1d0c5b7a9e42"
AGENT = "perfhouse-loadtest"
LINE = b"perfhouse load test 0123456789abcdefghijklmnopqrstuvwxyz ABCDEFG\n"


class Prepared:
    """One request of the plan. `is_fixed`: its bytes depend on nothing but the user's token."""

    def __init__(self, request: PlanRequest, site: Site, filler: Filler, plan: Plan) -> None:
        """Raises ConfigurationError when a secret or a file cannot be read."""
        self.request = request
        self._site = site
        self._filler = filler
        self._headers = _headers(request, site, plan)
        self._body = b"" if request.file is None else _form(request.file)
        texts = [request.path, request.body or "", json.dumps(request.json_body), *self._headers.values()]
        self.is_fixed = not any(filler.needs(text) for text in texts)

    def wire(self, values: Values, token: tuple[str, str] | None) -> bytes:
        """All bytes of the request. Raises MissingError for a value that is not there, or ValueError."""
        request = self.request
        path = self._filler.path(request.path, values)
        headers = {name: self._filler.text(value, values) for name, value in self._headers.items()}
        if token is not None:
            headers = {name: value for name, value in headers.items() if name.lower() != token[0].lower()}
            headers[token[0]] = token[1]
        target = f"{self._site.prefix}{path}"
        return request_bytes(request.method, target, headers.items(), self._body_bytes(values))

    def _body_bytes(self, values: Values) -> bytes:
        request = self.request
        if request.json_body is not None:
            document = self._filler.json(request.json_body, values)
            return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        if request.body is not None:
            return self._filler.text(request.body, values).encode()
        return self._body


def prepare(plan: Plan) -> tuple[Site, dict[int, Prepared]]:
    """Where the plan's requests go, and each of them ready, by its endpoint's number.

    Raises ConfigurationError naming every secret and file that cannot be read.
    """
    try:
        site = Site(plan)
    except OSError as error:
        raise ConfigurationError([f"{plan.ca_file}: expected certificates (PEM): {error.strerror}"]) from None
    filler = Filler({name for request in plan.endpoints for name in request.extract})
    prepared, problems = {}, []
    for request in plan.endpoints:
        try:
            prepared[request.endpoint] = Prepared(request, site, filler, plan)
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError(sorted(set(problems)))
    return site, prepared


def request_bytes(method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    """A request, with its Content-Length. Raises ValueError on control characters."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    if any(not line.isprintable() for line in lines):
        raise ValueError("expected headers and a path without control characters")
    return "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n" + body


def _headers(request: PlanRequest, site: Site, plan: Plan) -> dict[str, str]:
    given: Mapping[str, Any] = {**plan.headers, **request.headers}
    own = {"Host": site.host, "User-Agent": AGENT, "Accept": "*/*"}
    if request.json_body is not None:
        own["Content-Type"] = "application/json"
    elif request.body is not None:
        own["Content-Type"] = "text/plain; charset=utf-8"
    elif request.file is not None:
        own["Content-Type"] = f"multipart/form-data; boundary={BOUNDARY}"
    shown = {name: value.reveal() if isinstance(value, Secret) else value for name, value in given.items()}
    replaced = {name.lower() for name in shown}
    return {name: value for name, value in own.items() if name.lower() not in replaced} | shown


def _form(file: FileSettings) -> bytes:
    """A form with one file in it (RFC 7578)."""
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    name, field = (text.replace('"', "%22") for text in (file.name, file.field))
    head = (
        f"--{BOUNDARY}\r\n"
        f'Content-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
        f"Content-Type: {kind}\r\n\r\n"
    )
    return head.encode() + _content(file) + f"\r\n--{BOUNDARY}--\r\n".encode()


def _content(file: FileSettings) -> bytes:
    if file.path is None:
        size = file.bytes or 0
        return (LINE * (size // len(LINE) + 1))[:size]
    try:
        return Path(file.path).read_bytes()
    except OSError as error:
        raise ConfigurationError([f"{file.path}: expected a readable file, {error.strerror}"]) from None
