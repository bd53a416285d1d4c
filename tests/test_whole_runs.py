"""The whole path from the command line, on a random model of every architecture, and on unusual sites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from refusals import refuses
from safetensors.torch import save_file
from small_subject import call, config_text, tokenizer
from subject_fixture import LAYERS, VARIANTS, tiny_model

from inversescope.run.run import Run
from inversescope.subject.architectures import ARCHITECTURES
from inversescope.subject.loading import quiet


def saved(kind: str, folder: Path) -> Path:
    """A random model of that kind with a real tokenizer."""
    words = tokenizer()
    with quiet():
        tiny_model(kind, vocab_size=len(words), max_position_embeddings=64).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def finish(config: str, folder: Path) -> list[dict[str, Any]]:
    """Do the run; its results."""
    file = folder / "config.toml"
    file.write_text(config)
    assert call("run", file, "--out", folder / "run") == 0
    assert (folder / "run" / "report" / "report.html").stat().st_size > 10_000
    return pq.read_table(folder / "run" / "score" / "results.parquet").to_pylist()


# Kinds that differ most from each other; the others have much in common with one of them.
QUICK = ("llama", "gpt2", "gpt_neox", "bloom", "falcon", "gemma2", "mixtral")


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[] if kind in QUICK else pytest.mark.slow) for kind in (*ARCHITECTURES, *VARIANTS)],
)
def test_a_run_from_collection_to_report_on_every_architecture(kind: str, tmp_path: Path):
    results = finish(config_text(saved(kind, tmp_path / "model"), steps=4), tmp_path)
    verified = [row for row in results if row["method"] == "generator"]
    assert {row["site"] for row in verified} == {f"resid_post.{layer}" for layer in range(LAYERS)} | {"z.1.0"}
    assert all(row["fcr"] is not None and row["samples"] > row["unverified"] for row in verified)


def probe(file: Path, seed: int = 0) -> None:
    save_file({"probe": torch.randn(3, 32, generator=torch.Generator().manual_seed(seed))}, file)


@pytest.mark.slow
def test_every_point_through_a_projection_and_several_at_once(tmp_path: Path):
    sites = [
        "embed", "resid_pre.2", "q.1.0", "k.1.0", "v.1.1", "z.1.3", "result.1.3", "attn_out.1", "resid_mid.1",
        "mlp_act.1", "mlp_out.1", "final_norm", "probe@resid_post.1", "z.0.1+z.0.2", "probe@resid_post.0+mlp_act.2",
    ]  # fmt: skip
    probe(tmp_path / "probe.safetensors")
    config = config_text(saved("gemma2", tmp_path / "model"), steps=4)
    for usual in ('["resid_post.*", "z.1.*"]', '["resid_post.*", "z.1.0"]'):
        config = config.replace(usual, str(sites))
    config = config.replace("[task]", f"[subject.projections]\nprobe = '{tmp_path / 'probe.safetensors'}'\n\n[task]")
    results = finish(config, tmp_path)
    assert {row["site"] for row in results if row["method"] == "generator"} == set(sites)
    # A run knows the projection that it was made with.
    probe(tmp_path / "probe.safetensors", seed=1)
    with refuses("'probe'", given="fingerprint", allowed="fingerprint", remedy=True):
        _ = Run.open(tmp_path / "run").subject
