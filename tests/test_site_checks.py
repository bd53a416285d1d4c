"""Checks that cannot tell say so with the size that was felt, and lose no point; what is wrong still fails."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from rich.console import Console
from subject_fixture import OPTIONS, tiny_model
from transformers import AutoConfig, AutoModelForCausalLM

from inversescope.cli.tables.looking import site_checks_table
from inversescope.subject import Subject, site_checks
from inversescope.subject.architectures import ARCHITECTURES, architecture_of

KINDS = ("gpt2", "bloom", "gemma2")
SIZES = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 41, "bos_token_id": 1,
    "eos_token_id": 2, "pad_token_id": 0, "max_position_embeddings": 32,
}  # fmt: skip


def default_model(kind: str, dtype: torch.dtype):
    """A model as transformers initialises it: attention all but even."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SIZES, **OPTIONS.get(kind, {}))
    return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_with_default_weights_loses_no_point(kind: str, dtype: torch.dtype):
    examined = site_checks.examine(Subject.from_model(default_model(kind, dtype)))
    assert {point for check in examined if check.ok is False for point in check.points}.isdisjoint("qkv")
    untold = [check for check in examined if check.size is not None]
    assert all(check.ok is None and check.error is None and check.size >= 0 for check in untold)
    if dtype == torch.float32:
        assert untold == []


def even_attention(model) -> Subject:
    """Queries and keys are zero: every head attends evenly, whatever its queries are."""
    for block in model.model.layers:
        block.self_attn.q_proj.weight.data.zero_()
        block.self_attn.k_proj.weight.data.zero_()
    return Subject.from_model(model)


def test_what_is_not_felt_is_not_called_wrong():
    examined = site_checks.examine(even_attention(tiny_model("llama")))
    untold = {point: check.size for check in examined if check.size is not None for point in check.points}
    assert {"q", "k"} <= untold.keys() <= {"q", "k", "v", "z"} and all(size < 1e-6 for size in untold.values())
    assert [check for check in examined if check.ok is False] == []
    console = Console(record=True, width=120)
    console.print(site_checks_table("llama", examined))
    assert "cannot tell" in (text := console.export_text()) and "not proved: q, k" in text


def test_attention_that_adds_nothing_is_not_called_wrong():
    model = tiny_model("llama")
    for block in model.model.layers:
        block.self_attn.o_proj.weight.data.zero_()
    examined = site_checks.examine(Subject.from_model(model))
    assert {point for check in examined if check.size == 0 for point in check.points} >= {"q", "k", "v", "z"}
    assert [check for check in examined if check.ok is False] == []


def test_a_wrong_layout_fails_where_attention_is_all_but_even(monkeypatch: pytest.MonkeyPatch):
    subject = Subject.from_model(default_model("gpt2", torch.float32))
    monkeypatch.setitem(ARCHITECTURES, "gpt2", replace(architecture_of(subject.model), fused="grouped"))
    failed = {point for check in site_checks.examine(subject) if check.ok is False for point in check.points}
    assert {"q", "k", "v"} <= failed
