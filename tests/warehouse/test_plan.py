"""Presets and scenarios become plans: caps named, stages reachable, secrets never in them."""

from pathlib import Path

import pytest

from warehouse.errors import ConfigurationError, InvalidInputError
from warehouse.plan import Plan, make_plan, plateaus, total_s, users_at
from warehouse.settings import Settings, load, parse

MARKER = "hunter2-marker"
SHOP = """
[[target]]
name = "shop"
url = "https://shop.example"
headers = { Authorization = { env = "SHOP_KEY" }, Accept = "text/html" }
[target.load]
users = 50
requests_per_s = 20
duration_s = 600
environment = "staging"
[[target.endpoint]]
path = "/"
deadline_s = 2
[[target.endpoint]]
path = "/cart"
method = "POST"
[[target]]
name = "watched"
url = "https://watched.example"
[[target.endpoint]]
path = "/"
"""
CHECKOUT = """
[[scenario]]
name = "checkout"
targets = ["shop"]
order = "sequence"
think_s = 0.5
criteria = ["errors < 1%"]
[scenario.token]
path = "/login"
json_body = { user = "load" }
[[scenario.setup]]
method = "POST"
path = "/seed"
extract = { cart = "data.id" }
[[scenario.request]]
path = "/carts/{cart}?page=1"
weight = 3
headers = { X-Api-Key = { file = "key" } }
[[scenario.request]]
name = "upload"
method = "POST"
path = "/files"
file = { name = "a.txt", bytes = 10 }
[[scenario.teardown]]
method = "DELETE"
path = "/seed"
"""
STAGES = ((10.0, 20, 10.0), (10.0, 150, 50.0), (20.0, 150, 1.0), (4.0, 0, 150.0))


def settings_of(text: str) -> Settings:
    return parse(text, Path("/etc/perfhouse/perfhouse.toml"), {})


def problem_of(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        settings_of(text)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("preset", "users", "duration_s", "stages"),
    [
        ("smoke", 5, 120, 1),
        ("light", 20, 300, 1),
        ("medium", 50, 600, 1),
        ("heavy", 100, 900, 1),
        ("stress", 200, 600, 5),
        ("spike", 150, 300, 3),
        ("volume", 50, 14_400, 1),
    ],
)
def test_the_built_in_presets_run_on_the_demo(
    preset: str, users: int, duration_s: float, stages: int
) -> None:
    settings = load(Path(__file__).parents[2] / "perfhouse.toml", {})
    plan = make_plan(settings, "demo", preset, None)
    assert (plan.users, plan.duration_s, len(plan.stages)) == (users, duration_s, stages)
    assert plan.scenario == "invoice-api"
    assert [(each.label, each.weight) for each in plan.requests] == [
        ("GET /health", 3),
        ("GET /api/v1/invoices/", 2),
        ("POST /api/v1/auth/dev-token", 1),
        ("GET /metrics", 1),
    ]
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_the_workflow_uploads_fifty_at_once_and_asks_for_their_processing() -> None:
    settings = load(Path(__file__).parents[2] / "perfhouse.toml", {})
    upload, asked = make_plan(settings, "demo", "smoke", "invoice-workflow").requests
    assert (upload.repeat, upload.concurrent, upload.extract) == (50, True, {"invoice": "id"})
    assert asked.path == "/api/v1/invoices/{invoice}/processing"


def test_a_plan_holds_all_that_is_asked_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", MARKER)
    plan = make_plan(settings_of(SHOP + CHECKOUT), "shop", "light", None)
    text = plan.model_dump_json()
    assert MARKER not in text
    assert '"Authorization":{"env":"SHOP_KEY","file":null}' in text
    assert '"X-Api-Key":{"env":null,"file":"/etc/perfhouse/key"}' in text
    assert plan.model_validate_json(text) == plan
    assert plan.stages == ((300.0, 20, 2.0),)
    assert (plan.max_users, plan.max_requests_per_s, plan.max_duration_s) == (50, 20, 600)
    assert (plan.environment, plan.order, plan.think_s) == ("staging", "sequence", (0.5, 0.5))
    assert plan.criteria == ("errors < 1%",)
    assert [(each.endpoint, each.part, each.label) for each in plan.endpoints] == [
        (0, "token", "POST /login"),
        (1, "setup", "POST /seed"),
        (2, "load", "GET /carts/{cart}"),
        (3, "load", "upload"),
        (4, "teardown", "DELETE /seed"),
    ]


def test_a_target_of_its_own_endpoints() -> None:
    plan = make_plan(settings_of(SHOP), "shop", "smoke", None)
    assert plan.scenario == "endpoints"
    assert [(each.method, each.path, each.deadline_s) for each in plan.requests] == [("GET", "/", 2.0)]


def test_the_hash_tells_what_is_asked_and_not_how_often() -> None:
    def hash_of(text: str, preset: str = "smoke") -> str:
        return make_plan(settings_of(SHOP + text), "shop", preset, "checkout").scenario_hash

    known = hash_of(CHECKOUT)
    assert known == hash_of(CHECKOUT, "light")
    assert known == hash_of(CHECKOUT.replace('{ file = "key" }', '{ file = "/elsewhere/key" }'))
    assert known == hash_of(CHECKOUT.replace('["errors < 1%"]', '["p95 < 1s"]'))
    changed = [("weight = 3", "weight = 4"), ("0.5", "0.6"), ("page=1", "page=2"), ("/login", "/enter")]
    changed += [('"sequence"', '"weighted"'), ("bytes = 10", "bytes = 11")]
    hashes = {hash_of(CHECKOUT.replace(*each)) for each in changed}
    assert len(hashes - {known}) == len(changed)


@pytest.mark.parametrize(
    ("target", "preset", "scenario", "field", "told"),
    [
        ("shopp", "smoke", None, "target", "no target is named shopp"),
        ("watched", "smoke", None, "target", "no load may be sent to watched"),
        ("shop", "smokey", None, "preset", "no preset is named smokey"),
        ("shop", "smoke", "browse", "scenario", "no scenario is named browse"),
        ("shop", "smoke", "invoice-api", "scenario", "is for demo, not for shop"),
        ("shop", "heavy", None, "preset", "users = 100, and shop allows at most 50"),
        ("shop", "long", None, "preset", "duration_s = 601, and shop allows at most 600"),
        ("shop", "smoke", "fast", "scenario", "requests_per_s = 21, and shop allows at most 20"),
    ],
)
def test_what_is_not_allowed_is_named_with_both_numbers(
    target: str, preset: str, scenario: str | None, field: str, told: str
) -> None:
    more = '[[preset]]\nname = "long"\nusers = 1\nduration_s = 601\n'
    more += (
        '[[scenario]]\nname = "fast"\narrivals = "constant"\nrate_per_s = 21\nrequest = [{ path = "/" }]\n'
    )
    with pytest.raises(InvalidInputError, match=told) as refused:
        make_plan(settings_of(SHOP + more), target, preset, scenario)
    assert refused.value.field == field


def test_own_presets_stand_beside_the_built_in_ones_and_replace_them() -> None:
    settings = settings_of(
        'preset = [{ name = "smoke", users = 1, duration_s = 5 }, { name = "mine", stage = ['
        "{ duration_s = 10, users = 5 }, { duration_s = 5, users = 5 }] }]"
    )
    assert list(settings.presets) == [
        "smoke",
        "light",
        "medium",
        "heavy",
        "stress",
        "spike",
        "volume",
        "mine",
    ]
    assert settings.presets["smoke"].stages == ((5.0, 1, 1.0),)
    assert settings.presets["mine"].stages == ((10.0, 5, 0.5), (5.0, 5, 1.0))


def test_users_at_each_moment() -> None:
    moments = (-1, 0, 1, 2, 9.9, 10, 11, 12.6, 39.9, 40.5, 41, 44, 99)
    expected = [0, 0, 10, 20, 20, 20, 70, 150, 150, 75, 0, 0, 0]
    assert [users_at(STAGES, moment) for moment in moments] == pytest.approx(expected)
    assert total_s(STAGES) == 44


def test_plateaus_are_where_users_stand_still_without_settling() -> None:
    assert plateaus(STAGES) == ((4.0, 10.0, 20), (14.6, 40.0, 150))
    assert plateaus(((6.9, 20, 10.0), (6.0, 0, 10.0))) == (), "shorter than five seconds, and nobody there"


PRESET = "[[preset]]\nname = 'a'\n"
STAGED = PRESET + "stage = "
SCENARIO = "[[scenario]]\nname = 'a'\nrequest = [{ path = '/' }]\n"
REQUEST = SCENARIO.replace("'/'", "'/', {}")
SCHEDULE = SHOP + "[[schedule]]\nname = 'a'\ntarget = 'shop'\npreset = 'smoke'\ncron = '1 2 * * *'\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            PRESET + "users = 20\nduration_s = 5\nspawn_rate = 2",
            "stage 1 goes from 0 to 20 users at 2 a second, which takes 10 s; expected at most its 5 s",
        ),
        (PRESET + "users = 20\nduration_s = 5", "which takes 10 s"),
        (
            STAGED + "[{ duration_s = 9, users = 9 }, { duration_s = 2, users = 0, spawn_rate = 3 }]",
            "stage 2 goes from 9 to 0 users at 3 a second, which takes 3 s",
        ),
        (PRESET + "users = 2", "expected users and duration_s, or stages"),
        (STAGED + "[{ duration_s = 9, users = 0 }]", "expected a stage with users"),
        (
            PRESET + "users = 1\nduration_s = 5\nstage = [{ duration_s = 9, users = 1 }]",
            "expected either users and duration_s or stages",
        ),
        (PRESET + "users = 1\nduration_s = 5\ncriteria = ['p95 < 5']", "criteria[1]: expected ms or s after"),
        ((PRESET + "users = 1\nduration_s = 5\n") * 2, "preset: expected each name once"),
        (SCENARIO.replace("{ path = '/' }", ""), "scenario[1].request: expected at least one"),
        (SCENARIO.replace("'/' }", "'/' }, { path = '/?b' }"), "more than once: GET /"),
        (SCENARIO + "think_s = [2, 1]", "expected think_s as"),
        (SCENARIO + "think_s = 'x'", "think_s: expected a number"),
        (SCENARIO + "arrivals = 'poisson'", "expected rate_per_s"),
        (SCENARIO + "rate_per_s = 5", "expected rate_per_s"),
        (REQUEST.replace("{}", "body = 'b', json_body = {}"), "given body and json_body"),
        (REQUEST.replace("{}", "file = { name = 'b' }"), "expected either path or bytes"),
        (SCENARIO + "targets = ['b']", "scenario a: expected a target that is configured, given b"),
        (SCHEDULE.replace("1 2 * * *", "1 2 * *"), "schedule[1].cron: expected to match"),
        (SCHEDULE.replace("smoke", "x"), "schedule a: expected a preset that is configured, given x"),
        (SCHEDULE + "scenario = 'x'", "schedule a: expected a scenario that is configured, given x"),
        ("agent.token = { env = 'T' }", "expected both warehouse_url and token or neither"),
        (SHOP.replace("users = 50", "users = 0"), "target[1].load.users: expected greater than or equal"),
    ],
)
def test_a_fault_is_told(text: str, told: str) -> None:
    assert told in problem_of(text)


def test_a_secret_in_a_scenario_is_refused_and_not_echoed() -> None:
    text = f'scenario = [{{ name = "a", request = [{{ path = "/", headers = {{ Cookie = "{MARKER}" }} }}] }}]'
    assert MARKER not in problem_of(text)


def test_who_and_where_the_agent_is() -> None:
    settings = settings_of('[collectors]\nname = "berlin-1"\n[access]\nlaunch = ["ann"]')
    assert (settings.agent_name, settings.agent.bind) == ("berlin-1", "127.0.0.1")
    assert settings.runs_dir == Path("/etc/perfhouse/data/runs")
    assert settings.access.launch == ("ann",)
    assert settings_of('[agent]\nname = "load-1"').agent_name == "load-1"
