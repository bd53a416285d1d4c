"""Every encoder, conditioning and backbone together: log probabilities are exact, and each choice has its effect."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from refusals import refuses
from small_subject import call, config_text, save_subject
from subject_fixture import tiny_model
from torch import Tensor
from toy_world import COUNTS, INPUTS, LAST, ToyTask, read, rows, write_store

from inversescope import files
from inversescope.collect.store import Store
from inversescope.config import GeneratorConfig, RunConfig, TrainConfig
from inversescope.generator import IGNORED, Generator, InputPCA, Vocabulary
from inversescope.generator.conditioning import CONDITIONINGS
from inversescope.generator.conditioning.control import Control
from inversescope.generator.encoding import IdentityEncoder
from inversescope.sites import Site
from inversescope.subject import Subject
from inversescope.subject.trimmed_copy import TrimmedCopy, original_model
from inversescope.train.checkpoint import load_generator, save_generator
from inversescope.train.train import train
from inversescope.units import Units

WIDE, NARROW = Site("resid_post", 0), Site("z", 2, 1)
DIMENSIONS = {WIDE: 32, NARROW: 5}
LONGEST = 3  # tokens
BACKBONES = ("scratch", "llama", "gpt2", "qwen3")
CPU = torch.device("cpu")


def generator(encoder: str, conditioning: str, backbone: str, shaken: bool = True, adapted: bool = False) -> Generator:
    """An untrained generator; `shaken`, with noise on every weight, so that no test passes because weights are zero."""
    torch.manual_seed(0)
    vocabulary = Vocabulary(((7,), (9,)))
    pca = InputPCA.of(vocabulary.encode([(7,), (9, 7), (9, 9, 7), (7, 7)] * 5), 32)
    built: Any = (32, 2, 4)
    if backbone != "scratch":
        built = TrimmedCopy.of(tiny_model(backbone), [7, 9], layers=2, adapted=adapted)
    made = Generator(
        vocabulary, LONGEST + 2, DIMENSIONS, dict.fromkeys(DIMENSIONS, (0.05, 1.0)),
        stored=20, indicators=pca.sizes, encoder=encoder, conditioning=conditioning, backbone=built,
    )  # fmt: skip
    activations = {site: torch.randn(20, d) for site, d in DIMENSIONS.items()}
    units = {site: Units.of(z) for site, z in activations.items()}
    made.fit(activations, units, pca, dict.fromkeys(DIMENSIONS, torch.zeros(20)))
    for weight in made.parameters() if shaken else ():
        weight.data += 0.1 * torch.randn(weight.shape)
    return made.eval()


def conditions(made: Generator, n: int) -> Tensor:
    """Conditions of both sites and the null condition, in turn."""
    rng = torch.Generator().manual_seed(1)
    bandwidths = 0.05 + torch.rand(n, generator=rng)
    with torch.no_grad():
        choices = [made.condition(site, torch.randn(n, d, generator=rng), bandwidths) for site, d in DIMENSIONS.items()]
        choices.append(made.no_condition(n))
    return torch.stack(choices, 1).flatten(0, 1)[:n]


every_way = pytest.mark.parametrize(
    ("encoder", "conditioning", "backbone"),
    [
        *itertools.product(("regression",), CONDITIONINGS, BACKBONES),
        *itertools.product(("residual", "identity"), ("adaln",), ("scratch", "llama")),
        ("residual", "slot", "scratch"),
        ("identity", "prefix", "gpt2"),
    ],
)


@every_way
def test_a_draws_log_probability_is_exact_and_depends_on_the_condition(encoder: str, conditioning: str, backbone: str):
    made = generator(encoder, conditioning, backbone)
    assert made.backbone.shape.layers == 2
    condition = conditions(made, 60)
    drawn, log_q = made.draw(condition, torch.Generator().manual_seed(2))
    ended = [i for i, tokens in enumerate(drawn) if tokens is not None]
    assert len({len(drawn[i]) for i in ended}) > 1  # rows that end early stand beside rows that go on
    with torch.no_grad():
        read_at_once = -made.nats(made.vocabulary.encode([drawn[i] for i in ended]), condition[ended])
        assert torch.allclose(log_q[ended], read_at_once, atol=1e-4)
        nats = made.nats(made.vocabulary.encode([(7, 9)] * 6), condition[:6])
    assert len(nats.mul(1e3).round().unique()) >= 5  # two of the six are the null condition
    assert nats[2] == pytest.approx(float(nats[5]), abs=1e-4)


@every_way
def test_everything_that_can_be_drawn_has_probability_one_in_all(encoder: str, conditioning: str, backbone: str):
    made = generator(encoder, conditioning, backbone)
    grid = torch.tensor(list(itertools.product(range(3), repeat=LONGEST + 1)))
    ended = (grid == 0).int().cumsum(1) - (grid == 0).int() > 0
    inputs = torch.cat((torch.zeros(len(grid), 1, dtype=torch.long), grid.masked_fill(ended, IGNORED)), 1).unique(dim=0)
    with torch.no_grad():
        total = (-made.nats(inputs, conditions(made, 1).expand(len(inputs), -1))).exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-5)


@every_way
def test_a_saved_generator_draws_the_same(encoder: str, conditioning: str, backbone: str, tmp_path: Path):
    made = generator(encoder, conditioning, backbone, adapted=backbone == "gpt2")
    save_generator(tmp_path, made, [3.0, 2.0])
    loaded = load_generator(tmp_path, CPU)
    drawn = [each.draw(conditions(each, 50), torch.Generator().manual_seed(4)) for each in (made, loaded)]
    assert drawn[0][0] == drawn[1][0]
    assert torch.equal(drawn[0][1], drawn[1][1])


@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
def test_a_trimmed_copy_has_the_logits_of_its_original(model_type: str):
    """With all blocks and tokens, and a conditioning that starts at zero."""
    original = tiny_model(model_type)
    tokens = [1, *range(3, 41)]
    made = Generator(
        Vocabulary(tuple((token,) for token in tokens[1:])), 6, {NARROW: 5}, {NARROW: (0.05, 1.0)},
        stored=1, indicators=(1, 1, 1), encoder="identity", conditioning="control",
        backbone=TrimmedCopy.of(original, tokens[1:], layers=3),
    )  # fmt: skip
    given = torch.tensor([[0, 3, 9, 30]])
    with torch.no_grad():
        prepared = made.prepare(torch.randn(1, 32))
        found = made.backbone(given, prepared.bias, made.conditioning, prepared.conditioning)
        expected = original(torch.tensor([tokens])[:, given[0]]).logits[:, :, [2, *tokens[1:]]]
    assert torch.allclose(found, expected, atol=1e-5)
    made.backbone.requires_grad_(True).embeddings.data.zero_()
    assert original.get_input_embeddings().weight.abs().min() > 0  # nothing is shared


def test_the_identity_encoder_starts_as_the_identity():
    made = generator("identity", "prefix", "llama", shaken=False)
    z, h = torch.randn(4, 32), torch.full((4,), 1e-4)
    scale = made.backbone.embeddings.square().mean().sqrt()
    with torch.no_grad():
        encoded = made.condition(WIDE, z, h)
        first = made.conditioning.prefix(made.conditioning.prepare(encoded))[:, 0]
    assert torch.allclose(encoded, scale * made.channel(WIDE).standardize(z), atol=1e-4)
    assert torch.equal(first, encoded)
    assert isinstance(made.encoder, IdentityEncoder)
    _, narrow = made.encoder.maps.parameters()
    assert torch.allclose(narrow.T @ narrow, torch.eye(5), atol=1e-5)


def test_a_control_layers_attention_depends_on_the_hidden_state():
    made = generator("regression", "control", "scratch")
    assert isinstance(made.conditioning, Control)
    prepared = made.conditioning.prepare(torch.randn(1, 32))
    weights = made.conditioning.weights(prepared, 0, torch.randn(1, 8, 32))[0]
    assert (weights.std(0) > 1e-2).all()
    untrained = generator("regression", "control", "scratch", shaken=False)
    hidden = torch.randn(1, 8, 32)
    assert torch.equal(
        untrained.conditioning.block_output(untrained.conditioning.prepare(torch.randn(1, 32)), 0, hidden), hidden
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_store(
        tmp_path_factory.mktemp("collect"),
        {"train": 10 * rows(), "pool": rows(), "target": INPUTS},
        read,
        ToyTask().labels,
    )


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject.from_model(tiny_model("llama"))


@pytest.fixture(autouse=True)
def checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """One every three steps."""
    monkeypatch.setattr("inversescope.train.train.CHECKPOINT_STEPS", 3)


def trained(folder: Path, store: Store, subject: Subject, stop_after: int = 0, **choices: Any) -> Generator:
    """A generator trained shortly; with `stop_after`, interrupted after that step as by a kill."""
    config = {"batch": 32, "bandwidths": (0.05, 1.0), "clean": 0.8} | {
        key: choices.pop(key) for key in ("steps", "pretrain") if key in choices
    }
    shape = GeneratorConfig(**{"width": 32, "heads": 4, "layers": 2, **choices})

    def watch(done: int, total: int, note: str = "") -> None:
        if done == stop_after:
            raise KeyboardInterrupt

    return train(folder, store, (COUNTS, LAST), shape, TrainConfig(**config), 0, CPU, watch, subject)


def moved(one: Generator, other: Generator) -> set[str]:
    """Names of the parameters in which two generators differ."""
    theirs = dict(other.named_parameters())
    return {name for name, weight in one.named_parameters() if not torch.equal(weight, theirs[name])}


def of_backbone(made: Generator) -> set[str]:
    """Names of the backbone's own parameters."""
    return {name for name, _ in made.named_parameters() if name.startswith("backbone.") and "token_bias" not in name}


@pytest.mark.parametrize("backbone", ["scratch", "subject"])
@pytest.mark.parametrize("conditioning", ["adaln", "control"])
def test_a_frozen_backbone_is_trained_in_pretraining_alone(
    backbone: str, conditioning: str, store: Store, subject: Subject, tmp_path: Path
):
    choices = {"backbone": backbone, "conditioning": conditioning, "tuning": "frozen", "pretrain": 4}
    one = trained(tmp_path / "one", store, subject, steps=1, **choices)
    two = trained(tmp_path / "two", store, subject, steps=4, **choices)
    more = trained(tmp_path / "three", store, subject, steps=1, **choices | {"pretrain": 5})
    assert not moved(one, two) & of_backbone(one)
    assert {"encoder.mlp.1.weight", "backbone.token_bias.this.weight"} <= moved(one, two)
    assert any(name.startswith("conditioning.") for name in moved(one, two))
    assert moved(one, more) & of_backbone(one)


@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
def test_adapters_alone_are_trained_of_the_backbone(model_type: str, store: Store, tmp_path: Path):
    subject = Subject.from_model(tiny_model(model_type))
    before = {name: weight.clone() for name, weight in subject.model.named_parameters()}
    choices = {"backbone": "subject", "encoder": "identity", "conditioning": "prefix", "tuning": "lora"}
    one = trained(tmp_path / "one", store, subject, steps=2, **choices)
    two = trained(tmp_path / "two", store, subject, steps=4, **choices)
    changed = moved(one, two) & of_backbone(one)
    assert changed == {name for name in of_backbone(one) if "lora_" in name} != set()
    assert all(torch.equal(weight, before[name]) for name, weight in subject.model.named_parameters())


@pytest.mark.parametrize(
    "choices",
    [
        {"backbone": "scratch", "tuning": "frozen", "pretrain": 5, "conditioning": "control"},
        {"backbone": "subject", "tuning": "full", "encoder": "residual", "conditioning": "slot"},
        {"backbone": "subject", "tuning": "lora", "encoder": "identity", "conditioning": "prefix"},
    ],
    ids=["frozen", "full", "lora"],
)
def test_a_resumed_training_ends_as_an_uninterrupted_one(
    choices: dict[str, Any], store: Store, subject: Subject, tmp_path: Path
):
    trained(tmp_path / "one", store, subject, steps=6, **choices)
    for stop in (4, 8) if "pretrain" in choices else (4,):  # while the backbone learns, and after
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "two", store, subject, stop_after=stop, steps=6, **choices)
    trained(tmp_path / "two", store, subject, steps=6, **choices)
    for file in ("generator.safetensors", "generator.json", "losses.parquet"):
        assert files.sha256(tmp_path / "one" / file) == files.sha256(tmp_path / "two" / file)


def test_a_frozen_backbone_may_be_stopped_where_it_is_frozen(store: Store, subject: Subject, tmp_path: Path):
    choices = {"tuning": "frozen", "pretrain": 6, "steps": 4}  # the second checkpoint is that of the last step before
    trained(tmp_path / "one", store, subject, **choices)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "two", store, subject, stop_after=7, **choices)
    assert not moved(
        trained(tmp_path / "one", store, subject, **choices), trained(tmp_path / "two", store, subject, **choices)
    )


def test_a_whole_run_on_the_subject_as_its_own_backbone(tmp_path: Path):
    config = config_text(save_subject(tmp_path / "model"), steps=6)
    choices = 'backbone = "subject"\ntuning = "frozen"\nencoder = "identity"\nconditioning = "control"'
    config = config.replace("[generator]", f"[generator]\n{choices}").replace("[train]", "[train]\npretrain = 4")
    (tmp_path / "config.toml").write_text(config)
    assert call("run", tmp_path / "config.toml", "--out", tmp_path / "run") == 0
    made = load_generator(tmp_path / "run" / "train", CPU)
    assert made.vocabulary.prefix == (1,)  # the subject's own start, which the boundary stands for
    assert {len(phrase) for phrase in made.vocabulary.phrases} == {1}


@pytest.mark.parametrize(
    ("keys", "values"),
    [
        ('conditioning = "magic"', ("generator.conditioning", "adaln", "control", "slot", "prefix")),
        ('encoder = "magic"', ("generator.encoder", "regression", "residual", "identity")),
        ('tuning = "magic"', ("generator.tuning", "full", "frozen", "lora")),
        ("width = 10\nheads = 4", ("width 10", "heads 4")),
        ('tuning = "lora"', ("'lora'", "backbone")),
        ('tuning = "frozen"', ("train.pretrain", "0")),
    ],
)
def test_a_config_that_cannot_be_is_refused(keys: str, values: tuple[str, ...]):
    with refuses(*values):
        RunConfig.parse(f"[generator]\n{keys}", "a config")


def test_a_backbone_with_other_blocks_or_tokens_is_refused(store: Store, subject: Subject, tmp_path: Path):
    with refuses(given="generator.layers = 4", allowed="1 to 3"):
        trained(tmp_path, store, subject, backbone="subject", layers=4)
    with refuses(given="train.pretrain = 0", remedy="train.pretrain"):
        trained(tmp_path, store, subject, backbone="subject", tuning="frozen")
    with refuses("tokens", allowed=True):
        short = Subject.from_model(tiny_model("gpt2", max_position_embeddings=6))
        trained(tmp_path, store, short, backbone="subject", conditioning="prefix")
    folder = save_subject(tmp_path / "model")
    same = Subject.load(str(folder), device="cpu", dtype="float32")
    words = same.encode(" Mary gave")
    assert original_model(str(folder), same, words).config.model_type == "llama"
    other = Subject.from_model(tiny_model("llama"), encode=lambda text: [3], decode=lambda tokens: "something else")
    with refuses(given="generator.backbone", allowed="tokenizer"):
        original_model(str(folder), other, words)


def test_without_peft_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with refuses("peft", remedy="pip install 'inversescope[lora]'"):
        generator("identity", "prefix", "llama", adapted=True)


def test_a_pretrained_backbone_reads_the_tokens_of_the_subject():
    inputs = [(1, 5, 6, 7), (1, 5, 6)] * 40
    vocabulary = Vocabulary.of(inputs, merge=False)
    assert (vocabulary.phrases, vocabulary.prefix) == (((5,), (6,), (7,)), (1,))
    assert vocabulary.decode(vocabulary.encode(inputs)[:, 1:]) == inputs
    assert Vocabulary.of([(5, 6), (6,)], merge=False).prefix == ()
