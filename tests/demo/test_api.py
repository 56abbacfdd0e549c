"""The invoice API over the wire: every endpoint, its limits and its refusals."""

import secrets
from typing import Any

import httpx
import pytest

from tests.demo.process import wait_until

SEEDED = 20_000
INVOICE = {"supplier": "Probe Ltd", "number": "PROBE-1", "amount_cents": 12500, "currency": "EUR"}
CSV = (
    "supplier,number,currency,description,quantity,unit_price_cents\n"
    "Alder Paper Ltd,A-17,GBP,Paper,3,450\n"
    ",,,Pens,10,120\n"
)


def page(api: httpx.Client, **parameters: object) -> dict[str, Any]:
    """One page of invoices."""
    answer = api.get("/api/v1/invoices/", params=parameters)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def upload(api: httpx.Client, name: str, content: bytes) -> httpx.Response:
    """Upload a file."""
    return api.post("/api/v1/invoices/upload", files={"file": (name, content)})


def processed(api: httpx.Client, invoice_id: int) -> dict[str, Any]:
    """The end of an upload's processing, once it is reached."""
    seen: dict[str, Any] = {}

    def ended() -> bool:
        seen.update(api.get(f"/api/v1/invoices/{invoice_id}/processing").raise_for_status().json())
        assert seen["state"] in ("queued", "processing", "processed", "failed")
        return seen["state"] in ("processed", "failed")

    wait_until(ended)
    return seen


def test_health_checks_the_database(api: httpx.Client) -> None:
    answer = api.get("/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"


def test_pages_hold_every_invoice_once_newest_first(api: httpx.Client) -> None:
    first, second = page(api, limit=30), page(api, limit=30, offset=30)
    ids = [one["id"] for one in first["items"] + second["items"]]
    assert len(ids) == 60
    assert ids == sorted(set(ids), reverse=True)
    assert first["total"] >= SEEDED
    assert (second["limit"], second["offset"]) == (30, 30)
    assert page(api, offset=first["total"] + 1000)["items"] == []


def test_filters_select_and_count(api: httpx.Client) -> None:
    overdue = page(api, status="overdue", limit=100)
    assert {one["status"] for one in overdue["items"]} == {"overdue"}
    assert overdue["total"] == SEEDED // 10
    supplier = overdue["items"][0]["supplier"]
    theirs = page(api, supplier=supplier, limit=100)
    assert {one["supplier"] for one in theirs["items"]} == {supplier}
    assert theirs["total"] == SEEDED // 200
    both = page(api, supplier=supplier, status="overdue", limit=100)
    assert both["total"] == len([one for one in theirs["items"] if one["status"] == "overdue"])
    assert page(api, supplier="nobody")["total"] == 0


@pytest.mark.parametrize(
    "parameters",
    [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"offset": -1}, {"status": "lost"}, {"supplier": "\0"}],
)
def test_unusable_parameters_are_refused_by_name(api: httpx.Client, parameters: dict[str, Any]) -> None:
    answer = api.get("/api/v1/invoices/", params=parameters)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", next(iter(parameters))]


def test_a_created_invoice_is_found_again(api: httpx.Client) -> None:
    number = secrets.token_hex(8)
    lines = [{"description": "Paper", "quantity": 3, "unit_price_cents": 450}]
    answer = api.post(
        "/api/v1/invoices/",
        json={"supplier": "Probe Ltd", "number": number, "currency": "USD", "lines": lines},
    )
    assert answer.status_code == 201
    made = api.get(f"/api/v1/invoices/{answer.json()['id']}").json()
    assert (made["number"], made["supplier"], made["currency"]) == (number, "Probe Ltd", "USD")
    assert (made["amount_cents"], made["lines"]) == (1350, lines)
    assert page(api, limit=1)["items"][0]["number"] == number


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"supplier": ""}, "supplier"),
        ({"supplier": None}, "supplier"),
        ({"number": "a\0b"}, "number"),
        ({"amount_cents": 1.5}, "amount_cents"),
        ({"amount_cents": 10**13}, "amount_cents"),
        ({"currency": "euro"}, "currency"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_an_unusable_invoice_is_refused_and_not_stored(
    api: httpx.Client, change: dict[str, Any], field: str
) -> None:
    before = page(api)["total"]
    answer = api.post("/api/v1/invoices/", json={**INVOICE, **change})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", field]
    assert page(api)["total"] == before


@pytest.mark.parametrize("unknown", ["999999999", "0", str(10**30), "-5", "x"])
def test_an_unknown_invoice_is_404(api: httpx.Client, unknown: str) -> None:
    assert api.get(f"/api/v1/invoices/{unknown}").status_code == 404
    assert api.get(f"/api/v1/invoices/{unknown}/processing").status_code == 404


def test_a_seeded_invoice_has_lines_that_sum_up(api: httpx.Client) -> None:
    invoice = api.get("/api/v1/invoices/1").json()
    assert invoice["lines"]
    total = sum(line["quantity"] * line["unit_price_cents"] for line in invoice["lines"])
    assert invoice["amount_cents"] == total


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_tokens_are_random_and_tell_their_lifetime(api: httpx.Client, method: str) -> None:
    first, second = (api.request(method, "/api/v1/auth/dev-token").json() for _ in range(2))
    assert set(first) == {"access_token", "token_type", "expires_in"}
    assert first["access_token"] != second["access_token"]
    assert len(first["access_token"]) >= 32
    assert first["token_type"].lower() == "bearer"
    assert first["expires_in"] > 0


def test_a_token_is_optional_and_a_wrong_one_refused(api: httpx.Client) -> None:
    token = api.get("/api/v1/auth/dev-token").json()["access_token"]
    for given, status in ((token, 200), ("made-up", 401)):
        answer = api.get("/api/v1/invoices/1", headers={"Authorization": f"Bearer {given}"})
        assert answer.status_code == status
    assert api.get("/api/v1/invoices/1").status_code == 200


def test_an_uploaded_file_becomes_an_invoice(api: httpx.Client) -> None:
    answer = upload(api, "a.csv", CSV.encode())
    assert answer.status_code == 202
    invoice_id = answer.json()["id"]
    assert answer.json()["state"] == "queued"
    processing = processed(api, invoice_id)
    assert processing["state"] == "processed"
    assert processing["queued_at"] <= processing["started_at"] <= processing["finished_at"]
    invoice = api.get(f"/api/v1/invoices/{invoice_id}").json()
    assert (invoice["supplier"], invoice["number"]) == ("Alder Paper Ltd", "A-17")
    assert (invoice["amount_cents"], invoice["status"]) == (2550, "received")


def test_a_file_that_is_no_invoice_fails_with_its_reason(api: httpx.Client) -> None:
    processing = processed(api, upload(api, "a.csv", b"nothing,here\n1,2\n").json()["id"])
    assert processing["state"] == "failed"
    assert "missing columns" in processing["error"]


def test_uploads_are_bounded(api: httpx.Client) -> None:
    before = page(api)["total"]
    assert upload(api, "a.csv", b"x" * 1_050_000).status_code == 413
    assert upload(api, "a.csv", b"x" * 3_000_000).status_code == 413

    def endless() -> Any:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        for _ in range(300):
            yield b"x" * 10_000

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    try:
        chunked = api.post("/api/v1/invoices/upload", content=endless(), headers=headers)
    except httpx.WriteError:
        pass  # refused while still being sent
    else:
        assert chunked.status_code == 413
    assert api.post("/api/v1/invoices/", content=b" " * 2_000_000).status_code == 413
    assert upload(api, "a.exe", b"x").status_code == 415
    assert api.post("/api/v1/invoices/upload", json={}).status_code == 422
    assert page(api)["total"] == before


def test_repeated_posts_do_not_fill_the_table(api: httpx.Client) -> None:
    for number in range(260):
        made = api.post("/api/v1/invoices/", json=INVOICE | {"number": f"P-{number}"})
        assert made.status_code == 201
    wait_until(lambda: page(api)["total"] <= SEEDED + 200)
    assert page(api, limit=1)["items"][0]["number"] == "P-259"
    assert api.get(f"/api/v1/invoices/{SEEDED}").status_code == 200


def test_every_route_is_described(api: httpx.Client) -> None:
    described = api.get("/openapi.json").json()["paths"]
    assert {"/health", "/metrics", "/api/v1/invoices/", "/api/v1/invoices/{id}"} <= set(described)
