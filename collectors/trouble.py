"""Why a part of a database's watch cannot be measured, as a condition and words free of secrets."""

from __future__ import annotations

from warehouse.model import DatabaseCondition


class TroubleError(Exception):
    """Something cannot be measured now. `text` says why, and holds nothing of an address or a query."""

    def __init__(self, condition: DatabaseCondition, text: str) -> None:
        super().__init__(text)
        self.condition = condition
        self.text = text
