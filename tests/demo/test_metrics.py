"""What /metrics counts, against the requests that were made."""

from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.demo.running import running_demo, wait_until
from tests.demo.test_invoices import PROBE
from tests.demo.test_uploads import CSV, UPLOAD, wait_processed

Labels = frozenset[tuple[str, str]]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a demo that nobody else asks anything."""
    with running_demo(tmp_path_factory.mktemp("metrics")) as running:
        yield running.client


def scrape(client: httpx.Client) -> dict[str, dict[Labels, float]]:
    """Every sample, by name and labels, as Prometheus reads it."""
    answer = client.get("/metrics", headers={"Accept": "text/plain;version=0.0.4"})
    assert answer.headers["content-type"].startswith("text/plain")
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def growth(
    before: dict[str, dict[Labels, float]], after: dict[str, dict[Labels, float]], name: str
) -> dict[Labels, float]:
    """By how much each sample of one name grew; those that did not are left out."""
    earlier = before.get(name, {})
    grown = {labels: value - earlier.get(labels, 0.0) for labels, value in after[name].items()}
    return {labels: value for labels, value in grown.items() if value}


def requests(method: str, route: str, status: int) -> Labels:
    """The labels of one kind of request."""
    return frozenset({("method", method), ("route", route), ("status", str(status))})


def test_requests_are_counted_by_route_never_by_path(client: httpx.Client) -> None:
    before = scrape(client)
    for invoice_id in (1, 2, 3, 1):
        assert client.get(f"/api/v1/invoices/{invoice_id}").status_code == 200
    for unknown in (70_000_001, 70_000_002):
        assert client.get(f"/api/v1/invoices/{unknown}").status_code == 404
    for _ in range(3):
        client.get("/api/v1/invoices/", params={"limit": 5})
    client.post("/api/v1/invoices/", json=PROBE)
    client.post("/api/v1/invoices/", json={})
    for path in ("/nowhere", "/nowhere/else", "/api/v1/invoices/1/2/3"):
        assert client.get(path).status_code == 404
    assert client.patch("/health").status_code == 405
    after = scrape(client)
    counted = growth(before, after, "http_request_duration_seconds_count")
    unmatched = [labels for labels in counted if ("route", "unmatched") in labels]
    assert sum(counted[labels] for labels in unmatched) == 4
    expected = {
        requests("GET", "/api/v1/invoices/{id}", 200): 4,
        requests("GET", "/api/v1/invoices/{id}", 404): 2,
        requests("GET", "/api/v1/invoices/", 200): 3,
        requests("POST", "/api/v1/invoices/", 201): 1,
        requests("POST", "/api/v1/invoices/", 422): 1,
        requests("GET", "/metrics", 200): 1,
    }
    assert {labels: count for labels, count in counted.items() if labels not in unmatched} == expected
    routes = {dict(labels)["route"] for labels in after["http_request_duration_seconds_count"]}
    assert not any("nowhere" in route or "7000" in route for route in routes)


def test_queries_and_the_cache_are_counted(client: httpx.Client) -> None:
    before = scrape(client)
    for _ in range(5):
        client.get("/api/v1/invoices/500")
    client.get("/api/v1/invoices/501")
    for _ in range(4):
        client.get("/api/v1/invoices/")
    after = scrape(client)
    assert sum(growth(before, after, "cache_hits_total").values()) == 4
    assert sum(growth(before, after, "cache_misses_total").values()) == 2
    queries = growth(before, after, "db_query_duration_seconds_count")
    assert queries[frozenset({("query", "get_invoice")})] == 2
    assert queries[frozenset({("query", "list_invoices")})] == 4


def test_histograms_agree_with_their_counts(client: httpx.Client) -> None:
    client.get("/api/v1/invoices/")
    found = scrape(client)
    for name in ("http_request_duration_seconds", "db_query_duration_seconds"):
        assert found[f"{name}_count"]
        for labels, count in found[f"{name}_count"].items():
            assert found[f"{name}_bucket"][labels | {("le", "+Inf")}] == count
            assert found[f"{name}_sum"][labels] > 0


def test_processed_files_are_counted_and_timed(client: httpx.Client) -> None:
    before = scrape(client)
    for name, content in (*[("a.csv", CSV)] * 3, ("a.txt", b"no invoice")):
        answer = client.post(UPLOAD, files={"file": (name, content)})
        wait_processed(client, answer.headers["location"])
    wait_until(lambda: sum(growth(before, scrape(client), "invoices_processed_total").values()) == 4)
    after = scrape(client)
    counted = growth(before, after, "invoices_processed_total")
    assert counted == {frozenset({("outcome", "processed")}): 3, frozenset({("outcome", "failed")}): 1}
    assert growth(before, after, "invoice_processing_duration_seconds_count") == {frozenset(): 4}


def test_openmetrics_is_spoken_where_asked_for(client: httpx.Client) -> None:
    answer = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
