"""Whole runs whose units are done elsewhere: the same files, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_subject import call, config_text, save_subject

from inversescope import files
from inversescope.run.sealed import read_provenance

pytestmark = pytest.mark.slow
VARYING = {"provenance.json", "manifest.json"}  # times; hashes of files with times
ADDRESSES = ("processes:2", "local:1", "local:3")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cluster")
    path = folder / "small.toml"
    path.write_text(config_text(save_subject(folder / "model"), steps=20))
    return path


@pytest.fixture(scope="module")
def alone(config: Path) -> dict[str, str]:
    return run(config, "alone")


def run(config: Path, name: str, *options: str) -> dict[str, str]:
    """Hashes of all files of a run."""
    folder = config.parent / name
    assert call("run", config, "--out", folder, "--threads", "1", *options) == 0
    return hashes(folder)


def hashes(folder: Path) -> dict[str, str]:
    """Of every file but those that hold times, and what is made of these."""
    return {
        str(path.relative_to(folder)): files.sha256(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name not in VARYING and path.parent.name != "report"
    }


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_file_is_the_same(config: Path, alone: dict[str, str], address: str):
    found = run(config, address.replace(":", ""), "--cluster", address)
    assert found == alone and len(alone) > 40
    nodes = read_provenance(config.parent / address.replace(":", ""))["nodes"]
    assert len(nodes) == (int(address[-1]) if address.startswith("local") else 0)
