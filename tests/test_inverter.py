"""Inverting one activation: the records are the formula, and show well; what cannot be is refused."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from refusals import refuses
from rich.console import Console
from small_subject import World, config_text

from inversescope.cli.tables.answers import inversion_table
from inversescope.collect.posterior import Typical
from inversescope.inverter import Inversion, InvertedSample, Inverter
from inversescope.run.run import Run
from inversescope.sites import Site
from inversescope.stats.weights import importance_weights
from inversescope.verdicts import BELOW_NOISE, MISSED, Outside, why_left_out

SITE, H, N = "resid_post.1", 0.5, 80
INSIDE = Outside(False, 0.2, 0.5, 0.4)


@pytest.fixture(scope="module")
def inverter(world: World) -> Inverter:
    return Inverter.load(world.run)


@pytest.fixture(scope="module")
def source(inverter: Inverter) -> str:
    """A text of the prior."""
    return inverter.run.store.inputs("target").texts[0]


@pytest.fixture(scope="module")
def inversion(inverter: Inverter, source: str) -> Inversion:
    return inverter.invert(source, site=SITE, n=N, bandwidth=H, seed=1)


def activation(inverter: Inverter, tokens: tuple[int, ...]) -> np.ndarray:
    site = Site.parse(SITE)
    return inverter.run.subject.capture([tokens], [site]).activations[site][0].double().numpy()


def test_every_sample_has_its_distance_weight_and_labels(inverter: Inverter, inversion: Inversion, source: str):
    subject, task = inverter.run.subject, inverter.run.task
    deviation = inverter.run.store.activations("pool", Site.parse(SITE)).double().numpy().std(0, ddof=1)
    target = activation(inverter, tuple(subject.encode(source)))
    verified = [sample for sample in inversion.samples if sample.tokens is not None]
    raw = []
    for sample in verified:
        delta = np.sqrt((((activation(inverter, sample.tokens) - target) / deviation) ** 2).mean())
        assert sample.distance == pytest.approx(delta, abs=1e-4)
        assert sample.accepted == (delta <= 0.1)
        assert sample.text == subject.decode(sample.tokens)
        assert sample.labels == task.labels(sample.tokens)
        raw.append(task.log_prior(sample.tokens) - (delta / H) ** 2 / 2)
    assert max(raw) > -np.inf  # some are inputs of the prior, else there is nothing to weigh
    logs = np.array([*raw, *[-np.inf] * (N - len(verified))])
    log_q, tokens = zip(*((sample.log_q, sample.tokens) for sample in inversion.samples), strict=True)
    weights, shape, log_normaliser = importance_weights(logs, np.array(log_q), tokens)
    assert [sample.weight for sample in verified] == pytest.approx(weights[: len(verified)], abs=1e-4)
    assert inversion.pareto_k == pytest.approx(shape, abs=1e-2)
    assert inversion.log_normaliser == pytest.approx(log_normaliser, abs=1e-3)
    assert (inversion.log_floor, inversion.floor) == (task.log_prior(inversion.tokens), "known")
    distinct = np.exp([log for log, sample in zip(raw, verified, strict=True) if sample.times])
    spread = distinct.sum() ** 2 / (distinct**2).sum()
    assert inversion.left_out == why_left_out(
        inversion.effective_sample_size, spread, log_normaliser, task.log_prior(inversion.tokens),
        min(sample.distance for sample in verified) <= inversion.typical.near,
    )  # fmt: skip
    assert inversion.effective_sample_size == pytest.approx(1 / (weights**2).sum(), rel=1e-3)
    assert inversion.acceptance == sum(sample.accepted for sample in verified) / N
    assert (inversion.text, inversion.site, inversion.bandwidth) == (source, SITE, H)
    assert inversion.labels == task.labels(subject.encode(source))


def test_log_q_is_the_generators(inverter: Inverter, inversion: Inversion, source: str):
    generator, site = inverter.generator, Site.parse(SITE)
    verified = [sample for sample in inversion.samples if sample.tokens is not None]
    z = inverter.run.subject.capture([inverter.run.subject.encode(source)], [site]).activations[site]
    with torch.no_grad():
        condition = generator.condition(site, z, torch.tensor([H])).expand(len(verified), -1)
        nats = generator.nats(generator.vocabulary.encode([sample.tokens for sample in verified]), condition)
    assert [sample.log_q for sample in verified] == pytest.approx((-nats).tolist(), abs=1e-3)


def test_samples_stand_nearest_first_and_those_that_never_ended_last(inversion: Inversion):
    assert len(inversion.samples) == N
    distances = [np.inf if sample.distance is None else sample.distance for sample in inversion.samples]
    assert distances == sorted(distances)


def test_samples_follow_from_the_seed(inverter: Inverter, inversion: Inversion, source: str):
    assert inverter.invert(source, site=SITE, n=N, bandwidth=H, seed=1) == inversion
    assert inverter.invert(source, site=SITE, n=N, bandwidth=H, seed=2) != inversion


def test_a_data_frame_has_a_column_for_each_fact_and_feature(inversion: Inversion):
    frame = inversion.to_dataframe()
    facts = ["text", "tokens", "distance", "weight", "accepted", "log_q"]
    assert list(frame.columns) == [*facts, "times", *(f"label.{name}" for name in inversion.labels)]
    assert len(frame) == N
    row, sample = next((i, sample) for i, sample in enumerate(inversion.samples) if sample.labels["subject"])
    found = [frame[name][row] for name in ("text", "distance", "label.subject")]
    assert found == [sample.text, pytest.approx(sample.distance), sample.labels["subject"]]


@pytest.mark.parametrize("name", ["distance", "weight", "text", "times", "labels"])
def test_a_feature_named_like_a_measurement_has_a_column_of_its_own(name: str):
    frame = by_hand(made("one two", 0.25, "near", name), name=name).to_dataframe()
    assert frame[f"label.{name}"].tolist() == ["near"]
    assert (frame["distance"][0], frame["weight"][0], frame["text"][0]) == (0.2, 0.25, "one two")


def made(text: str | None, weight: float | None, label: str | None, name: str = "f") -> InvertedSample:
    return InvertedSample(text, (1,), weight and 0.2, weight, False, -1.0, {name: label})


def by_hand(
    *samples: InvertedSample,
    text: str = "one two",
    dropped: int = 0,
    name: str = "f",
    label: str | None = "a",
    left_out: str | None = None,
) -> Inversion:
    return Inversion(
        text, (0,), dropped, SITE, H, {name: label}, samples, 0.0, 1.0, None, -1.0, -1.0, "known", left_out,
        Typical(0.4, 0.4, 1.4, True), 0.001, INSIDE,
    )  # fmt: skip


def test_what_is_shared_is_the_weight_among_decided_samples():
    samples = [*[made("x", 0.1, "a")] * 5, *[made("y", 0.1, "b")] * 3, made("z", 0.2, None), made(None, None, None)]
    assert by_hand(*samples).shared("f") == pytest.approx(0.5 / 0.8)
    assert by_hand(*samples, label=None).shared("f") is None
    heavy = [made("x", 0.9, "a"), *[made("y", 0.02, "b")] * 5]
    assert by_hand(*heavy).shared("f") == pytest.approx(0.9)  # one input, at a fine resolution
    assert by_hand(*heavy, left_out=MISSED).shared("f") is None
    assert by_hand(made("z", 0.2, None)).shared("f") is None
    assert by_hand(made("z", 0.0, "a")).shared("f") is None


def test_the_source_is_counted_apart_and_equal_draws_are_one_row():
    own = InvertedSample("one two", (0,), 0.0, 0.75, True, -1.0, {"f": "a"}, 6)
    again = [replace(own, weight=0.0, times=0)] * 5
    others = [replace(made("x", 0.125, "a"), tokens=(i,), accepted=i == 2) for i in (2, 3)]
    inversion = by_hand(own, *again, *others)
    assert inversion.source_share == (pytest.approx(6 / 8), 0.75)
    assert inversion.others_acceptance == 0.5
    assert [sample.times for sample in inversion.distinct] == [6, 1, 1]
    assert by_hand(own).others_acceptance is None
    screen = Console(width=200, record=True, file=io.StringIO())
    screen.print(inversion_table(inversion))
    shown = screen.export_text()
    assert "75% of the draws" in shown and "75% of the weight" in shown
    assert shown.count("one two") == 2  # the source, and its draws in one row
    assert Reader(inversion._repr_html_()).text.count("one two") == 2
    assert ("no finding" in shown, len(by_hand(own, left_out=MISSED).notes)) == (False, 2)


def test_resampling_makes_the_weights_counts():
    samples = (
        made("x", 0.5, "a"),
        made("y", 0.3, "b"),
        made("z", 0.0, None),
        made("w", 0.2, "a"),
        made(None, None, None),
    )
    drawn = by_hand(*samples).resample(40, seed=3)
    assert [drawn.count(sample) for sample in samples] == pytest.approx([20, 12, 0, 8, 0], abs=1)
    assert by_hand(*samples).resample(40, seed=3) == drawn
    with refuses(remedy="bandwidth"):
        by_hand(made("x", 0.0, "a"), made(None, None, None)).resample(1)


@pytest.mark.parametrize(("shape", "flagged"), [(None, False), (0.3, False), (0.5, True)])
def test_weights_with_a_heavy_tail_are_flagged(shape: float | None, flagged: bool):
    inversion = replace(by_hand(*[made("x", 1 / 32, "a")] * 32), pareto_k=shape)  # up to 0.34 for 32 draws
    assert inversion.unreliable == flagged
    screen = Console(width=200, record=True, file=io.StringIO())
    screen.print(inversion_table(inversion))
    shown = "–" if shape is None else f"{shape:.2f}"
    for page in (screen.export_text(), Reader(inversion._repr_html_()).text):
        assert f"Pareto k̂ {shown}" in page
        assert ("unreliable" in page) == flagged


class Reader(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: set[str] = set()
        self.bold: list[str] = []
        self.text = ""
        self.last = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        self.last = tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.last == "b":
            self.bold.append(data)
        self.last = ""


def test_it_shows_as_a_table_in_which_texts_are_only_text():
    nasty = "<script>alert(1)</script> & <i>two</i>"
    page = Reader(
        by_hand(
            *[made(nasty, 0.25, "a", "<u>f</u>")] * 4, made(None, None, None, "<u>f</u>"), text=nasty, name="<u>f</u>"
        )._repr_html_()
    )
    assert page.tags == {"p", "b", "br", "table", "tr", "th", "td", "i", "bdi"}  # i: never ended
    assert page.text.count(nasty) == 5
    assert "<u>f</u> 1.00" in page.text
    assert "never ended" in page.text


def test_words_that_differ_from_the_source_are_marked():
    page = Reader(by_hand(made("one three two", 1.0, "a"))._repr_html_())
    assert page.bold == ["one two", "three"]  # the source itself, and the new word


def test_a_position_is_read_as_if_the_text_ended_there(inverter: Inverter, source: str):
    words = source.split()
    start = " ".join(words[:6])
    alone = inverter.invert(start, site=SITE, n=4, bandwidth=H)
    index = len(inverter.run.subject.encode(start)) - len(inverter.run.subject.prefix) - 1
    for position in (index, start):
        assert inverter.invert(source, site=SITE, n=4, bandwidth=H, position=position) == alone
    assert alone.text == start and alone.dropped == 0


def test_of_a_long_text_the_end_is_read_and_the_rest_is_told(inverter: Inverter):
    kept = " ".join(["Mary"] * 62)  # with the prefix, 63 of the 64 tokens that the subject reads
    inversion = inverter.invert(" John" * 9 + f" Paul {kept}", site=SITE, n=4, bandwidth=H)
    tokens = inverter.run.subject.encode(" Paul " + kept)
    assert len(tokens) == 64
    assert (inversion.text, inversion.dropped) == (" Paul " + kept, 9)
    screen = Console(width=2000, record=True, file=io.StringIO())
    screen.print(inversion_table(inversion))
    for page in (screen.export_text(), Reader(inversion._repr_html_()).text):
        assert re.search(r"\b9 tokens\b", page)


def test_a_conversation_is_read_by_the_subjects_template(inverter: Inverter, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        inverter.run.subject.tokenizer._tokenizer, "chat_template",
        "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '</s>' }}{% endfor %}",
    )  # fmt: skip
    talk = [{"role": "user", "content": "Mary and John went"}, {"role": "assistant", "content": "to the store"}]
    assert (
        inverter.invert(talk, site=SITE, n=2, bandwidth=H).text
        == "user: Mary and John went‹/s›assistant: to the store‹/s›"
    )
    assert inverter.invert(talk, site=SITE, n=2, bandwidth=H, position="user:0").text == "user: Mary and John went"


@pytest.mark.parametrize(
    ("asked", "values"),
    [
        ({"site": "z.1.1"}, {"given": "z.1.1", "allowed": "resid_post.0, z.1.0, resid_post.1"}),
        ({"site": "z.one"}, {"given": "z.one", "allowed": "POINT.LAYER"}),
        ({"bandwidth": 5.0}, {"given": 5, "allowed": "0.02 to 1"}),
        ({"bandwidth": 0.0}, {"given": 0, "allowed": "0.02 to 1"}),
        ({"bandwidth": float("nan")}, {"given": "nan", "allowed": "0.02 to 1"}),
        ({"n": 0}, {"given": 0}),
        ({"text": ""}, {"given": "''"}),
        ({"position": 99}, {"given": 99, "allowed": "0 to"}),
        ({"position": "nobody"}, {"given": "'nobody'", "allowed": "last"}),
    ],
)
def test_what_cannot_be_inverted_is_refused(inverter: Inverter, source: str, asked: dict, values: dict):
    with refuses(**values):
        inverter.invert(**{"text": source, "site": SITE, "n": 4, "bandwidth": H} | asked)


def test_a_run_without_a_trained_generator_is_refused(world: World, tmp_path: Path):
    Run.create(tmp_path / "run", config_text(world.model))
    with refuses(given=tmp_path / "run", remedy="--resume"):
        Inverter.load(tmp_path / "run")
    with refuses(given=(tmp_path, "config.toml"), remedy=True):
        Inverter.load(tmp_path)


@pytest.mark.parametrize(("floor", "below"), [(H / 2, False), (2 * H, True)])
def test_a_bandwidth_below_the_noise_floor_is_marked(floor: float, below: bool):
    inversion = replace(by_hand(made("x", 1.0, "a")), noise_floor=floor)
    screen = Console(file=io.StringIO(), width=140)
    screen.print(inversion_table(inversion))
    assert inversion.below_noise is below
    assert (BELOW_NOISE in screen.file.getvalue()) is (BELOW_NOISE in inversion._repr_html_()) is below
