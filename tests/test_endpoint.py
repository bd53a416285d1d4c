"""The endpoint against a server with faults: what is sent, sent again, counted, kept, and never sent twice."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from email.utils import formatdate
from pathlib import Path

import pytest
from fake_endpoint import Body, Fault, Server, data_in, serving
from refusals import refuses

from inversescope.propose.endpoint import Address, Budget, BudgetError, Endpoint, Replies, Request, client

KEY = "sk-secret-of-this-test"
Connect = Callable[..., Endpoint]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(client, "FIRST_WAIT", 0.01)
    with serving(lambda body: f"heard {data_in(body)['n']}") as running:
        yield running


@pytest.fixture
def connect(server: Server, tmp_path: Path) -> Iterator[Connect]:
    """Endpoints at the server that keep replies in one folder; closed when the test is over."""
    with ExitStack() as stack:

        def open_one(
            calls: int = 100, tokens: int = 10**6, timeout: float = 5, parallel: int = 4, url: str = ""
        ) -> Endpoint:
            address, budget = Address(url or server.url, "fake", KEY), Budget(calls, tokens)
            return stack.enter_context(Endpoint(address, Replies(tmp_path), budget, timeout=timeout, parallel=parallel))

        yield open_one


def request(n: int, reply_tokens: int = 20) -> Request:
    return Request("Repeat the number.", json.dumps({"n": n}), reply_tokens)


def quiet(done: int, total: int, note: str = "") -> None:
    pass


# Where it is


def test_the_environment_names_the_endpoint_and_ours_come_first():
    theirs = {"OPENAI_BASE_URL": "http://x.test/v1", "OPENAI_API_KEY": "theirs", "INVERSESCOPE_MODEL": "m"}
    assert Address.from_environment(theirs) == Address("http://x.test/v1", "m", "theirs")
    ours = theirs | {"INVERSESCOPE_BASE_URL": "http://127.0.0.1:8080/v1/", "INVERSESCOPE_API_KEY": KEY}
    assert Address.from_environment(ours) == Address("http://127.0.0.1:8080/v1", "m", KEY)
    assert KEY not in repr(Address.from_environment(ours))


@pytest.mark.parametrize(
    ("environment", "given"),
    [
        ({}, ("INVERSESCOPE_BASE_URL", "OPENAI_BASE_URL", "INVERSESCOPE_MODEL")),
        ({"OPENAI_API_KEY": KEY, "INVERSESCOPE_MODEL": "m"}, ("INVERSESCOPE_BASE_URL", "OPENAI_BASE_URL")),
        ({"INVERSESCOPE_BASE_URL": "127.0.0.1:8080", "INVERSESCOPE_MODEL": "m"}, "127.0.0.1:8080"),
        ({"INVERSESCOPE_BASE_URL": "http://x.test:99999/v1", "INVERSESCOPE_MODEL": "m"}, "http://x.test:99999/v1"),
        ({"INVERSESCOPE_BASE_URL": "http://[x", "INVERSESCOPE_MODEL": "m"}, "http://[x"),
        ({"INVERSESCOPE_BASE_URL": "http://x.test:x/v1", "INVERSESCOPE_MODEL": "m"}, "http://x.test:x/v1"),
        ({"INVERSESCOPE_BASE_URL": f"http://{'x..test'}/v1", "INVERSESCOPE_MODEL": "m"}, "x..test/v1"),
        ({"INVERSESCOPE_BASE_URL": "http://x.test/\x00", "INVERSESCOPE_MODEL": "m"}, "http://x.test/"),
        ({"INVERSESCOPE_BASE_URL": "http://x.test/v1#f", "INVERSESCOPE_MODEL": "m"}, "http://x.test/v1#f"),
        (
            {"INVERSESCOPE_BASE_URL": "http://x.test/v1", "INVERSESCOPE_MODEL": "m", "OPENAI_API_KEY": f"{KEY}é"},
            f"{len(KEY) + 1} characters",
        ),
        (
            {"INVERSESCOPE_BASE_URL": "http://x.test/v1", "INVERSESCOPE_MODEL": "m", "OPENAI_API_KEY": f"{KEY}\n{KEY}"},
            f"{2 * len(KEY) + 1} characters",
        ),
        ({"INVERSESCOPE_BASE_URL": f"http://{KEY}:{KEY}@x.test/v1", "INVERSESCOPE_MODEL": "m"}, "x.test/v1"),
    ],
)
def test_an_address_that_is_none_is_refused(environment: dict[str, str], given: object):
    with refuses(given=given) as caught:
        Address.from_environment(environment)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", f"socks5h://{KEY}@127.0.0.1:1"),
        ("all_proxy", "ftp://127.0.0.1"),
        ("HTTPS_PROXY", "http://x.test:x"),
        ("SSL_CERT_FILE", "/nowhere/certificates.pem"),
        ("SSL_CERT_FILE", __file__),  # no certificates
    ],
)
def test_proxies_and_certificates_that_cannot_be_used_are_named(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, name: str, value: str
):
    if "socks5" in value:
        monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv(name, value)
    with refuses(given=name, allowed="http", remedy="NO_PROXY") as caught:
        connect(url="https://127.0.0.1:9/v1")
    assert KEY not in str(caught.value)


def test_a_proxy_that_does_not_answer_is_named(connect: Connect, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://{KEY}:{KEY}@127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    with refuses(given=("HTTP_PROXY", "5 attempts")) as caught:
        connect(url="http://x.test/v1").ask(request(1))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("url", ["http://℀/v1", f"http://{'ü' * 80}/v1", "http://[::g]/v1"])
def test_an_address_that_the_client_refuses_is_refused(connect: Connect, url: str):
    with refuses(given=True):
        connect(url=url).ask(request(1))


# What is sent and kept


def test_a_request_is_sent_without_randomness_and_only_once(server: Server, connect: Connect, tmp_path: Path):
    first = connect().ask(request(7))
    assert (first.text, first.problem, first.attempts) == ("heard 7", None, 1)
    assert (first.prompt_tokens, first.reply_tokens, first.estimated) == (100, 10, False)
    [body] = server.asked
    assert (body["temperature"], body["seed"], body["max_tokens"], body["model"]) == (0, 0, 20, "fake")
    assert server.keys == [f"Bearer {KEY}"]
    assert connect().ask(request(7)) == first and len(server.asked) == 1
    assert connect().ask(request(7, reply_tokens=21)) and len(server.asked) == 2
    assert all(KEY not in path.read_text() for path in tmp_path.rglob("*.json"))


def test_a_local_server_is_sent_no_key(server: Server, tmp_path: Path):
    with Endpoint(Address(server.url, "fake"), Replies(tmp_path), Budget(1, 1000)) as local:
        local.ask(request(1))
    assert server.keys == [None]


def test_answers_come_in_order_and_no_more_are_on_their_way_than_allowed(connect: Connect):
    lock, now, most = threading.Lock(), [0], [0]

    def slow(body: Body) -> str:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.03)
        with lock:
            now[0] -= 1
        return str(data_in(body)["n"])

    with serving(slow) as server:
        replies = connect(parallel=3, url=server.url).ask_all([request(n) for n in range(12)], quiet)
    assert [reply.text for reply in replies] == [str(n) for n in range(12)]
    assert most == [3]


# Faults


@pytest.mark.parametrize(
    "fault",
    [Fault(500), Fault(503), Fault(429), Fault(429, {"Retry-After": "soon"}), Fault(429, {"Retry-After": "0"}),
     Fault(seconds=1.5), Fault(drip=0.5, content=b"{}" * 3), Fault(headers={"Content-Encoding": "gzip"}),
     Fault(headers={"Content-Encoding": "gzip"}, content=b"no gzip"),
     Fault(headers={"Content-Encoding": "deflate"}, content=b"no deflate")],
)  # fmt: skip
def test_a_fault_that_passes_is_tried_again(server: Server, connect: Connect, fault: Fault):
    server.faults += [fault, fault]
    reply = connect(timeout=0.6).ask(request(1))
    assert (reply.text, reply.attempts, len(server.asked)) == ("heard 1", 3, 3)


@pytest.mark.parametrize("header", ["1", "0.9", None])
def test_what_a_rate_limit_asks_for_is_waited_for(server: Server, connect: Connect, header: str | None):
    server.faults.append(Fault(429, {"Retry-After": header or formatdate(time.time() + 2, usegmt=True)}))
    started = time.monotonic()
    assert connect().ask(request(1)).attempts == 2
    assert time.monotonic() - started > 0.8


def test_a_wait_of_an_hour_is_not_waited_for(server: Server, connect: Connect):
    server.faults.append(Fault(429, {"Retry-After": "3600"}))
    with refuses(given="3,600 s", allowed=True, remedy=True):
        connect().ask(request(1))
    assert len(server.asked) == 1


def test_a_fault_that_stays_ends_with_what_to_do(server: Server, connect: Connect, tmp_path: Path):
    server.faults += [Fault(500)] * 20
    with refuses(given=("status 500", "5 attempts"), remedy=True):
        connect().ask(request(1))
    assert len(server.asked) == 5 and list(tmp_path.iterdir()) == []


def test_no_server_is_said(connect: Connect):
    nobody = connect(url="http://127.0.0.1:9/v1")
    with refuses(given="http://127.0.0.1:9/v1", remedy=True):
        nobody.ask(request(1))
    assert nobody.budget.spent == 0


def test_a_refusal_is_told_in_the_servers_words_but_for_the_key(server: Server, connect: Connect):
    server.faults.append(Fault(401, content=f"no such key: {KEY}".encode()))
    with refuses(given="status 401: 'no such key: ***'") as caught:
        connect().ask(request(1))
    assert KEY not in str(caught.value) and len(server.asked) == 1


MEGABYTE = b"no " * 350_000


@pytest.mark.parametrize("status", [400, 500])
def test_the_body_of_an_error_status_is_not_read_to_its_end(server: Server, connect: Connect, status: int):
    server.faults += [Fault(status, content=MEGABYTE, times=100)] * 5
    with refuses(given=(f"status {status}",)) as caught:
        connect().ask(request(1))
    assert len(str(caught.value)) < 1000
    assert server.written < 40 * len(MEGABYTE)  # of 100 of each attempt; the sockets between hold a few


@pytest.mark.parametrize("status", [401, 503])
def test_the_body_of_an_error_status_that_drips_is_cut_off(server: Server, connect: Connect, status: int):
    server.faults += [Fault(status, content=b"nothing " * 20, drip=0.1)] * 5
    with refuses(given=(f"status {status}",)):
        connect(timeout=0.5).ask(request(1))
    assert server.written < 80 * len(server.asked)  # of 160 bytes each


def test_a_refusal_that_breaks_off_is_a_refusal(server: Server, connect: Connect):
    server.faults.append(Fault(403, {"Content-Length": "1000"}, content=b"forbidden"))
    with refuses(given="status 403"):
        connect(timeout=0.5).ask(request(1))
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [301, 307, 404])
def test_a_wrong_address_is_refused_and_no_redirect_is_followed(server: Server, connect: Connect, status: int):
    server.faults.append(Fault(status, {"Location": f"{server.url}/elsewhere"}))
    with refuses(given=f"status {status}"):
        connect().ask(request(1))
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"<html>", b"", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"choices": []}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": {"content": null}}]}', b'{"choices": [{"message": {"content": ["a"]}}]}',
        b'{"choices": [{"message": {"content": "' + b"a" * 2_000_000 + b'"}}]}',
    ],
    ids=lambda content: content[:40].decode("latin-1"),
)  # fmt: skip
def test_what_is_no_reply_is_kept_as_such_and_not_asked_again(server: Server, connect: Connect, content: bytes):
    server.faults.append(Fault(content=content))
    reply = connect().ask(request(1))
    assert reply.text is None and reply.problem and reply.estimated
    assert connect().ask(request(1)) == reply and len(server.asked) == 1


@pytest.mark.parametrize("usage", [{"prompt_tokens": -9, "completion_tokens": 1}, {"prompt_tokens": "9"}, None, 3])
def test_a_count_that_is_none_is_estimated(server: Server, connect: Connect, usage: object):
    said = {"choices": [{"message": {"content": "\ud800 yes"}}], "usage": usage}
    server.faults.append(Fault(content=json.dumps(said).encode()))
    reply = connect().ask(request(1))
    assert (reply.text, reply.estimated) == ("? yes", True) and reply.prompt_tokens > 0


# Limits and interruptions


def test_calls_are_capped_with_those_sent_again(server: Server, connect: Connect, tmp_path: Path):
    server.faults.append(Fault(500))
    asking = connect(calls=5)
    with pytest.raises(BudgetError):
        asking.ask_all([request(n) for n in range(10)], quiet)
    assert len(server.asked) == 5 and len(list(tmp_path.iterdir())) == 4  # what came is kept


def test_tokens_are_capped_before_they_are_sent(server: Server, connect: Connect):
    most = request(0).tokens
    asking = connect(tokens=2 * 110 + most, parallel=1)
    with pytest.raises(BudgetError):
        asking.ask_all([request(n) for n in range(10)], quiet)
    assert len(server.asked) == 3 and asking.budget.spent == 330


def test_an_interruption_repeats_no_request(server: Server, connect: Connect):
    def interrupt(done: int, total: int, note: str = "") -> None:
        if done == 4:
            raise KeyboardInterrupt

    requests = [request(n) for n in range(20)]
    with pytest.raises(KeyboardInterrupt):
        connect().ask_all(requests, interrupt)
    assert 4 <= len(server.asked) < 20
    replies = connect().ask_all(requests, quiet)
    assert [reply.text for reply in replies] == [f"heard {n}" for n in range(20)] and len(server.asked) == 20
