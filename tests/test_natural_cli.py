"""`invert --prior text` on a small subject, and its refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import refusals
import small_subject
from small_subject import call

from inversescope.subject import bundled

TEXT = "Then, Mary and John went to the store"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_subject.save_subject(tmp_path_factory.mktemp("subject") / "small")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVERSESCOPE_CACHE", str(tmp_path_factory.getbasetemp() / "natural"))


def test_it_needs_no_run(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "answer.json"
    options = ("--site", "resid_post.1", "--prior", "text", "--model", model, "--length", "4", "--bits", "0.5")
    assert call("invert", TEXT, *options, "-n", "5", "--out", out) == 0
    shown = capsys.readouterr().out
    (record,) = json.loads(out.read_text())
    assert (record["answer"], record["site"], record["length"]) == ("draws", "resid_post.1", 4)
    assert "temperature 0.9" in record["prior"] and record["prior"] in " ".join(shown.split())
    if record["believed"]:
        assert sum(draw["times"] for draw in record["draws"]) == 5
        assert record["bits"] == pytest.approx(0.5, abs=0.05)
    assert record["verdict"].split(":")[0] in shown
    assert call("invert", TEXT, *options, "-n", "5", "--json") == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [record]


def test_no_number_is_shown_where_it_is_not_to_be_believed(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "answer.json"
    options = ("--site", "resid_post.1", "--prior", "text", "--model", model, "--length", "4", "-b", "0.001")
    assert call("invert", TEXT, *options, "--out", out) == 0
    (record,) = json.loads(out.read_text())
    assert not record["believed"] and record["draws"] == []
    assert [record[name] for name in ("bits", "log_z", "size", "spread", "near")] == [None] * 5
    assert "not to be believed" in capsys.readouterr().out


def test_inputs_begin_like_the_texts_of_a_pool_of_the_wanted_size(model: Path, tmp_path: Path):
    pools = bundled.cache_folder().parent.glob("natural-text/*/pool-*/about.json")
    before = set(pools)
    options = ("--site", "resid_post.1", "--prior", "text", "--model", model, "--length", "4", "--pool", "96")
    assert call("invert", TEXT, *options, "--bits", "0.5", "-n", "5") == 0
    (made,) = set(bundled.cache_folder().parent.glob("natural-text/*/pool-*/about.json")) - before
    assert json.loads(made.read_text())["draws"] == 96


@pytest.mark.parametrize("answer", ["best", "nearest", "shortest"])
def test_a_search_is_no_draw(answer: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "answer.json"
    options = ("--site", "resid_post.1", "--prior", "text", "--model", model, "--length", "4", "--out", out)
    assert call("invert", TEXT, *options, "--answer", answer, "--seconds", "0.5", "-n", "2") == 0
    (record,) = json.loads(out.read_text())
    assert record["answer"] == answer
    assert len(record["found"]) > 2
    assert not {"draws", "bits", "log_z", "verdict"} & set(record)
    lengths = {len(each["tokens"]) for each in record["found"]}
    assert lengths == {4} if answer != "shortest" else max(lengths) <= 4
    assert "found, not drawn" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "given"),
    [
        (("--prior", "corpus"), "corpus"),
        (("--bits", "3"), "--bits"),
        (("--prior", "text", "--run", "runs/x"), "--run"),
        (("--prior", "text", "--length", "2"), "2 tokens"),
        (("--prior", "text", "--bits", "-1"), "--bits -1"),
        (("--prior", "text", "--bits", "3", "-b", "0.2"), "--bits"),
        (("--prior", "text", "--bits", "nan"), "--bits nan"),
        (("--prior", "text", "-b", "inf"), "--bandwidth inf"),
        (("--prior", "text", "-b", "0"), "--bandwidth 0"),
        (("--answer", "best"), "--answer"),
        (("--pool", "64"), "--pool"),
        (("--prior", "text", "--answer", "farthest"), "farthest"),
        (("--prior", "text", "--answer", "best", "--bits", "3"), "--bits"),
        (("--prior", "text", "--seconds", "3"), "--seconds"),
        (("--prior", "text", "--answer", "nearest", "-b", "0.2"), "0.2"),
        (("--prior", "text", "--answer", "nearest", "--seconds", "-1"), "--seconds -1"),
    ],
)
def test_what_does_not_fit_is_refused(
    model: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], given: str
):
    model_options = ("--model", model) if "text" in options else ()
    assert call("invert", TEXT, "--site", "resid_post.1", *options, *model_options) == 2
    refusals.check(refusals.printed(capsys.readouterr().err), given=given)


def test_numbers_are_refused_before_a_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("inversescope.subject.loading.load", lambda *_, **__: pytest.fail("a model was loaded"))
    for options in (("--bits", "-1"), ("-b", "nan"), ("--answer", "best", "--seconds", "0")):
        assert call("invert", TEXT, "--site", "resid_post.1", "--prior", "text", *options) == 2
        refusals.check(refusals.printed(capsys.readouterr().err), given=True, allowed=True)


def test_of_a_text_that_is_too_long_the_end_is_read_and_that_is_said(model: Path, capsys: pytest.CaptureFixture[str]):
    long = "Mary went to the store and " * 100  # the subject reads 64 tokens
    options = ("--site", "resid_post.1", "--prior", "text", "--model", model, "--length", "4", "--bits", "0.5")
    assert call("invert", long + TEXT, *options, "--json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["source"].endswith(TEXT) and "left out" in shown.err
    assert call("invert", TEXT, *options, "--json") == 0
    assert "left out" not in capsys.readouterr().err
