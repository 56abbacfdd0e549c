"""What is read from an uploaded file, and why a file is refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.reading import UnreadableError, read_invoice

HEADER = "supplier,number,currency,description,quantity,unit_price_cents\n"
CSV = HEADER + 'Alder Paper Ltd,A-17,GBP,"Paper, white",3,450\n,,,Pens,10,120\n'
TEXT = "supplier: Alder Paper Ltd\nnumber: A-17\ncurrency: GBP\n"
TEXT += "line: Paper, white; 3; 450\nline: Pens; 10; 120\n"


@pytest.mark.parametrize(("name", "content"), [("a.csv", CSV), ("a.CSV", "\ufeff" + CSV), ("a.txt", TEXT)])
def test_both_kinds_say_the_same(name: str, content: str) -> None:
    invoice = read_invoice(name, content.encode())
    assert (invoice.supplier, invoice.number, invoice.currency) == ("Alder Paper Ltd", "A-17", "GBP")
    assert [(line.description.strip(), line.quantity) for line in invoice.lines] == [
        ("Paper, white", 3),
        ("Pens", 10),
    ]
    assert invoice.amount_cents == 3 * 450 + 10 * 120


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"", "header"),
        ("a.csv", b"supplier,number\nA,1\n", "missing columns"),
        ("a.csv", (HEADER + "A,1,EUR,Paper,many,450\n").encode(), "quantity"),
        ("a.csv", (HEADER + "A,1,EUR,Paper,0,450\n").encode(), "quantity"),
        ("a.csv", (HEADER + "A,1,euro,Paper,1,450\n").encode(), "currency"),
        ("a.csv", (HEADER + "A,1,EUR,Paper,1\n").encode(), "unit_price_cents"),
        ("a.csv", (HEADER + "A,1,EUR,Paper,1,450\n" * 1001).encode(), "1000"),
        ("a.csv", (HEADER + 'A,1,EUR,"Paper').encode(), "CSV"),
        ("a.txt", b"nothing of use", "supplier"),
        ("a.txt", b"supplier: A\nnumber: 1\n", "amount_cents"),
        ("a.txt", b"\xff\xfe\x00", "UTF-8"),
    ],
)
def test_a_refusal_names_its_reason(name: str, content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read_invoice(name, content)


@given(name=st.sampled_from(["a.csv", "a.txt"]), content=st.binary(max_size=300) | st.text().map(str.encode))
def test_any_bytes_are_read_or_refused(name: str, content: bytes) -> None:
    with suppress(UnreadableError):
        assert read_invoice(name, content).amount_cents is not None


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(-(10**6), 10**6)), min_size=1, max_size=20))
def test_the_amount_is_the_sum_of_the_lines(lines: list[tuple[int, int]]) -> None:
    rows = "".join(f"A,1,EUR,x,{quantity},{price}\n" for quantity, price in lines)
    invoice = read_invoice("a.csv", (HEADER + rows).encode())
    assert invoice.amount_cents == sum(quantity * price for quantity, price in lines)
