"""Adapters of PEFT: the model with the adapter in place, with the values of plain peft; or refused with what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from refusals import refuses
from tiny_folders import TEXT, WORDS, save

from inversescope.sites import Site
from inversescope.subject import Subject, adapters, shapes

INPUTS = [(5, 6, 7, 8, 9), (12, 13, 14)]
# A notice of transformers to peft.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
LORA: dict[str, Any] = {"r": 2, "target_modules": ["q_proj", "o_proj", "down_proj"], "init_lora_weights": False}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model, and an adapter for it with random matrices."""
    base, adapter = (tmp_path_factory.mktemp(name) for name in ("base", "adapter"))
    save(base, "llama", TEXT)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        peft.get_peft_model(model(base), peft.LoraConfig(**LORA)).save_pretrained(adapter)
    return base, adapter


@pytest.fixture
def broken(folders: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the adapter, to be spoilt."""
    for path in folders[1].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def model(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def load(folder: Path) -> Subject:
    return Subject.load(str(folder), device="cpu", dtype="float32")


def edit(folder: Path, **settings: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


@torch.inference_mode()
def logits(plain: Any, tokens: tuple[int, ...]) -> torch.Tensor:
    return plain(input_ids=torch.tensor([tokens])).logits[0, -1]


def test_a_folder_of_a_lora_is_the_model_with_it_in_place(folders: tuple[Path, Path]):
    base, adapter = folders
    plain = peft.PeftModel.from_pretrained(model(base), adapter).eval()
    read = load(adapter).capture(INPUTS, [Site("resid_post", 1)], logits=True).logits
    for row, tokens in enumerate(INPUTS):
        torch.testing.assert_close(read[row], logits(plain, tokens), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(read[row], logits(model(base), tokens), atol=1e-2)
    assert shapes.locate(str(adapter)) == base


def test_a_peft_model_is_the_model_with_it_in_place(folders: tuple[Path, Path]):
    base, adapter = folders
    plain = peft.PeftModel.from_pretrained(model(base), adapter).eval()
    read = Subject.from_model(plain, tokenizer=WORDS).capture(INPUTS, [Site("resid_post", 1)], logits=True).logits
    torch.testing.assert_close(read[0], logits(plain, INPUTS[0]), rtol=1e-4, atol=1e-5)


def test_the_results_of_heads_count_the_adapter(folders: tuple[Path, Path]):
    sites = [Site("attn_out", 1), *(Site("result", 1, head) for head in range(TEXT["num_attention_heads"]))]
    read = load(folders[1]).capture(INPUTS, sites).activations
    torch.testing.assert_close(sum(read[site] for site in sites[1:]), read[sites[0]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("text", ['{"peft_type": ', "[]", "5", '"LORA"', "null", "\udcff"])
def test_a_broken_configuration_is_refused(broken: Path, text: str):
    path = broken / "adapter_config.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with refuses("adapter_config.json"):
        adapters.base_of(str(broken))


@pytest.mark.parametrize("base", [None, "", 5, ["a"]])
def test_an_adapter_that_names_no_model_is_refused(broken: Path, base: Any):
    edit(broken, base_model_name_or_path=base)
    with refuses(given=str(broken), remedy="adapter_config.json"):
        adapters.base_of(str(broken))


def test_an_adapter_of_a_folder_that_is_gone_is_refused(broken: Path):
    edit(broken, base_model_name_or_path=str(broken / "gone"))
    with refuses("gone"):
        load(broken)


def test_matrices_of_another_model_are_refused(broken: Path, tmp_path_factory: pytest.TempPathFactory):
    other = tmp_path_factory.mktemp("other")
    save(other, "llama", TEXT | {"hidden_size": 16})
    edit(broken, base_model_name_or_path=str(other))
    with refuses(broken.name):
        load(broken)


def test_half_of_the_matrices_is_refused(broken: Path):
    path = broken / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    with refuses(broken.name, given="header", remedy=True):
        load(broken)


def test_without_peft_the_message_names_it(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(adapters, "find_spec", lambda name: None)
    with refuses(given=str(folders[1]), remedy="peft"):
        adapters.base_of(str(folders[1]))


def test_prompt_tuning_is_refused(folders: tuple[Path, Path]):
    tuned = peft.get_peft_model(
        model(folders[0]), peft.PromptTuningConfig(task_type=peft.TaskType.CAUSAL_LM, num_virtual_tokens=2)
    )
    with refuses(allowed="LoRA"):
        Subject.from_model(tuned, tokenizer=WORDS)
