"""From one activation to hypotheses: what is said of them, against exact answers, and the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path

import numpy as np
import pytest
from refusals import check, printed
from scipy import stats
from small_subject import config_text, save_subject

from inversescope import Inverter
from inversescope.cli import main
from inversescope.collect.inputs import read_known
from inversescope.collect.posterior import Typical
from inversescope.explain import Finding, explain
from inversescope.explain.explain import _finding, _score, _with_q_values, rank
from inversescope.explain.facts import Fact, correlation, facts
from inversescope.explain.null_score import NullScore
from inversescope.explain.prior import Hypothesis, Prior
from inversescope.explain.replaced import Replaced
from inversescope.features.language import parse
from inversescope.inverter import Inversion, InvertedSample
from inversescope.report.explanation import render
from inversescope.stats.intervals import FEWEST, UNDEFINED, Estimate
from inversescope.verdicts import MISSED, NOTHING, Outside

TEXT = "Then, Mary and John went to the store. John gave a drink to"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run on the small subject."""
    folder = tmp_path_factory.mktemp("explain")
    model = save_subject(folder / "model")
    (folder / "run.toml").write_text(config_text(model))
    main_without_exit(["run", str(folder / "run.toml"), "--out", str(folder / "run")])
    return folder / "run"


def main_without_exit(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code in (0, None)


def drawn(
    labels: Sequence[str | None], weights: Sequence[float] | None = None, left_out: str | None = None
) -> Inversion:
    """Samples whose label is their text."""
    weights = [1 / len(labels)] * len(labels) if weights is None else weights
    samples = tuple(
        InvertedSample(label, (i,), 0.1 * i, weight, False, -1.0, {})
        for i, (label, weight) in enumerate(zip(labels, weights, strict=True))
    )
    return Inversion(
        "source", (99,), 0, "resid_post.0", 0.1, {}, samples, 0.0, float(len(labels)), None, -1.0, -1.0, "known",
        left_out, Typical(0.4, 0.4, 1.4, True), 0.0, Outside(False, 0.2, 0.5, 0.4),
    )  # fmt: skip


def scored_finding(fact: Fact, inversion: Inversion, *effects: Estimate, **others: bool) -> Finding:
    """The finding beside a null feature of four labels."""
    return _finding(fact, inversion, NullScore(inversion, 4, 100), *effects, **others)


def hypothesis(labels: Sequence[str | None], value: str = "a", chance: float = 0.25) -> Hypothesis:
    """The first token says which label an input has."""
    shares = {"a": chance, "b": 1 - chance}
    return Hypothesis("letter", "", lambda tokens: labels[tokens[0]], value, shares, 1_000_000, np.array([True]))


def test_the_share_is_that_of_draws_that_count_alike():
    labels = ["a"] * 15 + ["b"] * 5
    score = _score(hypothesis(labels), drawn(labels))
    low, high = stats.beta(15.5, 5.5).interval(0.95)
    assert score.share == pytest.approx((0.75, low, high))
    assert score.corrected == pytest.approx(((0.75 - 0.25) / 0.75, (low - 0.25) / 0.75, (high - 0.25) / 0.75))


@pytest.mark.parametrize("alike", [0, 3, 15, 20])
def test_p_is_the_binomial_tail(alike: int):
    labels = ["a"] * alike + ["b"] * (20 - alike)
    exact = stats.binomtest(alike, 20, 0.25, alternative="greater").pvalue
    assert _score(hypothesis(labels), drawn(labels)).p_value == pytest.approx(exact)


def test_weights_say_how_many_draws_there_are():
    """Half of the draws have no weight: they are not there."""
    labels = ["a"] * 10 + ["b"] * 10
    weights = [0.1] * 10 + [0.0] * 10
    low = stats.beta(10.5, 0.5).ppf(0.025)
    assert _score(hypothesis(labels), drawn(labels, weights)).share == pytest.approx((1.0, low, 1.0))


def test_undecided_draws_do_not_count():
    labels = ["a"] * 6 + ["b"] * 6 + [None] * 8
    assert _score(hypothesis(labels), drawn(labels)).share.value == pytest.approx(0.5)


def test_collapsed_weights_say_nothing():
    labels = ["a"] * 20
    weights = [1.0] + [0.0] * 19
    one = scored_finding(Fact(hypothesis(labels)), drawn(labels, weights, MISSED), UNDEFINED, UNDEFINED)
    assert isnan(one.share.value) and isnan(one.corrected.low) and isnan(one.p_value) and isnan(one.bits)
    assert not one.above_chance
    assert _score(hypothesis(labels), drawn(labels, weights)).share.value == 1
    surest = scored_finding(Fact(hypothesis(labels)), drawn(labels), UNDEFINED, UNDEFINED)
    assert sorted([one, surest], key=rank) == [surest, one]


def test_bits_are_the_drop_in_entropy():
    labels = ["a"] * 20
    assert _score(hypothesis(labels, chance=0.5), drawn(labels)).bits == pytest.approx(1.0, abs=1e-5)
    one = _score(hypothesis(["a"], chance=0.5), drawn(["a"]))  # at a fine resolution the posterior is one input
    assert (one.share.value, one.bits) == (1, pytest.approx(1.0, abs=1e-5))


def test_an_input_that_was_drawn_many_times_is_one_input():
    often = ["a"] * 20
    weights = [1.0] + [0.0] * 19
    score = _score(hypothesis(often), drawn(often, weights))
    assert score.p_value == pytest.approx(0.25)
    assert score.share.low == pytest.approx(stats.beta(1.5, 0.5).ppf(0.025))


def test_samples_for_and_against():
    labels = ["b", "a", "a", None, "a", "a", "b"]
    weights = [0.1, 0.2, 0.1, 0.2, 0.1, 0.1, 0.2]
    found = scored_finding(Fact(hypothesis(labels)), drawn(labels, weights), UNDEFINED, UNDEFINED)
    assert [sample.tokens for sample in found.supporting] == [(1,), (2,), (4,)]
    assert found.against is not None and found.against.tokens == (6,)


USED, UNUSED, OPEN = Estimate(0.6, 0.5, 0.7), Estimate(0.0, -0.05, 0.05), Estimate(0.2, 0.0, 0.4)


def test_what_is_used_comes_before_what_is_surer():
    sure, less = ["a"] * 40, ["a"] * 30 + ["b"] * 10
    found = [
        scored_finding(Fact(hypothesis(labels)), drawn(labels), UNDEFINED, necessity)
        for labels, necessity in ((sure, UNUSED), (less, OPEN), (less, USED))
    ]
    found.append(scored_finding(Fact(hypothesis(sure)), drawn(sure), UNDEFINED, UNDEFINED, reason=NOTHING))
    assert [each.use for each in found] == ["encoded, unused", "cannot tell", "encoded and used", "encoded, unused"]
    assert sorted(found, key=rank) == [found[2], found[1], found[0], found[3]]


def test_bits_that_contradict_the_score_are_noted():
    """Of the prior's labels one has 94 percent. Half of the draws have the source's rare one: more bits are left than
    there were. Where all have the other rare one, bits are gained and the score is none.
    """
    shares = {"a": 0.03, "b": 0.94, "c": 0.03}

    def found(labels: list[str], shares: dict[str, float]) -> Finding:
        rare = Hypothesis("letter", "", lambda tokens: labels[tokens[0]], "a", shares, 1_000_000, np.array([True]))
        return scored_finding(Fact(rare), drawn(labels), UNDEFINED, UNDEFINED)

    spread = found(["a"] * 20 + ["b"] * 20, shares)
    assert spread.corrected.low > 0 > spread.bits and spread.note is not None
    elsewhere = found(["c"] * 40, {"a": 0.5, "c": 0.5})
    assert elsewhere.corrected.low <= 0 < elsewhere.bits and elsewhere.note is not None
    assert found(["a"] * 40, {"a": 0.5, "c": 0.5}).note is None
    assert found(["a", "c"] * 20, {"a": 0.5, "c": 0.5}).note is None


NAMES, PLACES = range(8), range(4)
SENTENCES = [  # order, subject, object, place: the subject is named first in one order
    (order, subject, other, place)
    for order in range(2)
    for subject in NAMES
    for other in NAMES
    if subject != other
    for place in PLACES
]
SOURCE = (0, 1, 2, 3)


def about(name: str, holds: Callable[[tuple[int, ...]], bool], words: str = "") -> Fact:
    alike = np.array([holds(x) for x in SENTENCES])
    shares = {"yes": float(alike.mean()), "no": 1 - float(alike.mean())}
    return Fact(Hypothesis(name, words, lambda x: "yes" if holds(x) else "no", "yes", shares, len(SENTENCES), alike))


SUBJECT = about("subject", lambda x: x[1] == 1)
WORD = about("word(1)", lambda x: x[1 + x[0]] == 1, "the first name")
HAS = about("has_word('James')", lambda x: 1 in x[1:3], "has James")
OTHER = about("indirect object", lambda x: x[2] == 2)
PLACE = about("place", lambda x: x[3] == 3)


def near(inputs: Sequence[tuple[int, ...]]) -> Inversion:
    samples = tuple(InvertedSample("", x, 0.1, 1 / len(inputs), False, -1.0, {}) for x in inputs)
    return replace(drawn(["a"]), samples=samples, tokens=SOURCE)


def merged(inputs: Sequence[tuple[int, ...]], found: Sequence[Fact], most: int | None = None) -> dict[str, tuple]:
    uniform = np.full(len(SENTENCES), 1 / len(SENTENCES))
    return {each.hypothesis.name: each.synonyms for each in facts(found, [near(inputs)], uniform, most)}


def test_one_fact_is_found_once_and_named_by_the_task():
    """All draws are the source itself: the names of others and the place agree on them too, and are other facts."""
    found = merged([SOURCE] * 10, [HAS, WORD, OTHER, SUBJECT, PLACE])
    assert found == {"subject": ("has_word('James')", "word(1)"), "indirect object": (), "place": ()}


def test_hypotheses_that_part_on_the_draws_are_facts_of_their_own():
    both = [SOURCE] * 5 + [(1, 1, 2, 3)] * 5  # the subject is named second in half of them
    assert merged(both, [SUBJECT, WORD, HAS]) == {"subject": ("has_word('James')",), "word(1)": ()}
    assert merged([SOURCE] * 10, [OTHER, PLACE, HAS, SUBJECT], most=1) == {"indirect object": ()}


def test_rare_labels_that_exclude_each_other_are_not_one():
    """They agree on 98 percent of such a prior: neither holds."""
    one, other = (np.arange(100) == i for i in range(2))
    uniform = np.full(100, 0.01)
    assert correlation(one, other, uniform) < 0 and correlation(one, one, uniform) == 1
    assert correlation(one, np.ones(100, dtype=bool), uniform) == 0


def test_q_counts_every_site():
    labels = ["a"] * 15 + ["b"] * 5
    one = scored_finding(Fact(hypothesis(labels)), drawn(labels), UNDEFINED, UNDEFINED)
    none = scored_finding(Fact(hypothesis(["b"] * 20)), drawn(["b"] * 20), UNDEFINED, UNDEFINED)
    (first,), (second, third) = _with_q_values([[one], [none, none]])
    assert first.q_value == pytest.approx(3 * first.p_value)
    assert second.q_value == third.q_value == 1


def test_hypotheses_are_what_samples_share_and_the_prior_does_not(run: Path):
    inverter = Inverter.load(run)
    text, pool = inverter.run.store.inputs("target").texts[0], inverter.run.store.inputs("pool")
    inversion = inverter.invert(text, site="resid_post.1", bandwidth=0.5, n=64)
    found = {each.name: each for each in Prior(inverter.run).hypotheses(inversion)}
    beside = read_known(run)
    behind = [] if beside is None else [inverter.run.store.inputs(split).tokens[row] for split, row in beside.rows]
    shares = pool.probability if beside is None else beside.shares
    scored = found.keys() & pool.labels.keys()
    assert scored and len(Prior(inverter.run).tokens) == len(shares) == len(pool) + len(behind)
    for name in scored:
        labels = [*pool.labels[name], *(inverter.run.task.labels(tokens)[name] for tokens in behind)]
        decided = np.array([label is not None for label in labels])
        own = np.array([label == found[name].value for label in labels])
        assert found[name].value == inverter.run.task.labels(inversion.tokens)[name]
        assert found[name].chance == pytest.approx(shares[own].sum() / shares[decided].sum())
    mined = {name: each for name, each in found.items() if name not in pool.labels}
    assert not any(each.value == "no" for each in mined.values())
    counts = [name.removesuffix(" % 2") for name in mined if name.startswith("count(")]
    assert counts and all(parse(count).label(text) != "0" for count in counts), "a word that does not occur is no fact"
    assert all(each.chance < 1 for each in found.values())


def test_the_source_in_its_own_place_changes_nothing(run: Path):
    inverter = Inverter.load(run)
    text = inverter.run.store.inputs("target").texts[0]
    inversion = inverter.invert(text, site="resid_post.1", bandwidth=0.5, n=16)
    (site,) = inverter.run.subject.sites(["resid_post.1"])
    effects = Replaced(inverter.run, site, inversion, seed=0)
    assert effects.own == pytest.approx(0, abs=1e-6) and effects.random.mean() > 0.01
    # At the last layer the next token follows from the activation alone: a donor does what it does on its own.
    donor, effect = next(iter(effects._effects.items()))
    logits = inverter.run.subject.capture([inversion.tokens, donor], [], logits=True).logits
    before, after = logits.log_softmax(1)
    assert effect == pytest.approx(float((before.exp() * (before - after)).sum()), rel=1e-3, abs=1e-5)


def test_sufficiency_and_necessity_are_shares_of_what_random_inputs_do(run: Path):
    inverter = Inverter.load(run)
    inversion = inverter.invert(inverter.run.store.inputs("target").texts[0], site="resid_post.1", bandwidth=0.5, n=32)
    (site,) = inverter.run.subject.sites(["resid_post.1"])
    effects = Replaced(inverter.run, site, inversion, seed=0)
    donors = list(effects._effects)
    pool = np.zeros(len(inverter.run.store.inputs("pool")), dtype=bool)

    def says(tokens: tuple[int, ...]) -> str:  # half of the samples have another label than the other half
        return "b" if tokens in donors[::2] else "a"

    sufficiency, necessity = effects.of(Hypothesis("", "", says, "a", {}, 1, pool))
    moved, kept = (np.array([effects._effects[x] for x in part]) for part in (donors[::2], donors[1::2]))
    assert min(len(moved), len(kept)) >= FEWEST
    least, low, high = bootstrapped(effects.random, moved, kept)  # of few draws, so too narrow
    assert sufficiency.low < least and sufficiency.value - sufficiency.low < 2 * (sufficiency.value - least)
    assert necessity.low < low < high < necessity.high and necessity.high - necessity.low < 2 * (high - low)
    assert sufficiency.value == pytest.approx(1 - kept.mean() / effects.random.mean()) and sufficiency.high <= 1
    assert necessity.value == pytest.approx((moved.mean() - kept.mean()) / effects.random.mean())
    assert necessity.low < necessity.value < necessity.high
    # Where every sample has the label, the nearest inputs of the pool with another stand in: of one, no interval.
    nearest = inverter.run.store.inputs("pool").tokens[effects._nearest[0]]
    pool[effects._nearest[1:]] = True
    _, necessity = effects.of(Hypothesis("", "", lambda tokens: "b" if tokens == nearest else "a", "a", {}, 1, pool))
    assert not isnan(necessity.value) and isnan(necessity.low) and nearest in effects._effects


def bootstrapped(random: np.ndarray, moved: np.ndarray, kept: np.ndarray) -> tuple[float, float, float]:
    """The ends of 95% intervals by another way: sufficiency's lower one, necessity's both."""
    rng = np.random.default_rng(0)
    alone, two, one = (rng.choice(values, (4000, len(values))).mean(1) for values in (random, moved, kept))
    return (np.quantile(1 - one / alone, 0.025), *np.quantile((two - one) / alone, [0.025, 0.975]))


def test_where_nothing_can_be_set_nothing_is_said(run: Path, monkeypatch: pytest.MonkeyPatch):
    inverter = Inverter.load(run)
    inversion = inverter.invert(TEXT, site="resid_post.1", bandwidth=0.5, n=8)
    (site,) = inverter.run.subject.sites(["resid_post.1"])
    monkeypatch.setattr("inversescope.explain.replaced.unsettable", lambda subject, site: "no")
    effects = Replaced(inverter.run, site, inversion, seed=0)
    assert all(isnan(end) for estimate in effects.of(hypothesis(["a"])) for end in estimate)


def test_an_explanation_is_the_same_again_and_ranked(run: Path):
    inverter = Inverter.load(run)
    one, two = (explain(inverter, TEXT, sites=["resid_post.*"], bandwidth=0.1, n=32, seed=1) for _ in range(2))
    assert json.dumps(one.record()) == json.dumps(two.record())
    assert [each.site for each in one.sites] == ["resid_post.0", "resid_post.1"]
    for each in one.sites:
        assert list(each.findings) == sorted(each.findings, key=rank)
    assert "resid_post.1" in render(one.record())


def test_the_command_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    page = tmp_path / "page.html"
    arguments = ["explain", TEXT, "--site", "resid_post.*", "--run", str(run), "-n", "16", "--html", str(page)]
    main_without_exit(arguments)
    assert "resid_post" in capsys.readouterr().out
    assert "<script" not in page.read_text()
    record = json.loads(page.with_suffix(".json").read_text())
    assert record["text"] == TEXT and len(record["sites"]) == 2


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        (["--site", "z.0.0"], {"given": "z.0.0", "allowed": "resid_post.1"}),
        (["--site", "resid_post.7"], {"given": "resid_post.7", "allowed": "layer 0 to 1"}),
        (["--site", "resid_post.1", "-b", "7"], {"given": 7, "allowed": "0.02 to 1"}),
        (["--site", "resid_post.1", "--position", "xyz"], {"given": "'xyz'", "allowed": "last"}),
    ],
)
def test_bad_input(run: Path, arguments: list[str], values: dict, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["explain", TEXT, "--run", str(run), *arguments])
    assert ended.value.code == 2
    check(printed(capsys.readouterr().err), **values)
