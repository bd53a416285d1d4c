"""Sites seen through a matrix: directions, subspaces, autoencoders in both layouts; what does not fit is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from refusals import refuses
from safetensors.torch import save_file
from subject_fixture import tiny_model

from inversescope.sites import Site
from inversescope.subject import Subject
from inversescope.subject.projections import Projection, load_projection

INPUTS = [(3, 4, 5), (7, 8), (1,)]
LATENTS = 6


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject.from_model(tiny_model("llama"))


def at(subject: Subject, address: str) -> torch.Tensor:
    (site,) = subject.sites([address])
    assert Site.parse(str(site)) == site
    found = subject.capture(INPUTS, [site]).activations[site]
    assert found.shape == (len(INPUTS), subject.dimension(site))
    return found


def test_a_direction_and_a_subspace(subject: Subject, tmp_path: Path):
    width = subject.shape.width
    direction, subspace = torch.randn(width), torch.randn(3, width)
    save_file({"probe": direction}, tmp_path / "direction.safetensors")
    save_file({"any": subspace}, tmp_path / "subspace.safetensors")
    for name in ("direction", "subspace"):
        subject.projections[name] = load_projection(tmp_path / f"{name}.safetensors")
    plain = at(subject, "resid_post.1")
    torch.testing.assert_close(at(subject, "direction@resid_post.1")[:, 0], plain @ direction)
    torch.testing.assert_close(at(subject, "subspace@resid_post.1"), plain @ subspace.T)


@pytest.mark.parametrize("layout", ["SAELens", "Gemma Scope"])
def test_the_latents_of_an_autoencoder(subject: Subject, tmp_path: Path, layout: str):
    width = subject.shape.width
    weight, bias, threshold = torch.randn(width, LATENTS), torch.randn(LATENTS), torch.rand(LATENTS)
    if layout == "SAELens":
        save_file({"W_enc": weight, "b_enc": bias}, tmp_path / "sae_weights.safetensors")
        (tmp_path / "cfg.json").write_text(json.dumps({"architecture": "standard"}))
        threshold = torch.zeros(LATENTS)
    else:
        arrays = {"W_enc": weight.numpy(), "b_enc": bias.numpy(), "threshold": threshold.numpy()}
        np.savez(tmp_path / "params.npz", **arrays)
    subject.projections["sae"] = load_projection(tmp_path)
    before = at(subject, "resid_post.1") @ weight + bias
    torch.testing.assert_close(at(subject, "sae@resid_post.1"), before.where(before > threshold, 0.0))


def test_the_largest_latents_alone(tmp_path: Path):
    save_file({"W_enc": torch.eye(4), "b_enc": torch.zeros(4)}, tmp_path / "sae_weights.safetensors")
    (tmp_path / "cfg.json").write_text(json.dumps({"architecture": "topk", "activation_fn_kwargs": {"k": 2}}))
    found = load_projection(tmp_path)(torch.tensor([[3.0, 1.0, 2.0, -1.0]]))
    assert found.tolist() == [[3.0, 0.0, 2.0, 0.0]]


def test_several_sites_are_one(subject: Subject):
    together = at(subject, "resid_post.0+z.1.0")
    torch.testing.assert_close(together, torch.cat((at(subject, "resid_post.0"), at(subject, "z.1.0")), 1))


def test_what_does_not_fit_is_refused(subject: Subject, tmp_path: Path):
    with refuses(given="nothing@resid_post.1", remedy="[subject.projections]"):
        subject.sites(["nothing@resid_post.1"])
    subject.projections["wide"] = Projection(torch.randn(7, 2), torch.zeros(2))
    with refuses("'wide'", given=("wide@resid_post.1", "32 coordinates"), allowed=7):
        subject.sites(["wide@resid_post.1"])
    with refuses(given=tmp_path / "nowhere.safetensors", allowed=True):
        load_projection(tmp_path / "nowhere.safetensors")
    save_file({"a": torch.zeros(2), "b": torch.zeros(2)}, tmp_path / "two.safetensors")
    with refuses(given="a [2], b [2]", allowed=True):
        load_projection(tmp_path / "two.safetensors")
