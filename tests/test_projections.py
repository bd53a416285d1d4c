"""Sites seen through a matrix: directions, subspaces, autoencoders in both layouts; what does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from refusals import refuses
from safetensors.torch import save_file
from subject_fixture import tiny_model

from inversescope.sites import Site
from inversescope.subject import Subject
from inversescope.subject.projection_files import load_projection
from inversescope.subject.projections import Projection

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


def test_a_probe_with_its_bias_in_every_kind_of_file(subject: Subject, tmp_path: Path):
    width = subject.shape.width
    weight, bias = torch.randn(2, width), torch.randn(2)
    torch.save({"weight": weight, "bias": bias}, tmp_path / "probe.pt")
    save_file({"probe.weight": weight, "probe.bias": bias}, tmp_path / "probe.safetensors")
    np.savez(tmp_path / "probe.npz", coef_=weight.numpy(), intercept_=bias.numpy())
    for name in ("probe.pt", "probe.safetensors", "probe.npz"):
        subject.projections["probe"] = load_projection(tmp_path / name)
        torch.testing.assert_close(at(subject, "probe@resid_post.1"), at(subject, "resid_post.1") @ weight.T + bias)


def test_a_vector_as_numpy_and_torch_save_it(tmp_path: Path):
    direction = torch.randn(5, dtype=torch.float64)
    np.save(tmp_path / "v.npy", direction.numpy())
    torch.save(direction, tmp_path / "v.pt")
    for name in ("v.npy", "v.pt"):
        torch.testing.assert_close(load_projection(tmp_path / name).weight[:, 0], direction.float())


class Planted:
    """An object that makes a folder if a file that holds it is unpickled."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return (Path.mkdir, (self.folder,))


def test_nothing_in_a_file_runs(tmp_path: Path):
    torch.save(Planted(tmp_path / "ran"), tmp_path / "v.pt")
    np.save(tmp_path / "v.npy", np.array([Planted(tmp_path / "ran")], dtype=object), allow_pickle=True)
    for name in ("v.pt", "v.npy"):
        with refuses(given=name, allowed=True):
            load_projection(tmp_path / name)
    assert not (tmp_path / "ran").exists()


SILENT = {
    "v": torch.tensor([1.0, float("nan")]),
    "direction 0": torch.zeros(4),
    "direction 1": torch.tensor([[1.0, 0.0], [0.0, 0.0]]),
}


@pytest.mark.parametrize("named", SILENT)
def test_a_direction_that_says_nothing_is_the_files_fault(tmp_path: Path, named: str):
    save_file({"v": SILENT[named]}, tmp_path / "v.safetensors")
    with refuses(given=("v.safetensors", named)):
        load_projection(tmp_path / "v.safetensors")


def test_damaged_files_and_empty_folders(tmp_path: Path):
    np.savez(tmp_path / "whole.npz", a=np.ones((32, 48)))
    (tmp_path / "half.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:3000])
    (tmp_path / "half.pt").write_bytes(b"\x80\x02}q")
    (tmp_path / "lfs.safetensors").write_text("version git-lfs/spec/v1\noid sha256:0\n")
    (tmp_path / "nothing").mkdir()
    for name in ("half.npz", "half.pt", "lfs.safetensors", "nothing"):
        with refuses(given=name, allowed=True):
            load_projection(tmp_path / name)
    with refuses("LFS", remedy="git lfs pull"):
        load_projection(tmp_path / "lfs.safetensors")


def test_all_heads_of_a_layer_through_one_projection(subject: Subject):
    shape = subject.shape
    whole = shape.heads * shape.head_width
    subject.projections["all"] = Projection(torch.randn(whole, 2), torch.zeros(2), points=("z",))
    heads = torch.cat([at(subject, f"z.1.{head}") for head in range(shape.heads)], 1)
    torch.testing.assert_close(at(subject, "all@z.1"), heads @ subject.projections["all"].weight)
    with refuses(given="all@attn_out.1", allowed="all@z.1"):
        subject.sites(["all@attn_out.1"])
    with refuses(given=("all@z.1.0", shape.head_width), allowed=whole):
        subject.sites(["all@z.1.0"])
    with refuses(given="z.1"):
        subject.sites(["z.1"])


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
    save_file({"a": torch.zeros(2), "c": torch.zeros(2)}, tmp_path / "two.safetensors")
    with refuses(given="a [2], c [2]", allowed=True):
        load_projection(tmp_path / "two.safetensors")
