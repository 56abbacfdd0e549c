"""Turns a query's text into its shape: one spelling, no literals, lists of any length alike."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from collectors.sqlkinds import Policy, categorise, command_words, policy_of
from collectors.sqltokens import KEYWORDS, LITERAL, Dialect, UnreadableError, read_tokens
from warehouse.model import LONGEST_QUERY, QueryCategory

__all__ = ["Dialect", "QueryDigest", "digest_query"]

LONGEST_READ = 2_000_000
"""Characters of a text that is still read; a longer one is known by its command alone."""

DEEPEST = 200
"""Brackets within brackets; deeper nesting is known by its command alone."""

CUT = " ..."
"""Ends a text that is not whole."""

_LISTS = frozenset({"IN", "ARRAY", "ANY", "ALL"})
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_OPERAND_WORDS = frozenset({"END", "NULL", "TRUE", "FALSE", "DEFAULT", "ALL"})
_TIGHT_BEFORE = frozenset({",", ")", "]", ".", ";", "::", "["})
_TIGHT_AFTER = frozenset({"(", "[", ".", "::"})


@dataclass(frozen=True)
class QueryDigest:
    """A query's shape: the first 16 digits of the SHA-256 of its whole normalised text."""

    shape: str
    category: QueryCategory
    query: str


def digest_query(text: str, dialect: Dialect) -> QueryDigest:
    """The shape of a query's text, whatever the text is; literals never get through.

    What cannot be read with certainty, and commands that carry secrets or data (ALTER ROLE, COPY, DO,
    SET, ...), are reduced to the words of their command and `...`.
    """
    tokens = _tokens_of(text, dialect)
    if tokens is None:
        words = command_words(_rough_words(text))
        query, category = _reduced(words), categorise(words)
    else:
        category = categorise(tokens)
        kept = policy_of(tokens) is Policy.WHOLE
        query = _join(_fold_lists(_fold_signs(tokens))) if kept else _reduced(command_words(tokens))
    query = query.encode("utf-8", "replace").decode("utf-8")
    shape = hashlib.sha256(query.encode("utf-8")).hexdigest()[:16]
    if len(query) > LONGEST_QUERY:
        query = query[: LONGEST_QUERY - len(CUT)] + CUT
    return QueryDigest(shape, category, query)


def _tokens_of(text: str, dialect: Dialect) -> list[str] | None:
    """The tokens of the one statement that the text is; None where they cannot be had for certain."""
    if len(text) > LONGEST_READ:
        return None
    try:
        tokens = list(read_tokens(text, dialect))
    except UnreadableError:
        return None
    while tokens and tokens[-1] == ";":
        tokens.pop()
    return None if ";" in tokens or _depth(tokens) > DEEPEST else tokens


def _rough_words(text: str) -> list[str]:
    """The first words of a text that cannot be read."""
    return [word.upper() for word in text[:200].replace("(", " ").split()]


def _reduced(words: Sequence[str]) -> str:
    return " ".join([*words, "..."])


def _depth(tokens: Iterable[str]) -> int:
    depth = deepest = 0
    for piece in tokens:
        depth += (piece in _CLOSING) - (piece in _CLOSING.values())
        deepest = max(deepest, depth)
    return deepest


def _fold_signs(tokens: Iterable[str]) -> list[str]:
    """Without the sign of a number: `= -1` and `= 1` differ in a literal only."""
    folded: list[str] = []
    for piece in tokens:
        if piece == LITERAL and folded and folded[-1] in {"-", "+"} and not _is_operand(folded[-2:-1]):
            folded.pop()
        if not (piece == LITERAL and folded and folded[-1] == LITERAL):
            folded.append(piece)
    return folded


def _is_operand(before: Sequence[str]) -> bool:
    """Whether what stands before a sign makes it a subtraction or an addition."""
    piece = before[0] if before else ""
    if piece in KEYWORDS:
        return piece in _OPERAND_WORDS
    return piece in {LITERAL, ")", "]"} or piece[:1].isalnum() or piece[:1] in {"_", '"', "`", "@", "$"}


@dataclass
class _Frame:
    """An open bracket: the items of its list so far, and whether equal neighbours count as one."""

    opening: str
    folds: bool = False
    items: list[list[str]] = field(default_factory=lambda: [[]])
    rows: list[str] | None = None
    """The row after VALUES, while more of its kind may follow."""
    expects_row: bool = False

    def add(self, tokens: list[str]) -> None:
        item = self.items[-1]
        if self.rows is not None and not item and tokens == self.rows:
            self.items.pop()
            return
        self.rows = tokens if self.expects_row and tokens[0] == "(" else None
        self.expects_row = tokens == ["VALUES"]
        item += tokens

    def tokens(self) -> list[str]:
        items = self.items
        if self.folds:
            items = [item for item, before in zip(items, [None, *items], strict=False) if item != before]
        joined = [piece for item in items for piece in [*item, ","]]
        return joined[:-1]


def _fold_lists(tokens: Iterable[str]) -> list[str]:
    """Equal neighbours in IN, ARRAY, ANY and ALL lists, and equal rows of VALUES, stand once."""
    frames = [_Frame("")]
    before = ""
    for piece in tokens:
        frame = frames[-1]
        if piece in _CLOSING:
            frames.append(_Frame(piece, folds=before in _LISTS))
        elif len(frames) > 1 and piece == _CLOSING[frame.opening]:
            frames.pop()
            frames[-1].add([frame.opening, *frame.tokens(), piece])
        elif piece == ",":
            frame.items.append([])
        else:
            frame.add([piece])
        before = piece
    while len(frames) > 1:
        inner = frames.pop()
        frames[-1].add([inner.opening, *inner.tokens()])
    return frames[0].tokens()


def _join(tokens: Iterable[str]) -> str:
    """The tokens with single spaces, none where SQL is usually written without."""
    parts: list[str] = []
    before = ""
    for piece in tokens:
        is_call = piece == "(" and before not in KEYWORDS and (before[:1].isalpha() or before[:1] in '_"`')
        is_tight = piece in _TIGHT_BEFORE or before in _TIGHT_AFTER or is_call
        if parts and not is_tight:
            parts.append(" ")
        parts.append(piece)
        before = piece
    return "".join(parts)
