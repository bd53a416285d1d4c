"""Units of a site and the standardized distance: δ against the formula in numpy, and its properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inversescope.collect.distance import Distance
from inversescope.units import Units

values = st.floats(-100, 100, width=32)
tables = arrays.arrays(np.float32, st.tuples(st.integers(2, 8), st.integers(1, 5)), elements=values)


def delta(z: np.ndarray, target: np.ndarray, pool: np.ndarray) -> float:
    """δ between two activations in the pool's units, coordinate by coordinate."""
    squares = []
    for i in range(pool.shape[1]):
        column = pool[:, i].astype(float)
        if (column != column[0]).any():
            squares.append(((float(z[i]) - float(target[i])) / column.std(ddof=1)) ** 2)
    return float(np.sqrt(np.mean(squares))) if squares else 0.0


def within(units: Units, activations: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return Distance.of("standardized", units).between(activations, targets)


def test_distances_are_the_formula():
    rng = np.random.default_rng(0)
    # Scales as in real models: one coordinate a thousand times larger than the rest, and one that never varies.
    scale, shift = np.array([1000, 1, 0.01, 0, 3]), np.array([-5000, 2, 0, 7, 0])
    pool, z, targets = ((rng.normal(size=(n, 5)) * scale + shift).astype(np.float32) for n in (50, 6, 4))
    found = within(Units.of(torch.from_numpy(pool)), torch.from_numpy(z), torch.from_numpy(targets)).numpy()
    expected = [[delta(row, target, pool) for target in targets] for row in z]
    assert found == pytest.approx(np.array(expected), rel=1e-4)


def test_a_coordinate_that_never_varies_is_left_out_however_far_off_it_is():
    pool = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    padded = torch.cat((pool, torch.full((20, 2), 0.1)), 1)
    units = Units.of(padded)
    assert units.dimension == 3
    far = padded + torch.tensor([0.0, 0.0, 0.0, 50.0, -50.0])
    assert units.standardize(far)[:, 3:].eq(0).all()
    assert torch.allclose(within(units, far, padded), within(Units.of(pool), pool, pool))


def test_a_coordinate_whose_deviation_has_no_inverse_is_left_out():
    pool = torch.tensor([[0.0, 1.0], [1e-40, 2.0]])
    assert within(Units.of(pool), pool, pool).isfinite().all()


def test_a_site_that_never_varies_has_all_distances_zero():
    pool = torch.full((5, 3), 2.5)
    assert within(Units.of(pool), pool + 1, pool).eq(0).all()


def test_unrelated_inputs_are_about_root_two_apart_at_any_width_and_scale():
    generator = torch.Generator().manual_seed(0)
    for d in (64, 576):
        scale = torch.logspace(-3, 3, d)
        z = torch.randn(400, d, generator=generator) * scale + 10 * scale
        units = Units.of(z)
        distances = within(units, z[:200], z[200:])
        assert float((distances**2).mean()) == pytest.approx(2, rel=0.02)
        assert float(distances.std()) == pytest.approx(1 / d**0.5, rel=0.2)  # of δ = √2·√(χ²_d / d), for large d


def test_mean_and_deviation_are_those_of_the_sample():
    pool = torch.tensor([[1.0, 10.0], [3.0, 10.0], [5.0, 40.0]])
    units = Units.of(pool)
    assert units.mean.tolist() == [3, 20]
    assert units.deviation.tolist() == pytest.approx([2, 300**0.5])
    assert units.count == 3


@given(tables)
def test_distances_are_a_metric(table: np.ndarray):
    z = torch.from_numpy(table)
    distances = within(Units.of(z), z, z).numpy()
    assert np.array_equal(np.diag(distances), np.zeros(len(z)))
    assert distances == pytest.approx(distances.T)
    assert (distances[:, None] <= distances[:, :, None] + distances[None] + 1e-3).all()


@given(tables, st.floats(0.01, 100), values)
def test_distances_do_not_depend_on_scale_and_origin(table: np.ndarray, scale: float, shift: float):
    z = torch.from_numpy(table).double()
    # float32 keeps differences down to about 1e-7 of what they are differences of.
    size = np.abs(table).max() + abs(shift) / scale
    assume(all(column.std() == 0 or column.std() > 1e-3 * size + 1e-30 for column in table.T.astype(float)))
    one, two = (within(Units.of(each), each, each).numpy() for each in (z.float(), (z * scale + shift).float()))
    assert two == pytest.approx(one, abs=0.01)
