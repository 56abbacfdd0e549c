"""Reads SQL apart into tokens that no longer hold literals; what it cannot read, it refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum

LITERAL = "?"
"""Stands for every literal and parameter."""

_PLAIN_NAME = re.compile(r"[\w $.:/()%#*+-]{1,63}")
"""A quoted identifier that is kept; any other may be data that was used as a name."""

_LETTER = r"A-Za-z_\u0080-\U0010ffff"


class Dialect(StrEnum):
    """Whose lexical rules hold."""

    POSTGRES = "postgres"
    MYSQL = "mysql"


class UnreadableError(ValueError):
    """The text is not SQL of this dialect, or could be read in two ways. Holds nothing of the text."""


# Whether a backslash escapes the quote after it in a plain string depends on a setting of the session
# (standard_conforming_strings, NO_BACKSLASH_ESCAPES) that nobody recorded: such strings do not match.
_STRING = r"'(?:[^'\\]++|\\(?!')|'')*+'"

_POSTGRES = rf"""
      (?P<space> [ \t\n\r\f\v]++ | --[^\n\r]*+ )
    | (?P<comment> /\* )
    | (?P<literal> [eE]'(?:[^'\\]++|\\.|'')*+' | (?:[bBxXnN]|[uU]&)?{_STRING}
        | \$(?P<tag>(?:[{_LETTER}][{_LETTER}0-9]*+)?)\$ .*? \$(?P=tag)\$
        | \$[0-9]++(?![{_LETTER}$])
        | (?<!:):[{_LETTER}][{_LETTER}0-9]*+ )
    | (?P<number> (?: 0[xXoObB](?:_?[0-9A-Fa-f])++
        | (?:[0-9](?:_?[0-9])*+(?:\.(?!\.)(?:[0-9](?:_?[0-9])*+)?)?|\.[0-9](?:_?[0-9])*+)
          (?:[eE][+-]?[0-9]++)? )
        (?![{_LETTER}$0-9]) )
    | (?P<quoted> (?:[uU]&)?"(?:[^"]++|"")++" )
    | (?P<word> [{_LETTER}][{_LETTER}0-9$]*+ )
    | (?P<operator> (?:(?!--|/\*)[-+*/<>=~!@\#%^&|`?])++ )
    | (?P<mark> ::|:=|[(),.;:\[\]] )
"""

_MYSQL = rf"""
      (?P<space> [ \t\n\r\f\v]++ | --(?=[\x00-\x20]|$)[^\n]*+ | \#[^\n]*+ | /\*.*?\*/ )
    | (?P<literal> (?:[bBxXnN]|_[A-Za-z0-9]++)?{_STRING} | "(?:[^"\\]++|\\(?!")|"")*+" | \.\.\.
        | (?<!:):[{_LETTER}][{_LETTER}0-9]*+ )
    | (?P<number> (?:[0-9]|\.[0-9])[{_LETTER}0-9$.]*+(?:(?<=[eE])[+-][0-9]++)? )
    | (?P<quoted> `(?:[^`]++|``)++` )
    | (?P<word> @{{0,2}}[{_LETTER}$][{_LETTER}0-9$]*+ )
    | (?P<operator> (?:(?!--\s|/\*)[-+*/<>=~!@%^&|?])++ )
    | (?P<mark> :=|[(),.;:{{}}] )
"""

_PATTERNS: Mapping[Dialect, re.Pattern[str]] = {
    Dialect.POSTGRES: re.compile(_POSTGRES, re.VERBOSE | re.DOTALL),
    Dialect.MYSQL: re.compile(_MYSQL, re.VERBOSE | re.DOTALL),
}
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_MAY_END_IN_SIGN = re.compile(r"[~!@#%^&|`?]")


def words_of(text: str) -> frozenset[str]:
    """The words of a list that is written as a text."""
    return frozenset(text.split())


KEYWORDS = words_of(
    """ALL ALTER ANALYZE AND ANY ARRAY AS ASC ATTACH BEGIN BETWEEN BY CALL CASCADE CASE CHECK CLOSE CLUSTER
    COLUMN COMMIT CONCURRENTLY CONFLICT CONSTRAINT COPY CREATE CROSS CURSOR DATABASE DECLARE DEFAULT DELETE
    DESC DISTINCT DO DROP DUPLICATE ELSE END EXCEPT EXECUTE EXISTS EXPLAIN EXTENSION FALSE FETCH FILTER FIRST
    FOR FOREIGN FROM FULL FUNCTION GRANT GROUP GROUPING HAVING IF ILIKE IN INDEX INNER INSERT INTERSECT
    INTERVAL INTO IS JOIN KEY LAST LATERAL LEFT LIKE LIMIT LOCK LOCKED MATCHED MATERIALIZED MERGE NATURAL NO
    NOT NOTHING NULL NULLS OFFSET ON ONLY OR ORDER OUTER OVER PARTITION PREPARE PRIMARY PROCEDURE RECURSIVE
    REFERENCES REFRESH REINDEX RELEASE RENAME REPLACE RETURNING REVOKE RIGHT ROLLBACK ROW ROWS SAVEPOINT
    SCHEMA SELECT SEQUENCE SET SETS SHARE SHOW SIMILAR SKIP SOME START STRAIGHT_JOIN TABLE TABLESAMPLE
    TEMPORARY THEN TO TRANSACTION TRIGGER TRUE TRUNCATE UNION UNIQUE UNLOGGED UPDATE USE USING VACUUM VALUES
    VIEW WHEN WHERE WINDOW WITH WITHIN WORK"""
)
"""Words that are written in capitals; all others are names."""


def read_tokens(text: str, dialect: Dialect) -> Iterator[str]:
    """The tokens of a statement in canonical spelling, literals and parameters as `?`, no comments.

    Lexical rules: PostgreSQL's scan.l and MySQL's manual, "Language Structure". Raises UnreadableError
    where the text cannot be read, or where a setting decides how.
    """
    pattern = _PATTERNS[dialect]
    at, before = 0, ""
    while at < len(text):
        match = pattern.match(text, at)
        if match is None:
            raise UnreadableError("no token")
        at = match.end()
        kind, found = match.lastgroup, match.group()
        if kind == "comment":
            at = _after_comment(text, at)
        elif kind in {"literal", "number"}:
            yield LITERAL
        elif kind == "word":
            yield _spell(found, dialect, is_part=before == ".")
        elif kind == "quoted":
            yield found if _PLAIN_NAME.fullmatch(found.removeprefix("U&").removeprefix("u&")[1:-1]) else '"?"'
        elif kind == "operator":
            yield from _operators(found)
        elif kind == "mark":
            yield found
        if kind not in {"space", "comment"}:
            before = found


def _spell(word: str, dialect: Dialect, *, is_part: bool) -> str:
    """Keywords in capitals; names, which follow a dot too, as the server compares them."""
    capital = word.upper()
    if capital in KEYWORDS and not is_part:
        return capital
    return word.lower() if dialect is Dialect.POSTGRES else word


def _operators(run: str) -> Iterator[str]:
    """An operator, its trailing signs apart where PostgreSQL reads them apart: `=-1` is `= -1`."""
    if _MAY_END_IN_SIGN.search(run):
        yield run
        return
    body = run[0] + run[1:].rstrip("+-")
    yield body
    yield from run[len(body) :]


def _after_comment(text: str, at: int) -> int:
    """Where the block comment ends whose opening ends at `at`; PostgreSQL nests them."""
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(text, at)
        if edge is None:
            raise UnreadableError("a comment without end")
        depth += 1 if edge.group() == "/*" else -1
        at = edge.end()
    return at
