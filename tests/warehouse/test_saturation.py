"""The first resource to saturate is named with its evidence, and none where nothing says which."""

import numpy as np
import pytest

from tests.warehouse.load_runs import requests
from tests.warehouse.saturating import AT_S, LENGTH_S, ONSET_S, queries, ramp, rates, steps, watched
from warehouse.analysis.degradation import first_stretch, windows_of
from warehouse.analysis.resources import Resources, Track
from warehouse.analysis.saturation import saturated_first


def test_the_onset_is_found_within_a_window() -> None:
    stretch = first_stretch(ramp())
    assert stretch is not None
    assert (stretch.kind, stretch.from_s, stretch.to_s) == ("p95", ONSET_S, LENGTH_S)


def test_noise_is_no_onset() -> None:
    for seed in range(50):
        assert first_stretch(ramp(high_ms=10, seed=seed)) is None, seed


def test_a_process_at_a_full_core_is_named_with_its_numbers() -> None:
    full = steps("process_cpu_ratio", 0.4, 1.0, at_s=28, object="web/server")
    found = saturated_first(ramp(), watched(full))
    assert (found.resource, found.object, found.confidence) == ("CPU of a process", "server", "high")
    assert found.at_elapsed_s == 29
    assert found.evidence.startswith("CPU of server on web: 0.99 of one core from 0:29 on, p95 rose from 1")
    assert "ms at 0:30" in found.evidence


def test_a_process_of_many_threads_is_not_full_at_one_core() -> None:
    busy = steps("process_cpu_ratio", 0.4, 1.6, object="web/server")
    assert saturated_first(ramp(), watched(busy)).resource == "unknown"


def test_two_processes_of_a_name_are_full_at_two_cores() -> None:
    count = steps("process_count", 2.0, 2.0, object="web/server")
    two = steps("process_cpu_ratio", 0.8, 2.0, object="web/server")
    one = steps("process_cpu_ratio", 0.8, 1.0, object="web/server")
    assert saturated_first(ramp(), watched(two, count)).object == "server"
    assert saturated_first(ramp(), watched(one, count)).resource == "unknown"


@pytest.mark.parametrize(
    ("track", "resource", "words"),
    [
        (steps("cpu_ratio", 0.2, 0.99), "CPU", "CPU of web: 0.9"),
        (steps("memory_used_ratio", 0.4, 0.98), "memory", "memory of web: 0.9"),
        (steps("disk_busy_ratio", 0.1, 0.99, object="web sda"), "disk", "disk web sda: busy 0.9"),
        (
            steps("connections_used_ratio", 0.1, 1.0, kind="database", object="shop"),
            "connections",
            "connections of shop: 100% of them in use",
        ),
    ],
)
def test_other_resources_are_named(track: Track, resource: str, words: str) -> None:
    found = saturated_first(ramp(), watched(track))
    assert found.resource == resource
    assert found.evidence.startswith(words)
    assert "p95 rose" in found.evidence


def test_the_hungriest_process_is_told_with_a_full_host() -> None:
    tracks = (steps("cpu_ratio", 0.2, 0.99), steps("process_cpu_ratio", 0.5, 3.4, object="web/worker"))
    found = saturated_first(ramp(), watched(*tracks))
    assert found.resource == "CPU"
    assert ", most by worker: 3.3" in found.evidence


def test_waiting_for_locks_is_named() -> None:
    tracks = (
        steps("lock_waits", 0.0, 9.0, kind="database", object="shop"),
        steps("connections_active", 2.0, 10.0, kind="database", object="shop"),
    )
    found = saturated_first(ramp(), watched(*tracks))
    assert (found.resource, found.object) == ("locks", "shop")
    assert "9 sessions waiting for others" in found.evidence


def test_slow_queries_are_named_with_what_they_explain() -> None:
    windows = ramp()
    found = saturated_first(windows, watched(queries=[queries(5, 110, rates(windows))]))
    assert (found.resource, found.object) == ("queries", "shop")
    assert "with SELECT slow (5 then 110 ms a call)" in found.evidence
    assert "of the rise in its mean latency" in found.evidence


def test_sessions_that_are_all_busy_are_named_though_no_query_got_slower() -> None:
    windows = ramp()
    found = saturated_first(windows, watched(queries=[queries(6, 6, np.minimum(rates(windows), 100))]))
    assert found.resource == "unknown", "less than one session was busy"
    slow = ramp(low_ms=50, high_ms=400)
    found = saturated_first(slow, watched(queries=[queries(40, 40, np.minimum(rates(slow), 100))]))
    assert (found.resource, found.object) == ("queries", "shop")
    assert "a request at low load, and no more sessions ran at once" in found.evidence


def test_queries_that_explain_little_are_not_named() -> None:
    windows = ramp()
    found = saturated_first(windows, watched(queries=[queries(1, 20, rates(windows))]))
    assert found.resource == "unknown"


def test_queries_are_not_named_while_a_cpu_is_exhausted() -> None:
    windows = ramp()
    tracks = watched(steps("cpu_ratio", 0.2, 0.99), queries=[queries(5, 110, rates(windows))])
    assert saturated_first(windows, tracks).resource == "CPU"


def test_the_generator_comes_first_though_others_were_earlier() -> None:
    tracks = (
        steps("cpu_ratio", 0.2, 0.99, at_s=20),
        steps("generator_cpu_ratio", 0.2, 0.97, kind="generator", object="process 0"),
    )
    found = saturated_first(ramp(), watched(*tracks))
    assert found.resource == "generator"
    assert found.evidence.startswith("CPU of the generator: 0.9")


def test_dropped_arrivals_are_the_generators() -> None:
    dropped = Track("generator", "", "generator_dropped_total", AT_S, np.maximum(0, AT_S - 29))
    found = saturated_first(ramp(), watched(dropped))
    assert found.resource == "generator"
    assert "dropped 31 arrivals from 0:30 on" in found.evidence


def test_the_first_of_two_is_named() -> None:
    tracks = (
        steps("cpu_ratio", 0.2, 0.99, at_s=29),
        steps("connections_used_ratio", 0.1, 1.0, at_s=20, kind="database", object="shop"),
    )
    found = saturated_first(ramp(), watched(*tracks))
    assert (found.resource, found.confidence) == ("connections", "high")


def test_two_at_once_are_both_told() -> None:
    tracks = (
        steps("cpu_ratio", 0.2, 0.99),
        steps("connections_used_ratio", 0.1, 1.0, kind="database", object="shop"),
    )
    found = saturated_first(ramp(), watched(*tracks))
    assert (found.resource, found.confidence) == ("CPU", "low")
    assert "at the same time: connections of shop" in found.evidence


def test_what_came_later_or_did_not_stay_is_not_named() -> None:
    assert saturated_first(ramp(), watched(steps("cpu_ratio", 0.2, 0.99, at_s=40))).resource == "unknown"
    values = np.where((AT_S > 30) & (AT_S <= 33), 1.0, 0.3)
    spike = Track("host", "web", "cpu_ratio", AT_S, values)
    found = saturated_first(ramp(), watched(spike))
    assert found.resource == "unknown"
    assert found.evidence.startswith("p95 rose from 1")
    assert "no watched resource reached its limit in time: CPU of the generator 0.4" in found.evidence


@pytest.mark.parametrize("interval", [1, 5, 10])
def test_a_slow_sampling_interval_is_allowed_for(interval: int) -> None:
    full = steps("cpu_ratio", 0.2, 1.0)
    own = AT_S % interval == 0
    sampled = Track("host", "web", "cpu_ratio", AT_S[own], full.values[own])
    assert saturated_first(ramp(), watched(sampled)).resource == "CPU"


def test_a_run_where_nothing_got_worse_is_unknown_and_says_so() -> None:
    found = saturated_first(ramp(high_ms=10), watched(steps("cpu_ratio", 0.2, 0.99)))
    assert (found.resource, found.at_elapsed_s, found.confidence) == ("unknown", None, "none")
    assert found.evidence.startswith("nothing got clearly worse: p95 lay between ")


def test_a_run_nothing_watched_is_unknown_and_says_so() -> None:
    found = saturated_first(ramp(), Resources())
    assert found.resource == "unknown"
    assert found.evidence.endswith("and no resource was watched meanwhile")


def test_a_run_of_few_requests_is_unknown_and_says_so() -> None:
    few = windows_of(requests([1.0, 2.0], [10, 10]), 10, AT_S[:10], AT_S[:10])
    found = saturated_first(few, watched())
    assert found.resource == "unknown"
    assert found.evidence.startswith("too few requests or too short: 2 requests")
    none = windows_of(requests([], []), 0, AT_S[:0], AT_S[:0])
    assert saturated_first(none, watched()).resource == "unknown"


def test_errors_are_an_onset_of_their_own() -> None:
    full = steps("cpu_ratio", 0.2, 1.0)
    found = saturated_first(ramp(high_ms=10, failing=0.5), watched(full))
    assert found.resource == "CPU"
    assert "errors rose from 0.0% to 5" in found.evidence


def test_throughput_that_stays_while_users_rise_is_an_onset() -> None:
    """Answers get slower too little to show in the p95, because users wait less between them."""
    random = np.random.default_rng(3)
    rate = 15 * np.minimum(np.arange(1, LENGTH_S + 1), 12)
    second = np.repeat(np.arange(LENGTH_S), random.poisson(rate))
    own = requests(
        second + random.uniform(0, 1, len(second)), 10 * np.exp(random.normal(0, 0.2, len(second)))
    )
    stretch = first_stretch(windows_of(own, LENGTH_S, AT_S, AT_S))
    assert stretch is not None
    assert stretch.kind == "throughput"
    assert 12 <= stretch.from_s <= 25


def before(track: Track, value: float) -> Track:
    """The track with five seconds of samples from before the run."""
    early = np.arange(-4.5, 0.5)
    values = np.concatenate([np.full(len(early), value), track.values])
    return Track(track.kind, track.object, track.metric, np.concatenate([early, track.at_s]), values)


def test_what_was_full_before_the_run_is_named_only_where_nothing_else_is() -> None:
    full = before(steps("cpu_ratio", 0.99, 0.99), 0.99)
    found = saturated_first(ramp(), watched(full))
    assert (found.resource, found.confidence, found.at_elapsed_s) == ("CPU", "low", 0.0)
    assert "from 0:00 on, p95 rose" in found.evidence
    process = steps("process_cpu_ratio", 0.4, 1.0, object="web/server")
    found = saturated_first(ramp(), watched(full, process))
    assert (found.resource, found.object, found.confidence) == ("CPU of a process", "server", "low")
    assert "; before the run already: CPU of web: 0.9" in found.evidence


def test_a_fast_start_is_not_taken_for_what_was_before() -> None:
    full = before(steps("cpu_ratio", 0.99, 0.99), 0.2)
    found = saturated_first(ramp(), watched(full, steps("process_cpu_ratio", 0.4, 1.0, object="web/server")))
    assert (found.resource, found.confidence) == ("CPU", "high")
