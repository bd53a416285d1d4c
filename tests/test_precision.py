"""How a subject is loaded: rounded weights, attention kernels, several devices, and what is refused."""

from __future__ import annotations

import importlib.util
import logging
import re
from pathlib import Path

import pytest
import torch
from refusals import refuses
from small_subject import call, config_text, save_subject
from subject_fixture import tiny_model
from transformers import AutoModelForCausalLM

from inversescope.extras import install
from inversescope.files import read_json
from inversescope.subject import Subject, loading, site_checks

INPUTS = [(1, 5, 9, 30), (1, 5, 9, 31), (1, 7)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_subject(tmp_path_factory.mktemp("subject"))


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose matrices have multiples of 32 rows: of others bitsandbytes makes no 4-bit ones on a CPU."""
    model = tiny_model(
        "llama", hidden_size=64, intermediate_size=128, num_attention_heads=2, num_key_value_heads=1, head_dim=32
    )
    folder = tmp_path_factory.mktemp("wide")
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("bits", loading.BITS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_rounded_subject_is_what_its_sites_are_called(wide: Path, bits: int, dtype: str):
    pytest.importorskip("bitsandbytes")
    subject, exact = (Subject.load(str(wide), dtype=dtype, bits=b) for b in (bits, None))
    assert subject.rounded and not exact.rounded
    assert subject.fingerprint != exact.fingerprint
    assert [check.name for check in site_checks.examine(subject) if check.ok is False] == []
    assert site_checks.drift(subject) is None and site_checks.drift(exact) is not None
    sites = subject.sites(["resid_post.*", "result.1.*"])
    near, true = (each.capture(INPUTS, sites).activations for each in (subject, exact))
    for site in sites:
        gap = float((near[site] - true[site]).norm() / true[site].norm())
        assert 0 < gap < {8: 0.1, 4: 0.6}[bits], site


def test_a_run_on_a_rounded_subject(folder: Path, tmp_path: Path):
    pytest.importorskip("bitsandbytes")
    config = tmp_path / "rounded.toml"
    config.write_text(config_text(folder, steps=4).replace('dtype = "float32"', 'dtype = "float32"\nbits = 8'))
    assert call("run", config, "--out", tmp_path / "run") == 0
    assert read_json(tmp_path / "run" / "resolved.json")["subject"]["bits"] == 8


def test_kernels_of_attention_agree(folder: Path):
    subjects = [Subject.load(str(folder), dtype="float32", attention=kernel) for kernel in ("sdpa", "eager")]
    sites = subjects[0].sites(["z.*.*", "resid_post.*"])
    plain, kernel = (subject.capture(INPUTS, sites).activations for subject in subjects)
    for site in sites:
        torch.testing.assert_close(plain[site], kernel[site], rtol=1e-4, atol=1e-5)


def test_a_subject_over_several_devices_reads_the_same(folder: Path, tmp_path: Path):
    """No second GPU is needed: accelerate moves what lies on disk as it moves what lies on another GPU."""
    pytest.importorskip("accelerate")
    where = dict.fromkeys(("model.embed_tokens", "model.rotary_emb", "model.layers.0", "model.norm", "lm_head"), "cpu")
    model = AutoModelForCausalLM.from_pretrained(
        folder, device_map=where | {"model.layers.1": "disk"}, offload_folder=tmp_path, dtype=torch.float32
    )
    split, whole = Subject.from_model(model), Subject.load(str(folder), dtype="float32")
    sites = whole.sites(["resid_post.*", "z.*.*", "attn_out.*"])
    for logits in (False, True):
        found, true = (each.capture(INPUTS, sites, logits=logits) for each in (split, whole))
        for site in sites:
            torch.testing.assert_close(found.activations[site], true.activations[site])
    assert site_checks.drift(split) is None


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ({"bits": 3}, {"given": 3, "allowed": "8 or 4"}),
        ({"attention": "fast"}, {"given": "fast", "allowed": ("sdpa", "eager")}),
        ({"attention": "flash_attention_2"}, {"given": "FlashAttention2"}),
        ({"dtype": "int8"}, {"given": "int8", "allowed": "bfloat16"}),
    ],
    ids=str,
)
def test_what_cannot_be_had_is_refused(folder: Path, options: dict[str, object], values: dict):
    with refuses(**values):
        Subject.load(str(folder), **options)  # pyright: ignore[reportArgumentType]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to spread over")
def test_without_a_gpu_there_is_nothing_to_spread_over(folder: Path):
    with refuses(given="all", allowed="cpu"):
        Subject.load(str(folder), device="all")


def test_rounding_without_its_library_says_how_to_get_it(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loading, "find_spec", lambda name: None if name == "bitsandbytes" else True)
    with refuses("bitsandbytes", remedy=install("quantized")):
        Subject.load(str(folder), bits=4)


def test_a_checkpoint_rounded_by_a_library_that_is_missing_is_refused(tmp_path: Path):
    folder = save_subject(tmp_path / "subject")
    if importlib.util.find_spec("gptqmodel"):
        pytest.skip("gptqmodel is installed")
    config = folder / "config.json"
    config.write_text(
        config.read_text().replace("{", '{"quantization_config": {"quant_method": "gptq", "bits": 4},', 1)
    )
    with refuses(given=(folder, "GPTQ")):
        Subject.load(str(folder))


def test_too_large_a_batch_is_made_smaller_for_good_and_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    subject = Subject.load(str(folder), dtype="float32")
    forward, tried = subject.model.base_model.forward, []

    def limited(*args: object, **kwargs: torch.Tensor) -> object:
        tried.append(kwargs["input_ids"].numel())
        if tried[-1] > 40:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(*args, **kwargs)

    monkeypatch.setattr(subject.model.base_model, "forward", limited)
    inputs = [tuple(row) for row in torch.randint(3, 200, (60, 8), generator=torch.Generator().manual_seed(0)).tolist()]
    with caplog.at_level(logging.WARNING):
        subject.capture(inputs, subject.sites(["resid_post.1"]))
    assert subject.batch_tokens <= 40
    [*_, warning] = caplog.records
    assert re.search(rf"\b{subject.batch_tokens} tokens\b", warning.getMessage())
    tried.clear()
    subject.capture(inputs, subject.sites(["resid_post.1"]))
    assert max(tried) <= 40
