"""The viewer's server: who is let in, runs and their draws, questions whose draws arrive as they are verified."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from refusals import refuses
from small_subject import World

from inversescope.errors import UserError
from inversescope.inverter import Inverter
from inversescope.view.app import make_app
from inversescope.view.bundle import write_bundle
from inversescope.view.jobs import Job, Steps, Worker
from inversescope.view.runs import identified
from inversescope.view.safety import HEADER, Guard
from inversescope.view.serve import listen, require_folders

PORT, TOKEN = 8642, "the-token"
HOST = f"127.0.0.1:{PORT}"
SITE = "resid_post.1"


def client_of(folders: list[Path], reports: list[str] | None = None, token: str | None = TOKEN) -> TestClient:
    app = Guard(make_app(identified(folders), "smollm2", (reports or []).append), TOKEN, PORT)
    headers = {} if token is None else {HEADER: token}
    return TestClient(app, base_url=f"http://{HOST}", headers=headers, follow_redirects=False)


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[TestClient]:
    with client_of([world.run]) as client:
        yield client


@pytest.fixture(scope="module")
def run(client: TestClient) -> str:
    return client.get("/api/runs").json()["runs"][0]["id"]


@pytest.fixture(scope="module")
def text(client: TestClient, run: str) -> str:
    return client.get(f"/api/runs/{run}").json()["targets"][0]["text"]


def events(client: TestClient, path: str, **question: Any) -> list[dict[str, Any]]:
    reply = client.post(path, json=question)
    assert reply.status_code == 200, reply.text
    return [json.loads(part.removeprefix("data: ")) for part in reply.text.split("\n\n") if part]


def test_the_token_is_needed_and_leaves_the_address(world: World):
    with client_of([world.run], token=None) as stranger:
        assert stranger.get("/").status_code == 403
        assert stranger.get("/api/runs").status_code == 403
        assert stranger.get("/?token=wrong").status_code == 403
        entered = stranger.get(f"/?token={TOKEN}&x=1")
        assert (entered.status_code, entered.headers["location"]) == (303, "/?x=1")
        assert "HttpOnly" in entered.headers["set-cookie"] and "SameSite=strict" in entered.headers["set-cookie"]
        assert stranger.get("/api/runs").status_code == 200  # by the cookie


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": f"localhost:{PORT}"}, 200),
        ({"origin": f"http://{HOST}"}, 200),
        ({"host": f"x.test:{PORT}"}, 421),
        ({"host": "127.0.0.1:80"}, 421),
        ({"origin": "http://x.test"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": f"http://127.0.0.1:{PORT + 1}"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"content-length": str(2**40)}, 413),
    ],
)
def test_other_hosts_and_origins_are_refused(client: TestClient, headers: dict[str, str], status: int):
    assert client.get("/api/runs", headers=headers).status_code == status


def test_every_reply_has_the_policy(client: TestClient):
    for path in ("/", "/api/runs", "/nothing"):
        policy = client.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy


@pytest.mark.parametrize(
    "path",
    [
        "/static/x/main.js",
        "/static/../pyproject.toml",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/api/runs/..%2f..%2fetc",
        "/api/runs/nothing",
        "/api/runs/%2fetc%2fpasswd/report",
    ],
)
def test_only_ids_lead_to_folders(client: TestClient, path: str):
    assert client.get(path).status_code in (400, 404)


def test_the_page_names_only_its_own_files(client: TestClient):
    page = client.get("/").text
    names = [part.split('"')[0] for part in page.split('="/static/')[1:]]
    assert len(names) >= 4
    assert all(client.get(f"/static/{name}").status_code == 200 for name in names)
    assert "http:" not in page and "<script>" not in page


def test_a_run_is_listed_with_its_draws(client: TestClient, run: str):
    (listed,) = client.get("/api/runs").json()["runs"]
    assert listed["problem"] is None and listed["trained"] and listed["done"]
    shown = client.get(f"/api/runs/{run}").json()
    site, ((resolution, bandwidth), *_) = next(iter(shown["levels_of_site"].items()))
    query = {"site": site, "target": shown["targets"][0]["row"], "level": resolution or bandwidth}
    stored = client.get(f"/api/runs/{run}/samples", params=query).json()
    assert stored["rows"] and sum(row["times"] for row in stored["rows"]) == stored["draws"]
    assert client.get(f"/api/runs/{run}/samples", params=query | {"target": 10**6}).status_code == 400
    assert client.get(f"/api/runs/{run}/chart/overview").json()["spec"]["usermeta"]
    assert client.get(f"/api/runs/{run}/chart/nothing").status_code == 400
    assert "sandbox" in client.get(f"/api/runs/{run}/report").headers["content-security-policy"]


def test_a_bundle_holds_the_draws_and_no_path(world: World, tmp_path: Path, client: TestClient, run: str):
    folder, said = tmp_path / "shared", list[str]()
    assert write_bundle(identified([world.run]), folder, said.append) == [] and len(said) == 1
    texts = {path.name: path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert not [name for name, text in texts.items() if str(world.run.parent) in text or str(Path.home()) in text]
    index = json.loads(texts["index.js"].removeprefix("globalThis.inverseBundle = ").removesuffix(";\n"))
    address, name = next(item for item in index["names"].items() if "/samples?" in item[0])
    records = json.loads(texts[f"{name}.js"].removeprefix("Object.assign(inverseBundle.records, ").removesuffix(");\n"))
    assert records[address] == client.get(address).json()
    with refuses(given=folder):
        write_bundle(identified([world.run]), folder, said.append)


def test_a_bundle_is_no_larger_than_wanted(world: World, tmp_path: Path):
    left_out = write_bundle(identified([world.run]), tmp_path / "shared", lambda _: None, largest=0.0001)
    assert left_out and not list((tmp_path / "shared" / "data").glob("*-0.js"))


def test_tokens_are_those_of_the_text(client: TestClient, run: str, text: str):
    found = events(client, "/api/tokens", run=run, text=text)[-1]
    assert found["event"] == "tokens" and len(found["tokens"]) > 3


def test_draws_arrive_in_parts_and_are_the_inverters(client: TestClient, run: str, text: str, world: World):
    found = [
        event
        for event in events(client, "/api/invert", run=run, text=text, site=SITE, n=40, seed=3)
        if event["event"] == "draws"
    ]
    assert len(found) > 1 and [part["draws"] for part in found] == sorted({part["draws"] for part in found})
    wanted = Inverter.load(world.run).invert(text, site=SITE, n=40, seed=3)
    rows = {row["text"]: row for row in found[-1]["rows"]}
    assert set(rows) == {sample.text for sample in wanted.distinct}
    for sample in wanted.distinct:
        assert rows[sample.text]["weight"] == pytest.approx(sample.weight, abs=1e-6)
        assert rows[sample.text]["distance"] == pytest.approx(sample.distance, abs=1e-5)
    assert found[-1]["done"] and not found[0]["done"]


def test_a_vector_gives_what_the_interface_gives(client: TestClient, run: str, text: str, world: World, tmp_path: Path):
    inverter = Inverter.load(world.run)
    vector = inverter.activation(text, site=SITE).float().numpy()
    np.save(tmp_path / "vector.npy", vector)
    sent = client.post("/api/vector?name=vector.npy", content=(tmp_path / "vector.npy").read_bytes()).json()
    assert sent["width"] == len(vector)
    (*_, last) = events(client, "/api/invert", run=run, vector=sent["vector"], site=SITE, n=20)
    wanted = inverter.invert(vector=vector, site=SITE, n=20)
    assert {row["text"] for row in last["rows"]} == {sample.text for sample in wanted.distinct}


def test_draws_are_weighed_at_another_bandwidth(client: TestClient, run: str, text: str):
    made = events(client, "/api/invert", run=run, text=text, site=SITE, n=40)
    job, last = made[0]["id"], made[-1]
    finer = last["bandwidths"]["low"]
    (*_, weighed) = events(client, f"/api/jobs/{job}/weigh", bandwidth=finer)
    assert weighed["bandwidth"] == finer and {r["text"] for r in weighed["rows"]} == {r["text"] for r in last["rows"]}
    (*_, unknown) = events(client, "/api/jobs/nothing/weigh", bandwidth=finer)
    assert unknown["event"] == "error"


def test_a_budget_ends_the_reading(client: TestClient, run: str, text: str):
    (*_, last) = events(client, "/api/invert", run=run, text=text, site=SITE, n=200, tokens=1)
    assert last["done"] is False or last["draws"] < 200
    assert last["ended"] and last["draws"] < last["wanted"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": "x" * 30_000},
        {"text": None},
        {"text": "x", "vector": "AAAA"},
        {"text": None, "vector": "not base64!"},
        {"site": "resid_post.99"},
        {"site": "resid_post.0.x"},
        {"position": 10**6},
        {"run": "nothing"},
    ],
)
def test_bad_questions_are_answered_with_a_message(client: TestClient, run: str, text: str, wrong: dict[str, Any]):
    (*_, last) = events(client, "/api/invert", **({"run": run, "text": text, "site": SITE} | wrong))
    assert last["event"] == "error" and last["problem"] and "fault of InverseScope" not in last["problem"]


def test_a_question_of_another_form_is_refused(client: TestClient, run: str):
    assert client.post("/api/invert", json={"run": run, "text": "x", "site": SITE, "n": 10**9}).status_code == 422
    assert client.post("/api/invert", json={"run": run, "text": "x", "site": SITE, "path": "/etc"}).status_code == 422
    assert client.post("/api/vector?name=x.py", content=b"print()").status_code == 400
    assert client.post("/api/vector?name=x.npy", content=b"print()").status_code == 400


def test_runs_that_cannot_be_shown_say_why(world: World, tmp_path: Path):
    empty, old, damaged = tmp_path / "empty", tmp_path / "old", tmp_path / "damaged"
    empty.mkdir()
    for folder in (old, damaged):
        copytree(world.run, folder)
    record = old / "provenance.json"
    record.write_text(record.read_text().replace('"inversescope": "', '"inversescope": "9.'))
    (damaged / "score" / "results.parquet").write_bytes(b"nothing")
    reports: list[str] = []
    with client_of([empty, old, damaged], reports) as client:
        listed = client.get("/api/runs").json()["runs"]
        assert all(run["problem"] for run in listed[:2])
        assert client.get(f"/api/runs/{listed[2]['id']}").status_code == 400
        assert client.get(f"/api/runs/{listed[0]['id']}/report").status_code == 400


def test_an_unfinished_run_says_which_step_is_next(world: World, tmp_path: Path):
    folder = tmp_path / "run"
    copytree(world.run, folder)
    for step in ("train", "score", "causal"):
        for file in (folder / step).glob("manifest.json"):
            file.unlink()
    with client_of([folder]) as client:
        (listed,) = client.get("/api/runs").json()["runs"]
        assert (listed["next"], listed["trained"], listed["done"]) == ("train", False, False)
        (*_, last) = events(client, "/api/invert", run=listed["id"], text="x", site=SITE)
        assert last["event"] == "error" and "--resume" in last["remedy"]


def test_a_port_that_is_taken_names_a_free_one():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with refuses(given=taken.getsockname()[1], remedy="--port"):
            listen("127.0.0.1", taken.getsockname()[1])
    with listen("127.0.0.1", None) as free:
        assert free.getsockname()[1] > 0


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_another_address_is_opened_with_a_warning(world: World, host: str, warned: bool):
    command = [sys.executable, "-m", "inversescope", "view", str(world.run), "--host", host, "--no-browser"]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    watch = threading.Timer(90, started.kill)  # a viewer that says nothing ends, too
    watch.start()
    try:
        assert started.stdout is not None
        said = ""
        while "Ctrl-C ends" not in said:
            line = started.stdout.readline()
            assert line, said
            said += line
        assert ("warning" in said and "not encrypted" in said) == warned
        (address,) = re.findall(r"http://\S+", said)
        assert address.startswith("http://127.0.0.1:")
        assert _status(address) == 200 and _status(address.partition("?")[0]) == 403  # with and without the token
        # Under another number only where other machines are let in; never under a name, which could be rebound.
        port = re.findall(r":(\d+)/", address)[0]
        assert _status(address.partition("?")[0], f"192.0.2.7:{port}") == (403 if warned else 421)
        assert _status(address, f"x.test:{port}") == 421
        started.send_signal(signal.SIGINT)
        started.wait(20)
    finally:
        watch.cancel()
        started.kill()
        started.wait(20)
        if started.stdout is not None:
            started.stdout.close()


def _status(address: str, host: str | None = None) -> int:
    """Status of a page; redirects are followed by a client that keeps cookies."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    try:
        with opener.open(urllib.request.Request(address, headers={"host": host} if host else {}), timeout=20) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code


def test_draws_of_natural_text_have_no_budget(client: TestClient):
    (*_, last) = events(client, "/api/invert", text="x", site="resid_post.0", seconds=5)
    assert last["event"] == "error" and "budget" in last["problem"]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path):
    with refuses(given=str(tmp_path / "nothing")):
        require_folders([tmp_path / "nothing"])


def test_jobs_take_turns_and_a_cancelled_one_ends():
    done, all_wait = list[str](), threading.Event()

    def job(name: str, parts: int) -> Any:
        def steps(_: Job) -> Steps:
            for part in range(parts):
                done.append(f"{name}{part}")
                yield {"event": "part"}

        return steps

    def gate(_: Job) -> Steps:
        assert all_wait.wait(20)
        yield {"event": "part"}

    first, second = list[Any](), list[Any]()
    worker = Worker(lambda: None, lambda _: None)
    try:
        worker.submit(gate, lambda _: None)
        endless = worker.submit(job("a", 10**9), first.append)
        worker.submit(job("b", 2), second.append)
        all_wait.set()
        _wait(lambda: None in second)
        assert done.index("b1") < 5  # it does not wait for the whole of the other
        endless.cancel()
        _wait(lambda: None in first)
    finally:
        worker.close()


def test_what_takes_minutes_leaves_the_model_to_others_and_is_done_one_by_one():
    first, second, third, quick = list[Any](), list[Any](), list[Any](), list[Any]()
    enough, inside = threading.Event(), set[str]()

    def prepare(name: str) -> Any:
        def steps(job: Job) -> Steps:
            while not enough.is_set():
                inside.add(name)
                job.progress(1, 2)
                time.sleep(0.005)
            yield {"event": "prepared"}

        return steps

    def alone(_: Job) -> Steps:
        before = len(first)
        time.sleep(0.05)
        yield {"event": "part", "disturbed": len(first) - before}

    worker = Worker(lambda: None, lambda _: None)
    try:
        worker.submit(prepare("first"), first.append, "natural text")
        _wait(lambda: inside == {"first"})
        waits = worker.submit(prepare("second"), second.append, "natural text")
        worker.submit(prepare("third"), third.append, "natural text")
        worker.submit(alone, quick.append)
        _wait(lambda: None in quick)  # while the first is being prepared
        assert quick[-2]["disturbed"] <= 1 and inside == {"first"}  # one thread at a time has the models
        assert [event["words"] for event in third][-1] == "waiting: 2 before this one"
        waits.cancel()
        assert [event["words"] for event in third][-1] == "waiting: 1 before this one"
        enough.set()
        _wait(lambda: None in third)
        assert {"event": "prepared"} in third and {"event": "prepared"} not in second and "second" not in inside
    finally:
        enough.set()
        worker.close()


def test_a_fault_ends_its_job_alone(capsys: pytest.CaptureFixture[str]):
    found: list[Any] = []
    reports: list[str] = []
    worker = Worker(lambda: None, reports.append)

    def faulty(_: Job) -> Steps:
        yield {"event": "part"}
        raise ZeroDivisionError("planted")

    def refused(_: Job) -> Steps:
        raise UserError("planted mistake", given="x")
        yield {}

    try:
        for steps in (faulty, refused):
            found.clear()
            worker.submit(steps, found.append)
            _wait(lambda: None in found)
            assert found[-2]["event"] == "error"
    finally:
        worker.close()
    assert "ZeroDivisionError" in capsys.readouterr().err and len(reports) == 2


def test_memory_is_given_back_when_idle():
    released: list[bool] = []
    worker = Worker(lambda: released.append(True), lambda _: None, idle=0.05)
    try:
        _wait(lambda: bool(released))
    finally:
        worker.close()


def _wait(held: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not held():
        assert time.monotonic() < end, "it did not end"
        time.sleep(0.01)
