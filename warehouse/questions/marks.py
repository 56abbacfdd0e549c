"""The question what happened to the targets from outside."""

from __future__ import annotations

from warehouse.questions.asking import IN_WINDOW, Statement, Texts, Window, chosen


class Marks(Window):
    """Marks of these targets, and those of all targets; none named means every mark."""

    target: Texts = ()


def marks(asked: Marks) -> Statement:
    """Deploys of the window; `target` is empty where one went to all targets."""
    return Statement(
        f"""
        SELECT mark_id, ts AS "at", kind, target, version, text, who
        FROM mark WHERE {IN_WINDOW} AND (target IS NULL OR {chosen("target", "target")})
        """,
        asked.values(target=asked.target),
        order='"at", mark_id',
    )
