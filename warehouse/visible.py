"""Text from outside for terminals, logs and pages: what steers instead of showing is made visible."""

from __future__ import annotations

import re

_STEERS = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters: colours, titles and links of terminals, lines of logs
    "\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069"  # the order of reading, lines, what has no width
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"  # marks, half characters, hidden tags
)
_STEERS_BUT_LINES = re.compile(_STEERS.pattern.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"))


def visible(text: str, *, lines: bool = False) -> str:
    """The text with such characters as `\\x1b` or `\\u202e`; `lines` keeps line feeds."""
    return (_STEERS_BUT_LINES if lines else _STEERS).sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
