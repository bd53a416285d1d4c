"""Vectors in place of texts: the answer of the text that they come from, and what is refused or left undefined."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from read_elsewhere import READERS
from refusals import refuses
from small_subject import World, call

from inversescope.explain import explain
from inversescope.inverter import Inversion, InvertedSample, Inverter
from inversescope.sites import Site
from inversescope.verdicts import NO_TEXT

SITE, H, N = "resid_post.1", 0.5, 40


@pytest.fixture(scope="module")
def inverter(world: World) -> Inverter:
    return Inverter.load(world.run)


@pytest.fixture(scope="module")
def text(inverter: Inverter) -> str:
    return inverter.run.store.inputs("target").texts[0]


@pytest.fixture(scope="module")
def of_text(inverter: Inverter, text: str) -> Inversion:
    return inverter.invert(text, site=SITE, n=N, bandwidth=H)


@pytest.mark.parametrize("read", READERS)
def test_a_vector_read_by_another_library_gives_the_answer_of_its_text(
    read, world: World, of_text: Inversion, text: str
):
    vector = read(str(world.model), text)
    found = Inverter.load(world.run).invert(vector=vector, site=SITE, n=N, bandwidth=H)
    assert sorted(map(str, (s.tokens for s in found.samples))) == sorted(map(str, (s.tokens for s in of_text.samples)))
    near, own = ([s.distance for s in x.samples if s.distance is not None] for x in (found, of_text))
    assert near == pytest.approx(own, abs=1e-3)
    weight = {s.tokens: s.weight for s in of_text.samples if s.times}
    assert {s.tokens: s.weight for s in found.samples if s.times} == pytest.approx(weight, abs=1e-3)


def test_what_belongs_to_a_source_is_undefined_for_a_vector(inverter: Inverter, text: str):
    found = inverter.invert(vector=inverter.activation(text, site=SITE), site=SITE, n=N, bandwidth=H)
    assert (found.tokens, found.source_text, found.log_floor, found.floor) == (None, None, None, None)
    assert found.source_share == (None, None) and set(found.labels.values()) == {None}
    assert {found.shared(name) for name in found.labels} == {None}
    assert found.other_weights.sum() == pytest.approx(1)
    heaviest = found.heaviest("place")
    assert heaviest is not None and 0 < heaviest[1] <= 1
    own = {s.tokens: s.labels["place"] for s in found.samples if s.tokens}
    weights = {label: sum(s.weight or 0 for s in found.samples if own.get(s.tokens) == label) for label in own.values()}
    assert heaviest == (max(weights, key=weights.__getitem__), pytest.approx(max(weights.values())))
    assert found.norms is not None
    assert found.norms.vector == pytest.approx(float(inverter.activation(text, site=SITE).norm()), rel=1e-5)
    assert "no text" in found.notes[0] and not any("source" in note for note in found.notes)
    assert found.record()["tokens"] is None and "<table>" in found._repr_html_()


def test_a_vector_far_away_is_outside_of_the_prior(inverter: Inverter, text: str):
    activation = inverter.activation(text, site=SITE)
    inside, outside = inverter.invert(vector=[activation, 100 * activation], site=SITE, n=4, bandwidth=H)
    assert not inside.outside.outside and outside.outside.outside


def test_several_nest_by_vector_site_and_resolution(inverter: Inverter, text: str):
    activation = inverter.activation(text, site=SITE).numpy()
    given = {"a": activation, "b": activation * 1.01}
    found = inverter.invert(vector=given, site="resid_post.*", resolution=[None, None], n=2, bandwidth=H)
    shape = [[[(each.text, each.site) for each in of_site] for of_site in row] for row in found]
    assert shape == [[[(name, f"resid_post.{layer}")] * 2 for layer in range(2)] for name in "ab"]
    rows = inverter.invert(vector=np.stack(list(given.values())), site=SITE, n=2, bandwidth=H)
    assert [each.text for each in rows] == ["vector 0", "vector 1"]
    assert rows[0].samples == found[0][1][0].samples


def test_activations_of_texts_can_be_averaged(inverter: Inverter):
    texts = inverter.run.store.inputs("target").texts[:2]
    rows = inverter.activation(texts, site=SITE)
    assert torch.equal(rows[1], inverter.activation(texts[1], site=SITE)) and rows.shape == (2, 16)
    assert inverter.invert(vector=rows.mean(0), site=SITE, n=2, bandwidth=H).norms is not None


def test_what_cannot_be_inverted_is_refused(inverter: Inverter, text: str):
    for vector, named in ((np.ones(3), "[16]"), (np.zeros(16), "zero"), (np.full(16, np.nan), "nan")):
        with refuses(named):
            inverter.invert(vector=vector, site=SITE, bandwidth=H)
    with refuses("both"):
        inverter.invert(text, vector=np.ones(16), site=SITE, bandwidth=H)
    with refuses("neither"):
        inverter.invert(site=SITE, bandwidth=H)


def test_an_explanation_of_a_vector_finds_what_its_samples_share_and_nothing_of_its_use(
    inverter: Inverter, text: str, monkeypatch: pytest.MonkeyPatch
):
    """Planted: the samples are inputs with one place, as many as two halves need that share none."""
    activation, labels = inverter.activation(text, site=SITE), inverter.task.labels
    drawn = inverter.invert(vector=activation, site=SITE, n=4, bandwidth=H)
    inputs = inverter.task.draw(400, np.random.default_rng(0))
    alike = dict.fromkeys(x for x in inputs if labels(x)["place"] == "store")
    samples = tuple(InvertedSample("", x, 0.1, 1 / len(alike), False, -1.0, labels(x)) for x in alike)
    planted = replace(drawn, samples=samples, left_out=None)
    assert planted.heaviest("place") == ("store", pytest.approx(1)) and not planted.outside.outside
    monkeypatch.setattr(Inverter, "invert_given", lambda *given: planted)
    (of_site,) = explain(inverter, vector=activation, sites=SITE, n=8, bandwidth=H).sites
    found = {finding.hypothesis: finding for finding in of_site.findings}
    (place,) = (each for name, each in found.items() if "place" in (name, *each.synonyms))
    assert (place.value, place.share.value) == ("store", pytest.approx(1)) and place.corrected.low > 0
    assert np.isnan(place.necessity.value) and place.use == "cannot tell"
    assert place.reason == NO_TEXT or place.null_passes


def test_commands_take_vectors(world: World, inverter: Inverter, text: str, tmp_path: Path, capsys):
    activation = inverter.activation(text, site=SITE)
    np.save(tmp_path / "v.npy", activation.numpy())
    np.savez(tmp_path / "both.npz", near=activation.numpy(), far=100 * activation.numpy())
    where = ("--site", SITE, "--run", world.run, "-b", str(H), "-n", "4")
    assert call("invert", "--vector", tmp_path / "v.npy", *where) == 0
    assert "norm" in capsys.readouterr().out
    assert call("invert", "--vector", f"{tmp_path}/both.npz:far", *where) == 0
    assert capsys.readouterr().out.startswith("outside of the prior")
    scales = ("--scale", "0", "--scale", "0.5")
    assert call("invert", "--base", text, "--add", tmp_path / "v.npy", *scales, *where) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "+ 0 ×" in shown and "+ 0.5 ×" in shown
    page = tmp_path / "page.html"
    assert call("explain", "--vector", tmp_path / "v.npy", *where[:-1], "40", "--html", page) == 0
    assert "A vector" in page.read_text()


@pytest.mark.parametrize(
    "given",
    [
        ("--vector", "wide.npy"),
        ("--vector", "nan.npy"),
        ("--vector", "zero.npy"),
        ("--vector", "missing.npy"),
        ("--vector", "both.npz:third"),
        ("--vector", "wide.npy", "some text"),
        ("--vector", "wide.npy", "--position", "0"),
        ("--vector", "wide.npy", "--scale", "2"),
        ("--base", "some text"),
        ("--add", "wide.npy"),
    ],
)
def test_bad_vectors_end_with_exit_code_2(given: tuple[str, ...], world: World, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("wide.npy", np.ones(17))
    np.save("nan.npy", np.full(16, np.nan))
    np.save("zero.npy", np.zeros(16))
    np.savez("both.npz", one=np.ones(16), two=np.ones(16))
    for command in ("invert", "explain"):
        assert call(command, *given, "--site", SITE, "--run", world.run) == 2
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err and shown.err


def test_a_vector_of_one_site_does_not_fit_another(inverter: Inverter, text: str):
    width = inverter.run.subject.dimension(Site.parse("z.1.0"))
    with refuses(f"[{width}]"):
        inverter.invert(vector=inverter.activation(text, site=SITE), site="z.1.0", bandwidth=H)
