"""A model built by hand: one head reads two words and passes on the first, another reads both and passes on nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from measured import reference
from partial_records import partial
from toy_world import write_store
from transformers import LlamaConfig, LlamaForCausalLM

from inversescope import files, records
from inversescope.causal import causal as step
from inversescope.causal import donors
from inversescope.causal.causal import causal
from inversescope.causal.continuation import continued
from inversescope.causal.donors import CausalData
from inversescope.causal.minimal_pairs import MinimalPairs
from inversescope.causal.used import used
from inversescope.progress import silent
from inversescope.records.levels import Level
from inversescope.score.labelled_feature import Feature
from inversescope.score.methods_and_controls import from_pool
from inversescope.score.pool import SitePool
from inversescope.sites import Site
from inversescope.stats.intervals import fields
from inversescope.stats.kernel import Kernel
from inversescope.subject import Subject
from inversescope.tasks import Labels, Tokens
from inversescope.verdicts import NOTHING

WORDS = 6  # first words are tokens 1 to 6, second words 7 to 12, the answers to the first words 13 to 18
END = 0
INPUTS: list[Tokens] = [(1 + first, 7 + second, END) for first in range(WORDS) for second in range(WORDS)]
TARGETS = [INPUTS[i] for i in (0, 8, 14, 20, 25, 33, 4, 11)]
PASSES, BLOCKED, BOTH = Site("z", 0, 0), Site("z", 0, 1), Site.parse("z.0.0+z.0.1")
MIDDLE = Site("resid_mid", 0)
BANDWIDTH = 0.5


def built_by_hand() -> Subject:
    """One layer, two heads of 12 coordinates, attention spread evenly: z is a mean of values. The first six coordinates
    of a head say the first word, the others the second. The output projection hands on the first word of head 0 alone.
    """
    config = LlamaConfig(
        hidden_size=24, intermediate_size=4, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
        vocab_size=19, max_position_embeddings=8, tie_word_embeddings=False, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    model: Any = LlamaForCausalLM(config)
    for weight in model.parameters():
        weight.data = torch.zeros_like(weight) if weight.ndim > 1 else torch.ones_like(weight)
    embedding, layer = model.model.embed_tokens.weight.data, model.model.layers[0].self_attn
    for word in range(WORDS):
        embedding[1 + word, word] = embedding[7 + word, WORDS + word] = 1.0
        layer.o_proj.weight.data[12 + word, word] = 1.0
        model.lm_head.weight.data[13 + word, 12 + word] = 1.0
    embedding[END, 23] = 1.0
    read = torch.eye(12, 24)
    layer.v_proj.weight.data = torch.cat((read, read))
    return Subject.from_model(model)


def labels(tokens: Tokens) -> Labels:
    return {"first": str(tokens[0]), "second": str(tokens[1]), "unknown": None}


def contrast(tokens: Tokens) -> tuple[int, int]:
    return tokens[0] + 12, (tokens[0] % WORDS) + 13  # the answer, and that of the next word


def write_samples(run: Path, sites: list[Site], samples: dict[int, list[Tokens]]) -> None:
    rows = [
        {
            "site": str(site), "bandwidth": bandwidth, "target": target, "tokens": list(tokens), "verified": True,
            "distance": 0.1 * sum(a != b for a, b in zip(tokens, TARGETS[target], strict=True)),
        }
        for site in sites
        for target, drawn in samples.items()
        for bandwidth, inputs in ((BANDWIDTH, drawn), (0.1, INPUTS))  # the others must not be taken
        for tokens in inputs
    ]  # fmt: skip
    never_ended = dict.fromkeys(rows[0]) | {
        "target": 0,
        "verified": False,
        "bandwidth": BANDWIDTH,
        "site": str(sites[0]),
    }
    table = partial(records.verify.SAMPLES, [*rows, never_ended])
    files.write_table(run / records.verify.SAMPLES.path, table)


SITES = [PASSES, BLOCKED, MIDDLE, BOTH]
BANDWIDTHS = dict.fromkeys(SITES, BANDWIDTH)
LEVELS = dict.fromkeys(SITES, Level(None, BANDWIDTH))


@pytest.fixture
def world(tmp_path: Path) -> CausalData:
    subject, run = built_by_hand(), tmp_path
    at = subject.capture(INPUTS, SITES).activations
    read = {tokens: {site: at[site][i].tolist() for site in SITES} for i, tokens in enumerate(INPUTS)}
    store = write_store(run / "collect", {"pool": INPUTS, "target": TARGETS}, read.__getitem__, labels)
    reference(run / "reference", store, SITES)
    rng = np.random.default_rng(0)
    drawn = {i: [INPUTS[j] for j in rng.permutation(len(INPUTS))] for i in range(len(TARGETS))}
    write_samples(run, SITES, drawn)
    named = {name: lambda tokens, name=name: labels(tokens)[name] for name in labels(INPUTS[0])}
    return CausalData(run, store, subject, named, contrast)


def done(world: CausalData, folder: Path) -> dict[tuple[Site, str], dict]:
    causal(folder, world, SITES, LEVELS, 0, silent)
    rows = pq.read_table(folder / "effects.parquet").to_pylist()
    return {(Site.parse(row["site"]), row["feature"]): row for row in rows}


def test_the_word_that_is_passed_on_is_used_and_nothing_else_is(world: CausalData, tmp_path: Path):
    found = done(world, tmp_path / "causal")
    used = found[PASSES, "first"]
    assert used["kl_same"] == pytest.approx(0, abs=1e-6) and used["sufficiency"] == pytest.approx(1, abs=1e-4)
    assert used["necessity_low"] > 0.9 and used["kl_other"] > 0.1
    assert used["kept_same"] == pytest.approx(1, abs=1e-4) and used["kept_other_high"] < 0.5
    # Read by the very same head and equally well told by its activation, but not passed on.
    present = found[PASSES, "second"]
    assert present["kl_same"] > 0.1 and present["matched"] == len(TARGETS)
    assert [present[f"necessity{end}"] for end in ("", "_low", "_high")] == pytest.approx([0, 0, 0], abs=1e-4)
    for feature in ("first", "second"):
        blocked = found[BLOCKED, feature]
        assert blocked["reason"] == NOTHING and blocked["necessity"] is None
        assert blocked["kl_random"] == pytest.approx(0, abs=1e-6) and blocked["distance_random"] > 0.5
        assert found[BOTH, feature]["necessity"] == pytest.approx(found[PASSES, feature]["necessity"], abs=1e-4)


def test_a_feature_of_one_site_is_asked_there_alone(world: CausalData, tmp_path: Path):
    asked = replace(world, site_labels={PASSES: {"early": lambda tokens: str(tokens[0] <= 3)}})
    found, without = done(asked, tmp_path / "causal"), done(world, tmp_path / "without")
    assert [place for place in found if place[1] == "early"] == [(PASSES, "early")]
    early = found.pop((PASSES, "early"))
    assert early["targets"] == len(TARGETS) and early["kl_other"] > early["kl_same"]
    assert found.keys() == without.keys()
    for place, row in found.items():  # other rows of a batch change the last digits
        assert row == pytest.approx(without[place], abs=1e-5), place


def test_what_cannot_be_told_has_a_reason(world: CausalData, tmp_path: Path):
    found = done(world, tmp_path / "causal")
    assert "resid_mid.0 cannot be set" in found[MIDDLE, "first"]["reason"]
    unknown = found[PASSES, "unknown"]
    assert (unknown["targets"], unknown["necessity"]) == (0, None)
    assert unknown["reason"] not in (None, NOTHING, found[MIDDLE, "first"]["reason"])


def test_without_minimal_pairs_other_things_vary_too(world: CausalData, tmp_path: Path):
    """A feature that differs wherever one does leaves no pair: samples stand in, and the interval is wide."""
    found = done(dependent(world), tmp_path / "causal")
    present = found[PASSES, "second"]
    assert (present["matched"], present["targets"]) == (0, len(TARGETS))
    assert -0.5 < present["necessity_low"] < 0.1 and present["necessity_high"] - present["necessity_low"] > 0.1
    assert found[PASSES, "first"]["necessity_low"] > 0.5


def dependent(world: CausalData) -> CausalData:
    """The world with a feature more, the input itself."""
    inputs = [{**labels(x), "whole": str(x)} for x in INPUTS]
    at = world.subject.capture(INPUTS, SITES).activations
    read = {tokens: {site: at[site][i].tolist() for site in SITES} for i, tokens in enumerate(INPUTS)}
    of = dict(zip(INPUTS, inputs, strict=True))
    store = write_store(world.run / "collect", {"pool": INPUTS, "target": TARGETS}, read.__getitem__, of.__getitem__)
    named = {name: lambda tokens, name=name: of[tokens][name] for name in of[INPUTS[0]]}
    return replace(world, store=store, labels=named)


def test_minimal_pairs_differ_in_one_feature_and_agree_in_the_others(world: CausalData):
    pairs = MinimalPairs.of(world.run, world.store, ["first", "second"], 4, 0)
    assert pairs.equal is None and list(pairs.others) == ["first", "second"]
    for place, (feature, of_targets) in enumerate(pairs.others.items()):
        for source, others in zip(TARGETS, of_targets, strict=True):
            assert len(set(others)) == 4, feature
            assert all(x[place] != source[place] and x[1 - place] == source[1 - place] for x in others)


def test_where_features_do_not_identify_an_input_others_agree_in_all_of_them(world: CausalData):
    """With the first word's parity in its place, three inputs have the same labels."""

    def parity(tokens: Tokens) -> Labels:
        return {"even": str(tokens[0] % 2), "second": str(tokens[1])}

    store = write_store(world.run / "collect", {"pool": INPUTS, "target": TARGETS}, lambda x: {PASSES: [1.0]}, parity)
    pairs = MinimalPairs.of(world.run, store, ["even", "second"], 4, 0)
    assert pairs.equal is not None
    for target, source in enumerate(TARGETS):
        equal, other = pairs.equal[target], pairs.others["even"][target]
        assert len(equal) == 2 and source not in equal and all(parity(x) == parity(source) for x in equal)
        assert len(other) == 3 and all(x[1] == source[1] and (x[0] - source[0]) % 2 for x in other)


def test_draws_are_taken_where_no_collected_input_is_a_pair_and_the_prior_has_them(world: CausalData):
    """Collected are the targets alone, of which each has words of its own."""
    targets = [INPUTS[7 * i] for i in range(WORDS)]
    store = write_store(world.run / "collect", {"pool": targets, "target": targets}, lambda x: {PASSES: [1.0]}, labels)
    drawn = [(source[0], targets[i - 1][1], END) for i, source in enumerate(targets)]
    columns = {f"{records.LABEL}{name}": None for name in ("first", "second")}
    rows = [
        {"tokens": list(x), "verified": True, "log_prior": log_prior}
        | {column: labels(x)[column.removeprefix(records.LABEL)] for column in columns}
        for x, log_prior in [*((x, -3.0) for x in drawn), *((x, -np.inf) for x in INPUTS)]
    ]
    files.write_table(world.run / records.verify.SAMPLES.path, partial(records.verify.SAMPLES, rows))
    pairs = MinimalPairs.of(world.run, store, ["first", "second"], 4, 0)
    assert pairs.others["second"] == [[x] for x in drawn]


def test_donors_are_distinct_others_with_the_labels_that_they_stand_for(world: CausalData, tmp_path: Path):
    seen: list[tuple[Tokens, donors.Group]] = []
    chosen = donors.Donors(world, BANDWIDTHS, 0, most=3)
    for target, source in enumerate(TARGETS):
        seen += [(source, group) for group in chosen.of(PASSES, target)]
    assert len(seen) == len(TARGETS) * 5  # random; same and other of two features
    for source, group in seen:
        inputs = [donor.tokens for donor in group.donors]
        assert source not in inputs and len(set(inputs)) == len(inputs) == 3
        if group.feature is not None:
            same = [labels(x)[group.feature] == labels(source)[group.feature] for x in inputs]
            assert same == [group.kind == "same"] * 3
    random = [[donor.tokens for donor in chosen.of(site, 0)[0].donors] for site in (PASSES, BLOCKED)]
    assert random[0] == random[1]


def test_where_no_sample_has_another_label_the_nearest_of_the_pool_do(world: CausalData, tmp_path: Path):
    first = [[x for x in INPUTS if x[0] == source[0]] for source in TARGETS]
    write_samples(world.run, SITES, dict(enumerate(first)))
    world = dependent(world)
    found = done(world, tmp_path / "causal")
    assert found[PASSES, "first"]["from_pool"] == len(TARGETS) and found[PASSES, "second"]["from_pool"] == 0
    (group,) = [
        group
        for group in donors.Donors(world, BANDWIDTHS, 0).of(PASSES, 0)
        if (group.feature, group.kind) == ("first", "other")
    ]
    distances = world.store.distance(PASSES).between(
        world.store.activations("pool", PASSES), world.store.activations("target", PASSES)[:1]
    )[:, 0]
    nearest = sorted(float(distances[i]) for i, x in enumerate(INPUTS) if x[0] != TARGETS[0][0])[:4]
    assert [donor.distance for donor in group.donors] == pytest.approx(nearest)


def test_interrupted_it_goes_on_with_the_sites_that_are_left(
    world: CausalData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(step, "SITES", 1)
    done(world, tmp_path / "undisturbed")

    def stop(finished: int, total: int, note: str = "") -> None:
        assert total == 3 * len(TARGETS)  # what cannot be set is not run
        if finished > len(TARGETS):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        causal(tmp_path / "causal", world, SITES, LEVELS, 0, stop)
    assert [path.name for path in (tmp_path / "causal").glob("*.parquet")] == ["part-00000.parquet"]
    read: list[list[Site]] = []
    honest = step._runs
    monkeypatch.setattr(step, "_runs", lambda world, donors, sites: read.append(sites) or honest(world, donors, sites))
    done(world, tmp_path / "causal")
    assert read == [[BLOCKED], [BOTH]]
    for name in ("runs.parquet", "effects.parquet"):
        first, second = (pq.read_table(tmp_path / folder / name) for folder in ("undisturbed", "causal"))
        assert first.equals(second)


GRADES = 36  # inputs of the graded world: one coordinate, the answer's logit rises with it; tens are six of them each


def graded_subject() -> Subject:
    """One head that passes on one number, from −1 to 1: the logit of token 1 rises with it, that of token 2 falls."""
    config = LlamaConfig(
        hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1,
        vocab_size=GRADES + 3, max_position_embeddings=8, tie_word_embeddings=False, bos_token_id=None,
        eos_token_id=None,
    )  # fmt: skip
    model: Any = LlamaForCausalLM(config)
    for weight in model.parameters():
        weight.data = torch.zeros_like(weight) if weight.ndim > 1 else torch.ones_like(weight)
    embedding, layer = model.model.embed_tokens.weight.data, model.model.layers[0].self_attn
    angles = torch.linspace(0.2, 1.37, GRADES)  # of equal norm, so that the norm before the head keeps the grades
    embedding[3:, 0], embedding[3:, 1] = angles.cos(), angles.sin()
    embedding[END, 3] = 1.0
    layer.v_proj.weight.data[0, 0] = 1.0
    layer.o_proj.weight.data[2, 0] = 1.0
    model.lm_head.weight.data[1, 2], model.lm_head.weight.data[2, 2] = 8.0, -8.0
    return Subject.from_model(model)


@pytest.fixture
def graded(tmp_path: Path) -> CausalData:
    subject, site, run = graded_subject(), Site("z", 0, 0), tmp_path
    inputs: list[Tokens] = [(3 + grade, END) for grade in range(GRADES)]
    targets = inputs[2::3]

    def tens(tokens: Tokens) -> Labels:
        return {"tens": str((tokens[0] - 3) // 6)}

    read = subject.capture(inputs, [site]).activations[site]
    at = {x: {site: row.tolist()} for x, row in zip(inputs, read, strict=True)}
    prior = dict.fromkeys(inputs, 1 / GRADES)
    store = write_store(run / "collect", {"pool": inputs, "target": targets}, at.__getitem__, tens, prior)
    reference(run / "reference", store, [site])
    distances = store.distance(site).between(store.activations("pool", site), store.activations("target", site)).numpy()
    rng, rows = np.random.default_rng(0), []
    scores = []
    for h in (FINE, WIDE):
        pool = SitePool.of(distances, store.inputs("pool").probability, True, [h], Kernel.GAUSSIAN)
        codes, own = (np.array([int(tens(x)["tens"] or 0) for x in part]) for part in (inputs, targets))
        feature = Feature("tens", [str(i) for i in range(6)], own, codes, pool.probability)
        (weighted, _) = from_pool(site, pool, [feature])
        scored = weighted.score(feature)
        place = {
            "site": str(site),
            "feature": "tens",
            "bandwidth": h,
            "method": "reference",
            "q_value": 0.0,
            "chance": 1 / 6,
        }
        place |= {"point": "z", "layer": 0, "head": 0, "targets": len(targets)}
        scores.append(
            place
            | fields("corrected", scored.corrected)
            | fields("fcr", scored.fcr)
            | {"ess": float(np.median(weighted.sizes))}
        )
        for target, weights in enumerate(weighted.weights):
            for row in rng.choice(GRADES, 32, p=weights):
                rows.append(
                    {"site": str(site), "bandwidth": h, "target": target, "tokens": list(inputs[row])}
                    | {"verified": True, "distance": float(distances[row, target])}
                )
    (run / "calibrate").mkdir()
    files.write_json(run / "calibrate" / "verdicts.json", {"truth": "exact"})
    for record, content in (
        (records.verify.SAMPLES, rows), (records.score.RESULTS, scores), (records.mine.HYPOTHESES, []),
    ):  # fmt: skip
        files.write_table(run / record.path, partial(record, content))
    return CausalData(run, store, subject, {"tens": lambda x: tens(x)["tens"]}, lambda tokens: None)


FINE, WIDE = 0.15, 3.0


def verdict(data: CausalData, bandwidth: float, at: Sequence[float]) -> dict[str, Any]:
    """The verdict with donors of a bandwidth, and scores at some of them."""
    site, path = Site("z", 0, 0), data.run / records.score.RESULTS.path
    scores = [row for row in pq.read_table(path).to_pylist() if row["bandwidth"] in at]
    files.write_table(path, partial(records.score.RESULTS, scores))
    causal(data.run / "causal", data, [site], {site: Level(None, bandwidth)}, 0, silent)
    used(data.run)
    (row,) = pq.read_table(data.run / records.causal.USED.path).to_pylist()
    return row


def test_a_graded_feature_is_found_used_by_the_finest_score_and_the_widest_donors(graded: CausalData):
    row = verdict(graded, WIDE, [FINE, WIDE])
    assert (row["verdict"], row["score_bandwidth"], row["donor_bandwidth"]) == ("encoded and used", FINE, WIDE)


@pytest.mark.parametrize("bandwidth", [FINE, WIDE])
def test_at_one_bandwidth_it_is_not(graded: CausalData, bandwidth: float):
    """Near donors of another ten hardly move the answer; at the bandwidth of far ones the tens are blurred."""
    row = verdict(graded, bandwidth, [bandwidth])
    assert row["verdict"] != "encoded and used"
    assert (row["corrected_low"] > 0.1) == (bandwidth == FINE) and row["score_bandwidth"] == bandwidth


def random_subject() -> Subject:
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        vocab_size=12, max_position_embeddings=16, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    for weight in model.parameters():
        weight.data = weight.data * (20 if weight.ndim > 1 else 1)
    return Subject.from_model(model)


def test_behind_a_continuation_the_patch_stays_where_the_input_ends(world: CausalData):
    """Another token's embedding in the last place is that token there: the whole text with it gives the same logits."""
    subject, site, source, other = random_subject(), Site("embed", None), (1, 2, 3), (1, 2, 7)
    value = subject.capture([other], [site]).activations[site][0]
    for length in (0, 1, 3):
        whole = continued(subject, source, length)
        assert whole[:3] == source and len(whole) == 3 + length
        at = replace(world, subject=subject, contrast=lambda tokens: (4, 5), continuation=length)
        measured = step._measure(at, source, [{}, {site: value}])
        before, after = subject.capture([whole, (*other, *whole[3:])], [], logits=True).logits.log_softmax(1)
        assert measured["kl"] == pytest.approx([0, float((before.exp() * (before - after)).sum())], abs=1e-4)
        assert measured["logit_difference"][1] == pytest.approx(float(after[4] - after[5]), abs=1e-3)
        assert measured["kl"][1] > 0.01


def test_a_continuation_is_what_the_subject_writes_itself():
    subject = random_subject()
    tokens = (1, 2, 3)
    for written in continued(subject, tokens, 4)[3:]:
        assert written == int(subject.capture([tokens], [], logits=True).logits[0].argmax())
        tokens = (*tokens, written)


def test_what_only_the_last_token_reads_has_no_effect_behind_it(world: CausalData, tmp_path: Path):
    """In one layer a head's output stays at its own token: the next one is another matter."""
    later = replace(world, continuation=1)
    row = done(later, tmp_path / "later")[PASSES, "first"]
    assert (row["reason"], row["continuation"]) == (NOTHING, "1 tokens")
    assert done(world, tmp_path / "causal")[PASSES, "first"]["continuation"] is None
