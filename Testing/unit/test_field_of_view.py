"""What of a pair refinement looks at: neither added planes nor empty surroundings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from Testing.support.refined_pairs import bump, mean_error, pulled, refine, tensor, texture
from VoxelMorphRegistrationLib.flow.surroundings import Surroundings
from VoxelMorphRegistrationLib.refinement.field_of_view import FieldOfView

pytestmark = pytest.mark.usefixtures("one_thread")


def test_planes_added_to_fill_the_grid_do_not_hold_the_anatomy():
    moving, truth = texture((36, 40, 44), 5), np.zeros((3, 36, 40, 44), np.float32)
    truth[2] = 2.5  # tissue moves through the ends of a slab that was cut along the last axis
    cut = (slice(None), slice(None), slice(8, 36))
    fixed, moving = (np.pad(image[cut], ((0, 0), (0, 0), (2, 2))) for image in (pulled(moving, truth), moving))
    view = FieldOfView.of(tensor(fixed), tensor(moving))
    assert (view.start[2], view.stop[2]) == (2, 30)
    found = refine(tensor(fixed), tensor(moving)).displacement[0, 2].numpy()
    assert abs(np.median(found[8:-8, 8:-8, 4:-6]) - 2.5) < 0.3


def test_empty_surroundings_are_left_out_but_for_some_voxels():
    head = np.zeros((60, 64, 50), np.float32)
    away = np.meshgrid(*[np.arange(n) - c for n, c in zip(head.shape, (30, 33, 4))], indexing="ij")
    inside = (away[0] / 10) ** 2 + (away[1] / 11) ** 2 + (away[2] / 26) ** 2 < 1
    head[inside] = (0.5 + 0.5 * texture(head.shape))[inside]
    fixed, moving = gaussian_filter(head, 0.7), gaussian_filter(np.roll(head, 2, 0), 0.7)
    view = FieldOfView.of(tensor(fixed), tensor(moving))
    # The head reaches from 21 to 41 in both images together, from 23 to 43, and from 0 to 29.
    assert 14 <= view.start[0] <= 18 and 45 <= view.stop[0] <= 48
    assert 16 <= view.start[1] <= 20 and 46 <= view.stop[1] <= 50
    assert view.start[2] == 0 and 32 <= view.stop[2] <= 36
    inside = view.cut(tensor(fixed))
    assert torch.equal(inside, view.cut(view.extended(inside))) and view.extended(inside).shape == (1, 1, *head.shape)


def test_what_lies_within_a_box_is_a_part_of_it_where_that_leaves_enough_planes():
    view = FieldOfView((40, 40, 40), (2, 0, 10), (40, 40, 30)).within((slice(0, 20), slice(12, 19), slice(15, 40)))
    assert (view.start, view.stop) == ((2, 0, 15), (20, 40, 30))


def test_where_little_counts_that_is_refined_as_well_and_nothing_else_is_moved():
    shape, wide = (36, 40, 90), np.zeros((3, 36, 40, 90), np.float32)
    wide[:, :, :, 5:43], wide[:, :, :, 48:86] = bump((36, 40, 38)), -bump((36, 40, 38))  # two places move
    moving = texture(shape, 4)
    fixed, moving = tensor(pulled(moving, wide)), tensor(moving)
    around = Surroundings(shape, (slice(0, 36), slice(0, 40), slice(0, 46)))
    whole, part = (refine(fixed, moving, within=within).displacement for within in (None, around))
    assert part[..., 46:].abs().max() < 1e-3 < 1 < whole[..., 46:].abs().max()
    left = [mean_error(found[..., :42], wide[..., :42]) for found in (whole, part)]
    assert left[1] < left[0] + 0.05 < 0.5


def test_a_small_part_that_moves_in_still_surroundings_is_refined_alone():
    shape, truth = (36, 40, 120), np.zeros((3, 36, 40, 120), np.float32)
    truth[:, :, :, 10:48] = bump((36, 40, 38))
    moving = texture(shape, 6)
    fixed = pulled(moving, truth)
    fixed[:, :, 100:] += np.random.default_rng(1).normal(0, 0.02, (36, 40, 20)).astype(np.float32)
    found = refine(tensor(fixed), tensor(moving)).displacement
    assert mean_error(found, truth) < 0.35 and found[..., 80:].abs().max() < 1e-3


def test_images_that_are_alike_have_no_part_to_refine_alone():
    image = tensor(texture((36, 40, 60), 2))
    found = refine(image, image.clone(), updates=5)
    assert not found.accepted and found.displacement.abs().max() == 0
