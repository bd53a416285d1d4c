"""`inversescope arena` on a tiny subject: what it leaves, says and refuses, and how it goes on."""

from __future__ import annotations

import functools
import json
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from partial_records import partial
from refusals import check, printed
from run_contract import differences
from small_subject import World, call

from inversescope import files, records
from inversescope.arena import run as arena_run
from inversescope.arena.methods import METHODS, NATURAL
from inversescope.charts.page import script
from inversescope.charts.parts import SCHEMA
from inversescope.run.sealed import read_provenance
from inversescope.verdicts import MARGIN
from inversescope.verdicts.comparison import LEVEL, NOT_APART

HERE = tuple(name for name in METHODS if name not in NATURAL)  # this run has no sites for natural text


@pytest.fixture
def run(world: World, tmp_path: Path) -> Path:
    """A copy of the finished run, to write in."""
    shutil.copytree(world.run, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.slow
def test_every_method_answers_every_question(run: Path, capsys: pytest.CaptureFixture[str]):
    sites, features = ("resid_post.0", "z.1.0", "resid_post.1"), ("subject", "place", "object")
    effects = [{"site": s, "feature": f, "effect": len(s) * 0.1 + len(f)} for s in sites for f in features]
    made = files.manifest(run / "causal")
    files.write_table(run / records.causal.EFFECTS.path, partial(records.causal.EFFECTS, effects))
    files.finish(
        run / "causal", [run / "causal" / name for name in made["files"]], step="causal", made_from=made["made_from"]
    )
    assert call("arena", run, "--budget", 1) == 0
    shown = capsys.readouterr()
    assert all(name in shown.out for name in HERE) and f"arena: {run / 'arena' / 'arena.html'}" in shown.err
    assert max(map(len, shown.out.splitlines())) <= 80
    assert [line for line in differences(run) if line.startswith("arena")] == []
    study = files.read_json(run / "arena" / "methods.json")
    results = pq.read_table(run / "arena" / "results.parquet").to_pylist()
    cells = {(row["method"], row["site"], row["feature"]) for row in results if row["chosen"]}
    assert len(cells) == len(HERE) * (1 + len(study["sites"])) * (1 + len(study["features"]))
    assert all(row["accuracy"] is not None and row["accuracy_low"] <= row["accuracy"] for row in results)
    overall = {row["method"]: row for row in results if row["site"] is None and row["feature"] is None}
    assert -1 <= overall["ours"]["causal_agreement_low"] <= overall["ours"]["causal_agreement"] <= 1
    page = (run / "arena" / "arena.html").read_text()
    known = ("http-equiv", SCHEMA)  # the second is a name, and nothing is fetched from it
    own = functools.reduce(lambda text, word: text.replace(word, ""), known, page.replace(script(), ""))
    assert "http" not in own and all(f">{name}" in page for name in HERE)
    embedded = re.search(r'id="charts">(.*?)</script>', page, re.S)
    assert embedded is not None
    charts = json.loads(embedded[1])
    values = {row["method"]: row["accuracy"] for row in charts["overall"]["data"]["values"]}
    assert values == {name: row["accuracy"] for name, row in overall.items()}
    assert len(charts["features"]["data"]["values"]) == len(HERE) * len(study["features"])
    assert (run / "arena" / "arena.tex").read_text().count(r"\\") == len(HERE) + 1
    compared = pq.read_table(run / "arena" / "pairs.parquet").to_pylist()
    assert {row["measure"] for row in compared} >= {"accuracy"}
    for row in compared:
        ends = row["difference_low"], row["difference_high"]
        level = max(map(abs, ends)) <= MARGIN
        words = [LEVEL if level else NOT_APART] if ends[0] <= 0 <= ends[1] else [row["one"], row["other"]]
        assert row["ahead"] in words
    # A budget that is not the run's own means a generator of its own.
    ours = next(each for each in study["methods"] if each["name"] == "ours")
    assert 0.5 < ours["training"] < 4 and ours["new"] is not None
    assert ours["steps"] > 0 and (ours["fits"], ours["cut"]) == (1, 1)


def run_from_now_on(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the methods that are run from now on."""
    names: list[str] = []
    answer = arena_run._answer
    monkeypatch.setattr(arena_run, "_answer", lambda *given: (names.append(given[2].name), answer(*given))[1])
    return names


FEW = ("--only", "reference", "--only", "linear probe", "--only", "nearest")


def test_it_goes_on_after_an_interruption(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    answer = arena_run._answer

    def interrupted(*given: object) -> None:
        if given[2].name == "nearest":
            raise KeyboardInterrupt
        answer(*given)

    monkeypatch.setattr(arena_run, "_answer", interrupted)
    assert call("arena", run, *FEW) == 130
    assert f"inversescope arena {run}" in capsys.readouterr().err
    assert not files.finished(run / "arena") and files.finished(run / "arena" / "reference")
    monkeypatch.setattr(arena_run, "_answer", answer)
    names = run_from_now_on(monkeypatch)
    assert call("arena", run, *FEW) == 0
    assert names == ["nearest", "linear probe"]
    files.check(run / "arena")


def test_an_unfinished_method_begins_with_an_empty_folder(run: Path):
    """A killed life leaves parts of draws that another generator would make otherwise."""
    left = run / "arena" / "nearest" / "verify-0000.parquet"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    assert call("arena", run, "--only", "nearest") == 0
    assert not left.exists() and files.finished(left.parent)
    seconds = read_provenance(run)["seconds"]["train"]  # of all lives of the training
    assert files.check(left.parent)["study"]["budget"] == seconds
    kept = left.parent / "answers.parquet"
    before = kept.stat().st_mtime_ns
    assert call("arena", run, "--only", "nearest") == 0
    assert kept.stat().st_mtime_ns == before  # a finished one stays


@pytest.mark.parametrize("change", ["verify again", "verify gone", "collect again"])
def test_what_two_states_of_the_run_gave_is_not_kept(
    change: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The arena does not lock the run: another process may extend it, or make a step again."""
    step, how = change.split()
    kind = type(METHODS["reference"])
    answer = kind.answer

    def changed(*given: object) -> object:
        if how == "gone":
            (run / step / files.MANIFEST).unlink()
        else:
            made = files.manifest(run / step)
            written = [run / step / name for name in made["files"]]
            files.finish(run / step, written, step=step, made_from=made["made_from"], again=True)
        return answer(*given)

    assert call("arena", run, "--only", "nearest") == 0
    with monkeypatch.context() as during:
        during.setattr(kind, "answer", changed)
        assert call("arena", run, "--only", "nearest", "--only", "reference") == 2
    check(printed(capsys.readouterr().err), "the run has changed", given=str(run), remedy=True)
    assert not files.finished(run / "arena") and not files.finished(run / "arena" / "reference")


def test_a_seed_gives_one_ranking(run: Path, tmp_path: Path):
    # None of these is ended by the clock.
    few = ("--only", "ours", "--only", "difference of means", "--only", "self-decoding", "--only", "no condition")
    for name in ("a", "b"):
        assert call("arena", run, "--out", tmp_path / name, *few) == 0
    for name in ("results.parquet", "pairs.parquet"):
        assert pq.read_table(tmp_path / "a" / name).equals(pq.read_table(tmp_path / "b" / name))
    assert not (run / "arena").exists()


def test_another_seed_trains_anew(run: Path, tmp_path: Path):
    assert call("arena", run, "--out", tmp_path / "a", "--seed", 5, "--budget", 2, "--only", "ours") == 0
    assert len(pq.read_table(tmp_path / "a" / "ours" / "samples.parquet"))
    cost = files.read_json(tmp_path / "a" / "methods.json")["methods"][0]
    assert 0.5 < cost["training"] < 6 and cost["steps"] > 0 and cost["new_per_second_with_training"] is not None


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        (("--budget", 0), {"given": 0, "allowed": 0}),
        (("--only", "oracle"), {"given": "oracle", "allowed": ("ours, ours weighted", "linear probe")}),
    ],
)
def test_bad_questions_are_refused(run: Path, arguments: tuple, values: dict, capsys: pytest.CaptureFixture[str]):
    assert call("arena", run, *arguments) == 2
    check(printed(capsys.readouterr().err), **values)
    assert not (run / "arena").exists()


def test_a_run_that_is_not_finished_is_refused(run: Path, capsys: pytest.CaptureFixture[str]):
    shutil.rmtree(run / "verify")
    assert call("arena", run) == 2
    check(printed(capsys.readouterr().err), given=(run, "verify"), remedy="--resume")


def test_a_study_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert call("arena", tmp_path / "none") == 2
    check(printed(capsys.readouterr().err), given=tmp_path / "none", allowed="demo")


def test_answers_to_another_question_are_not_mixed(run: Path, capsys: pytest.CaptureFixture[str]):
    assert call("arena", run, "--only", "reference") == 0
    assert call("arena", run, "--only", "reference", "--seed", 9) == 2
    check(printed(capsys.readouterr().err), "seed", given=9, allowed=3, remedy="--out")
