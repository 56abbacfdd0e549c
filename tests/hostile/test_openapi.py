"""The API as its own OpenAPI tells it: whatever is sent, the answer is a declared one, and never a 500."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation, BaseSchema
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.hostile.conftest import SOAK, token_of
from tests.servers.warehouse import WarehouseProcess

EXAMPLES = 400 if SOAK else 8
"""Requests for each operation, right ones and wrong ones each."""

SCHEMA = "/api/v1/openapi.json"
NEEDS_NO_TOKEN = {"/healthz"}

# A window whose end lies before its start is refused, which no schema can say; and a query that is wrong only
# because a list is not one is right: a single value is a list of one.
# Nor can it say that there is no such run.
UNSAYABLE = {
    "GET": [positive_data_acceptance, negative_data_rejection],
    "POST": [positive_data_acceptance],
    "DELETE": [positive_data_acceptance],
}


@pytest.fixture(scope="module")
def schema(served: WarehouseProcess) -> BaseSchema:
    return schemathesis.openapi.from_url(served.settings.warehouse.url + SCHEMA)


def teller_of(case: Case) -> str:
    """Whose token an operation takes."""
    if case.path.endswith(("/ingest", "/restore")):
        return "collect"
    told = case.path.endswith(("/claim", "/report", "/rows", "/events"))
    return "agent" if told and case.method == "POST" else "cli"


def operations(schema: BaseSchema) -> Iterator[APIOperation]:
    for found in schema.get_all_operations():
        yield found.ok()


def generated(
    operation: APIOperation, mode: GenerationMode, act: Callable[[Case], None], examples: int
) -> None:
    """Run `act` on so many generated requests; about half of the windows among them are sane ones."""

    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(operation.as_strategy(generation_mode=mode), st.booleans(), st.integers(1, 86_400))
    def run(case: Case, sane: bool, seconds: int) -> None:
        if sane and isinstance(case.query, dict) and {"start", "end"} <= set(case.query):
            end = datetime.now(UTC)
            case.query |= {"start": (end - timedelta(seconds=seconds)).isoformat(), "end": end.isoformat()}
        act(case)

    run()


def test_the_openapi_is_valid_and_names_every_refusal(schema: BaseSchema) -> None:
    schema.validate()
    for operation in operations(schema):
        declared = set(operation.definition.raw["responses"])
        assert {"400", "403"} < declared
        assert declared & {"200", "201"}
        assert (operation.path in NEEDS_NO_TOKEN) == ("401" not in declared)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_answer_is_a_declared_one(
    served: WarehouseProcess, schema: BaseSchema, mode: GenerationMode
) -> None:
    names = ("cli", "collect", "agent")
    tokens = {name: {"Authorization": f"Bearer {token_of(served, name)}"} for name in names}
    statuses: Counter[int] = Counter()

    def ask(case: Case) -> None:
        headers = tokens[teller_of(case)]
        answer = case.call_and_validate(headers=headers, excluded_checks=UNSAYABLE[case.method])
        statuses[answer.status_code] += 1

    for operation in operations(schema):
        if mode is GenerationMode.POSITIVE or operation.query or operation.body:
            generated(operation, mode, ask, EXAMPLES)
    assert statuses[200 if mode is GenerationMode.POSITIVE else 422] > EXAMPLES


def test_without_a_token_every_answer_is_401(schema: BaseSchema) -> None:
    def ask(case: Case) -> None:
        case.headers = {
            name: value for name, value in (case.headers or {}).items() if name.lower() != "authorization"
        }
        answer = case.call()
        case.validate_response(answer, excluded_checks=UNSAYABLE[case.method])
        assert answer.status_code == (200 if case.operation.path in NEEDS_NO_TOKEN else 401)

    for operation in operations(schema):
        generated(operation, GenerationMode.POSITIVE, ask, 3)
