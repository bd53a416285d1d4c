"""`inversescope propose` on a tiny run: its records, its report, its limits, and that nothing is paid for twice."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from fake_endpoint import Fault, Model, Server, data_in, question_in, serving
from refusals import check, printed
from run_contract import differences
from scipy.stats import false_discovery_control
from small_subject import call, config_text, save_subject
from test_only_writer import held

from inversescope import files
from inversescope.propose.endpoint import Endpoint, client
from inversescope.verdicts.wording import number

SITE = ("--site", "resid_post.1", "--bandwidth", "0.5")
FIRST = "Is Michael named first?"
HOSTILE = "[bold]</script><img src=x onerror=alert(1)>{{ 7*7 }}"


def model() -> Model:
    hypotheses = [
        {"words": "the first name", "expression": r'extract("^Then, (\w+)")'},
        {"words": HOSTILE, "expression": "words % 2"},
        {"words": "Michael comes first", "question": FIRST},
        {"words": "everything", "expression": "__import__('os').system('id')"},
        {"words": "a property", "expression": ["words"]},
    ]
    return Model(hypotheses, {FIRST: lambda text: "yes" if text.startswith("Then, Michael") else "no"})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with enough targets and samples to hold some out."""
    folder = tmp_path_factory.mktemp("propose")
    text = config_text(save_subject(folder / "subject"))
    for few, more in (("train = 30", "train = 14"), ("pool = 24", "pool = 14"), ("targets = 4", "targets = 20")):
        text = text.replace(few, more)  # of the 48 inputs that there are
    (folder / "run.toml").write_text(text.replace("samples = 6", "samples = 16"))
    assert call("run", folder / "run.toml", "--out", folder / "run") == 0
    return folder / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(client, "FIRST_WAIT", 0.01)
    with serving(model()) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


def rows(run: Path, name: str) -> list[dict]:
    return pq.read_table(run / "propose" / f"{name}.parquet").to_pylist()


def test_from_a_run_to_scored_hypotheses_in_the_terminal_the_records_and_the_report(
    run: Path, server: Server, capsys: pytest.CaptureFixture[str]
):
    assert call("propose", run, *SITE, "--yes", "--price", "1", "2") == 0
    shown = capsys.readouterr()
    told = r"\d+ calls.* [\d,]+ tokens.* [\d,]+ .*\d+\.\d\d"  # calls, tokens in and out, price
    assert re.search(rf"\bfake\b.*{server.url}.*{told}", shown.err)
    assert all(words in shown.out for words in ("the first name", "[bold]", "everything"))
    assert differences(run) == []
    files.check(run / "propose")
    by_words = {row["words"]: row for row in rows(run, "proposals")}
    assert {words: row["status"] for words, row in by_words.items()} == {
        "the first name": "scored", HOSTILE: "scored", "Michael comes first": "scored", "everything": "refused",
    }  # fmt: skip
    name = by_words["the first name"]
    assert (name["site"], name["bandwidth"], name["model"]) == ("resid_post.1", 0.5, "fake")
    assert 0 <= name["p_value"] <= name["q_value"] <= 1 and 0 <= name["fcr"] <= 1
    usable = 20 - name["collapsed"]
    assert len(name["shown"]) == min(6, usable // 2) and name["targets"] == usable - len(name["shown"])
    assert by_words["everything"]["q_value"] is None and by_words["everything"]["sensitivity"] is None
    usage = files.read_json(run / "propose" / "usage.json")
    assert usage["calls"] == usage["requests"] == len(server.asked) == usage["prompt_tokens"] / 100
    assert usage["malformed"] == 1 and usage["cost"] == pytest.approx((100 * 1 + 10 * 2) * len(server.asked) / 1e6)
    judged = rows(run, "judged")
    assert {row["kind"] for row in judged} == {"known", "held out", "repeated", "negated"}
    assert all(row["answer"] == row["truth"] for row in judged if row["kind"] == "known")
    assert {row["role"] for row in judged if row["kind"] == "held out"} == {"source", "sample", "prior"}
    files.check(run)


def test_the_report_shows_every_hypothesis_with_its_numbers_or_the_reason(run: Path, server: Server):
    assert 'id="proposals"' not in (run / "report" / "report.html").read_text()
    assert call("propose", run, *SITE, "--yes") == 0
    page = (run / "report" / "report.html").read_text()
    assert "<img src=x" not in page and "{{" not in re.sub(r"\{\{ 7\*7 \}\}", "", page)
    section = page[page.index('<section id="proposals">') :].partition("</section>")[0]
    shown = [re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", row))) for row in section.split("<tr>")[3:]]
    found = sorted(rows(run, "proposals"), key=lambda row: (row["corrected_low"] is None, -(row["corrected_low"] or 0)))
    assert len(shown) == len(found) == 4
    for line, row in zip(shown, found, strict=True):
        assert row["words"] in line and re.sub(r"\s+", " ", row["feature"]) in line
        if row["corrected_low"] is not None:
            ends = (number(row[f"corrected{end}"]) for end in ("", "_low", "_high"))
            assert "{} [{}, {}]".format(*ends) in line and number(row["shuffled"]) in line
        if row["status"] == "refused":
            assert f"refused: {row['reason'].splitlines()[0]}" in line


def test_a_question_of_the_users_own_is_judged_and_stands_beside_what_was_proposed(run: Path, server: Server):
    assert call("propose", run, *SITE, "--yes") == 0
    proposed = len(rows(run, "proposals"))
    own = "Does Michael come first?"
    answering = server.model
    assert isinstance(answering, Model)
    answering.truths[own] = lambda text: "yes" if text.startswith("Then, Michael") else "no"
    assert call("propose", run, *SITE, "--yes", "--question", own) == 0
    table = {row["feature"]: row for row in rows(run, "proposals")}
    assert len(table) == proposed + 1 and table[own]["status"] == "scored" and table[own]["sensitivity"] == 1
    for name in ("corrected", "fcr", "chance", "p_value"):  # it asks the same as one that was proposed
        assert table[own][name] == table[FIRST][name]


def test_started_again_it_sends_nothing_and_says_the_same(run: Path, server: Server):
    assert call("propose", run, *SITE, "--yes") == 0
    sent, first = len(server.asked), rows(run, "proposals")
    assert call("propose", run, *SITE, "--yes") == 0
    assert len(server.asked) == sent and rows(run, "proposals") == first


def test_another_site_stands_beside_the_first_and_q_is_over_both(run: Path, server: Server):
    for site in ("resid_post.1", "resid_post.0"):
        assert call("propose", run, "--site", site, "--bandwidth", "0.5", "--yes") == 0
    found = rows(run, "proposals")
    assert [row["site"] for row in found] == ["resid_post.1"] * 4 + ["resid_post.0"] * 4
    tested = [(row["p_value"], row["q_value"]) for row in found if row["p_value"] is not None]
    p_values, q_values = np.array(tested).T
    assert {row["site"] for row in found if row["p_value"] is not None} == {"resid_post.1", "resid_post.0"}
    assert q_values == pytest.approx(false_discovery_control(p_values))


@pytest.mark.parametrize("after", [0, 3, 9])
def test_an_interruption_loses_nothing_and_repeats_nothing(
    run: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], after: int
):
    keep, answered = Endpoint._answer, [0]

    def interrupted(*arguments: object) -> object:
        reply = keep(*arguments)
        answered[0] += 1
        if answered[0] == after + 1:
            raise KeyboardInterrupt
        return reply

    monkeypatch.setattr(Endpoint, "_answer", interrupted)
    assert call("propose", run, *SITE, "--yes", "--parallel", "1") == 130
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setattr(Endpoint, "_answer", keep)
    assert call("propose", run, *SITE, "--yes") == 0
    sent = [json.dumps(body) for body in server.asked]
    assert len(sent) == len(set(sent)) > after  # no request twice
    assert {row["status"] for row in rows(run, "proposals")} == {"scored", "refused"}


def test_a_server_that_fails_in_between_is_gone_on_with_later(
    run: Path, server: Server, capsys: pytest.CaptureFixture[str]
):
    answer = server.model

    def failing(body: dict) -> str:
        if question_in(body) == FIRST:
            server.faults += [Fault(503)] * 40
        return answer(body)

    server.model = failing
    assert call("propose", run, *SITE, "--yes", "--parallel", "1") == 2
    check(printed(capsys.readouterr().err), given="status 503", remedy=True)
    server.faults.clear()
    server.model, sent = answer, len(server.asked)
    assert call("propose", run, *SITE, "--yes") == 0
    again = [json.dumps(body) for body in server.asked[sent:]]
    kept = [json.loads(path.read_text())["request"] for path in (run / "propose" / "replies").iterdir()]
    assert len(kept) == len({json.dumps(body) for body in server.asked}) and len(again) == len(set(again)) < len(kept)


def test_where_calls_run_out_it_stops_and_says_what_is_unfinished(
    run: Path, server: Server, capsys: pytest.CaptureFixture[str]
):
    most = int(re.search(r"\b(?!3\b)(\d+) calls", refuse(run, capsys, "--max-calls", "3"))[1])
    assert server.asked == []
    server.faults += [Fault(500)] * 4  # what is sent again counts
    server.model = Model([{"words": str(i), "question": f"{FIRST} {i}"} for i in range(8)], {
        f"{FIRST} {i}": model().truths[FIRST] for i in range(8)
    })  # fmt: skip
    assert call("propose", run, *SITE, "--yes", "--max-calls", str(most)) == 0
    assert len(server.asked) == most
    shown = capsys.readouterr().out
    assert re.search(rf"\b{most} .*--max-calls", shown)
    assert {row["status"] for row in rows(run, "proposals")} >= {"unfinished"}
    assert call("propose", run, *SITE, "--yes", "--max-calls", str(most)) == 0
    assert "unfinished" not in {row["status"] for row in rows(run, "proposals")} and len(server.asked) < most + 8


def refuse(run: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """What is said by a command that must be refused."""
    capsys.readouterr()
    assert call("propose", run, *SITE, "--yes", *options) == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


def test_beside_another_process_that_writes_nothing_is_sent(
    run: Path, server: Server, capsys: pytest.CaptureFixture[str]
):
    with held(run) as process:
        assert str(process.pid) in refuse(run, capsys)
    assert server.asked == [] and not (run / "propose" / files.MANIFEST).exists()


def test_nothing_is_sent_without_a_yes(run: Path, server: Server, capsys: pytest.CaptureFixture[str]):
    assert call("propose", run, *SITE) == 1
    said = capsys.readouterr().err
    assert re.search(r"\d+ calls", said) and server.asked == []


def test_without_an_endpoint_it_says_which_variables_to_set(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for name in ("INVERSESCOPE_BASE_URL", "OPENAI_BASE_URL", "INVERSESCOPE_MODEL"):
        monkeypatch.delenv(name, raising=False)
    missing = ("INVERSESCOPE_BASE_URL", "OPENAI_BASE_URL", "INVERSESCOPE_MODEL")
    remedy = ("export", "INVERSESCOPE_BASE_URL=http", "INVERSESCOPE_MODEL=NAME")
    check(printed(refuse(run, capsys)), given=missing, remedy=remedy)
    assert not (run / "propose").exists()


def test_samples_that_were_made_again_are_not_mixed_with_old_hypotheses(
    run: Path, server: Server, capsys: pytest.CaptureFixture[str]
):
    assert call("propose", run, *SITE, "--yes") == 0
    manifest = files.manifest(run / "verify")
    files.write_sealed(run / "verify" / "manifest.json", manifest | {"again": True})
    check(printed(refuse(run, capsys)), given=run / "propose", remedy=run / "propose")


def test_samples_made_again_while_the_user_is_asked_do_not_sign_hypotheses_from_the_old_ones(
    run: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    before = files.states(run, "collect", "verify")

    def meanwhile(_: bool) -> None:
        files.write_sealed(run / "verify" / "manifest.json", files.manifest(run / "verify") | {"again": True})

    with monkeypatch.context() as asked:
        asked.setattr("inversescope.cli.proposals.confirm", meanwhile)
        call("propose", run, *SITE)  # the report, made last, is refused
    capsys.readouterr()
    assert files.manifest(run / "propose")["made_from"] == before
    check(printed(refuse(run, capsys)), "verified again", given=run / "propose")


@pytest.mark.parametrize("step", ["collect", "verify"])
def test_a_damaged_manifest_is_named_and_the_hypotheses_are_not_blamed(
    run: Path, server: Server, capsys: pytest.CaptureFixture[str], step: str
):
    assert call("propose", run, *SITE, "--yes") == 0
    path = run / step / files.MANIFEST
    path.write_text(path.read_text().replace('"files"', '"filez"'))
    check(printed(refuse(run, capsys)), given=path, allowed=True, remedy=run / step)


def test_the_key_is_nowhere_in_the_run(run: Path, server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INVERSESCOPE_API_KEY", "sk-secret-of-this-test")
    assert call("propose", run, *SITE, "--yes") == 0
    assert set(server.keys) == {"Bearer sk-secret-of-this-test"}
    assert all(b"sk-secret-of-this-test" not in path.read_bytes() for path in run.rglob("*") if path.is_file())
    assert any(data_in(body).get("texts") for body in server.asked)


def test_the_extra_is_only_needed_to_propose(run: Path, server: Server):
    program = (
        "import sys\nsys.modules['openai'] = None\nfrom inversescope.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as stop:\n    print('code', stop.code)"
    )
    for arguments, said in ((["propose", str(run), *SITE, "--yes"], "code 2"), (["doctor", "--help"], "code 0")):
        answer = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
        assert answer.stdout.splitlines()[-1] == said, answer
    assert server.asked == []
