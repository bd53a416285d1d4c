"""The arena's methods on planted truths, and the arithmetic that compares them."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from arena_fixture import ABSENT, COLOURS, PRESENT, SIZES, planted
from scipy import stats
from small_subject import save_subject

from inversescope.arena.cost import Cost, Memory
from inversescope.arena.decoding import PROMPT, WRITINGS, WRITTEN, _continuations, _named, _read_out
from inversescope.arena.measure import calibration_error, causal_agreement, chosen, results
from inversescope.arena.method import counted
from inversescope.arena.methods import METHODS
from inversescope.arena.pairs import pairs, sign_flips
from inversescope.arena.record import Answered, Question, read, rows
from inversescope.progress import silent
from inversescope.records.arena import ANSWERS
from inversescope.score.labelled_feature import Feature
from inversescope.score.methods_and_controls import WeightedInputs
from inversescope.sites import Site
from inversescope.subject import Subject

INFORMED = ("reference", "nearest", "linear probe", "mlp probe", "difference of means", "sae latents", "all latents")


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What each method that neither draws nor decodes says of the planted study."""
    study = planted(tmp_path_factory.mktemp("planted"), seed=1)
    found = {}
    for name in INFORMED:
        given = METHODS[name].answer(study, Path(), Cost(), silent)
        records = [row for a in given for row in rows(a.feature, str(a.site), a.bandwidth, a.shares, a.sizes)]
        found[name] = read(table(records), SIZES["target"])
    return found


LEVELS: defaultdict[str, dict[float | None, float | None]] = defaultdict(dict)  # bandwidths alone, no resolutions


def table(records: list[dict]):

    return ANSWERS.of(records)


@pytest.mark.parametrize("name", INFORMED)
def test_what_is_there_is_found_and_what_is_not_is_at_chance(answers: dict, name: str):
    found = {
        row["site"]: row
        for row in results({name: answers[name]}, {}, {}, LEVELS, 0)
        if row["site"] and not row["feature"]
    }
    there, absent = found[str(PRESENT)], found[str(ABSENT)]
    assert there["accuracy"] > 0.9 and there["corrected_low"] > 0.5, there
    assert absent["accuracy_low"] < 0.42 and absent["corrected_low"] < 0.05 and absent["corrected"] < 0.2, absent


def test_a_probe_is_ahead_of_a_guess_where_there_is_something_to_know(answers: dict):
    guess = {q: a for q, a in answers["nearest"].items() if q.site == str(ABSENT)}
    guess |= {Question(str(PRESENT), q.feature, None): a for q, a in guess.items()}
    found = {
        (row["site"], row["feature"], row["measure"]): row
        for row in pairs({"linear probe": answers["linear probe"], "guess": guess}, 0)
    }
    assert found[str(PRESENT), "colour", "accuracy"]["ahead"] == "linear probe"
    assert found[str(PRESENT), "colour", "accuracy"]["q"] < 0.01
    assert found[str(ABSENT), "colour", "accuracy"]["ahead"] == "cannot be told apart"


def test_comparison_is_deterministic_for_a_seed(answers: dict):
    assert list(results(answers, {}, {}, LEVELS, 3)) == list(results(answers, {}, {}, LEVELS, 3))
    assert pairs(answers, 3) == pairs(answers, 3)
    assert list(results(answers, {}, {}, LEVELS, 3)) != list(results(answers, {}, {}, LEVELS, 4))


# Decoders


def test_the_logit_lens_of_the_last_layer_is_the_subject(tmp_path: Path):
    subject = Subject.load(str(save_subject(tmp_path)), device="cpu", dtype="float32")
    sites = (Site("resid_post", 1), Site("final_norm"))
    captured = subject.capture([subject.encode("Then, Mary and John"), subject.encode("store")], sites, logits=True)
    for site in sites:
        assert torch.allclose(_read_out(subject, site, captured.activations[site]), captured.logits, atol=1e-4)


def test_self_decoding_puts_the_activation_where_the_prompt_ends(tmp_path: Path):
    subject = Subject.load(str(save_subject(tmp_path)), device="cpu", dtype="float32")
    site, prompt = Site("resid_post", 0), subject.encode(PROMPT)
    own = subject.capture([prompt], [site]).activations[site]
    with torch.random.fork_rng():
        torch.manual_seed(5)
        given = torch.tensor([prompt])
        undisturbed = subject.model.generate(
            given, attention_mask=torch.ones_like(given), do_sample=True, top_k=0, temperature=1.0,
            num_return_sequences=WRITINGS, max_new_tokens=WRITTEN, pad_token_id=prompt[-1],
        )  # fmt: skip
    texts = [subject.decode(row) for row in undisturbed[:, len(prompt) :].tolist()]
    assert _continuations(subject, site, own, seed=5) == [texts]
    assert _continuations(subject, site, own + 10, seed=5) != [texts]


def test_the_label_named_first_counts():
    texts = [["my green hat, red", "Red!", "reddish"], ["nothing"]]
    shares = _named(texts, COLOURS)
    assert shares[0].tolist() == [0.5, 0.5, 0] and np.isnan(shares[1]).all()


# Arithmetic


def feature() -> Feature:
    return Feature("colour", list(COLOURS), np.array([0, 1, 2, -1]), np.array([0, 0, 0, 1, 1, 2]), np.full(6, 1 / 6))


@pytest.mark.parametrize("own", [0.0, 0.6])
def test_no_method_answers_with_the_target_itself(own: float):
    """Inputs of the other label weigh the same, however much of the weight the source has."""
    feature = Feature("f", ["a", "b"], np.array([0]), np.array([0, 1]), np.full(2, 0.5))
    weights = np.array([[own, *[(1 - own) / 8] * 8]])
    codes, source = np.array([[0, 0, 0, *[1] * 6]]), np.eye(1, 9) == 1
    cost, inputs = Cost(), WeightedInputs("any", PRESENT, 0.1, {"f": codes}, weights, source=source)
    (answer,) = counted(inputs, [feature], cost)
    assert answer.shares[0] == pytest.approx([0.25, 0.75])
    assert answer.sizes[0] == pytest.approx(8)
    assert list(cost.diagnostics.values()) == [[pytest.approx(own)]]


def test_a_method_that_finds_nothing_but_the_target_gives_no_answer():
    feature = Feature("f", ["a", "b"], np.array([0]), np.array([0, 1]), np.full(2, 0.5))
    codes, weights = np.array([[0, 1, 1, 1, 1, 1]]), np.array([[0.9, 0.1, 0, 0, 0, 0]])
    only = WeightedInputs("any", PRESENT, 0.1, {"f": codes}, weights, kept=np.array([True]), source=np.eye(1, 6) == 1)
    cost = Cost()
    (answer,) = counted(only, [feature], cost)
    assert np.isnan(answer.shares).all()
    assert list(cost.diagnostics.values()) == [[pytest.approx(0.9)]]
    (with_it,) = counted(replace(only, source=None), [feature], Cost())
    assert with_it.shares[0] == pytest.approx([0.9, 0.1])


def test_ties_are_split_and_silence_falls_back_on_the_prior():
    shares = np.array([[0.4, 0.4, 0.2], [np.nan] * 3, [0.1, 0.2, 0.5], [1.0, 0, 0]])
    found = list(rows(feature(), "s", 0.1, shares, np.array([8.0, np.nan, 8, 8])))
    assert [row["target"] for row in found] == [0, 1, 2]  # the last has no label
    assert [row["hit"] for row in found] == [0.5, 0, 1]
    assert found[1]["silent"] and found[1]["answer"] is None and found[1]["share"] == pytest.approx(1 / 3)
    back = read(table(found), 4)[Question("s", "colour", 0.1)]
    assert back.hit[:3].tolist() == [0.5, 0, 1] and np.isnan(back.hit[3]) and back.silent.tolist() == [0, 1, 0, 0]


def answered(hit: list, confidence: list | None = None, silent: bool = False, share: list | None = None) -> Answered:
    n = len(hit)
    return Answered(
        np.array(hit, float), np.array(share or hit, float), np.array(confidence or hit, float), np.full(n, 0.25),
        np.full(n, np.nan), np.full(n, silent),
    )  # fmt: skip


def test_the_smallest_bandwidth_that_speaks_counts():
    given = {Question("s", "f", h): answered([1, 1], silent=h < 0.3) for h in (0.5, 0.1, 0.3)}
    assert chosen(given)["s", "f"].bandwidth == 0.3
    nothing = {Question("s", "f", h): answered([1, 1], silent=True) for h in (0.1, 0.5)}
    assert chosen(nothing)["s", "f"].bandwidth == 0.5


def test_the_calibration_error_is_the_mean_distance_of_confidence_from_what_is_right():
    given = [answered([1, 0, 1, 1, np.nan], confidence=[0.95, 0.95, 0.55, 0.55, np.nan])]
    assert calibration_error(given, 0).value == pytest.approx(0.5 * 0.45 + 0.5 * 0.45)


def test_agreement_with_causal_effects_is_spearman():
    rng = np.random.default_rng(0)
    given = {Question(f"s{i}", "f", None): answered([1] * 8, share=rng.uniform(0.3, 1, 8).tolist()) for i in range(7)}
    effects = {(f"s{i}", "f"): float(value) for i, value in enumerate(rng.normal(size=7))}
    score = [given[Question(f"s{i}", "f", None)].share.mean() for i in range(7)]
    found = causal_agreement(given, list(given), effects, 0)
    assert found.value == pytest.approx(stats.spearmanr(score, [effects[f"s{i}", "f"] for i in range(7)]).statistic)
    assert found.low < found.value < found.high
    assert np.isnan(causal_agreement(given, list(given), {}, 0).value)
    alike = {question: answered([1] * 8, share=[0.1 + 0.2] * 8) for question in given}  # all scores are one
    assert np.isnan(causal_agreement(alike, list(alike), effects, 0).value)
    one_informed = alike | {Question("s0", "f", None): answered([1, *[np.nan] * 7], share=[0.9] * 8)}
    rare = causal_agreement(one_informed, list(alike), effects, 0)  # a resample without its only target has no ranks
    assert rare.low <= rare.value <= rare.high


def test_sign_flips_agree_with_an_exact_test_and_are_uniform_where_nothing_differs():
    rng = np.random.default_rng(1)
    differences = rng.normal(0.3, 1, (3, 9))
    exact = stats.permutation_test(
        (differences, np.zeros_like(differences)), lambda a, b, axis: (a - b).mean(axis), permutation_type="samples",
        axis=1, n_resamples=np.inf, vectorized=True,
    )  # fmt: skip
    assert sign_flips(differences, 0) == pytest.approx(exact.pvalue, abs=0.02)
    null = sign_flips(rng.normal(size=(400, 20)), 0)
    assert stats.kstest(null, "uniform").pvalue > 0.01
    assert sign_flips(np.zeros((1, 5)), 0) == 1 and np.isnan(sign_flips(np.full((1, 5), np.nan), 0))


def test_a_pair_seen_from_the_other_side_is_turned():
    one, other = (
        {Question("s", "f", None): answered([1] * 9 + [0])},
        {Question("s", "f", None): answered([0] * 9 + [1])},
    )
    first = pairs({"a": one, "b": other}, 0)
    second = pairs({"b": other, "a": one}, 0)
    assert len(first) > 0
    for row, turned in zip(first, second, strict=True):
        assert row["difference"] == -turned["difference"] and row["ahead"] == turned["ahead"] == "a"
        assert row["difference_low"] == pytest.approx(-turned["difference_high"]) and row["p"] == turned["p"]


@pytest.mark.machine
def test_memory_that_was_in_use_is_seen():
    with Memory(torch.device("cpu")) as memory:
        held = torch.ones(30_000_000)
        time.sleep(0.1)
    assert memory.bytes > 60_000_000 and len(held)


@pytest.mark.machine
def test_memory_that_the_c_library_kept_is_counted_when_it_is_used_again():
    blocks = [np.ones(12_000) for _ in range(3000)]  # 96 kB each: taken from the heap, which keeps them when freed
    last = blocks[-1]
    del blocks
    with Memory(torch.device("cpu")) as memory:
        held = torch.ones(30_000_000)
    assert memory.bytes > 60_000_000 and len(held) and len(last)
