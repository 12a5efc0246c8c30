"""Refinement believes no noise and folds nothing: a start is bettered or stays."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter

from Testing.support.refined_pairs import SHAPE, known_pair, mean_error, refine, tensor, texture, whole_after
from VoxelMorphRegistrationLib.flow import folding as folds
from VoxelMorphRegistrationLib.flow.folding import folded_voxels
from VoxelMorphRegistrationLib.refinement import refine as refinement
from VoxelMorphRegistrationLib.refinement import schemes

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def pair():
    return known_pair()


def test_noise_moves_what_is_near_by_less_than_half_a_voxel(pair):
    fixed, moving, truth = pair
    noisy = [
        image + 0.05 * torch.randn(image.shape, generator=torch.Generator().manual_seed(n))
        for n, image in enumerate((fixed, moving))
    ]
    near = torch.from_numpy(0.8 * truth)[None]
    assert mean_error(whole_after(near, refine(*noisy, near)), truth) < 0.5


def test_what_is_alike_already_stays_where_it_is(pair):
    fixed, moving, truth = pair
    result = refine(fixed, moving)
    still = torch.from_numpy(np.linalg.norm(truth, axis=0) < 0.02)
    assert float(result.displacement.norm(dim=1)[0][still].mean()) < 0.02


def test_what_begins_with_next_to_nothing_is_not_followed_further(pair):
    fixed, moving, truth = pair
    noisy = [
        image + 0.02 * torch.randn(image.shape, generator=torch.Generator().manual_seed(n))
        for n, image in enumerate((fixed, moving))
    ]
    first = sum(level.updates for level in schemes.ONE_CONTRAST.fits)
    near = refine(*noisy, torch.from_numpy(0.9 * truth)[None], similarity="lncc")
    assert not near.accepted and near.updates == first
    far = refine(*noisy, similarity="lncc")
    assert far.accepted and far.updates > first


def test_where_updates_fold_they_are_smoothed_and_the_rest_is_kept(pair, monkeypatch):
    fixed, moving, truth = pair
    rough = schemes.Scheme((schemes.Level(1, 25, fluid=0.5, elastic=0.0, update_size=1.5),), even=1.0)
    monkeypatch.setattr(refinement, "ONE_CONTRAST", rough)
    result = refine(fixed, tensor(texture(seed=4)), similarity="lncc")
    assert result.accepted and result.folded_after == 0
    assert _least_jacobian(result.displacement) > 0
    monkeypatch.setattr(folds, "_ATTEMPTS", 0)
    halved = refine(fixed, tensor(texture(seed=4)), similarity="lncc")
    assert result.similarity_after > halved.similarity_after


def _least_jacobian(displacement):
    """SimpleITK's, away from the border."""
    vectors = np.moveaxis(displacement[0].numpy()[::-1], 0, -1).astype(np.float64)
    found = sitk.DisplacementFieldJacobianDeterminant(sitk.GetImageFromArray(vectors, isVector=True))
    return sitk.GetArrayFromImage(found)[1:-1, 1:-1, 1:-1].min()


def test_a_change_that_wins_little_of_what_is_missing_is_not_believed():
    """Two scans of one body that noise alone tells apart: what can be gained is gained by following noise."""
    draw = np.random.default_rng(1)
    scans = [tensor(texture() + 0.03 * draw.normal(size=SHAPE).astype(np.float32)) for _ in range(2)]
    result = refine(*scans, updates=60)
    assert result.updates > 0 and not result.accepted
    assert result.similarity_after == result.similarity_before < 0.75


def test_identical_images_stay_where_they_are():
    image = tensor(texture())
    result = refine(image, image)
    assert result.displacement.abs().max() < 0.3
    assert result.similarity_after >= result.similarity_before


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("similarity", ["lncc", "mind"])
def test_unrelated_images_never_come_back_less_alike_or_more_folded(seed, similarity):
    fixed, moving = tensor(texture((20, 22, 24), seed)), tensor(texture((20, 22, 24), seed + 10))
    before = 3 * torch.randn((1, 3, 20, 22, 24), generator=torch.Generator().manual_seed(seed))
    result = refine(fixed, moving, before, similarity=similarity)
    assert result.similarity_after >= result.similarity_before
    assert result.folded_after <= result.folded_before == folded_voxels(before)
    assert result.folded_after == folded_voxels(whole_after(before, result))


def test_no_updates_change_nothing(pair):
    fixed, moving, truth = pair
    before = torch.from_numpy(truth)[None]
    result = refine(fixed, moving, before, updates=0)
    assert result.displacement.abs().max() == 0 and not result.accepted and result.updates == 0


def test_what_lies_outside_the_mask_does_not_pull(pair):
    fixed, moving, _ = pair
    mask = torch.zeros_like(fixed)
    mask[..., : SHAPE[0] // 2, :, :] = 1
    changed = torch.where(mask > 0, fixed, tensor(texture(seed=9)))
    one, other = (refine(image, moving, updates=10, mask=mask).displacement for image in (fixed, changed))
    far_inside = (slice(None), slice(None), slice(0, SHAPE[0] // 2 - 6))
    assert (one - other)[far_inside].abs().mean() < 0.05
    without = refine(changed, moving, updates=10).displacement
    assert (one - without).abs().mean() > 3 * (one - other).abs().mean()


def test_constant_images_leave_the_start_untouched():
    flat = torch.zeros((1, 1, 16, 16, 16))
    result = refine(flat, flat)
    assert not result.accepted and result.displacement.abs().max() == 0


def test_folded_voxels_are_those_simpleitk_counts():
    field = (
        2.5
        * torch.from_numpy(
            np.stack([gaussian_filter(np.random.default_rng(c).normal(size=(14, 15, 16)), 0.8) for c in range(3)])
        )[None]
    )
    vectors = sitk.GetImageFromArray(np.moveaxis(field[0].numpy()[::-1], 0, -1).astype(np.float64), isVector=True)
    theirs = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(vectors))
    ours = folded_voxels(field[:, :, 0:14])
    inside = (slice(1, -1),) * 3
    assert ours > 0
    assert abs(ours - int((theirs <= 0).sum())) <= 14 * 15 * 16 - theirs[inside].size
