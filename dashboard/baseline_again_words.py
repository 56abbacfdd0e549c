"""What judging again under several baselines says, in words. Free of Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dashboard import baseline_words as words
from dashboard import format as fmt
from dashboard.baseline_words import Row

CHANGED = ("regressed", "improved")
UNKNOWN = "not_enough_data"
MOST_REASONS = 2


@dataclass(frozen=True)
class Told:
    """One measure of one window or load test, with what each baseline says of it, by its id."""

    at: datetime
    run_id: str | None
    found: Mapping[str, Row]

    @property
    def any(self) -> Row:
        """One of the findings, for what they have in common."""
        return next(iter(self.found.values()))

    def under(self, baseline_id: str) -> str:
        """`▼ regressed +30.1 % (+25.0 % to +36.2 %)`."""
        row = self.found.get(baseline_id)
        if row is None:
            return words.VERDICTS[UNKNOWN].text
        word = words.VERDICTS[row["verdict"]].text
        return word if row["size"] is None else f"{word} {words.size(row)} ({words.interval(row)})"


def names(rows: Sequence[Row]) -> dict[str, str]:
    """What to call the baselines, by their ids."""
    found = {str(row["baseline_id"]): _name(row) for row in rows}
    is_clear = len(set(found.values())) == len(found)
    return found if is_clear else {key: f"{name} {key}" for key, name in found.items()}


def _name(row: Row) -> str:
    return f"{row['name']} (active)" if row["is_active"] else str(row["name"])


def changed(rows: Sequence[Row]) -> list[Told]:
    """What regressed or improved under any of the baselines, the newest first, the largest of it first."""
    found: dict[tuple[datetime, str | None, str, str], dict[str, Row]] = {}
    for row in rows:
        place = (row["at"], row["run_id"], row["endpoint"], row["measure"])
        found.setdefault(place, {})[str(row["baseline_id"])] = row
    told = [
        Told(at, run_id, own)
        for (at, run_id, _, _), own in found.items()
        if any(row["verdict"] in CHANGED for row in own.values())
    ]
    return sorted(told, key=lambda each: (-each.at.timestamp(), -_largest(each)))


def _largest(told: Told) -> float:
    return max(abs(float(row["size"] or 0.0)) for row in told.found.values())


def summaries(rows: Sequence[Row]) -> list[str]:
    """How often each baseline told anything, a line of Markdown each."""
    return [_summary([row for row in rows if row["baseline_id"] == key]) for key in names(rows)]


def _summary(rows: Sequence[Row]) -> str:
    verdicts: dict[tuple[datetime, str | None], set[str]] = {}
    for row in rows:
        verdicts.setdefault((row["at"], row["run_id"]), set()).add(row["verdict"])
    found = list(verdicts.values())
    regressed, improved = (sum(verdict in each for each in found) for verdict in CHANGED)
    unknown = sum(each == {UNKNOWN} for each in found)
    kind = "load test" if rows[0]["source"] == "load test" else "window"
    active = " (active)" if rows[0]["is_active"] else ""
    text = (
        f"Under **{fmt.plain(rows[0]['name'])}**{active}: of {fmt.plural(len(found), kind)} "
        f"{fmt.count(regressed)} regressed, {fmt.count(improved)} improved"
    )
    if unknown:
        text += f"; {fmt.count(unknown)} had not enough data for anything{_because(rows)}"
    return f"{text}."


def _because(rows: Sequence[Row]) -> str:
    """Why nothing could be compared: the first reasons of those there are."""
    reasons = list(dict.fromkeys(row["why"] for row in rows if not row["measure"]))
    more = "; and others" if len(reasons) > MOST_REASONS else ""
    told = "; ".join(fmt.plain(reason) for reason in reasons[:MOST_REASONS])
    return f" ({told}{more})" if reasons else ""
