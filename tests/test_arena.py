"""The arena's methods on planted truths, and the arithmetic that compares them."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F
from arena_fixture import ABSENT, COLOURS, PRESENT, SIZES, planted
from refusals import refuses
from scipy import stats
from small_subject import save_subject

from inversescope.arena.autoencoder import trained
from inversescope.arena.cost import Cost, Memory
from inversescope.arena.decoding import PROMPT, WRITINGS, WRITTEN, _continuations, _named, _read_out
from inversescope.arena.generated import new_inputs
from inversescope.arena.latents import best
from inversescope.arena.measure import calibration_error, causal_agreement, chosen, results
from inversescope.arena.method import counted
from inversescope.arena.methods import METHODS
from inversescope.arena.methods import chosen as named
from inversescope.arena.pairs import pairs, sign_flips
from inversescope.arena.plateau import PATIENCE, train_to_plateau
from inversescope.arena.probes import linear, network
from inversescope.arena.record import Answered, Question, read, rows
from inversescope.arena.supervised import Labelled
from inversescope.progress import silent
from inversescope.records.arena import ANSWERS
from inversescope.score.methods_and_controls import Feature, WeightedInputs
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
        row["site"]: row for row in results({name: answers[name]}, {}, LEVELS, 0) if row["site"] and not row["feature"]
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
    assert list(results(answers, {}, LEVELS, 3)) == list(results(answers, {}, LEVELS, 3))
    assert pairs(answers, 3) == pairs(answers, 3)
    assert list(results(answers, {}, LEVELS, 3)) != list(results(answers, {}, LEVELS, 4))


def labelled(y: list[int], held: list[int], count: int) -> Labelled:
    rng = torch.Generator().manual_seed(0)
    x, held_x = (
        F.one_hot(torch.tensor(each), count) * 8 + torch.randn(len(each), count, generator=rng) for each in (y, held)
    )
    return Labelled(x, torch.tensor(y), held_x, torch.tensor(held), count)


def test_a_linear_probe_gives_probabilities_of_every_label_also_of_one_it_never_saw():
    given = labelled([0, 2] * 50, [0, 1, 2] * 5, 3)
    found = linear(given, torch.Generator(), np.inf).classify(given.held_x)
    assert torch.allclose(found.sum(1), torch.ones(15)) and (found[:, 1] == 0).all()
    assert (found[given.held_y == 0, 0] > 0.5).all() and (found[given.held_y == 2, 2] > 0.5).all()
    constant = linear(labelled([1] * 8, [1], 3), torch.Generator(), np.inf).classify(given.held_x)
    assert constant.tolist() == [[0, 1, 0]] * 15


def test_the_extra_is_only_needed_for_the_linear_probe(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    assert [method.name for method in named(["mlp probe", "reference"])] == ["reference", "mlp probe"]
    for names in ([], ["linear probe"], ["all latents"]):
        with refuses("scikit-learn", remedy="inversescope[arena]"):
            named(names)


# The end of training


class Planned(torch.nn.Module):
    """A model whose held-out loss is planned, epoch by epoch."""

    def __init__(self, losses: list[float]):
        super().__init__()
        self.epoch, self.losses = torch.nn.Parameter(torch.zeros(())), losses

    def train_once(self) -> int:
        with torch.no_grad():
            self.epoch += 1
        return 3

    def loss(self) -> float:
        return self.losses[min(int(self.epoch), len(self.losses)) - 1]


def test_training_ends_at_the_plateau_with_the_best_weights_and_not_before():
    falling = [1.0, 0.5, *[0.6] * (PATIENCE - 1), 0.4, *[0.4] * 50]  # the last gain just within the patience
    model = Planned(falling)
    ended = train_to_plateau(model, model.train_once, model.loss, np.inf)
    assert ended.loss == 0.4 and not ended.cut and model.epoch == falling.index(0.4) + 1
    assert ended.steps == 3 * (falling.index(0.4) + 1 + PATIENCE)
    late = Planned([1.0, 0.5, *[0.6] * PATIENCE, 0.4])
    assert train_to_plateau(late, late.train_once, late.loss, np.inf).loss == 0.5


def test_a_training_that_the_time_ends_is_called_cut():
    model = Planned([1 / epoch for epoch in range(1, 1000)])
    ended = train_to_plateau(model, model.train_once, model.loss, time.monotonic() - 1)
    assert ended.cut and ended.steps == 3
    given = labelled([0, 2] * 50, [0, 1, 2] * 5, 3)
    assert network(given, torch.Generator(), time.monotonic() - 1).cut
    assert not network(given, torch.Generator(), time.monotonic() + 1000).cut


# New inputs


def test_only_near_inputs_that_are_neither_source_nor_trained_on_are_new():
    rows = [
        {"target": 0, "tokens": [1], "distance": 0.2, "source": False, "in_train": False},
        {"target": 0, "tokens": [1], "distance": 0.2, "source": False, "in_train": False},  # again
        {"target": 0, "tokens": [2], "distance": 0.2, "source": False, "in_train": True},
        {"target": 0, "tokens": [3], "distance": 0.0, "source": True, "in_train": False},
        {"target": 0, "tokens": [4], "distance": 0.4, "source": False, "in_train": False},  # too far
        {"target": 1, "tokens": [4], "distance": 0.4, "source": False, "in_train": False},
        {"target": 1, "tokens": None, "distance": None, "source": False, "in_train": False},
        {"target": 2, "tokens": [4], "distance": 0.1, "source": False, "in_train": False},  # nothing is typical
    ]
    assert new_inputs(pa.Table.from_pylist(rows), np.array([0.3, 0.5, np.nan])) == 2


def test_new_inputs_a_second_count_the_time_of_their_own_draws_and_of_training():
    cost = Cost(training=30.0, answering=20.0)
    cost.found(100, 0.5)
    assert cost.new_per_second == (10, 2.5)
    assert Cost().new_per_second == (None, None)


# An autoencoder


def test_the_autoencoder_finds_planted_sparse_directions():
    rng = torch.Generator().manual_seed(0)
    directions = F.normalize(torch.randn(20, 16, generator=rng), dim=1)
    codes = torch.rand(3000, 20, generator=rng) * (torch.rand(3000, 20, generator=rng) < 0.08)
    model, ended = trained(codes @ directions * 3, rng, time.monotonic() + 1000)
    assert not ended.cut
    alike = (directions @ model.decoder.detach().T).max(1).values
    assert (alike > 0.9).sum() >= 18, alike
    assert torch.allclose(model.decoder.norm(dim=1), torch.ones(len(model.decoder)), atol=1e-5)


def test_each_label_gets_the_latent_and_the_threshold_that_tell_it():
    latents = torch.rand(300, 10, generator=torch.Generator().manual_seed(1)).clamp_min(0.2) - 0.2
    codes = torch.arange(300) % 3
    latents[:, 4] = (codes == 0) * 0.7  # fires for the first label alone
    latents[:, 7] = 0.3 + (codes == 2) * 0.5  # always there, and larger for the third
    other = torch.where(torch.arange(300) < 150, codes, -1)  # half of the inputs have no label of this one
    both = best(latents, {"first": codes, "other": other}, {"first": 3, "other": 3})
    found = both["first"]
    assert both["other"].latents[0] == 4 and both["other"].above[0] == 1
    assert found.latents[0] == 4 and found.latents[2] == 7
    assert found.above[0] == 1 and found.below[0] == 0
    assert 0.3 <= found.thresholds[2] < 0.8 and found.above[2] == 1


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
