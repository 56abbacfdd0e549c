"""Turns untrusted text (process names, mount points, paths) into names the records accept."""

from __future__ import annotations

import hashlib
import re

LONGEST = 200

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def clean_name(text: str) -> str:
    """The text without control characters and lone surrogates, at most 200 characters, never empty.

    What is cut off is told by a digest, so that two long names that differ stay different.
    """
    plain = _CONTROL.sub("?", text).encode("utf-8", "replace").decode("utf-8")
    if len(plain) <= LONGEST:
        return plain or "?"
    digest = hashlib.sha256(plain.encode("utf-8")).hexdigest()[:8]
    return f"{plain[: LONGEST - 9]}~{digest}"
