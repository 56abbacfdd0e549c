"""How a load test came out, for people and for CI: an exit code, JSON, JUnit XML, Markdown."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

from warehouse.visible import visible

PASSED, FAILED, COULD_NOT = 0, 1, 2
"""Exit codes: it passed (or asked nothing, and finished), its criteria failed, it says nothing."""

NO_CRITERIA = "no criteria"
"""The reason that the warehouse gives for no verdict."""

NUMBERS = (
    ("requests", "requests", ""),
    ("failures", "failures", ""),
    ("error_ratio", "errors", "%"),
    ("rps", "throughput", "/s"),
    ("p50_ms", "p50", "ms"),
    ("p95_ms", "p95", "ms"),
    ("p99_ms", "p99", "ms"),
    ("users_max", "users", ""),
    ("generator_cpu_max", "generator CPU", "%"),
    ("dropped", "dropped arrivals", ""),
)
"""What is told of a run: its column, what to call it, its unit."""


@dataclass(frozen=True)
class Outcome:
    """One run as it came out. `row` is what the question `run` answers; `results` one entry per criterion."""

    row: Mapping[str, Any]
    results: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Outcome:
        """From a row of the question `run`."""
        told = row.get("criteria")
        return cls(row, json.loads(told) if told else [])

    @property
    def exit_code(self) -> int:
        """0, 1 or 2. What broke its criteria failed, even when it was stopped for that."""
        state, verdict = self.row.get("state"), self.row.get("verdict")
        if verdict == "fail" and state != "failed":
            return FAILED
        passed = verdict == "pass" or not self.results
        return PASSED if state == "finished" and passed else COULD_NOT

    @property
    def headline(self) -> str:
        """How it came out, in a line."""
        state, verdict = str(self.row.get("state")), self.row.get("verdict")
        said = {"pass": "passed", "fail": "failed its criteria", "no_data": "no data for its criteria"}
        told = f"{state}, without criteria" if state == "finished" else state
        if self.results and verdict in said:
            told = f"{state}: {said[verdict]}"
        reason = self.row.get("reason")
        return f"{told} ({reason})" if reason and reason != NO_CRITERIA else told

    @property
    def warnings(self) -> list[str]:
        """What makes its numbers less than they seem."""
        told = []
        if self.row.get("is_generator_bound"):
            told.append("generator-bound: the numbers tell of the load generator, not of the target")
        if self.row.get("is_partial"):
            told.append("partial: the generator was lost, what it had measured is kept")
        return told


def number(row: Mapping[str, Any], column: str, unit: str) -> str:
    """A number of a run as people read it; `unknown` where there is none."""
    value = row.get(column)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "unknown"
    above = "> " if row.get(column.replace("_ms", "_above")) is True and column.endswith("_ms") else ""
    if unit == "%":
        return f"{value:.2%}"
    if unit == "ms":
        return f"{above}{value:,.1f} ms"
    return f"{value:,.1f}{unit}" if unit else f"{value:,.0f}"


def as_json(outcome: Outcome) -> str:
    """Everything that is known of the run as one object; instants are ISO 8601."""
    row = {name: value for name, value in outcome.row.items() if name not in {"criteria", "plan", "run_no"}}
    told = {**row, "exit_code": outcome.exit_code, "criteria": list(outcome.results)}
    return json.dumps(told, default=_plain, indent=2, ensure_ascii=False)


def as_junit(outcome: Outcome) -> str:
    """JUnit XML: one test case per criterion, or one for the run where it has none."""
    row = outcome.row
    name = f"{row.get('preset')} at {row.get('target')}"
    cases = [_case(result, name) for result in outcome.results]
    if outcome.exit_code == COULD_NOT or not cases:
        cases.insert(0, _run_case(outcome, name))
    kinds = [child.tag for case in cases for child in case]
    counts = {
        "tests": str(len(cases)),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error")),
        "skipped": "0",
        "time": f"{_length_s(row):.3f}",
    }
    suites = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": _xml(name), **counts})
    if isinstance(row.get("started_at"), datetime):
        suite.set("timestamp", row["started_at"].replace(tzinfo=None).isoformat(timespec="seconds"))
    properties = ElementTree.SubElement(suite, "properties")
    for column in ("run_id", "scenario", "state", "verdict", "target_version"):
        value = _xml(str(row.get(column) or ""))
        ElementTree.SubElement(properties, "property", {"name": column, "value": value})
    suite.extend(cases)
    ElementTree.SubElement(suite, "system-out").text = _xml("\n".join(_told(outcome)))
    ElementTree.indent(suites)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"
    )


def could_not_start(preset: str, target: str, why: str, run_id: str = "") -> Outcome:
    """A run that never came to be; with `run_id` one of which nothing was heard any more."""
    state = "unknown" if run_id else "refused"
    row = {"preset": preset, "target": target, "state": state, "verdict": "no_data", "reason": why}
    return Outcome({**row, "run_id": run_id or None}, [])


def as_markdown(outcome: Outcome) -> str:
    """A summary for a pull request or a job's page."""
    row = outcome.row
    mark = {PASSED: "✅", FAILED: "❌", COULD_NOT: "⚠️"}[outcome.exit_code]
    lines = [f"## {mark} Load test {_cell(row.get('preset'))} at {_cell(row.get('target'))}", ""]
    lines += [f"{_cell(outcome.headline)}. Run {_code(row.get('run_id') or 'none')}.", ""]
    lines += [f"> **{_cell(warning)}**\n" for warning in outcome.warnings]
    if outcome.results:
        lines += ["| criterion | verdict | measured |", "|---|---|---|"]
        lines += [
            f"| {_code(each.get('text'))} | {_cell(each.get('verdict'))} | {_cell(each.get('why'))} |"
            for each in outcome.results
        ]
        lines.append("")
    if row.get("run_id"):
        lines += ["| measure | value |", "|---|---|"]
        lines += [f"| {name} | {number(row, column, unit)} |" for column, name, unit in NUMBERS]
    return "\n".join(lines).rstrip() + "\n"


def as_text(outcome: Outcome, finding: Mapping[str, Any] | None = None) -> str:
    """The same for a terminal; `finding` is what the question `run_saturation` answers."""
    lines = _told(outcome)
    if finding is not None:
        lines.append(visible(f"  {'where it broke':<18} {finding['resource']}: {finding['evidence']}"))
    return "\n".join(lines)


def _told(outcome: Outcome) -> list[str]:
    row = outcome.row
    lines = [f"run {row.get('run_id') or 'none'}: {outcome.headline}"]
    lines += [f"  {warning}" for warning in outcome.warnings]
    lines += [
        f"  {each.get('verdict', ''):<8} {each.get('text')}: {each.get('why')}" for each in outcome.results
    ]
    if row.get("run_id"):
        lines += [f"  {name:<18} {number(row, column, unit)}" for column, name, unit in NUMBERS]
    return [visible(line) for line in lines]


def _case(result: Mapping[str, Any], name: str) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", {"classname": _xml(name), "name": _xml(str(result.get("text"))), "time": "0"}
    )
    why = _xml(str(result.get("why")))
    if result.get("verdict") == "fail":
        ElementTree.SubElement(case, "failure", {"message": why, "type": "criterion"}).text = why
    elif result.get("verdict") != "pass":
        ElementTree.SubElement(case, "error", {"message": why, "type": "no_data"}).text = why
    return case


def _run_case(outcome: Outcome, name: str) -> ElementTree.Element:
    case = ElementTree.Element("testcase", {"classname": _xml(name), "name": "the run finishes", "time": "0"})
    if outcome.exit_code == COULD_NOT:
        why = _xml(outcome.headline)
        ElementTree.SubElement(case, "error", {"message": why, "type": "run"}).text = why
    return case


def _length_s(row: Mapping[str, Any]) -> float:
    start, end = row.get("started_at"), row.get("ended_at")
    if isinstance(start, datetime) and isinstance(end, datetime):
        return (end - start).total_seconds()
    return 0.0


def _xml(text: str) -> str:
    """Text that XML 1.0 can hold."""
    return "".join(
        letter
        if letter in "\t\n"
        or " " <= letter <= "\ud7ff"
        or "\ue000" <= letter <= "\ufffd"
        or letter > "\uffff"
        else "\ufffd"
        for letter in text
    )


def _cell(value: Any) -> str:
    """Text that stays within a cell of a Markdown table, and is no markup."""
    text = visible(str(value if value is not None else ""))
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in text)


def _code(value: Any) -> str:
    """Text shown as it is, within a cell of a Markdown table."""
    text = visible(str(value if value is not None else ""))
    return "`" + text.replace("`", "'").replace("|", "\\|") + "`"


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)
