"""The examples of docs/loadtests.md are configurations that Perfhouse takes."""

import re

from tests.docs.pages import ROOT
from warehouse.analysis.criteria import Metric
from warehouse.plan import make_plan
from warehouse.settings import parse

TEXT = (ROOT / "docs" / "loadtests.md").read_text(encoding="utf-8")
EXAMPLES = "\n".join(re.findall(r"^```toml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))


def test_the_examples_together_are_a_load_test_that_may_be_run() -> None:
    settings = parse(EXAMPLES, ROOT / "example.toml", {})
    plan = make_plan(settings, "shop", "lunch", None)
    assert plan.scenario == "checkout"
    assert plan.criteria == ("p95 < 500ms", "errors > 5% for 10s, stop", "POST /cart: p99 < 1s")


def test_every_metric_is_told() -> None:
    assert all(f"`{metric}`" in TEXT for metric in Metric)
