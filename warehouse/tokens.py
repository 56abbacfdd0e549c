"""Bearer tokens: one 0600 file each, with scopes; a deleted file is a revoked token."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import threading
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from warehouse.errors import InvalidInputError, NotAllowedError, StorageError
from warehouse.lock import make_private

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class Scope(StrEnum):
    """What a token allows: sending samples of its sources, asking, acting, or running load tests."""

    INGEST = "ingest"
    READ = "read"
    ACT = "act"
    LOAD = "load"


class Token(BaseModel):
    """A token as its file tells it. `token` itself is there only for this machine's own processes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    scopes: tuple[Scope, ...]
    sources: tuple[str, ...] = ()
    sha256: str
    token: str | None = None


def add(token_dir: Path, name: str, scopes: Iterable[str], sources: Iterable[str] = ()) -> str:
    """Make a token, keep only its digest, and return it: it cannot be shown again.

    Raises InvalidInputError when the name is taken or not a plain word, or a scope is unknown.
    """
    if not NAME.fullmatch(name):
        raise InvalidInputError("expected letters, digits, _ or -", field="name")
    if _file(token_dir, name).exists():
        raise InvalidInputError(f"a token named {name} exists", field="name", hint="Revoke it first.")
    value = secrets.token_urlsafe(32)
    _write(token_dir, _token(name, scopes, sources, value, kept=False))
    return value


def ensure_local(token_dir: Path, name: str, scopes: Iterable[str], sources: Iterable[str] = ()) -> None:
    """Make or update the token one of this machine's own processes reads from its file."""
    held = _read(_file(token_dir, name)) if _file(token_dir, name).exists() else None
    value = held.token if held and held.token else secrets.token_urlsafe(32)
    wanted = _token(name, scopes, sources, value, kept=True)
    if wanted != held:
        _write(token_dir, wanted)


def list_tokens(token_dir: Path) -> list[Token]:
    """Every token there is, by name."""
    return [_read(file) for file in sorted(token_dir.glob("*.json"))]


def revoke(token_dir: Path, name: str) -> bool:
    """Delete a token; whether there was one."""
    if not NAME.fullmatch(name) or not _file(token_dir, name).exists():
        return False
    _file(token_dir, name).unlink()
    return True


class Keyring:
    """The tokens of a folder, read again whenever the folder changes."""

    def __init__(self, token_dir: Path) -> None:
        self._dir = token_dir
        self._lock = threading.Lock()
        self._stamp: object = None
        self._by_digest: dict[str, Token] = {}

    def check(self, value: str, *scopes: Scope) -> Token:
        """The token that `value` is. Raises NotAllowedError when it is unknown or has none of the scopes."""
        token = self.find(value)
        if token is None:
            raise NotAllowedError("the token is not known here", "It may have been revoked.", status=401)
        if not set(scopes) & set(token.scopes):
            wanted = " or ".join(scopes)
            raise NotAllowedError(
                f"the token {token.name} may not {wanted}", "Use a token with that scope.", status=403
            )
        return token

    def find(self, value: str) -> Token | None:
        """The token that `value` is; None when it is unknown."""
        return self._tokens().get(_digest(value))

    def _tokens(self) -> dict[str, Token]:
        with self._lock:
            stamp = tuple((entry.name, entry.stat().st_mtime_ns) for entry in os.scandir(self._dir))
            if stamp != self._stamp:
                self._by_digest = {token.sha256: token for token in list_tokens(self._dir)}
                self._stamp = stamp
            return self._by_digest


def _token(name: str, scopes: Iterable[str], sources: Iterable[str], value: str, *, kept: bool) -> Token:
    try:
        checked = tuple(Scope(scope) for scope in scopes)
    except ValueError as error:
        raise InvalidInputError(f"{error}; expected some of {', '.join(Scope)}", field="scopes") from None
    return Token(
        name=name,
        scopes=checked,
        sources=tuple(sources),
        sha256=_digest(value),
        token=value if kept else None,
    )


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def _file(token_dir: Path, name: str) -> Path:
    return token_dir / f"{name}.json"


def _read(file: Path) -> Token:
    try:
        return Token.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        raise StorageError(
            f"{file}: not a readable token file", "Delete it and add the token again."
        ) from None


def _write(token_dir: Path, token: Token) -> None:
    make_private(token_dir)
    file = _file(token_dir, token.name)
    draft = file.with_suffix(".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(token.model_dump(mode="json"), stream)
    draft.replace(file)
