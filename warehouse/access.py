"""Who may launch, stop and change load tests: decided from the token and what came with it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from warehouse.errors import InvalidInputError, NotAllowedError
from warehouse.loads import AccessSettings
from warehouse.tokens import Scope, Token

DASHBOARD, CLI = "dashboard", "cli"
"""The tokens that may speak for a person."""

ANYONE = "*"
LOCAL = "local"
LONGEST_NAME = 200
HINT = "Sign in, or open the dashboard on the machine itself, by its loopback address and through no proxy."


@dataclass(frozen=True)
class Asker:
    """Who asks, by what the request said of it. `person` is None where nobody is named."""

    token: Token
    person: str | None = None
    is_local: bool = False

    @property
    def name(self) -> str:
        """Whom the audit log names."""
        if self.person is not None:
            return self.person
        return LOCAL if self.token.name == DASHBOARD and self.is_local else f"token {self.token.name}"


def asker(token: Token, person: str | None, local: str | None) -> Asker:
    """Who asks, by the headers X-Person (percent-encoded) and X-Local. Raises InvalidInputError."""
    if person is None:
        return Asker(token, None, local == "1")
    name = unquote(person, errors="replace").strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidInputError(
            f"expected a name of 1 to {LONGEST_NAME} printable characters", field="X-Person"
        )
    return Asker(token, name, local == "1")


def refuse_stranger(asks: Asker, access: AccessSettings, via: str = "") -> None:
    """Raises NotAllowedError unless this asker may launch and stop load tests, and change what is told.

    A load agent may launch what the configuration schedules, and nothing else.
    """
    token = asks.token.name
    if asks.person is not None and token not in (DASHBOARD, CLI):
        raise NotAllowedError(f"the token {token} may not speak for a person", status=403)
    if via == "schedule" and Scope.LOAD in asks.token.scopes:
        return
    if Scope.ACT not in asks.token.scopes:
        raise NotAllowedError(f"the token {token} may not act", "Use a token with the scope act.", status=403)
    if token != DASHBOARD:
        return
    if asks.person is None and not asks.is_local:
        raise NotAllowedError("nobody is signed in", HINT, status=403)
    if asks.person is not None and not {asks.person, ANYONE} & set(access.launch):
        raise NotAllowedError(
            f"{asks.person} may neither launch load tests nor change anything",
            "access.launch names who may.",
            status=403,
        )
