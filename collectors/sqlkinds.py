"""What a statement does, and whether its text may be kept, told from its first words."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from itertools import takewhile

from collectors.sqltokens import words_of
from warehouse.model import QueryCategory


class Policy(Enum):
    """How much of a statement's normalised text is kept."""

    WHOLE = auto()
    COMMAND = auto()


_READ = frozenset({"SELECT", "VALUES", "TABLE", "FETCH"})
_WRITE = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "LOAD"})
_TRANSACTION = frozenset(
    {"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "XA"}
)
_DDL = frozenset(
    {"CREATE", "ALTER", "DROP", "TRUNCATE", "COMMENT", "GRANT", "REVOKE", "SECURITY", "IMPORT", "RENAME"}
)
_UTILITY = words_of("""ANALYZE CALL CHECK CHECKPOINT CHECKSUM CLOSE CLUSTER COPY DEALLOCATE DECLARE DESC
    DESCRIBE DISCARD DO EXECUTE EXPLAIN FLUSH HANDLER HELP INSTALL KILL LISTEN LOCK MOVE NOTIFY
    OPTIMIZE PREPARE PURGE REASSIGN REFRESH REINDEX REPAIR RESET SET SHOW SHUTDOWN UNINSTALL UNLISTEN
    UNLOCK USE VACUUM WITH""")
_FIRST = _READ | _WRITE | _TRANSACTION | _DDL | _UTILITY
"""Every word that a command may begin with; nothing else of an unreadable text is kept."""

_FURTHER = words_of("""AGGREGATE CAST COLLATION CONCURRENTLY CONVERSION DATABASE DEFAULT DOMAIN EVENT
    EXTENSION FOREIGN FROM
    FUNCTION GLOBAL GROUP IF INDEX INTO LABEL LANGUAGE LOCAL MAPPING MATERIALIZED OPERATOR OR POLICY
    PRIVILEGES PROCEDURE PUBLICATION REPLACE ROLE ROUTINE RULE SCHEMA SEQUENCE SERVER SESSION STATISTICS
    SUBSCRIPTION SYSTEM TABLE TABLESPACE TEMP TEMPORARY TEXT TRANSACTION TRIGGER TYPE UNIQUE UNLOGGED USER
    VIEW WRAPPER""")
"""Words that may follow the first in the name of a command, as in CREATE OR REPLACE FUNCTION."""

_STORED_OBJECTS = words_of(
    "TABLE INDEX VIEW SEQUENCE SCHEMA EXTENSION TEMP TEMPORARY UNIQUE UNLOGGED MATERIALIZED"
)
_WHOLE = (
    _READ
    | _TRANSACTION
    | words_of("INSERT UPDATE DELETE MERGE REPLACE WITH")
    | words_of("TRUNCATE DECLARE CLOSE MOVE VACUUM ANALYZE REINDEX CLUSTER LOCK REFRESH CALL EXPLAIN")
)
LONGEST_COMMAND = 4


def policy_of(tokens: Sequence[str]) -> Policy:
    """Whether the statement's normalised text may be kept: of what may carry secrets or data, it may not."""
    words = _words(_inner(tokens))
    first, second = (*words[:2], "", "")[:2]
    if first in {"CREATE", "ALTER", "DROP"}:
        return Policy.WHOLE if second in _STORED_OBJECTS else Policy.COMMAND
    return Policy.WHOLE if first in _WHOLE else Policy.COMMAND


def command_words(tokens: Sequence[str]) -> list[str]:
    """The words that name the command, from a list of our own: nothing else of the text."""
    words = _words(tokens[:20])
    if not words or words[0] not in _FIRST:
        return []
    further = takewhile(lambda word: word in _FURTHER, words[1:LONGEST_COMMAND])
    return [words[0], *further]


def categorise(tokens: Sequence[str]) -> QueryCategory:
    """What the statement does. A query that changes data within WITH is a write."""
    words = _words(tokens)
    first = words[0] if words else ""
    if first == "WITH":
        return QueryCategory.WRITE if _changes(tokens) else QueryCategory.READ
    if words[:2] == ["PREPARE", "TRANSACTION"]:
        return QueryCategory.TRANSACTION
    for members, category in (
        (_READ, QueryCategory.READ),
        (_WRITE, QueryCategory.WRITE),
        (_TRANSACTION, QueryCategory.TRANSACTION),
        (_DDL, QueryCategory.DDL),
        (_UTILITY, QueryCategory.UTILITY),
    ):
        if first in members:
            return category
    return QueryCategory.UNKNOWN


def _changes(tokens: Sequence[str]) -> bool:
    """Whether data are changed anywhere in the statement: a verb where a statement begins."""
    opening = {"(", ")", ""}
    return any(
        piece in {"INSERT", "UPDATE", "DELETE", "MERGE"} and before in opening
        for before, piece in zip(["", *tokens], tokens, strict=False)
    )


def _words(tokens: Sequence[str]) -> list[str]:
    """The first tokens as capitals, without the brackets that a statement may begin with."""
    start = next((at for at, piece in enumerate(tokens) if piece != "("), len(tokens))
    return [piece.upper() for piece in tokens[start : start + LONGEST_COMMAND]]


def _inner(tokens: Sequence[str]) -> Sequence[str]:
    """What an EXPLAIN explains, else the statement itself."""
    rest = tokens
    while rest and rest[0].upper() in {"EXPLAIN", "DESCRIBE", "DESC"}:
        rest = rest[1:]
        if rest and rest[0] == "(":
            rest = rest[rest.index(")") + 1 :] if ")" in rest else []
        while rest and rest[0].upper() in {"ANALYZE", "VERBOSE", "EXTENDED", "FORMAT", "=", "JSON", "TREE"}:
            rest = rest[1:]
    return rest
