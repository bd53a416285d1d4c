"""Vectors from files and arrays: each layout gives its numbers, and what cannot be an activation is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from refusals import refuses
from safetensors.torch import save_file

from inversescope.subject.vectors import checked, read_vector

VECTOR, MATRIX = np.array([1.0, -2.0, 0.5]), np.arange(12.0).reshape(4, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vectors")
    np.save(path / "one.npy", VECTOR)
    np.save(path / "row.npy", VECTOR[None])
    np.save(path / "rows.npy", MATRIX)
    np.savez(path / "both.npz", probe=VECTOR, rows=MATRIX)
    torch.save(torch.tensor(VECTOR, dtype=torch.bfloat16), path / "one.pt")
    torch.save({"probe": torch.tensor(VECTOR), "other": torch.ones(2)}, path / "both.pt")
    save_file({"a:b": torch.tensor(VECTOR), "3": torch.tensor(MATRIX)}, path / "both.safetensors")
    (path / "sae").mkdir()
    save_file({"W_enc": torch.ones(3, 4), "W_dec": torch.tensor(MATRIX)}, path / "sae" / "sae_weights.safetensors")
    (path / "dictionary").mkdir()
    torch.save({"decoder.weight": torch.tensor(MATRIX).T.contiguous()}, path / "dictionary" / "ae.pt")
    return path


@pytest.mark.parametrize(
    ("address", "values"),
    [
        ("one.npy", VECTOR),
        ("row.npy", VECTOR),
        ("rows.npy:2", MATRIX[2]),
        ("rows.npy:-1", MATRIX[3]),
        ("rows.npy:mean", MATRIX.mean(0)),
        ("both.npz:probe", VECTOR),
        ("both.npz:rows:1", MATRIX[1]),
        ("one.pt", VECTOR),
        ("both.pt:probe", VECTOR),
        ("both.safetensors:a:b", VECTOR),
        ("both.safetensors:3:0", MATRIX[0]),
        ("sae:1", MATRIX[1]),
        ("dictionary:1", MATRIX[1]),
    ],
)
def test_every_layout_gives_its_numbers(folder: Path, address: str, values: np.ndarray):
    read = read_vector(f"{folder}/{address}")
    assert read.dtype is torch.float32 and read.tolist() == values.tolist()


def test_a_projection_stands_in_the_place_of_its_file(folder: Path):
    assert read_vector("sae:2", {"sae": folder / "sae"}).tolist() == MATRIX[2].tolist()


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("missing.npy", "missing.npy"),
        ("rows.npy", "[4, 3]"),
        ("rows.npy:4", "0 to 3"),
        ("both.npz", "probe, rows"),
        ("both.npz:prob", "probe, rows"),
        ("both.pt:nothing", "probe, other"),
        ("sae", "several vectors"),
        ("sae:7", "0 to 3"),
        ("nested.pt", "dict"),
        ("code.pt", "more than tensors"),
        ("code.npy", "more than tensors"),
        ("damaged.safetensors", "damaged.safetensors"),
        ("empty", "no autoencoder"),
    ],
)
def test_what_holds_no_vector_is_refused(folder: Path, address: str, named: str):
    (folder / "empty").mkdir(exist_ok=True)
    torch.save({"state": {"probe": torch.ones(3)}}, folder / "nested.pt")
    torch.save(Harmful(folder / "ran"), folder / "code.pt")
    np.save(folder / "code.npy", np.array([Harmful(folder / "ran")], dtype=object), allow_pickle=True)
    (folder / "damaged.safetensors").write_bytes(b"no tensors")
    with refuses(named):
        read_vector(f"{folder}/{address}")
    assert not (folder / "ran").exists()


class Harmful:
    """An object that would make a file if it were unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    ("vector", "named"),
    [
        (np.ones(4), "[4]"),
        (np.ones((3, 1)), "[3, 1]"),
        (5.0, "[]"),
        ([1.0, float("nan"), 2.0], "nan at coordinate 1"),
        ([1.0, 2.0, float("inf")], "inf at coordinate 2"),
        ([1.0, -1.1e12, 2.0], "1.1e+12 at coordinate 1"),
        (np.zeros(3), "zero"),
        (["a", "b", "c"], "numbers"),
        ([[1.0], [1.0, 2.0]], "numbers"),
        (np.ones(3) * 1j, "torch.complex128"),
        (None, "numbers"),
    ],
)
def test_what_cannot_be_an_activation_is_refused(vector: Any, named: str):
    with refuses(named):
        checked(vector, 3, "the vector")


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.int64])
def test_numbers_of_any_precision_are_taken(kind: type):
    assert checked(np.array([1, -2, 0], dtype=kind), 3, "v").tolist() == [1.0, -2.0, 0.0]
    assert checked([1e12, -1e12, 0], 3, "v").isfinite().all()
    assert checked([1, -2, 0], 3, "v").tolist() == checked(torch.tensor([1, -2, 0]).bfloat16(), 3, "v").tolist()
