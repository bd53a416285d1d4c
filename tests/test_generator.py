"""Arithmetic of the generator: draws follow its log probabilities, regressions and noise are those of the formulas."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from inversescope.collect.distance import Distance
from inversescope.generator import IGNORED, Generator, InputPCA, Vocabulary
from inversescope.generator.encoding.regression import SiteRegression
from inversescope.generator.site_channel import SiteChannel
from inversescope.sites import Site
from inversescope.train.checkpoint import load_generator, save_generator
from inversescope.units import Units

NEAR, FAR = Site("resid_post", 0), Site("z", 2, 1)
DIMENSIONS = {NEAR: 4, FAR: 3}
BANDWIDTHS = {NEAR: (0.05, 1.0), FAR: (0.1, 2.0)}
PHRASES = ((7,), (9,))
LONGEST = 3  # tokens; with the boundaries before and after, five positions


def generator(seed: int = 0) -> Generator:
    """An untrained generator with noise on every weight, so that no test passes because weights are zero."""
    torch.manual_seed(seed)
    vocabulary = Vocabulary(PHRASES)
    inputs = [(7,), (9, 7), (9, 9, 7), (7, 7), (9,), (7, 9), (9, 9), (7, 7, 9)]
    pca = InputPCA.of(vocabulary.encode((inputs * 3)[:20]), 16)
    shape = {
        "stored": 20,
        "indicators": pca.sizes,
        "encoder": "regression",
        "conditioning": "adaln",
        "decoder": (16, 2, 2),
    }
    made = Generator(vocabulary, LONGEST + 2, DIMENSIONS, BANDWIDTHS, **shape)
    activations = {site: torch.randn(20, d) for site, d in DIMENSIONS.items()}
    units = {site: Units.of(z) for site, z in activations.items()}
    made.fit(activations, units, pca, dict.fromkeys(DIMENSIONS, torch.zeros(20)))
    for weight in made.parameters():
        weight.data += 0.1 * torch.randn(weight.shape)
    return made.eval()


def conditions(made: Generator, n: int, seed: int = 1) -> Tensor:
    """Conditions of both sites and the null condition, at several bandwidths, in turn."""
    rng = torch.Generator().manual_seed(seed)
    bandwidths = 0.05 + torch.rand(n, generator=rng)
    with torch.no_grad():
        choices = [made.condition(site, torch.randn(n, d, generator=rng), bandwidths) for site, d in DIMENSIONS.items()]
        choices.append(made.no_condition(n))
    return torch.stack(choices, 1).flatten(0, 1)[:n]


def nats(made: Generator, rows: Tensor, condition: Tensor) -> Tensor:
    with torch.no_grad():
        return made.nats(rows, condition)


def test_the_log_probability_of_a_draw_is_that_of_reading_it_at_once():
    made = generator()
    condition = conditions(made, 300)
    drawn, log_q = made.draw(condition, torch.Generator().manual_seed(2))
    ended = [i for i, tokens in enumerate(drawn) if tokens is not None]
    assert {len(drawn[i]) for i in ended} == {1, 2, 3}  # rows that end early stand beside rows that go on
    rows = made.vocabulary.encode([drawn[i] for i in ended])
    assert log_q[ended].numpy() == pytest.approx(-nats(made, rows, condition[ended]).numpy(), abs=1e-4)


@pytest.mark.parametrize("which", [0, 1, 2], ids=["one site", "another site", "no condition"])
def test_draws_are_as_frequent_as_the_enumerated_distribution(which: int):
    made, n = generator(), 8000
    condition = conditions(made, 3)[which : which + 1]
    inputs = [x for length in range(1, LONGEST + 1) for x in itertools.product((7, 9), repeat=length)]
    exact = (-nats(made, made.vocabulary.encode(inputs), condition.expand(len(inputs), -1))).exp().double().numpy()
    expected = n * np.r_[exact, 1 - exact.sum()]  # the rest never ends, or ends at once
    drawn, _ = made.draw(condition.expand(n, -1), torch.Generator().manual_seed(which))
    counts = Counter(drawn)
    found = np.array([counts[x] for x in [*inputs, None]])
    rare = expected[:-1] < 5  # counted with what never ends
    assert (~rare).sum() >= 8
    cells = [np.r_[values[:-1][~rare], values[-1] + values[:-1][rare].sum()] for values in (found, expected)]
    assert stats.chisquare(*cells).pvalue > 0.001


def test_everything_that_can_be_drawn_has_probability_one_in_all():
    made = generator()
    condition = conditions(made, 1)
    vocabulary = len(made.vocabulary)
    rows = torch.tensor(list(itertools.product(range(vocabulary), repeat=LONGEST + 1)))
    ends = (rows == 0).int().cumsum(1)
    rows = rows.masked_fill((ends - (rows == 0).int()) > 0, IGNORED).unique(
        dim=0
    )  # what follows the boundary is padding
    rows = torch.cat((torch.zeros(len(rows), 1, dtype=torch.long), rows), 1)
    total = (-nats(made, rows, condition.expand(len(rows), -1))).exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-5)


def test_padding_and_other_rows_do_not_change_a_row():
    made = generator()
    inputs = [(7,), (9, 7, 7), (9, 9)]
    condition = conditions(made, 3)
    together = nats(made, made.vocabulary.encode(inputs), condition)
    for i, tokens in enumerate(inputs):
        alone = nats(made, made.vocabulary.encode([tokens]), condition[i : i + 1])
        assert float(together[i]) == pytest.approx(float(alone), abs=1e-5)


def test_a_later_token_does_not_change_earlier_logits():
    made = generator()
    condition = conditions(made, 1)
    one, two = torch.tensor([[0, 1, 2, 1]]), torch.tensor([[0, 1, 1, 2]])
    with torch.no_grad():
        prepared = made.prepare(condition)
        given = prepared.bias, made.conditioning, prepared.conditioning
        first, second = (made.decoder(rows, *given)[0] for rows in (one, two))
    assert torch.allclose(first[:2], second[:2], atol=1e-6)
    assert not torch.allclose(first[2], second[2], atol=1e-2)


def test_site_bandwidth_and_activation_all_reach_the_draws():
    made = generator()
    rows = made.vocabulary.encode([(7, 9)])
    z, h = torch.tensor([[0.5, -1.0, 2.0, 0.3]]), torch.tensor([0.2])
    with torch.no_grad():
        queries = [
            made.condition(NEAR, z, h), made.condition(NEAR, z, 3 * h), made.condition(NEAR, -z, h),
            made.condition(FAR, z[:, :3], h), made.no_condition(1),
        ]  # fmt: skip
    found = [float(nats(made, rows, condition)) for condition in queries]
    assert min(abs(a - b) for a, b in itertools.combinations(found, 2)) > 1e-3


def test_a_saved_generator_draws_the_same(tmp_path: Path):
    made = generator()
    save_generator(tmp_path, made, [3.0, 2.0])
    torch.manual_seed(99)
    loaded = load_generator(tmp_path, torch.device("cpu"))
    assert loaded.sites == made.sites
    drawn = [each.draw(conditions(each, 200), torch.Generator().manual_seed(4)) for each in (made, loaded)]
    assert drawn[0][0] == drawn[1][0]
    assert torch.equal(drawn[0][1], drawn[1][1])


MANY = 40  # more often than `CERTAIN`


@pytest.mark.parametrize(
    ("inputs", "phrases", "prefix"),
    [
        ([(5,), (5, 8, 5), (900, 8)], [(5,), (8,), (900,)], ()),  # too few to be certain of anything
        ([(3, 3)] * MANY, [(3,)], (3,)),
        # 1 2 begin every input; 5 is always followed by 6 7, and 7 by nothing else than the end or 8.
        ([(1, 2, 5, 6, 7), (1, 2, 9), (1, 2, 5, 6, 7, 8)] * MANY, [(5, 6, 7), (8,), (9,)], (1, 2)),
        # 5 is once followed by another: no longer certain.
        ([(5, 6), (4,)] * MANY + [(5, 9)], [(4,), (5,), (6,), (9,)], ()),
    ],
)
def test_a_phrase_is_a_token_and_what_must_follow_it(
    inputs: list[tuple[int, ...]], phrases: list[tuple[int, ...]], prefix: tuple[int, ...]
):
    vocabulary = Vocabulary.of(inputs)
    assert (list(vocabulary.phrases), vocabulary.prefix) == (phrases, prefix)
    assert vocabulary.decode(vocabulary.encode(inputs)[:, 1:]) == inputs


@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=6).map(tuple), min_size=1, max_size=30))
def test_decode_undoes_encode_whatever_is_certain(distinct: list[tuple[int, ...]]):
    inputs = distinct * MANY
    vocabulary = Vocabulary.of(inputs)
    rows = vocabulary.encode(inputs)
    assert vocabulary.decode(rows[:, 1:]) == inputs
    assert rows.max() < len(vocabulary)
    assert len(set(map(tuple, rows.tolist()))) == len(set(distinct))


def test_what_never_ends_or_is_empty_is_no_input():
    assert Vocabulary(PHRASES).decode(torch.tensor([[1, 2, 1], [0, 1, 1], [2, 0, 1]])) == [None, None, (9,)]


def correlated_site() -> tuple[Tensor, Tensor, Units]:
    """Activations with unequal variances and one constant coordinate, and two numbers that depend on them."""
    rng = torch.Generator().manual_seed(5)
    hidden = torch.randn(600, 5, generator=rng)
    mixing = torch.randn(5, 5, generator=rng) * torch.tensor([3.0, 1.0, 0.3, 0.1, 1.0])
    activations = torch.cat((50 * hidden @ mixing.T + 20, torch.full((600, 1), 4.0)), 1)
    components = hidden[:, [0, 2]] + 0.5 * torch.randn(600, 2, generator=rng)
    components -= components.mean(0)
    return activations, components, Units.of(activations)


def encoded_site(
    units: Units, activations: Tensor, components: Tensor, log_prior: Tensor
) -> tuple[SiteChannel, SiteRegression]:
    stored = len(activations)
    channel, encoder = SiteChannel(6, stored), SiteRegression(6, stored, 2)
    channel.fit(activations, units, log_prior)
    encoder.fit(channel, activations, components)
    return channel, encoder


@pytest.mark.parametrize("bandwidth", [0.05, 0.3, 1.0])
def test_the_linear_estimate_starts_as_least_squares_from_noised_activations(bandwidth: float):
    activations, components, units = correlated_site()
    # Inputs whose activations are not known stand beside them, and must not count.
    everything = torch.cat((activations, 1e6 * torch.ones(9, 6)))
    labels = torch.cat((components, 1e3 * torch.ones(9, 2)))
    log_prior = torch.cat((torch.zeros(600), torch.full((9,), -torch.inf)))
    channel, encoder = encoded_site(units, everything, labels, log_prior)
    clean, h = activations.repeat(40, 1), torch.full((40 * 600,), bandwidth)
    noised = channel.noised(clean, h, torch.Generator().manual_seed(6))
    noised = torch.cat((noised, 2 * clean - noised))  # each noise with its mirror image: chance correlations cancel
    with torch.no_grad():
        estimate = encoder(channel, noised, h.repeat(2), torch.ones(len(noised), 1).expand(-1, 609))[0].double().numpy()
    # The best linear read-out, found from the noised activations alone by least squares.
    standardized = units.standardize(noised)[:, :5].double().numpy()
    wanted = components.repeat(80, 1).double().numpy()
    best = standardized @ np.linalg.lstsq(standardized, wanted, rcond=None)[0]
    for column in range(2):
        # Up to a scale at each bandwidth, which is the encoder's choice.
        assert np.corrcoef(estimate[:, column], best[:, column])[0, 1] > 0.999


def test_the_kernel_estimate_is_the_weighted_mean_of_the_other_stored_inputs_components():
    activations, components, units = correlated_site()
    stored = torch.arange(599, 0, -12)  # fifty inputs, not in their own order
    channel, encoder = encoded_site(units, activations[stored], components[stored], torch.zeros(len(stored)))
    z, h = (
        activations[[599, 11, 300]],
        torch.tensor([0.1, 0.5, 1.0]),
    )  # first and last stored, and one not stored
    squares = Distance.of("standardized", units).between(z, activations[stored]).numpy() ** 2
    for exclude, left_out in ((torch.tensor([0, 49, -1]), [0, 49]), (None, [])):
        with torch.no_grad():
            _, kernel, size = encoder(channel, z, h, channel.weights(z, h, exclude))
        weights = np.exp(-squares / 2 / h[:, None].numpy() ** 2)
        weights[range(len(left_out)), left_out] = 0
        weights /= weights.sum(1, keepdims=True)
        assert kernel.numpy() == pytest.approx(weights @ components[stored].numpy(), abs=1e-4)
        assert size.numpy() == pytest.approx(1 / (weights**2).sum(1), rel=1e-3)


def test_noise_has_the_deviation_that_makes_the_kernel():
    activations, _, units = correlated_site()
    channel = SiteChannel(6, 1)
    channel.fit(activations[:1], units, torch.zeros(1))
    n, h = 20_000, 0.3
    z = activations[:1].expand(n, -1)
    noise = channel.noised(z, torch.full((n,), h), torch.Generator().manual_seed(7)) - z
    expected = h * 5**0.5 * units.deviation.numpy()  # five coordinates vary
    assert noise.std(0).numpy() == pytest.approx(expected, rel=0.03)
    assert noise.mean(0).numpy() == pytest.approx(np.zeros(6), abs=float(4 * expected.max() / n**0.5))
    assert noise[:, 5].eq(0).all()
    correlation = np.corrcoef(noise[:, :5].T.numpy()) - np.eye(5)
    assert np.abs(correlation).max() < 0.03
