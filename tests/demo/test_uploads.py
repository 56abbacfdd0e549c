"""Uploading invoice files: what is taken, how it is processed, what is refused."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from demo.processing import QUEUE_LENGTH, Processor

UPLOAD = "/api/v1/invoices/upload"
CSV = b"""supplier,number,currency,description,quantity,unit_price_cents
Acme & Sons,A-1,GBP,Nuts,3,100
,,,"Bolts, long",2,50
"""
PDF = b"""%PDF-1.4 text
Supplier: Acme Print
Number: B-2
Currency: USD
Issued on: 2026-11-01
Line: Flyers; 1000; 12
Line: Posters; 5; 900
"""


def wait_processed(api: httpx.Client, location: str) -> dict[str, object]:
    """The processing once it has ended; only known states on the way."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        processing = api.get(location).json()
        if processing["state"] in ("processed", "failed"):
            return dict(processing)
        assert processing["state"] in ("queued", "processing")
        time.sleep(0.02)
    raise AssertionError("the file was not processed")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "a.csv",
            CSV,
            {"supplier": "Acme & Sons", "number": "A-1", "currency": "GBP", "amount_cents": 400},
        ),
        (
            "B.PDF",
            PDF,
            {"supplier": "Acme Print", "number": "B-2", "currency": "USD", "amount_cents": 16500},
        ),
    ],
)
def test_file_becomes_an_invoice(
    api: httpx.Client, name: str, content: bytes, expected: dict[str, object]
) -> None:
    answer = api.post(UPLOAD, files={"file": (name, content)})
    assert answer.status_code == 202
    assert answer.json()["state"] == "queued"
    invoice_id = answer.json()["id"]
    waiting = api.get(f"/api/v1/invoices/{invoice_id}").json()
    assert waiting["status"] in ("processing", "received")
    processing = wait_processed(api, answer.headers["location"])
    assert (processing["state"], processing["error"]) == ("processed", None)
    assert (processing["file_name"], processing["file_bytes"]) == (name, len(content))
    assert str(processing["queued_at"]) <= str(processing["started_at"]) < str(processing["finished_at"])
    invoice = api.get(f"/api/v1/invoices/{invoice_id}").json()
    assert invoice["status"] == "received"
    assert {field: invoice[field] for field in expected} == expected
    assert len(invoice["lines"]) == 2


def test_fifty_uploads_at_once_of_three_users_are_taken(api: httpx.Client) -> None:
    """What the scenario `invoice-workflow` sends of each of its users."""
    with ThreadPoolExecutor(150) as users:
        asked = [
            users.submit(api.post, UPLOAD, files={"file": ("a.csv", CSV)}, timeout=60) for _ in range(150)
        ]
        assert Counter(each.result().status_code for each in asked) == {202: 150}


def test_places_in_the_queue_are_bounded() -> None:
    processor = Processor(None, None, None)  # type: ignore[arg-type]
    assert [processor.reserve() for _ in range(QUEUE_LENGTH + 1)] == [True] * QUEUE_LENGTH + [False]
    processor.give_back()
    assert processor.reserve()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "header"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"a,b\n1,2\n", "missing columns"),
        (CSV.replace(b",3,", b",none,"), "lines.0.quantity"),
    ],
)
def test_unreadable_file_fails_with_a_reason(api: httpx.Client, content: bytes, reason: str) -> None:
    answer = api.post(UPLOAD, files={"file": ("a.csv", content)})
    assert answer.status_code == 202
    processing = wait_processed(api, answer.headers["location"])
    assert processing["state"] == "failed"
    assert reason in str(processing["error"])
    assert api.get(f"/api/v1/invoices/{answer.json()['id']}").json()["status"] == "failed"


@pytest.mark.parametrize("name", ["a.exe", "a", "a\x1b.csv"])
def test_other_kinds_of_files_are_refused(api: httpx.Client, name: str) -> None:
    assert api.post(UPLOAD, files={"file": (name, CSV)}).status_code == 415


def test_missing_file_is_refused(api: httpx.Client) -> None:
    assert api.post(UPLOAD, data={"file": "no file"}).status_code == 422


@pytest.mark.parametrize("size", [1_000_001, 3_000_000])
def test_large_file_is_refused(api: httpx.Client, size: int) -> None:
    answer = api.post(UPLOAD, files={"file": ("a.csv", b"x" * size)})
    assert answer.status_code == 413
    assert "at most" in answer.json()["detail"]


def test_large_body_of_unknown_length_is_refused(api: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        for _ in range(20):
            yield b"x" * 100_000
        yield b"\r\n--b--\r\n"

    answer = api.post(UPLOAD, content=chunks(), headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.status_code == 413


def test_many_files_are_all_processed_or_refused(api: httpx.Client) -> None:
    answers = [api.post(UPLOAD, files={"file": ("a.csv", CSV)}) for _ in range(130)]
    assert {answer.status_code for answer in answers} <= {202, 503}
    taken = [answer for answer in answers if answer.status_code == 202]
    assert len(taken) >= 100
    states = {wait_processed(api, answer.headers["location"])["state"] for answer in taken}
    assert states == {"processed"}
