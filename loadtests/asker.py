"""One user's requests: each is sent once, judged, and recorded exactly once, whatever happens to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from loadtests.cap import Cap
from loadtests.checks import judge
from loadtests.filling import MissingError
from loadtests.prepared import Prepared
from loadtests.sender import Answer, CutOffError, Sender
from loadtests.site import Site
from loadtests.spool import Spool
from warehouse.model import Outcome
from warehouse.plan import PlanRequest, PlanToken

CUT_OFF = "still open when the run ended"


class Asker:
    """Sends a user's requests over connections of its own, with what it extracted and its token.

    `values` starts with what the setup extracted.
    """

    def __init__(
        self, site: Site, spool: Spool, cap: Cap | None, user: int, values: Mapping[str, Any]
    ) -> None:
        self._site = site
        self._spool = spool
        self._cap = cap
        self._user = user
        self._sender = Sender(site)
        self._token: tuple[str, str] | None = None
        self._wires: dict[int, bytes] = {}
        self.values = dict(values)

    def close(self) -> None:
        """End this user's connections."""
        self._sender.close()

    def obtain_token(self, token: PlanToken, prepared: Prepared) -> bool:
        """Ask for the token that every later request carries; whether there is one now."""
        key = f"\0{token.pointer}"
        request = token.request.model_copy(update={"extract": {key: token.pointer}})
        outcome, _ = self._ask(prepared.wire(self.values, None), request, None)
        if outcome is not Outcome.OK:
            return False
        self._token = (token.header, f"{token.prefix}{self.values.pop(key)}")
        self._wires.clear()
        return True

    def ask(self, prepared: Prepared, intended_ns: int | None = None) -> tuple[Outcome, str] | None:
        """Send a request and record it; its outcome and why. None when it could not be made nor sent.

        `intended_ns` is when it was due (`time.monotonic_ns`); None: now. What the cap holds it back is no
        part of its wait: the target has nothing to do with it.
        """
        endpoint = prepared.request.endpoint
        wire = self._wires.get(endpoint)
        if wire is None:
            try:
                wire = prepared.wire(self.values, self._token)
            except MissingError as missing:
                self._spool.error(endpoint, f"not sent: {missing} was not extracted")
                return None
            except ValueError as error:
                self._spool.error(endpoint, f"not sent: {error}")
                return None
            if prepared.is_fixed:
                self._wires[endpoint] = wire
        return self._ask(wire, prepared.request, intended_ns)

    def _ask(self, wire: bytes, request: PlanRequest, intended_ns: int | None) -> tuple[Outcome, str]:
        held_ns = 0 if self._cap is None else self._cap.pass_through()
        if intended_ns is not None:
            intended_ns += held_ns
        start_ns = time.monotonic_ns()
        try:
            answer = self._sender.send(wire, request.method, request.deadline_s)
        except CutOffError as cut:
            answer = Answer(Outcome.NOT_MEASURABLE, text=CUT_OFF)
            self._record(request, answer, intended_ns, start_ns, time.monotonic_ns())
            raise cut.by from None
        end_ns = time.monotonic_ns()
        outcome, text, extracted = judge(request, answer, self._site.host)
        self.values |= extracted
        answer = answer._replace(outcome=outcome, text=text)
        self._record(request, answer, intended_ns, start_ns, end_ns)
        return outcome, text

    def _record(
        self, request: PlanRequest, answer: Answer, intended_ns: int | None, start_ns: int, end_ns: int
    ) -> None:
        self._spool.request(
            request.endpoint,
            request.part,
            self._user,
            start_ns if intended_ns is None else intended_ns,
            start_ns,
            end_ns,
            answer.outcome,
            answer.status,
            len(answer.body),
            answer.text,
        )
