"""Cached answers of the warehouse: the only place of the dashboard that talks to it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any

import polars as pl
import streamlit as st

from dashboard.window import Window
from warehouse.client import Client
from warehouse.errors import PerfhouseError, WarehouseAwayError
from warehouse.model import now
from warehouse.settings import Settings, find_config, load

TTL_S = 2
FRESH_TTL_S = 0.6
"""For what is looked at every second: shared by the readers of that second."""

ENTRIES = 256
ASKED = 4096
"""After so many all cached answers are dropped: Streamlit keeps a lock for each question ever asked."""

THREADS = 8
"""Questions that wait at the same time; the warehouse answers as many at once as it has cores."""

Answer = pl.DataFrame | PerfhouseError
"""Rows, or why there are none."""


@dataclass(frozen=True)
class Question:
    """A question with its parameters, in a form that can be a cache's key."""

    name: str
    parameters: tuple[tuple[str, Any], ...]


def question(name: str, window: Window | None = None, **parameters: Any) -> Question:
    """A question, about `window` where it has one. Lists become tuples."""
    given = {"start": window.start, "end": window.end, **parameters} if window else parameters
    frozen = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    return Question(name, tuple(sorted(frozen.items())))


class Contact:
    """The client, and when the warehouse last answered any reader of this process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.url = settings.warehouse.url
        self.client = Client.for_process(settings, "dashboard", retries=1)
        self._lock = Lock()
        self._asked = 0
        self._answered_at: datetime | None = None
        self._away_since: datetime | None = None

    @property
    def answered_at(self) -> datetime | None:
        """When the warehouse last answered."""
        return self._answered_at

    @property
    def away_since(self) -> datetime | None:
        """When it first did not answer; None while it does."""
        return self._away_since

    def close(self) -> None:
        """Give the connections back."""
        self.client.close()

    def ask(self, asked: Question) -> pl.DataFrame:
        """The answer, and a note of when it came or failed to."""
        with self._lock:
            self._asked += 1
        try:
            answer = self.client.ask(asked.name, **dict(asked.parameters))
        except WarehouseAwayError:
            with self._lock:
                self._away_since = self._away_since or now()
            raise
        with self._lock:
            self._answered_at, self._away_since = now(), None
        return answer

    def is_full(self) -> bool:
        """Whether ASKED questions were asked since this was last so."""
        with self._lock:
            full = self._asked >= ASKED
            if full:
                self._asked = 0
        return full

    def health(self) -> dict[str, Any]:
        """What the warehouse tells of itself."""
        return self.client.health()


def configuration() -> Settings:
    """The settings the dashboard was started with. Raises ConfigurationError."""
    return contact().settings


def contact() -> Contact:
    """The one contact of this process. Raises ConfigurationError."""
    return _contact(str(find_config().absolute()))


@st.cache_resource(max_entries=8, show_spinner=False, on_release=Contact.close)
def _contact(config: str) -> Contact:
    del config  # names the entry; the file is found the same way
    return Contact(load(find_config()))


@st.cache_resource(show_spinner=False)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="ask")


@st.cache_data(ttl=TTL_S, max_entries=ENTRIES, max_size="128MB", show_spinner=False)
def _answer(url: str, asked: Question, _contact: Contact) -> pl.DataFrame:
    del url  # names the entry together with the question
    return _contact.ask(asked)


@st.cache_data(ttl=FRESH_TTL_S, max_entries=ENTRIES, max_size="32MB", show_spinner=False)
def _fresh_answer(url: str, asked: Question, _contact: Contact) -> pl.DataFrame:
    del url  # names the entry together with the question
    return _contact.ask(asked)


@st.cache_data(ttl=60, max_entries=8, show_spinner=False)
def _catalogue(url: str, _contact: Contact) -> dict[str, dict[str, Any]]:
    del url  # names the entry
    return {entry["name"]: entry for entry in _contact.client.questions()}


def catalogue() -> dict[str, dict[str, Any]] | PerfhouseError:
    """Every question the warehouse answers, by name: `answers` in words, `parameters` as a JSON schema."""
    link = contact()
    try:
        return _catalogue(link.url, link)
    except PerfhouseError as error:
        return error


@st.cache_data(ttl=TTL_S, max_entries=64, show_spinner=False)
def _count(url: str, asked: Question, _contact: Contact) -> int:
    del url  # names the entry together with the question
    return _contact.client.count(asked.name, **dict(asked.parameters))


def count(asked: Question) -> int | None:
    """How many rows the answer has; None where that takes longer than a question may."""
    link = contact()
    try:
        return _count(link.url, asked, link)
    except PerfhouseError:
        return None


@st.cache_data(ttl=TTL_S, max_entries=8, show_spinner=False)
def _health(url: str, _contact: Contact) -> dict[str, Any]:
    del url  # names the entry
    return _contact.health()


def storage() -> Mapping[str, Any] | None:
    """Whether the warehouse stores: `state` (ok, catching_up, paused, failing), `reason` and `since_at`.

    None when it is away.
    """
    health = _known_health()
    return None if health is None else health["storage"]


def simulated() -> bool:
    """Whether what the warehouse holds was made up, as far as it can be asked."""
    health = _known_health()
    return health is not None and bool(health.get("simulated"))


def _known_health() -> Mapping[str, Any] | None:
    link = contact()
    try:
        return _health(link.url, link)
    except PerfhouseError:
        return None


def ask(questions: Mapping[str, Question], *, fresh: bool = False) -> dict[str, Answer]:
    """All answers, asked at once; an error stands in the place of the answer it prevented.

    `fresh` is for what changes every second.
    """
    link = contact()
    if link.is_full():
        forget()
    answer = _fresh_answer if fresh else _answer

    def one(asked: Question) -> Answer:
        try:
            return answer(link.url, asked, link)
        except PerfhouseError as error:
            return error

    waiting = {name: _threads().submit(one, asked) for name, asked in questions.items()}
    return {name: future.result() for name, future in waiting.items()}


def away(answers: Mapping[str, Answer]) -> WarehouseAwayError | None:
    """The error when the warehouse was away for any of the answers."""
    return next((answer for answer in answers.values() if isinstance(answer, WarehouseAwayError)), None)


def forget() -> None:
    """Drop every cached answer: the next question goes to the warehouse."""
    _answer.clear()
    _fresh_answer.clear()
    _count.clear()


def oldest(answers: Mapping[str, Answer]) -> datetime | None:
    """When the first series was seen, of the answers to `endpoints` and `hosts`."""
    seen = [
        answer["first_seen_at"].min()
        for name in ("endpoints", "hosts")
        if isinstance(answer := answers.get(name), pl.DataFrame) and not answer.is_empty()
    ]
    known = [instant for instant in seen if isinstance(instant, datetime)]
    return min(known, default=None)
