"""Who may act: at this machine anybody, from elsewhere only who signed in and holds the role."""

import pytest

from dashboard.access import Access, Caller, judge, name_of
from warehouse.settings import AccessSettings

HOST = ("Host", "127.0.0.1:8501")
NOBODY = AccessSettings()
ALICE = AccessSettings(launch=("alice@example.com",))
PROXY = AccessSettings(
    launch=("alice",), proxy_header="X-Forwarded-User", proxy_from=("127.0.0.1", "10.0.0.0/8")
)


def caller(
    *headers: tuple[str, str], bind: str = "127.0.0.1", peer: str = "127.0.0.1", login: str = ""
) -> Caller:
    return Caller(bind, peer, headers, login or None)


@pytest.mark.parametrize("host", ["127.0.0.1:8501", "localhost", "LOCALHOST:1", "[::1]:8501", "127.8.9.10"])
@pytest.mark.parametrize("bind", ["127.0.0.1", "localhost", "::1"])
def test_who_sits_at_the_machine_needs_no_sign_in(host: str, bind: str) -> None:
    assert judge(caller(("Host", host), bind=bind), NOBODY) == Access(allowed=True)
    assert judge(caller(("Host", host), bind=bind), NOBODY).is_local


@pytest.mark.parametrize("bind", ["0.0.0.0", "", "::", "192.0.2.1", "example.com"])
def test_a_server_open_to_the_network_asks_for_a_sign_in(bind: str) -> None:
    assert not judge(caller(HOST, bind=bind), ALICE).allowed


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        ["example.com"],
        ["127.0.0.1.example.com"],
        ["localhost@example.com"],
        ["127.0.0.1", "127.0.0.1"],
        ["["],
        [""],
    ],
)
def test_a_name_that_is_not_this_machine_asks_for_a_sign_in(hosts: list[str]) -> None:
    answer = judge(caller(*(("Host", host) for host in hosts)), ALICE)
    assert not answer.allowed
    assert "nobody is signed in" in answer.why


@pytest.mark.parametrize(
    "header",
    [
        "Forwarded",
        "X-Forwarded-For",
        "x-forwarded-host",
        "X-FORWARDED-PROTO",
        "X-Forwarded-Anything",
        "X-Real-IP",
        "Via",
    ],
)
def test_what_a_proxy_handed_on_asks_for_a_sign_in(header: str) -> None:
    answer = judge(caller(HOST, (header, "")), ALICE)
    assert not answer.allowed
    assert header in answer.why
    assert "sign" in answer.why.lower()


def test_a_person_who_signed_in_needs_the_role() -> None:
    away = (("Host", "perf.example.com"), ("X-Forwarded-For", "192.0.2.1"))
    assert judge(caller(*away, login="alice@example.com"), ALICE) == Access(
        allowed=True, person="alice@example.com"
    )
    refused = judge(caller(*away, login="bob@example.com"), ALICE)
    assert not refused.allowed
    assert "bob@example.com" in refused.why
    assert "launch" in refused.why
    anyone = AccessSettings(launch=("*",))
    assert judge(caller(*away, login="bob@example.com"), anyone).allowed
    assert not judge(caller(*away), anyone).allowed, "any who signed in, not anybody"


def test_a_trusted_proxy_says_who_it_is() -> None:
    said = ("X-Forwarded-User", "alice")
    assert judge(caller(HOST, said), PROXY) == Access(allowed=True, person="alice")
    assert judge(caller(HOST, said, peer="10.9.8.7"), PROXY).allowed
    assert not judge(caller(HOST, ("X-Forwarded-User", "bob")), PROXY).allowed


@pytest.mark.parametrize("peer", ["192.0.2.1", "::1", "", "nonsense"])
def test_the_header_is_believed_from_trusted_proxies_alone(peer: str) -> None:
    answer = judge(caller(HOST, ("X-Forwarded-User", "alice"), peer=peer), PROXY)
    assert not answer.allowed
    assert "access.proxy_from" in answer.why


@pytest.mark.parametrize("names", [["alice", "alice"], [""], ["  "], ["a" * 201], ["al\nice"]])
def test_a_proxy_must_say_one_name(names: list[str]) -> None:
    anyone = PROXY.model_copy(update={"launch": ("*",)})
    assert not judge(caller(HOST, *(("X-Forwarded-User", name) for name in names)), anyone).allowed


def test_the_header_of_a_person_counts_for_nothing_where_none_is_configured() -> None:
    assert not judge(caller(HOST, ("X-Forwarded-User", "alice@example.com")), ALICE).allowed
    assert judge(caller(HOST, ("Remote-User", "mallory")), NOBODY).is_local


def test_a_person_is_known_by_what_the_provider_vouches_for() -> None:
    assert name_of({"is_logged_in": True, "email": "a@b.c", "sub": "1"}) == "a@b.c"
    assert name_of({"is_logged_in": True, "email": "a@b.c", "email_verified": False, "sub": "1"}) == "1"
    assert name_of({"is_logged_in": True, "name": "alice@example.com"}) is None
    assert name_of({"is_logged_in": False, "email": "a@b.c"}) is None
    assert name_of({"email": "a@b.c"}) is None
