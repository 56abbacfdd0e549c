"""The knee of a load curve lies where throughput stops growing with users, and only where it was seen."""

import numpy as np
import pytest

from warehouse.analysis.load_curve import knee

USERS = np.array([1.0, 5, 10, 20, 40, 80, 160])


def closed(users: np.ndarray, service_s: float, think_s: float, servers: int = 1) -> np.ndarray:
    """Throughput of users who think and wait for a server, by its two bounds."""
    return np.minimum(users / (service_s + think_s), servers / service_s)


def test_the_knee_of_a_law_is_found() -> None:
    rate, contention = 10.0, 0.05
    found = knee(USERS, rate * USERS / (1 + contention * (USERS - 1)))
    assert found.users == pytest.approx(20)
    assert found.most_rps == pytest.approx(200)
    assert found.n == 7


def test_the_knee_of_a_queue_is_near_where_its_bounds_meet() -> None:
    found = knee(USERS, closed(USERS, 0.02, 0.98))
    assert found.users == pytest.approx(50, rel=0.35)
    assert found.most_rps == pytest.approx(50, rel=0.35)


def test_throughput_that_falls_has_its_most_at_the_peak() -> None:
    rate, contention, coherency = 10.0, 0.02, 0.0005
    law = rate * USERS / (1 + contention * (USERS - 1) + coherency * USERS * (USERS - 1))
    found = knee(USERS, law)
    assert found.most_rps is not None
    assert found.most_rps >= law.max()
    assert found.users is not None
    assert found.users < USERS[law.argmax()]


def test_noise_moves_it_little() -> None:
    random = np.random.default_rng(1)
    users = np.repeat(USERS, 4)
    law = 10 * users / (1 + 0.05 * (users - 1)) * random.normal(1, 0.03, len(users))
    assert knee(users, law).users == pytest.approx(20, rel=0.2)


@pytest.mark.parametrize(
    ("users", "rps", "words"),
    [
        (USERS, USERS * 10, "no knee up to 160 users"),
        (USERS, closed(USERS, 0.001, 0.999), "no knee up to 160 users"),
        (np.array([1.0, 5, 10]), np.array([1.0, 5, 10]), "different numbers of users: 3, needed: 4"),
        (np.zeros(0), np.zeros(0), "different numbers of users: 0, needed: 4"),
        (USERS, np.zeros(7), "different numbers of users: 0, needed: 4"),
        (USERS, USERS * 10 / (1 + 0.002 * (USERS - 1)), "no knee up to 160 users"),
    ],
)
def test_no_knee_is_made_up(users: np.ndarray, rps: np.ndarray, words: str) -> None:
    found = knee(users, rps)
    assert (found.users, found.most_rps, found.why) == (None, None, words)
