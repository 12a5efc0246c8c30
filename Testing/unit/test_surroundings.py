"""Detail around what counts: the box, the passage into the coarser field, and how it is integrated."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from VoxelMorphRegistrationLib.flow.integration import integrate, integrate_coarsely
from VoxelMorphRegistrationLib.flow.surroundings import Surroundings

SHAPE = (40, 48, 44)


def velocity(voxels: float) -> torch.Tensor:
    drawn = np.random.default_rng(2).normal(size=(3, *SHAPE))
    smooth = np.stack([gaussian_filter(channel, 4.0) for channel in drawn])
    return torch.from_numpy((voxels * smooth / np.abs(smooth).max())[None].astype(np.float32))


def counting(*index: int) -> torch.Tensor:
    one = torch.zeros(1, 1, *SHAPE)
    one[(0, 0, *index)] = 1
    return one


def test_the_box_lies_around_where_what_counts_is_pulled_to_and_ends_with_the_grid():
    shift = torch.zeros(1, 3, *SHAPE)
    shift[:, 0] = 5.0  # what lies at 20 is seen at 15
    found = Surroundings.of(counting(20, 2, 40), shift)
    assert found.shape == SHAPE
    for part, low, high in zip(found.box, (11, 0, 36), (20, 7, 44)):
        assert low - 2 <= part.start <= low and high <= part.stop <= high + 2


def test_there_is_none_where_nothing_that_counts_comes_to_lie_on_the_grid():
    away = torch.full((1, 3, *SHAPE), -60.0)
    assert Surroundings.of(counting(20, 20, 20), away) is None


def test_there_is_none_where_what_counts_is_nearly_all_of_the_grid():
    still, all_but_some = torch.zeros(1, 3, *SHAPE), torch.zeros(1, 1, *SHAPE)
    all_but_some[:, :, 2:30, 2:44, 2:40] = 1
    assert Surroundings.of(all_but_some, still) is None
    assert Surroundings.of(counting(20, 20, 20), still, margin=30) is None


def test_the_detailed_field_takes_over_from_the_sides_that_are_none_of_the_grids():
    around = Surroundings(SHAPE, (slice(0, 20), slice(10, 30), slice(20, 44)))
    whole = around.joined(torch.zeros(1, 1, *SHAPE), torch.ones(1, 1, 20, 20, 24))[0, 0]
    assert whole[0, 20, 43] == whole[15, 25, 30] == 1
    assert torch.allclose(whole[5, 10:15, 43], torch.tensor([0.125, 0.375, 0.625, 0.875, 1.0]))
    assert whole[20:].abs().max() == whole[:, :10].abs().max() == whole[:, :, :20].abs().max() == 0


def test_its_weights_are_one_inside_and_nothing_elsewhere():
    weights = Surroundings(SHAPE, (slice(0, 20), slice(10, 30), slice(20, 44))).weights()
    assert weights.shape == (1, 1, *SHAPE) and weights[0, 0, :16, 14:26, 24:].min() == 1
    assert weights[0, 0, 20:].max() == weights[0, 0, :, 30:].max() == 0 < weights[0, 0, 17, 20, 30] < 1


def test_integration_is_exact_in_the_box_also_where_tissue_leaves_it_and_as_known_outside():
    field, around = velocity(6.0), Surroundings(SHAPE, (slice(10, 28), slice(0, 20), slice(16, 36)))
    exact, coarse = integrate(field, 7, "border"), integrate_coarsely(field, 7, "border")
    found = around.integrated(field, coarse, 7, "border")
    inner = (..., slice(14, 24), slice(0, 16), slice(20, 32))
    assert (found - exact)[inner].abs().max() < 2e-3 < (coarse - exact)[inner].abs().max()
    assert torch.equal(found[:, :, 28:], coarse[:, :, 28:])
