"""A batch on the wire: what is packed is what is stored, in Arrow and in JSON alike."""

import string
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.warehouse.records import attempt, sample
from warehouse.checks import check
from warehouse.errors import InvalidInputError
from warehouse.model import MAX_US, Attempt, Batch, Event, Gap, GapReason, JobState, Outcome, Sample, now
from warehouse.wire import SCHEMAS, pack, unpack_arrow, unpack_json

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
names = st.text(string.printable[:95] + "äß漢🚀", min_size=1, max_size=200)
instants = st.integers(-30 * 86_400_000, 0).map(lambda ms: AT + timedelta(milliseconds=ms))
micros = st.none() | st.integers(0, MAX_US)
failures = st.sampled_from([outcome for outcome in Outcome if outcome is not Outcome.OK])


@st.composite
def attempts(draw: st.DrawFn) -> Attempt:
    outcome = draw(st.sampled_from(Outcome))
    total = {Outcome.OK: st.integers(0, MAX_US), Outcome.TIMEOUT: st.none()}.get(outcome, micros)
    return Attempt(
        at=draw(instants),
        target=draw(names),
        endpoint=draw(names),
        outcome=outcome,
        status=draw(st.none() | st.integers(100, 999)),
        dns_us=draw(micros),
        connect_us=draw(micros),
        tls_us=draw(micros),
        first_byte_us=draw(micros),
        total_us=draw(total),
        bytes=draw(st.none() | st.integers(0, 2**63 - 1)),
        loop_lag_us=draw(micros),
        deadline_us=draw(st.integers(0, MAX_US)),
    )


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    ok = draw(st.booleans())
    return Sample(
        at=draw(instants),
        kind=draw(names),
        target=draw(names),
        object=draw(st.just("") | names),
        metric=draw(names),
        unit=draw(st.just("") | names),
        value=draw(st.floats(allow_nan=False, allow_infinity=False)) if ok else None,
        outcome=Outcome.OK if ok else draw(failures),
        direction=draw(st.sampled_from(["lower", "higher", None])),
    )


batches = st.builds(
    Batch,
    batch_id=st.just("wire-batch"),
    attempts=st.lists(attempts(), max_size=5).map(tuple),
    samples=st.lists(samples(), max_size=5).map(tuple),
    gaps=st.lists(
        st.builds(
            Gap,
            at=instants,
            until=instants,
            job=names,
            reason=st.sampled_from(GapReason),
            missed=st.integers(1, 2**31 - 1),
        ),
        max_size=3,
    ).map(tuple),
    events=st.lists(
        st.builds(Event, at=instants, job=names, state=st.sampled_from(JobState), text=st.just("") | names),
        max_size=3,
    ).map(tuple),
)


@hypothesis_settings(max_examples=150, deadline=None)
@given(batches)
def test_arrow_and_json_carry_every_field_unchanged(batch: Batch) -> None:
    _, from_arrow = unpack_arrow(batch.batch_id, pack(batch))
    document = orjson.dumps(batch.model_dump(mode="json", exclude={"source"}))
    _, _, from_json = unpack_json(document)
    stored = check(batch.batch_id, "local", from_arrow, AT)
    again = check(batch.batch_id, "local", from_json, AT)
    for kind in SCHEMAS:
        sent = [record.model_dump(mode="python") for record in getattr(batch, kind)]
        assert stored.tables[kind].to_pylist() == sent
        assert again.tables[kind].equals(stored.tables[kind])


@hypothesis_settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_garbage_is_refused_never_a_crash(body: bytes) -> None:
    if body:
        with pytest.raises(InvalidInputError):
            unpack_arrow("garbage-1", body)
    with pytest.raises(InvalidInputError):
        unpack_json(body)


@hypothesis_settings(max_examples=600, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_stream_is_refused_or_still_a_right_batch(place: int, flip: int) -> None:
    body = bytearray(pack(Batch(batch_id="damaged-1", samples=(sample(AT), sample(AT, value=2.0)))))
    body[place % len(body)] ^= flip
    with suppress(InvalidInputError):
        _, tables = unpack_arrow("damaged-1", bytes(body))
        check("damaged-1", "local", tables, AT)


@pytest.mark.parametrize("batch_id", ["", "short", "x" * 101, "has space", "quote'", "semi;colon"])
def test_a_batch_id_is_a_plain_word(batch_id: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        unpack_arrow(batch_id, b"")
    assert refused.value.field == "X-Batch-Id"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"ms": None, "outcome": "ok"}, "attempts.0.total_us"),
        ({"ms": 5.0, "outcome": "timeout"}, "attempts.0.total_us"),
        ({"at": AT + timedelta(hours=1, seconds=1)}, "attempts.0.at"),
        ({"at": AT - timedelta(days=401)}, "attempts.0.at"),
    ],
)
def test_what_contradicts_itself_is_refused(fields: dict[str, object], field: str) -> None:
    record = attempt(**{"at": AT, **fields})  # type: ignore[arg-type]
    _, tables = unpack_arrow("contradict", pack(Batch(batch_id="contradict", attempts=(record,))))
    with pytest.raises(InvalidInputError) as refused:
        check("contradict", "local", tables, AT)
    assert refused.value.field == field


def test_an_instant_is_kept_to_the_millisecond_never_rounded_up() -> None:
    at = now().replace(microsecond=999_999)
    _, tables = unpack_arrow("millisecond", pack(Batch(batch_id="millisecond", samples=(sample(at),))))
    assert tables["samples"]["at"][0].as_py() == at.replace(microsecond=999_000)
