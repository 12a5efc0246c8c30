"""What an image's values become for a network, against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from VoxelMorphRegistrationLib.network_space.intensity import Percentile

KINDS = [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32]


def scan(kind, middle: int = 60) -> np.ndarray:
    """Air, and tissue of some hundred values about a middle."""
    draw = np.random.default_rng(3)
    values = draw.normal(middle, 12, (12, 20, 20))
    values[draw.random(values.shape) < 0.4] = 3
    return np.clip(values, np.iinfo(kind).min, np.iinfo(kind).max).astype(kind)


@pytest.mark.parametrize(("low", "high"), [(1, 99), (0, 100), (37.3, 61.7)])
@pytest.mark.parametrize("kind", KINDS)
def test_percentiles_of_whole_numbers_are_numpy_s(kind, low, high):
    values = scan(kind)
    first, last = np.percentile(values.astype(np.float64), (low, high))
    expected = np.clip((values - first) / (last - first), 0, 1)
    np.testing.assert_allclose(Percentile(low, high).normalise(values), expected, atol=1e-6)


@pytest.mark.parametrize(
    "values", [scan(kind) for kind in KINDS] + [scan(np.int16, -900), scan(np.uint32) + 60_000_000]
)
def test_the_type_of_whole_numbers_changes_nothing(values):
    rule = Percentile(1, 99, 0.5)
    found = rule.normalise(values)
    assert found.dtype == np.float32 and found.shape == values.shape
    np.testing.assert_array_equal(found, rule.normalise(values.astype(np.float32)))


def test_a_full_equalisation_makes_the_ranks_of_tissue_equally_frequent():
    values = np.random.default_rng(0).gamma(9.0, 40.0, (24, 32, 32)).astype(np.int16)
    found = Percentile(0, 100, 1.0).normalise(values)
    tissue = np.sort(found[found > 0.15])
    assert np.abs(tissue - np.linspace(0.15, 1, len(tissue))).max() < 0.02
