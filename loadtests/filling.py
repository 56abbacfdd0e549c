"""Puts values that a user extracted into paths, headers and bodies, as `{name}` (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

Values = Mapping[str, Any]


class MissingError(Exception):
    """A value that a request needs was not extracted; its text is the value's name."""


class Filler:
    """Knows the names a plan extracts; braces around anything else are left alone."""

    def __init__(self, names: Iterable[str]) -> None:
        known = "|".join(sorted(map(re.escape, names)))
        self._pattern = re.compile(rf"\{{({known})\}}") if known else None

    def needs(self, text: str) -> bool:
        """Whether the text holds a name to be filled in."""
        return self._pattern is not None and self._pattern.search(text) is not None

    def text(self, template: str, values: Values) -> str:
        """The text with its values. Raises MissingError."""
        return self._replace(template, values, _as_text)

    def path(self, template: str, values: Values) -> str:
        """The path with its values, each percent-encoded whole. Raises MissingError."""
        return self._replace(template, values, lambda value: quote(_as_text(value), safe=""))

    def json(self, template: Any, values: Values) -> Any:
        """JSON with its values; a text that is nothing but a name becomes the value itself, as a number."""
        match template:
            case str():
                whole = self._pattern.fullmatch(template) if self._pattern else None
                return _value(values, whole[1]) if whole else self.text(template, values)
            case dict():
                return {key: self.json(each, values) for key, each in template.items()}
            case list():
                return [self.json(each, values) for each in template]
        return template

    def _replace(self, template: str, values: Values, shown: Any) -> str:
        if self._pattern is None:
            return template
        return self._pattern.sub(lambda found: str(shown(_value(values, found[1]))), template)


def _value(values: Values, name: str) -> Any:
    if name not in values:
        raise MissingError(name)
    return values[name]


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
