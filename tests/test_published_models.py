"""Models as they are published: read with the values of plain transformers, or refused with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from refusals import refuses
from tiny_folders import INSIDE, LONGROPE, OTHERS, REFUSED, STATES, save

from inversescope.sites import Site
from inversescope.subject import Subject, shapes, site_checks

READ = INSIDE | STATES | OTHERS
FAST = {"gemma3", "mamba", "openai-gpt"}
INPUTS = [(5, 6, 7, 8, 9, 10, 11), (12, 13, 14)]


def load(folder: Path) -> Subject:
    return Subject.load(str(folder), device="cpu", dtype="float32")


@torch.inference_mode()
def plain(model: Any, tokens: tuple[int, ...]) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Hidden states and logits at the last token, as transformers gives them for this input alone."""
    output = model(input_ids=torch.tensor([tokens]), output_hidden_states=True, use_cache=False)
    states = [state.reshape(len(tokens), -1)[-1] for state in output.hidden_states]
    return states, output.logits[0, -1]


def assert_read_as_plain(subject: Subject, model: Any) -> None:
    sites = [Site("resid_post", layer) for layer in range(subject.shape.layers - 1)]
    read = subject.capture(INPUTS, sites, logits=True)
    for row, tokens in enumerate(INPUTS):
        states, logits = plain(model, tokens)
        torch.testing.assert_close(read.logits[row], logits, rtol=1e-4, atol=1e-5)
        for site in sites:
            at = read.activations[site][row]
            assert min(float((at - state).norm() / at.norm()) for state in states) < 1e-4, site


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[] if kind in FAST else pytest.mark.slow) for kind in READ])
def test_it_is_read_as_plain_transformers_reads_it(kind: str, tmp_path: Path):
    model = save(tmp_path, kind, READ[kind])
    subject = load(tmp_path)
    assert_read_as_plain(subject, model)
    examined = site_checks.examine(subject)
    assert [check for check in examined if check.ok is False or check.size is not None] == []
    assert {"embed", "resid_pre", "resid_post"} <= set(subject.points)
    assert shapes.without_weights(tmp_path, kind, torch.float32).points == subject.points


def test_a_text_model_inside_another_has_the_points_of_its_architecture(tmp_path: Path):
    save(tmp_path, "gemma3", READ["gemma3"])
    assert {"q", "k", "v", "z", "attn_out", "resid_mid", "mlp_act", "mlp_out"} <= set(load(tmp_path).points)


def test_a_model_without_heads_says_so(tmp_path: Path):
    save(tmp_path, "mamba", READ["mamba"])
    with refuses("heads", given="z.*.*"):
        load(tmp_path).sites(["z.*.*"])


def test_an_encoder_is_refused(tmp_path: Path):
    save(tmp_path, "t5", REFUSED["t5"])
    with refuses(given="T5ForConditionalGeneration", allowed="a causal language model"):
        load(tmp_path)


def test_several_streams_are_refused(tmp_path: Path):
    save(tmp_path, "gemma3n_text", REFUSED["gemma3n_text"])
    subject = load(tmp_path)
    with refuses(given=("layers.0", "[4, 1, 3, 32]"), remedy="Gemma 3"):
        subject.capture(INPUTS[1:], [Site("resid_post", 0)])


def test_a_batch_changes_no_input_where_positions_depend_on_the_longest(tmp_path: Path):
    save(tmp_path, "phi3", LONGROPE)
    subject = load(tmp_path)
    lines = [tuple(range(5, 5 + count)) for count in (6, 20, 7, 25, 16, 17, 20)]
    sites = subject.sites(["resid_post.*"])
    together = subject.capture(lines, sites).activations
    for row, line in enumerate(lines):
        for site, alone in subject.capture([line], sites).activations.items():
            torch.testing.assert_close(together[site][row], alone[0], rtol=1e-4, atol=1e-5)
    assert [check for check in site_checks.examine(subject) if check.ok is not True] == []


def test_doctor_finds_a_batch_that_changes_an_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save(tmp_path, "phi3", LONGROPE)
    monkeypatch.setattr("inversescope.subject.capture.rope_boundary", lambda config: None)
    failed = [check.name for check in site_checks.examine(load(tmp_path)) if check.ok is False]
    assert failed == ["beside a longer input = alone"]
