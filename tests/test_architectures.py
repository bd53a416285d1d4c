"""Every architecture: its sites are what they are called, by equations on a random model; wrong entries are found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from refusals import refuses
from subject_fixture import LAYERS, VARIANTS, tiny_model

from inversescope.errors import UserError
from inversescope.sites import POINTS, Site
from inversescope.subject import Subject, site_checks
from inversescope.subject.architecture import Architecture
from inversescope.subject.architectures import ARCHITECTURES, architecture_of, may_pack

PARALLEL = {"gpt_neox", "gptj", "falcon", "falcon, new", "cohere"}
UNKNOWN = ("stablelm", "gpt_neo")  # not in the table; the second names its blocks as GPT-2 does


def subject_of(kind: str, **options: Any) -> Subject:
    return Subject.from_model(tiny_model(kind, **options))


@pytest.mark.parametrize("kind", (*ARCHITECTURES, *VARIANTS, *UNKNOWN))
def test_every_identity_holds_to_float32_accuracy(kind: str):
    subject = subject_of(kind)
    examined = site_checks.examine(subject)
    assert {point for check in examined for point in check.points} == set(subject.points)
    assert [check for check in examined if check.ok is not True or check.error > 1e-5] == []


@pytest.mark.parametrize("kind", (*ARCHITECTURES, *VARIANTS))
def test_every_architecture_has_every_point_but_those_that_do_not_exist(kind: str):
    missing = set(POINTS) - set(subject_of(kind).points)
    assert missing == ({"resid_mid"} if kind in PARALLEL else {"mlp_act"} if kind == "mixtral" else set())


def test_what_does_not_exist_is_refused_with_the_reason():
    with refuses("resid_mid", given="resid_mid.0"):
        subject_of("gptj").sites(["resid_mid.0"])
    with refuses("mlp_act", given=True):
        subject_of("mixtral").sites(["mlp_act.*"])


@pytest.mark.parametrize("kind", UNKNOWN)
def test_a_model_outside_the_table_gives_what_can_be_found_safely(kind: str):
    subject = subject_of(kind)
    assert kind not in ARCHITECTURES
    assert subject.points == ("embed", "resid_pre", "z", "result", "resid_post", "final_norm")
    with refuses("mlp_out", given="mlp_out.0", remedy="architectures.py"):
        subject.sites(["mlp_out.0"])


def test_a_model_whose_blocks_cannot_be_found_is_refused():
    model = tiny_model("stablelm")
    model.model.layers = torch.nn.Sequential(*model.model.layers)
    with refuses(given="stablelm", allowed="gpt2", remedy="architectures.py"):
        Subject.from_model(model)


@pytest.mark.parametrize("kind", ("opt", "bloom"))
def test_a_variant_with_norms_on_the_stream_is_not_taken_for_the_usual_one(kind: str):
    variant = {"opt": {"do_layer_norm_before": False}, "bloom": {"apply_residual_connection_post_layernorm": True}}
    subject = subject_of(kind, **variant[kind])
    assert "attn_out" not in subject.points
    examined = site_checks.examine(subject)
    assert len(examined) > len(subject.points) and all(check.ok for check in examined)


# A wrong entry, and the points that must not be offered then.
FAULTS: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "heads laid out in another way": ("bloom", {"fused": "stacked"}, {"q", "k", "v", "z"}),
    "keys taken for values": ("llama", {"qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.k_proj")}, {"v"}),
    "queries taken for keys": ("gpt2", {"fused": "grouped"}, {"q", "k", "v"}),
    "a norm behind attention forgotten": ("gemma2", {"added_attention": ""}, {"attn_out", "resid_mid"}),
    "a multiplier forgotten": ("granite", {"scale": 1.0}, {"attn_out", "mlp_out"}),
    "attention with the stream in it": ("bloom", {"added_attention": ""}, {"attn_out"}),
    "the wrong norm": ("llama", {"middle": "input_layernorm"}, {"resid_mid"}),
    "another module's input": ("llama", {"down": "mlp.up_proj"}, {"mlp_act"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_entry_is_found_out_and_its_points_are_refused(fault: str, monkeypatch: pytest.MonkeyPatch):
    kind, change, points = FAULTS[fault]
    subject = subject_of(kind)
    wrong: Architecture = replace(architecture_of(subject.model), **change)
    monkeypatch.setitem(ARCHITECTURES, kind, wrong)
    if fault == "another module's input":
        with pytest.raises((UserError, RuntimeError)):
            site_checks.examine(subject)
        return
    failed = {point for check in site_checks.examine(subject) if check.ok is False for point in check.points}
    assert points and points <= failed
    for point in points:
        address = ".".join([point, *"0" * len(subject.shape.numbers(point))])
        with refuses(point, given=True, allowed=True, remedy="inversescope doctor"):
            site_checks.require(subject, subject.sites([address]))


def test_embeddings_are_what_the_first_block_is_given(monkeypatch: pytest.MonkeyPatch):
    """The checks see no wrong multiplier of the embeddings, for what is read is divided by it again when it is set."""
    subject = subject_of("granite")
    embed, first = subject.sites(["embed", "resid_pre.0"])
    right = subject.capture([(3, 4, 5)], [embed, first]).activations
    torch.testing.assert_close(right[embed], right[first])
    wrong = replace(architecture_of(subject.model), embedding_scale=3.5)
    monkeypatch.setitem(ARCHITECTURES, "granite", wrong)
    read = subject_of("granite").capture([(3, 4, 5)], [embed]).activations[embed]
    assert not torch.allclose(read, right[first])


def test_only_models_that_take_positions_and_masks_as_given_share_rows():
    packing = {kind for kind in (*ARCHITECTURES, *VARIANTS) if may_pack(tiny_model(kind), longest=8)}
    assert {"bloom", "gptj", "gemma2", "gemma2, sliding"}.isdisjoint(packing)
    assert "falcon, serial, ALiBi, a key for every head" not in packing
    assert {"gpt2", "gpt_neox", "opt", "falcon", "llama", "gemma3_text", "olmo2"} <= packing


def test_a_heads_contributions_add_up_with_the_multiplier_of_the_stream():
    subject = subject_of("granite")
    sites = subject.sites(["result.1.*", "attn_out.1"])
    at = subject.capture([(3, 4, 5), (7, 8)], sites).activations
    total = torch.stack([at[site] for site in sites if site.point == "result"]).sum(0)
    torch.testing.assert_close(total, at[Site("attn_out", 1)], rtol=1e-4, atol=1e-5)


def test_the_drift_of_half_precision_is_reported_and_judged_by_nobody():
    drift = site_checks.drift(subject_of("llama"))
    assert drift.ok is None and drift.error is not None and 1e-4 < drift.error < 0.1
    assert f"resid_post.{LAYERS - 1}" in drift.name
