"""Refinement of a velocity: known displacements made by SimpleITK are found again, and nothing gets worse."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.flow import folding as folds
from VoxelMorphRegistrationLib.flow import integration
from VoxelMorphRegistrationLib.flow.folding import folded_voxels
from VoxelMorphRegistrationLib.networks import Flow
from VoxelMorphRegistrationLib.refinement import forces, levels, schemes
from VoxelMorphRegistrationLib.refinement import refine as refinement
from VoxelMorphRegistrationLib.refinement.contrast import choose_similarity
from VoxelMorphRegistrationLib.refinement.field_of_view import FieldOfView
from VoxelMorphRegistrationLib.refinement.pair import ImagePair
from VoxelMorphRegistrationLib.refinement.settings import RefinementSettings

SHAPE = (36, 40, 38)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def _texture(shape=SHAPE, seed=0):
    rng = np.random.default_rng(seed)
    values = gaussian_filter(rng.normal(size=shape), 3) + 0.3 * gaussian_filter(rng.normal(size=shape), 1.5)
    return ((values - values.min()) / np.ptp(values)).astype(np.float32)


def _bump(shape=SHAPE, largest=4.0):
    """A smooth displacement (d, *shape) in voxels, channel c along array axis c, that fades to the border."""
    grids = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    fade = np.exp(-4 * sum(g**2 for g in grids))
    direction = np.array([1.0, -0.6, 0.4])[: len(shape)]
    return (direction.reshape(-1, *[1] * len(shape)) / np.linalg.norm(direction) * largest * fade).astype(np.float32)


def _pulled(image, displacement):
    """SimpleITK's resampling of an array by a voxel displacement."""
    vectors = sitk.GetImageFromArray(np.moveaxis(displacement[::-1], 0, -1).astype(np.float64), isVector=True)
    transform = sitk.DisplacementFieldTransform(vectors)
    return sitk.GetArrayFromImage(sitk.Resample(sitk.GetImageFromArray(image), transform, sitk.sitkBSpline, 0.0))


def _tensor(array):
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None, None]


@pytest.fixture(scope="module")
def pair():
    moving, truth = _texture(), _bump()
    return _tensor(_pulled(moving, truth)), _tensor(moving), truth


def refine(fixed, moving, before=None, *, mask=None, finer=None, progress=None, **settings):
    return refinement.refine(
        ImagePair(fixed, moving, mask), RefinementSettings(**settings), before=before, finer=finer, progress=progress
    )


def _whole(before, result):
    return integration.compose_flows(before, result.displacement, "border")


def _pulled_pair(images, displacement):
    """Finer images, the moving one pulled by a displacement on the coarser grid."""
    shape = tuple(images[0].shape[2:])
    return ImagePair(*images).pulled(integration.resize_flow(displacement, shape))


def _error(displacement, truth):
    """Mean distance to the truth where it is large, in voxels."""
    distance = np.linalg.norm(displacement[0].numpy() - truth, axis=0)
    return float(distance[np.linalg.norm(truth, axis=0) > 0.5].mean())


def test_a_known_displacement_is_found_from_nothing(pair):
    fixed, moving, truth = pair
    result = refine(fixed, moving)
    assert result.accepted and result.similarity_after > result.similarity_before
    assert _error(result.displacement, truth) < 0.35 < 1.0 < _error(torch.zeros_like(result.displacement), truth)
    assert result.folded_after == 0


def test_the_displacement_is_the_velocities_exponentials_one_after_the_other(pair):
    fixed, moving, _ = pair
    result = refine(fixed, moving, updates=8, padding="zeros", squarings=5)
    whole = torch.zeros_like(result.displacement)
    for velocity in result.velocities:
        change = integration.resize_flow(integration.integrate(velocity, 5, "zeros"), tuple(whole.shape[2:]))
        whole = integration.compose_flows(whole, change, "border")
    torch.testing.assert_close(result.displacement, whole)
    assert result.updates == 8


def test_large_images_keep_velocities_on_half_as_many_voxels_an_axis_and_lose_nothing(pair, monkeypatch):
    fixed, moving, truth = pair
    monkeypatch.setattr(levels, "_LEAST_VOXELS", 1000)
    result = refine(fixed, moving)
    assert {tuple(velocity.shape[2:]) for velocity in result.velocities} == {tuple(n // 2 for n in SHAPE)}
    assert _error(result.displacement, truth) < 0.35 and result.folded_after == 0
    whole = torch.zeros_like(result.displacement)
    for velocity in result.velocities:
        change = Flow(velocity, "velocity", 1, "border", 7).displacement(SHAPE)
        whole = integration.compose_flows(whole, change, "border")
    torch.testing.assert_close(result.displacement, whole)


def test_two_dimensional_images_are_refined_too():
    moving, truth = _texture((60, 64), 3), _bump((60, 64))
    result = refine(_tensor(_pulled(moving, truth)), _tensor(moving))
    assert _error(result.displacement, truth) < 0.5


def test_images_of_another_contrast_are_brought_together_by_mind(pair):
    fixed, moving, truth = pair
    other = torch.sin(3 * np.pi * fixed) + 0.02 * torch.randn(fixed.shape, generator=torch.Generator().manual_seed(0))
    result = refine(other, moving, similarity="mind")
    assert result.similarity_after > result.similarity_before
    assert (
        _error(result.displacement, truth)
        < 0.6 * np.linalg.norm(truth, axis=0)[np.linalg.norm(truth, axis=0) > 0.5].mean()
    )


def test_the_similarity_is_chosen_by_the_contrast_of_the_pair(pair):
    fixed, moving, _ = pair
    assert choose_similarity(ImagePair(fixed, moving)) == "lncc"
    assert choose_similarity(ImagePair(0.2 + 0.5 * fixed**0.7, moving)) == "lncc"
    assert choose_similarity(ImagePair(1 - fixed, moving)) == "mind"
    assert refine(1 - fixed, moving, updates=2).similarity == "mind"


def test_planes_added_to_fill_the_grid_do_not_hold_the_anatomy():
    moving, truth = _texture((36, 40, 44), 5), np.zeros((3, 36, 40, 44), np.float32)
    truth[2] = 2.5  # tissue moves through the ends of a slab that was cut along the last axis
    cut = (slice(None), slice(None), slice(8, 36))
    fixed, moving = (np.pad(image[cut], ((0, 0), (0, 0), (2, 2))) for image in (_pulled(moving, truth), moving))
    view = FieldOfView.of(_tensor(fixed), _tensor(moving))
    assert (view.start[2], view.stop[2]) == (2, 30)
    found = refine(_tensor(fixed), _tensor(moving)).displacement[0, 2].numpy()
    assert abs(np.median(found[8:-8, 8:-8, 4:-6]) - 2.5) < 0.3


def test_noise_moves_what_is_near_by_less_than_half_a_voxel(pair):
    fixed, moving, truth = pair
    noisy = [
        image + 0.05 * torch.randn(image.shape, generator=torch.Generator().manual_seed(n))
        for n, image in enumerate((fixed, moving))
    ]
    near = torch.from_numpy(0.8 * truth)[None]
    assert _error(_whole(near, refine(*noisy, near)), truth) < 0.5


def test_what_is_alike_already_stays_where_it_is(pair):
    fixed, moving, truth = pair
    result = refine(fixed, moving)
    still = torch.from_numpy(np.linalg.norm(truth, axis=0) < 0.02)
    assert float(result.displacement.norm(dim=1)[0][still].mean()) < 0.02


def test_finer_images_show_what_the_coarser_ones_do_not():
    fine_shape = (67, 71, 69)
    rng = np.random.default_rng(2)
    moving = gaussian_filter(rng.normal(size=fine_shape), 1.2).astype(np.float32) * 2
    waves = np.stack([gaussian_filter(rng.normal(size=fine_shape), 3.5) for _ in range(3)])
    truth = (waves / waves.std()).astype(np.float32)
    fine = _tensor(_pulled(moving, truth)), _tensor(moving)
    coarse = [F.avg_pool3d(F.pad(image, (1, 1, 1, 1, 1, 1), mode="replicate"), 3, stride=2) for image in fine]
    alone = refine(*coarse)
    helped = refine(*coarse, finer=lambda displacement: _pulled_pair(fine, displacement))
    at_coarse = truth[:, ::2, ::2, ::2] / 2
    assert helped.displacement.shape == alone.displacement.shape == (1, *at_coarse.shape)
    assert _error(helped.displacement, at_coarse) < 0.8 * _error(alone.displacement, at_coarse)
    assert helped.folded_after == 0


def test_finer_images_are_not_even_made_for_other_contrasts(pair):
    fixed, moving, _ = pair

    def never(displacement):
        raise AssertionError("asked for")

    assert refine(1 - fixed, moving, finer=never).similarity == "mind"


def test_images_that_are_finer_along_some_axes_only_and_a_mask_are_taken(pair):
    fixed, moving, _ = pair
    mask = torch.ones_like(fixed)
    mask[..., :6] = 0
    thick = [image[..., ::2, :, ::2][..., :, :-1] for image in (fixed, moving)]
    coarse = [image[:, :, ::2, :, :] for image in thick]
    shape = tuple(coarse[0].shape[2:])
    fine = [image[:, :, : 2 * shape[0] - 1] for image in thick]
    seen = []
    result = refine(
        *coarse, mask=mask[:, :, : shape[0], : shape[1], : shape[2]], finer=lambda _: seen.append(1) or ImagePair(*fine)
    )
    assert seen == [1] and result.accepted and tuple(result.displacement.shape[2:]) == shape


def test_where_updates_fold_they_are_smoothed_and_the_rest_is_kept(pair, monkeypatch):
    fixed, moving, truth = pair
    rough = schemes.Scheme((1,), (25,), fluid=0.5, elastic=(0.0,), update_size=1.5, even=1.0)
    monkeypatch.setattr(refinement, "ONE_CONTRAST", rough)
    result = refine(fixed, _tensor(_texture(seed=4)), similarity="lncc")
    assert result.accepted and result.folded_after == 0
    assert _least_jacobian(result.displacement) > 0
    monkeypatch.setattr(folds, "_ATTEMPTS", 0)
    halved = refine(fixed, _tensor(_texture(seed=4)), similarity="lncc")
    assert result.similarity_after > halved.similarity_after


def _least_jacobian(displacement):
    """SimpleITK's, away from the border."""
    vectors = np.moveaxis(displacement[0].numpy()[::-1], 0, -1).astype(np.float64)
    found = sitk.DisplacementFieldJacobianDeterminant(sitk.GetImageFromArray(vectors, isVector=True))
    return sitk.GetArrayFromImage(found)[1:-1, 1:-1, 1:-1].min()


def test_empty_surroundings_are_left_out_but_for_some_voxels():
    head = np.zeros((60, 64, 50), np.float32)
    away = np.meshgrid(*[np.arange(n) - c for n, c in zip(head.shape, (30, 33, 4))], indexing="ij")
    inside = (away[0] / 10) ** 2 + (away[1] / 11) ** 2 + (away[2] / 26) ** 2 < 1
    head[inside] = (0.5 + 0.5 * _texture(head.shape))[inside]
    fixed, moving = gaussian_filter(head, 0.7), gaussian_filter(np.roll(head, 2, 0), 0.7)
    view = FieldOfView.of(_tensor(fixed), _tensor(moving))
    # The head reaches from 21 to 41 in both images together, from 23 to 43, and from 0 to 29.
    assert 14 <= view.start[0] <= 18 and 45 <= view.stop[0] <= 48
    assert 16 <= view.start[1] <= 20 and 46 <= view.stop[1] <= 50
    assert view.start[2] == 0 and 32 <= view.stop[2] <= 36
    inside = view.cut(_tensor(fixed))
    assert torch.equal(inside, view.cut(view.extended(inside))) and view.extended(inside).shape == (1, 1, *head.shape)


def test_a_start_close_to_the_truth_is_bettered_and_kept_near(pair):
    fixed, moving, truth = pair
    before = torch.from_numpy(truth * 0.8)[None]
    result = refine(fixed, moving, before, updates=20)
    assert _error(_whole(before, result), truth) < _error(before, truth)


def test_a_grid_a_little_above_the_limit_is_refined_as_one_below_it(pair, monkeypatch):
    fixed, moving, _ = pair
    below = refine(fixed, moving, updates=12)
    monkeypatch.setattr(forces, "_MOST_VOXELS", int(0.9 * fixed.numel()))
    torch.testing.assert_close(refine(fixed, moving, updates=12).displacement, below.displacement)
    # Far above it, every second voxel is enough for most of the way.
    monkeypatch.setattr(forces, "_MOST_VOXELS", fixed.numel() // 8)
    assert refine(fixed, moving, updates=40).similarity_after > below.similarity_before


def test_a_change_that_wins_little_of_what_is_missing_is_not_believed():
    """Two scans of one body that noise alone tells apart: what can be gained is gained by following noise."""
    draw = np.random.default_rng(1)
    scans = [_tensor(_texture() + 0.03 * draw.normal(size=SHAPE).astype(np.float32)) for _ in range(2)]
    result = refine(*scans, updates=60)
    assert result.updates > 0 and not result.accepted
    assert result.similarity_after == result.similarity_before < 0.75


def test_identical_images_stay_where_they_are():
    image = _tensor(_texture())
    result = refine(image, image)
    assert result.displacement.abs().max() < 0.3
    assert result.similarity_after >= result.similarity_before


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("similarity", ["lncc", "mind"])
def test_unrelated_images_never_come_back_less_alike_or_more_folded(seed, similarity):
    fixed, moving = _tensor(_texture((20, 22, 24), seed)), _tensor(_texture((20, 22, 24), seed + 10))
    before = 3 * torch.randn((1, 3, 20, 22, 24), generator=torch.Generator().manual_seed(seed))
    result = refine(fixed, moving, before, similarity=similarity)
    assert result.similarity_after >= result.similarity_before
    assert result.folded_after <= result.folded_before == folded_voxels(before)
    assert result.folded_after == folded_voxels(_whole(before, result))


def test_no_updates_change_nothing(pair):
    fixed, moving, truth = pair
    before = torch.from_numpy(truth)[None]
    result = refine(fixed, moving, before, updates=0)
    assert result.displacement.abs().max() == 0 and not result.accepted and result.updates == 0


def test_what_lies_outside_the_mask_does_not_pull(pair):
    fixed, moving, _ = pair
    mask = torch.zeros_like(fixed)
    mask[..., : SHAPE[0] // 2, :, :] = 1
    changed = torch.where(mask > 0, fixed, _tensor(_texture(seed=9)))
    one, other = (refine(image, moving, updates=10, mask=mask).displacement for image in (fixed, changed))
    far_inside = (slice(None), slice(None), slice(0, SHAPE[0] // 2 - 6))
    assert (one - other)[far_inside].abs().mean() < 0.05
    without = refine(changed, moving, updates=10).displacement
    assert (one - without).abs().mean() > 3 * (one - other).abs().mean()


def test_the_same_input_gives_the_same_answer(pair):
    fixed, moving, _ = pair
    one, other = (refine(fixed, moving, updates=6).displacement for _ in range(2))
    assert torch.equal(one, other)


def test_progress_counts_the_steps_and_may_stop_them(pair):
    fixed, moving, _ = pair
    seen = []
    refine(fixed, moving, updates=7, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n, 7) for n in range(1, 8)]

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refine(fixed, moving, updates=7, progress=stop)


def test_constant_images_leave_the_start_untouched():
    flat = torch.zeros((1, 1, 16, 16, 16))
    result = refine(flat, flat)
    assert not result.accepted and result.displacement.abs().max() == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"before": torch.zeros(1, 3, 4, 4, 4)}, "displacement of shape"),
        ({"mask": torch.zeros(1, 1, 4, 4, 4)}, "mask of shape"),
        ({"mask": torch.zeros(1, 1, *SHAPE)}, "mask is empty"),
        ({"updates": -1}, "updates is -1"),
        ({"similarity": "ssd"}, "choose one of auto, lncc, mind"),
    ],
)
def test_a_wrong_argument_is_named(pair, change, words):
    with pytest.raises(InputError, match=words):
        refine(pair[0], pair[1], **change)


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
