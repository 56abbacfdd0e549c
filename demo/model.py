"""What an invoice looks like on the wire and how it is checked."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Status = Literal["received", "approved", "paid", "overdue", "rejected", "processing", "failed"]
Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$"),
]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Cents = Annotated[int, Field(ge=-(10**12), le=10**12)]

MAX_LINES = 1000


class Line(BaseModel):
    """One line of an invoice."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: Text
    quantity: Annotated[int, Field(ge=1, le=1_000_000)]
    unit_price_cents: Annotated[int, Field(ge=-(10**9), le=10**9)]


class NewInvoice(BaseModel):
    """An invoice as a client sends it. The amount may be left out where there are lines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    supplier: Text
    number: Text
    amount_cents: Cents | None = None
    currency: Currency = "EUR"
    issued_on: date | None = None
    due_on: date | None = None
    lines: Annotated[tuple[Line, ...], Field(max_length=MAX_LINES)] = ()

    @model_validator(mode="after")
    def _amount_is_known(self) -> Self:
        if not self.lines:
            if self.amount_cents is None:
                raise ValueError("expected amount_cents or lines")
            return self
        total = sum(line.quantity * line.unit_price_cents for line in self.lines)
        if self.amount_cents not in (None, total):
            raise ValueError(f"expected amount_cents to be the sum of the lines, {total}")
        if abs(total) > 10**12:
            raise ValueError("expected lines that sum to at most 10^12 cents")
        object.__setattr__(self, "amount_cents", total)  # a validator may complete what is frozen
        return self
