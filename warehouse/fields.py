"""The kinds of values a configuration holds, each with its checks: paths, ports, addresses, secrets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    model_validator,
)

from warehouse.errors import ConfigurationError

SECRET_WORDS = ("authorization", "cookie", "token", "secret", "password", "api-key", "api_key", "apikey")
"""A header whose name holds one of these holds a secret."""


class Section(BaseModel):
    """Base of every table in the configuration: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


def _in_folder(path: Path, info: ValidationInfo) -> Path:
    if "\0" in str(path):
        raise ValueError("expected a path without NUL")
    folder = (info.context or {}).get("folder")
    return path if folder is None else Path(os.path.abspath(folder / path))  # noqa: PTH100 - follows no links


def is_thorough(info: ValidationInfo) -> bool:
    """Whether this validation also looks at what the keys refer to: secrets and files."""
    return bool((info.context or {}).get("thorough"))


def refuse_repeats(names: Iterable[str]) -> None:
    """Raise ValueError when a name is there more than once."""
    listed = list(names)
    repeated = sorted({name for name in listed if listed.count(name) > 1})
    if repeated:
        raise ValueError(f"expected each name once, given more than once: {', '.join(repeated)}")


def plain_address(url: str) -> str:
    """An http or https address without user, password, query and fragment. Raises ValueError."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, usable = urlsplit(""), False
    if "@" in url:
        raise ValueError('expected an address without user and password; secrets go as { env = "NAME" }')
    if not usable or not url.isprintable() or " " in url:
        raise ValueError("expected an address such as https://api.example.com")
    if "?" in url or "#" in url:
        raise ValueError("expected an address without ? and #")
    return url.rstrip("/")


Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Url = Annotated[str, AfterValidator(plain_address)]
ConfigPath = Annotated[Path, AfterValidator(_in_folder)]
"""Relative paths are taken from the configuration file's own folder."""


class Secret(Section):
    """A reference to a secret: the name of an environment variable, or of a file. Never the secret."""

    env: str | None = None
    file: ConfigPath | None = None

    @model_validator(mode="after")
    def _one_of(self, info: ValidationInfo) -> Secret:
        if (self.env is None) == (self.file is None):
            raise ValueError('expected either { env = "NAME" } or { file = "path" }')
        if is_thorough(info):
            try:
                self.reveal()
            except ConfigurationError as error:
                raise ValueError(error.message) from None
        return self

    def reveal(self) -> str:
        """The secret itself, read now. Raises ConfigurationError when it is not there."""
        where = f"environment variable {self.env}" if self.file is None else str(self.file)
        try:
            secret = os.environ.get(self.env or "", "") if self.file is None else self.file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise ConfigurationError([f"{where}: expected a readable file with a secret, {why}"]) from None
        secret = secret.strip()
        if not secret:
            raise ConfigurationError([f"{where}: expected a secret, given nothing"])
        if not secret.isprintable():
            raise ConfigurationError([f"{where}: expected a secret of one line"])
        return secret


def _kind_of_header(value: object) -> str:
    return "a secret" if isinstance(value, dict | Secret) else "a text"


def _refuse_literal_secrets(headers: Mapping[str, str | Secret]) -> Mapping[str, str | Secret]:
    for name, value in headers.items():
        if isinstance(value, str) and any(word in name.lower() for word in SECRET_WORDS):
            raise ValueError(f'{name} holds a secret: expected {{ env = "NAME" }} or {{ file = "path" }}')
    return headers


Header = Annotated[
    Annotated[str, Tag("a text")] | Annotated[Secret, Tag("a secret")], Discriminator(_kind_of_header)
]
Headers = Annotated[Mapping[str, Header], AfterValidator(_refuse_literal_secrets)]
"""Header names and values; a value is plain text or refers to a secret."""

HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", max_length=100)]
"""A header's name: a token (RFC 9110, 5.6.2)."""


def _table_or_list(value: object) -> object:
    if not isinstance(value, dict | list):
        raise ValueError("expected a table or a list")  # noqa: TRY004 - pydantic reports ValueError
    return value


JsonBody = Annotated[dict[str, Any] | list[Any], BeforeValidator(_table_or_list)]
"""A body that is sent as JSON."""
