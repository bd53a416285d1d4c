"""Every encoder and conditioning together: log probabilities are exact, and a resumed training ends the same."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from refusals import refuses
from torch import Tensor
from toy_world import COUNTS, INPUTS, LAST, ToyTask, read, rows, write_store

from inversescope import files
from inversescope.collect.store import Store
from inversescope.config import GeneratorConfig, RunConfig, TrainConfig
from inversescope.generator import IGNORED, Generator, InputPCA, Vocabulary
from inversescope.generator.conditioning import CONDITIONINGS
from inversescope.sites import Site
from inversescope.train.checkpoint import load_generator, save_generator
from inversescope.train.train import train
from inversescope.units import Units

WIDE, NARROW = Site("resid_post", 0), Site("z", 2, 1)
DIMENSIONS = {WIDE: 32, NARROW: 5}
LONGEST = 3  # tokens
WAYS = tuple(itertools.product(("regression", "residual"), CONDITIONINGS))
CPU = torch.device("cpu")


def generator(encoder: str, conditioning: str) -> Generator:
    """An untrained generator with noise on every weight, so that no test passes because weights are zero."""
    torch.manual_seed(0)
    vocabulary = Vocabulary(((7,), (9,)))
    pca = InputPCA.of(vocabulary.encode([(7,), (9, 7), (9, 9, 7), (7, 7)] * 5), 32)
    made = Generator(
        vocabulary, LONGEST + 2, DIMENSIONS, dict.fromkeys(DIMENSIONS, (0.05, 1.0)),
        stored=20, indicators=pca.sizes, encoder=encoder, conditioning=conditioning, decoder=(32, 2, 4),
    )  # fmt: skip
    activations = {site: torch.randn(20, d) for site, d in DIMENSIONS.items()}
    units = {site: Units.of(z) for site, z in activations.items()}
    made.fit(activations, units, pca, dict.fromkeys(DIMENSIONS, torch.zeros(20)))
    for weight in made.parameters():
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


every_way = pytest.mark.parametrize(("encoder", "conditioning"), WAYS)


@every_way
def test_a_draws_log_probability_is_exact_and_depends_on_the_condition(encoder: str, conditioning: str):
    made = generator(encoder, conditioning)
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
def test_an_activation_that_is_too_large_is_refused(encoder: str, conditioning: str):
    made = generator(encoder, conditioning)
    condition = conditions(made, 4)
    made.draw(condition, torch.Generator())
    condition[2] *= 1e38
    condition[2] *= 1e38  # infinite, or NaN where it was zero
    with refuses(remedy=True):
        made.draw(condition, torch.Generator())


@every_way
def test_everything_that_can_be_drawn_has_probability_one_in_all(encoder: str, conditioning: str):
    made = generator(encoder, conditioning)
    grid = torch.tensor(list(itertools.product(range(3), repeat=LONGEST + 1)))
    ended = (grid == 0).int().cumsum(1) - (grid == 0).int() > 0
    inputs = torch.cat((torch.zeros(len(grid), 1, dtype=torch.long), grid.masked_fill(ended, IGNORED)), 1).unique(dim=0)
    with torch.no_grad():
        total = (-made.nats(inputs, conditions(made, 1).expand(len(inputs), -1))).exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-5)


@every_way
def test_a_saved_generator_draws_the_same(encoder: str, conditioning: str, tmp_path: Path):
    made = generator(encoder, conditioning)
    save_generator(tmp_path, made, [3.0, 2.0])
    loaded = load_generator(tmp_path, CPU)
    drawn = [each.draw(conditions(each, 50), torch.Generator().manual_seed(4)) for each in (made, loaded)]
    assert drawn[0][0] == drawn[1][0]
    assert torch.equal(drawn[0][1], drawn[1][1])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_store(
        tmp_path_factory.mktemp("collect"),
        {"train": 10 * rows(), "pool": rows(), "target": INPUTS},
        read,
        ToyTask().labels,
    )


@pytest.fixture(autouse=True)
def checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """One every three steps."""
    monkeypatch.setattr("inversescope.train.train.CHECKPOINT_STEPS", 3)


def trained(folder: Path, store: Store, stop_after: int = 0, **choices: Any) -> Generator:
    """A generator trained for six steps; with `stop_after`, interrupted after that step as by a kill."""
    config = TrainConfig(batch=32, bandwidths=(0.05, 1.0), clean=0.8, steps=6)
    shape = GeneratorConfig(width=32, heads=4, layers=2, **choices)

    def watch(done: int, total: int, note: str = "") -> None:
        if done == stop_after:
            raise KeyboardInterrupt

    return train(folder, store, (COUNTS, LAST), shape, config, 0, CPU, watch)


@pytest.mark.parametrize(("encoder", "conditioning"), WAYS)
def test_a_resumed_training_ends_as_an_uninterrupted_one(encoder: str, conditioning: str, store: Store, tmp_path: Path):
    choices = {"encoder": encoder, "conditioning": conditioning}
    trained(tmp_path / "one", store, **choices)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "two", store, stop_after=4, **choices)
    trained(tmp_path / "two", store, **choices)
    for file in ("generator.safetensors", "generator.json", "losses.parquet"):
        assert files.sha256(tmp_path / "one" / file) == files.sha256(tmp_path / "two" / file)


@pytest.mark.parametrize(
    ("keys", "values"),
    [
        ('conditioning = "magic"', ("generator.conditioning", "adaln", "slot")),
        ('encoder = "magic"', ("generator.encoder", "regression", "residual")),
        ("width = 10\nheads = 4", ("width 10", "heads 4")),
    ],
)
def test_a_config_that_cannot_be_is_refused(keys: str, values: tuple[str, ...]):
    with refuses(*values):
        RunConfig.parse(f"[generator]\n{keys}", "a config")
