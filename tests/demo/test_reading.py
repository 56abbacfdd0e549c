"""Reading invoice files, without any server."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.model import Line, NewInvoice
from demo.reading import UnreadableError, is_readable_kind, read_invoice

HEADER = "supplier,number,currency,description,quantity,unit_price_cents\n"


def test_csv() -> None:
    invoice = read_invoice("a.CSV", (HEADER + '"A, B",1,EUR,Nuts,2,-50\n').encode("utf-8-sig"))
    line = Line(description="Nuts", quantity=2, unit_price_cents=-50)
    assert invoice == NewInvoice(supplier="A, B", number="1", lines=(line,), amount_cents=-100)


def test_text_without_lines_needs_an_amount() -> None:
    text = b"supplier: A\nnumber: 1\n"
    with pytest.raises(UnreadableError, match="expected amount_cents or lines"):
        read_invoice("a.txt", text)
    assert read_invoice("a.txt", text + b"amount cents: 12\n").amount_cents == 12


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", HEADER, "at least one row"),
        ("a.csv", HEADER + "A,1,EUR\n", "lines.0.description"),
        ("a.csv", HEADER + "A,1,EUR,x,1,1\n" * 1001, "at most 1000 rows"),
        ("a.csv", HEADER + 'A,1,EUR,"x,1,1\n', "not a CSV file"),
        ("a.pdf", "nothing to see", "expected lines such as"),
        ("a.pdf", "supplier: A\nnumber: 1\nline: Nuts; 2", "lines.0.unit_price_cents"),
        ("a.pdf", "supplier: A\nnumber: 1\namount_cents: 5\nline: Nuts; 2; 2", "the sum of the lines, 4"),
    ],
)
def test_reason_is_told(name: str, content: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read_invoice(name, content.encode())


def test_kinds() -> None:
    assert [is_readable_kind(name) for name in ("a.csv", "b.PDF", "c.txt", "csv", "d.csv.exe", "")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]


@given(st.sampled_from(["a.csv", "a.pdf"]), st.one_of(st.binary(), st.text().map(str.encode)))
def test_any_bytes_are_an_invoice_or_unreadable(name: str, content: bytes) -> None:
    with suppress(UnreadableError):
        assert read_invoice(name, content).amount_cents is not None
