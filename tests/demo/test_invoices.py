"""The invoice API over real HTTP and a real PostgreSQL."""

from pathlib import Path

import httpx
import psycopg
import pytest

from tests.demo.running import DemoProcess, running_demo, wait_until

PROBE = {"supplier": "Probe Ltd", "number": "PROBE-1", "amount_cents": 12500, "currency": "EUR"}
LINE = {"description": "Nuts", "quantity": 3, "unit_price_cents": 250}
INVOICES = "/api/v1/invoices/"


def test_health_says_ok(api: httpx.Client) -> None:
    answer = api.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "database": "ok"})


def test_seed_is_consistent(demo: DemoProcess) -> None:
    with psycopg.connect((demo.data_dir / "app.url").read_text().strip()) as connection:
        invoices, suppliers, lowest, differing = connection.execute(
            """
            SELECT count(*), count(DISTINCT supplier_id), min(id),
                   count(*) FILTER (WHERE amount_cents IS DISTINCT FROM total)
            FROM invoices
            LEFT JOIN (SELECT invoice_id, sum(quantity * unit_price_cents) AS total
                       FROM invoice_lines GROUP BY invoice_id) AS sums ON invoice_id = id
            WHERE id <= 20000
            """
        ).fetchone() or (0, 0, 0, 0)
    assert (invoices, suppliers, lowest, differing) == (20_000, 200, 1, 0)


def test_pages_follow_one_another_newest_first(api: httpx.Client) -> None:
    first = api.get(INVOICES, params={"limit": 3}).json()
    second = api.get(INVOICES, params={"limit": 3, "offset": 3}).json()
    ids = [item["id"] for item in first["items"] + second["items"]]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == 6
    assert first["total"] >= 20_000
    assert (second["limit"], second["offset"]) == (3, 3)


def test_page_past_the_end_is_empty(api: httpx.Client) -> None:
    answer = api.get(INVOICES, params={"offset": 1_000_000}).json()
    assert answer["items"] == []
    assert answer["total"] >= 20_000


def test_filters_select(api: httpx.Client) -> None:
    overdue = api.get(INVOICES, params={"status": "overdue", "limit": 100}).json()
    assert {item["status"] for item in overdue["items"]} == {"overdue"}
    assert overdue["total"] == 2000
    supplier = api.get(INVOICES, params={"supplier": "Birch Travel Ltd", "limit": 100}).json()
    assert {item["supplier"] for item in supplier["items"]} == {"Birch Travel Ltd"}
    assert supplier["total"] == len(supplier["items"]) == 100
    both = api.get(INVOICES, params={"supplier": "nobody", "status": "paid"}).json()
    assert (both["items"], both["total"]) == ([], 0)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "offset=-1", "status=lost", "supplier=a%00b", "limit=x"]
)
def test_bad_filters_are_refused(api: httpx.Client, query: str) -> None:
    answer = api.get(f"{INVOICES}?{query}")
    assert answer.status_code == 422
    assert query.partition("=")[0] in answer.json()["detail"][0]["loc"]


def test_created_invoice_can_be_read(api: httpx.Client) -> None:
    answer = api.post(INVOICES, json=PROBE)
    assert answer.status_code == 201
    stored = api.get(answer.headers["location"]).json()
    assert stored["id"] == answer.json()["id"]
    assert {name: stored[name] for name in PROBE} == PROBE
    assert (stored["status"], stored["lines"]) == ("received", [])


def test_lines_are_kept_in_order_and_summed(api: httpx.Client) -> None:
    other = {"description": "Bolts", "quantity": 1, "unit_price_cents": 5}
    answer = api.post(
        INVOICES, json={"supplier": "Acme", "number": "7", "due_on": "2026-12-31", "lines": [LINE, other]}
    )
    stored = api.get(answer.headers["location"]).json()
    assert stored["amount_cents"] == 755
    assert stored["lines"] == [LINE, other]
    assert stored["due_on"] == "2026-12-31"


@pytest.mark.parametrize(
    "change",
    [
        {"supplier": ""},
        {"supplier": "a\x00b"},
        {"number": "x" * 201},
        {"amount_cents": 10**13},
        {"amount_cents": "many"},
        {"currency": "euro"},
        {"issued_on": "yesterday"},
        {"unknown": 1},
        {"lines": [LINE]},
        {"lines": [{**LINE, "quantity": 0}]},
        {"lines": [LINE] * 1001},
        {"amount_cents": None},
    ],
)
def test_bad_invoices_are_refused(api: httpx.Client, change: dict[str, object]) -> None:
    total = api.get(INVOICES).json()["total"]
    assert api.post(INVOICES, json={**PROBE, **change}).status_code == 422
    assert api.get(INVOICES).json()["total"] == total


def test_broken_text_is_refused(api: httpx.Client) -> None:
    body = b'{"supplier": "\\ud800", "number": "1", "amount_cents": 1}'
    answer = api.post(INVOICES, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


@pytest.mark.parametrize("invoice_id", ["0", "99999999", str(2**63), str(10**30), "abc", "-1"])
@pytest.mark.parametrize("rest", ["", "/processing"])
def test_unknown_invoices_are_not_found(api: httpx.Client, invoice_id: str, rest: str) -> None:
    assert api.get(f"{INVOICES}{invoice_id}{rest}").status_code == 404


def test_invoice_that_was_not_uploaded_has_no_processing(api: httpx.Client) -> None:
    assert api.get(f"{INVOICES}1/processing").status_code == 404


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_dev_tokens_are_random_and_accepted(api: httpx.Client, method: str) -> None:
    first, second = (api.request(method, "/api/v1/auth/dev-token").json() for _ in range(2))
    assert first["access_token"] != second["access_token"]
    assert (first["token_type"], first["expires_in"]) == ("bearer", 3600)
    for token, status in ((first["access_token"], 200), ("made-up", 401)):
        answer = api.get(f"{INVOICES}1", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status


def test_kept_invoices_are_bounded_and_the_seed_stays(tmp_path: Path) -> None:
    with running_demo(tmp_path, "--keep", "100") as demo:
        for number in range(250):
            answer = demo.client.post(INVOICES, json={**PROBE, "supplier": f"Supplier {number}"})
            assert answer.status_code == 201
        wait_until(lambda: demo.client.get(INVOICES).json()["total"] <= 20_100)
        listed = demo.client.get(INVOICES, params={"limit": 1}).json()
        assert listed["total"] > 20_000
        newest = listed["items"][0]["id"]
        found = [demo.client.get(f"{INVOICES}{number}").status_code for number in (1, 20_001, newest)]
        assert found == [200, 404, 200]
