"""Reads the demo's /metrics the way Prometheus does."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(api: httpx.Client) -> Samples:
    """Every sample of /metrics by name and labels."""
    answer = api.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    """One sample; 0 where the series does not exist yet."""
    return samples.get((name, frozenset(labels.items())), 0.0)


def requests_counted(samples: Samples, method: str, route: str, status: str) -> int:
    """How many requests ended so."""
    labels = {"method": method, "route": route, "status": status}
    return int(value(samples, "http_request_duration_seconds_count", **labels))
