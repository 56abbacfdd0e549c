"""How a run came out is told in an exit code, JSON, JUnit XML and Markdown, whatever the texts in it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.outputs import Outcome, as_json, as_junit, as_markdown, as_text, could_not_start

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

RESULTS = [
    {"text": "p95 < 500ms", "verdict": "pass", "value": 120.0, "n": 900, "why": "p95 was 120ms, n = 900"},
    {"text": "errors < 1%", "verdict": "fail", "value": 0.02, "n": 900, "why": "errors was 2%, n = 900"},
    {"text": "p99 < 1s", "verdict": "no_data", "value": None, "n": 900, "why": "not enough samples: 900 of"},
]


def outcome(results: list[Mapping[str, Any]] | None = None, **changed: Any) -> Outcome:
    row = {
        "run_id": "r20261124120000-abcdef",
        "run_no": 1,
        "preset": "smoke",
        "target": "shop",
        "scenario": "endpoints",
        "state": "finished",
        "verdict": "pass",
        "reason": "",
        "started_at": START,
        "ended_at": START + timedelta(seconds=120),
        "requests": 900,
        "failures": 18,
        "error_ratio": 0.02,
        "rps": 7.5,
        "p50_ms": 20.0,
        "p95_ms": 10_000.0,
        "p95_above": True,
        "p99_ms": None,
        "users_max": 5,
        "generator_cpu_max": 0.12,
        "dropped": 0,
        "is_generator_bound": False,
        "is_partial": False,
        "criteria": json.dumps(results or []),
        "plan": "{}",
    }
    return Outcome.of({**row, **changed})


@pytest.mark.parametrize(
    ("state", "verdict", "code"),
    [
        ("finished", "pass", 0),
        ("finished", "fail", 1),
        ("cancelled", "fail", 1),
        ("finished", "no_data", 2),
        ("cancelled", "pass", 2),
        ("failed", "pass", 2),
        ("failed", "fail", 2),
        ("running", "", 2),
    ],
)
def test_the_exit_code_is_of_state_and_verdict(state: str, verdict: str, code: int) -> None:
    assert outcome(RESULTS, state=state, verdict=verdict).exit_code == code


@pytest.mark.parametrize(("state", "code"), [("finished", 0), ("cancelled", 2), ("failed", 2)])
def test_without_criteria_a_run_that_finishes_is_well(state: str, code: int) -> None:
    made = outcome(state=state, verdict="no_data", reason="no criteria")
    assert made.exit_code == code
    assert made.headline == ("finished, without criteria" if state == "finished" else state)


def test_junit_has_a_case_per_criterion() -> None:
    suites = ElementTree.fromstring(as_junit(outcome(RESULTS, verdict="fail")))
    (suite,) = suites
    cases = suite.findall("testcase")
    assert [(case.get("name"), [child.tag for child in case]) for case in cases] == [
        ("p95 < 500ms", []),
        ("errors < 1%", ["failure"]),
        ("p99 < 1s", ["error"]),
    ]
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "time", "timestamp")} == {
        "tests": "3",
        "failures": "1",
        "errors": "1",
        "time": "120.000",
        "timestamp": "2026-11-24T12:00:00",
    }
    assert cases[1][0].get("message") == "errors was 2%, n = 900"


def test_junit_of_a_run_that_could_not_start_is_an_error() -> None:
    refused = could_not_start("heavy", "shop", "shop is busy with run r1")
    assert refused.exit_code == 2
    (case,) = ElementTree.fromstring(as_junit(refused)).iter("testcase")
    assert case[0].tag == "error"
    assert "shop is busy with run r1" in (case[0].text or "")


def test_junit_of_a_run_without_criteria_has_one_case_that_passes() -> None:
    (case,) = ElementTree.fromstring(as_junit(outcome(verdict=""))).iter("testcase")
    assert len(case) == 0


def test_markdown_tells_criteria_numbers_and_warnings() -> None:
    text = as_markdown(outcome(RESULTS, verdict="fail", is_generator_bound=True))
    assert text.startswith("## ❌ Load test smoke at shop\n")
    assert "| `errors < 1%` | fail | errors was 2%, n = 900 |" in text
    assert "> **generator-bound: the numbers tell of the load generator, not of the target**" in text
    assert "| p95 | > 10,000.0 ms |" in text
    assert "| p99 | unknown |" in text
    assert "| errors | 2.00% |" in text


def test_json_holds_everything_and_instants_as_text() -> None:
    told = json.loads(as_json(outcome(RESULTS, verdict="fail")))
    assert (told["exit_code"], told["verdict"], told["state"]) == (1, "fail", "finished")
    assert told["started_at"] == "2026-11-24T12:00:00+00:00"
    assert [each["verdict"] for each in told["criteria"]] == ["pass", "fail", "no_data"]


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_text_breaks_xml_markdown_or_the_terminal(name: str, why: str) -> None:
    results = [{"text": name, "verdict": "fail", "value": None, "n": 0, "why": why}]
    made = outcome(results, preset=name, target=why, reason=why, verdict="fail")
    (suite,) = ElementTree.fromstring(as_junit(made))
    assert len(suite.findall("testcase")) == 1
    assert len(json.loads(as_json(made))["criteria"]) == 1
    rows = [line for line in as_markdown(made).splitlines() if "fail |" in line]
    assert len(rows) == 1
    assert "\x1b" not in as_text(made) + as_markdown(made)
