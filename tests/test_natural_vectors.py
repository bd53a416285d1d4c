"""Vectors inverted into natural text: the answer of the text that they come from, in Python and on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from read_elsewhere import READERS
from refusals import check, printed, refuses
from small_subject import call, save_subject

from inversescope.natural_text.budget import Budget
from inversescope.natural_text.natural_text import NaturalText
from inversescope.subject import Subject

SITE, LENGTH, TEXT = "resid_post.1", 4, "Then, Mary and John went to the store"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_subject(tmp_path_factory.mktemp("subject") / "small")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVERSESCOPE_CACHE", str(tmp_path_factory.getbasetemp() / "natural"))


@pytest.fixture
def text(folder: Path) -> NaturalText:
    return NaturalText.open(Subject.load(str(folder), device="cpu", dtype="float32"), sites=[SITE], length=LENGTH)


def activation(folder: Path) -> np.ndarray:
    return READERS[0](str(folder), TEXT).numpy()


@pytest.mark.parametrize("read", READERS)
def test_a_vector_read_by_another_library_gives_the_draws_of_its_text(
    read: Callable[[str, str], torch.Tensor], folder: Path, text: NaturalText
):
    asked: dict[str, Any] = {"site": SITE, "bandwidth": 1.0, "proposals": 400, "seed": 5}
    own, found = text.invert(TEXT, **asked), text.invert(vector=read(str(folder), TEXT), name="v.npy", **asked)
    assert own.believed and own.draws
    assert sum(row["draws"] for row in own.chart().values) == sum(draw.times for draw in own.draws)
    assert [(draw.tokens, draw.times) for draw in found.draws] == [(draw.tokens, draw.times) for draw in own.draws]
    assert [draw.distance for draw in found.draws] == pytest.approx([draw.distance for draw in own.draws], abs=1e-3)
    assert found.bits == pytest.approx(own.bits, abs=1e-3) and (found.source, found.source_log_p) == ("v.npy", None)


def test_a_search_takes_a_vector(folder: Path, text: NaturalText):
    own = text.search("nearest", TEXT, site=SITE, budget=Budget(tokens=600))
    found = text.search("nearest", vector=activation(folder), site=SITE, budget=Budget(tokens=600))
    assert [each.tokens for each in found.found] == [each.tokens for each in own.found]
    assert found.source_log_p is None and found.short_of_source is None


def test_a_vector_far_away_is_outside_of_the_prior(folder: Path, text: NaturalText):
    near, far = (
        text.invert(vector=scale * activation(folder), site=SITE, bandwidth=1.0, proposals=40) for scale in (1, 100)
    )
    assert not near.outside and far.outside


def test_the_command_takes_vectors(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    subject = Subject.load(str(folder))  # in the number format of the command
    (site,) = subject.sites([SITE])
    np.save(tmp_path / "v.npy", subject.capture([subject.encode(TEXT)], [site]).activations[site][0].numpy())
    options = ("--site", SITE, "--prior", "text", "--model", folder, "--length", LENGTH, "-b", "1", "-n", "4")
    out = tmp_path / "answers.json"
    assert call("invert", TEXT, *options, "--out", out) == 0
    (own,) = json.loads(out.read_text())
    assert call("invert", "--vector", tmp_path / "v.npy", *options, "--out", out) == 0
    (found,) = json.loads(out.read_text())
    draws = [[(draw["text"], draw["times"]) for draw in record["draws"]] for record in (own, found)]
    assert draws[0] == draws[1]
    assert found["source"].endswith("v.npy")
    scales = ("--scale", "0", "--scale", "100")
    assert call("invert", "--base", TEXT, "--add", tmp_path / "v.npy", *scales, *options, "--out", out) == 0
    base, steered = json.loads(out.read_text())
    assert [draw["text"] for draw in base["draws"]] == [draw["text"] for draw in own["draws"]]
    assert steered["outside"] and "outside of the prior" in capsys.readouterr().out


@pytest.mark.parametrize("given", ["wide.npy", "nan.npy", "zero.npy", "missing.npy", "several.npz:third"])
def test_bad_vectors_end_with_exit_code_2(
    given: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    np.save("wide.npy", np.ones(17))
    np.save("nan.npy", np.full(16, np.nan))
    np.save("zero.npy", np.zeros(16))
    np.savez("several.npz", one=np.ones(16), two=np.ones(16))
    options = ("--site", SITE, "--prior", "text", "--model", folder, "--length", LENGTH)
    assert call("invert", "--vector", given, *options) == 2
    check(printed(capsys.readouterr().err), given=given.split(":")[0])


def test_one_of_text_and_vector(text: NaturalText):
    with refuses(given="neither"):
        text.invert(site=SITE)
    with refuses(given="both"):
        text.invert(TEXT, vector=np.ones(16), site=SITE)
