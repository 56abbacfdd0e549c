"""Where a value stands in a JSON document: keys and numbers of items with dots (pure)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import StringConstraints

Pointer = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""As `data.items.0.id`."""


def find(document: Any, pointer: str) -> Any:
    """What stands at `a.0.b` in a JSON document. Raises KeyError."""
    for key in pointer.split("."):
        if isinstance(document, list) and key.isdecimal() and int(key) < len(document):
            document = document[int(key)]
        elif isinstance(document, dict) and key in document:
            document = document[key]
        else:
            raise KeyError(pointer)
    return document
