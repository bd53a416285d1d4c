"""Every point of every architecture, against what TransformerLens and nnsight read from the same model."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from no_collection import no_collection
from subject_fixture import LAYERS, VARIANTS, VOCABULARY, tiny_model
from tokenizers import Tokenizer, models, processors
from transformers import PreTrainedTokenizerFast

from inversescope.sites import Site, every
from inversescope.subject import Subject
from inversescope.subject.architectures import ARCHITECTURES

TOKENS = (3, 4, 5, 9, 8)
# What TransformerLens's bridge calls our points, and how layers are named there.
BRIDGE = {
    "embed": "embed.hook_out",
    "resid_pre": "blocks.{}.hook_resid_pre",
    "q": "blocks.{}.attn.hook_q",
    "k": "blocks.{}.attn.hook_k",
    "v": "blocks.{}.attn.hook_v",
    "z": "blocks.{}.attn.hook_z",
    "attn_out": "blocks.{}.hook_attn_out",
    "resid_mid": "blocks.{}.hook_resid_mid",
    "mlp_act": "blocks.{}.mlp.out.hook_in",
    "mlp_out": "blocks.{}.hook_mlp_out",
    "resid_post": "blocks.{}.hook_resid_post",
    "final_norm": "ln_final.hook_out",
}
# Of these two the bridge (4.3) computes something else than the model, or nothing.
FALCONS = ("falcon, serial, ALiBi, a key for every head", "falcon, new")


@pytest.mark.parametrize("kind", [kind for kind in (*ARCHITECTURES, *VARIANTS) if kind not in FALCONS])
def test_transformer_lens_reads_the_same(kind: str, tmp_path: Path):
    lens = pytest.importorskip("transformer_lens.model_bridge")
    model = tiny_model(kind)
    subject = Subject.from_model(copy.deepcopy(model))
    _save(model, tmp_path)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    bridge = lens.TransformerBridge.boot_transformers(str(tmp_path), hf_model=model, tokenizer=tokenizer, device="cpu")
    _, cache = bridge.run_with_cache(torch.tensor([TOKENS]))
    sites = subject.sites(every(point) for point in subject.points if point in BRIDGE)
    assert len({site.point for site in sites}) >= len(BRIDGE) - 1  # one may not exist in the model at all
    for site, ours in subject.capture([TOKENS], sites).activations.items():
        theirs = cache[BRIDGE[site.point].format(site.layer)][0, -1]
        _assert_same(site, ours[0], _of_head(theirs, site, subject))


# The module whose output is the residual stream behind a block, and the one whose input is all heads' `z`.
MODULES = {
    "gpt2": ("transformer.h.{}", "transformer.h.{}.attn.c_proj"),
    "llama": ("model.layers.{}", "model.layers.{}.self_attn.o_proj"),
} | dict.fromkeys(FALCONS, ("transformer.h.{}", "transformer.h.{}.self_attention.dense"))


@pytest.mark.parametrize("kind", MODULES)
def test_nnsight_reads_the_same(kind: str):
    nnsight = pytest.importorskip("nnsight")
    model = tiny_model(kind)
    subject = Subject.from_model(copy.deepcopy(model))
    traced, read = nnsight.NNsight(model.requires_grad_(False)), {}
    block, heads = MODULES[kind]
    for layer in range(LAYERS):
        with no_collection(), traced.trace(torch.tensor([TOKENS])):
            z = traced.get(heads.format(layer)).input.save()
            stream = traced.get(block.format(layer)).output.save()
        read[layer] = z, stream if isinstance(stream, torch.Tensor) else stream[0]
    sites = subject.sites(["z.*.*", "resid_post.*"])
    for site, ours in subject.capture([TOKENS], sites).activations.items():
        assert site.layer is not None
        _assert_same(site, ours[0], _of_head(read[site.layer][site.point == "resid_post"][0, -1], site, subject))


def _save(model: Any, folder: Path) -> None:
    vocabulary = {f"t{i}": i for i in range(VOCABULARY)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="t0"))
    words.post_processor = processors.TemplateProcessing(single="t1 $A", special_tokens=[("t1", 1)])
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=words, bos_token="t1", eos_token="t2", pad_token="t0").save_pretrained(
        folder
    )


def _of_head(theirs: torch.Tensor, site: Site, subject: Subject) -> torch.Tensor:
    """That head's part, whether heads have a dimension of their own or lie one after the other."""
    if site.head is None:
        return theirs
    return theirs.reshape(-1, subject.shape.head_width)[site.head]


def _assert_same(site: Site, ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.shape == theirs.shape, site
    assert float((ours - theirs).norm() / theirs.norm()) < 1e-4, site
