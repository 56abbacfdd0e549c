"""Which version a target tells with its answers, and when that is a change."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from datetime import datetime, timedelta

import orjson

from warehouse.model import LONGEST_VERSION, Version
from warehouse.pointer import find

log = logging.getLogger(__name__)

SETTLED = timedelta(minutes=5)
"""So long the present version must have stayed away until an older one that answers is a roll back."""

MOST_NEW = 20
WITHIN = timedelta(hours=1)
"""More new versions within this time are no versions (a request's number, an instant) and are not told."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Versions:
    """The versions of one target, over all its endpoints.

    While a deploy rolls over several instances old and new answers alternate: that is one change. A version
    that was there before is one again only when no other has answered for `SETTLED`.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._present = ""
        self._seen: dict[str, datetime] = {}
        self._new: list[datetime] = []
        self._is_told_off = False

    def see(self, version: str | None, at: datetime) -> list[Version]:
        """What a version that answered at this instant tells: a change, or nothing."""
        if version is None:
            return []
        is_change = version != self._present and self._is_change(version, at)
        if is_change and not self._may_be_new(at):
            return []
        self._seen[version] = max(at, self._seen.get(version, at))
        if not is_change:
            return []
        self._present = version
        return [Version(at=at, target=self._target, version=version)]

    def _is_change(self, version: str, at: datetime) -> bool:
        present = self._seen.get(self._present)
        return version not in self._seen or present is None or at - present >= SETTLED

    def _may_be_new(self, at: datetime) -> bool:
        """Whether it may count as a version: a target that tells another each time tells none."""
        self._new = [seen for seen in self._new if abs(at - seen) < WITHIN]
        if len(self._new) >= MOST_NEW:
            if not self._is_told_off:
                log.warning(
                    "%s tells more than %d new versions within an hour: no more of them are kept until it "
                    "tells fewer; does version_header or version_json name something else?",
                    self._target,
                    MOST_NEW,
                )
            self._is_told_off = True
            return False
        self._is_told_off = False
        self._new.append(at)
        self._seen = {known: last for known, last in self._seen.items() if at - last < 24 * WITHIN}
        return True


def in_header(headers: Mapping[bytes, bytes], name: str | None) -> str | None:
    """The version in the header of this name; `headers` have lower-case names."""
    given = None if name is None else headers.get(name.lower().encode())
    return None if given is None else tidy(given.decode("utf-8", "replace"))


def in_json(body: bytes, pointer: str | None) -> str | None:
    """The version at `a.0.b` in a JSON body; None where there is none, or it is no text or number."""
    if pointer is None:
        return None
    try:
        given = find(orjson.loads(body), pointer)
    except (orjson.JSONDecodeError, KeyError):
        return None
    is_version = isinstance(given, str | int | float) and not isinstance(given, bool)
    return tidy(str(given)) if is_version else None


def tidy(text: str) -> str | None:
    """The text as a version may be: trimmed, without control characters, cut; None when nothing is left."""
    return _CONTROL.sub("?", text).strip()[:LONGEST_VERSION].strip() or None
