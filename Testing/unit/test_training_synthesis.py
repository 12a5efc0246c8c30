"""Synthetic pairs: what they claim about themselves, checked with SimpleITK."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from VoxelMorphRegistrationLib.training.losses import pair_loss
from VoxelMorphRegistrationLib.training.random_draws import Draw
from VoxelMorphRegistrationLib.training.random_motion import random_velocity, sliding_displacement
from VoxelMorphRegistrationLib.training.synthesis import Pair, SynthesisSettings, synthesise

SMALL = SynthesisSettings(shape=(24, 28, 32), margin=6, displacement=(2.0, 2.5), background=0.0, two_bodies=0.0)


def _pair(seed: int, settings: SynthesisSettings = SMALL) -> Pair:
    return synthesise(settings, Draw(seed))


def _pulled_by_simpleitk(pair: Pair, channel: int) -> np.ndarray:
    """The moving content through the true displacement, with ITK's transform and resampler."""
    moving = sitk.GetImageFromArray(pair.moving_content[0, channel].numpy())
    moving.SetOrigin([-float(pair.margin)] * 3)
    vectors = pair.displacement[0].numpy()[::-1].transpose(1, 2, 3, 0).astype(np.float64)
    transform = sitk.DisplacementFieldTransform(sitk.GetImageFromArray(np.ascontiguousarray(vectors), isVector=True))
    size = pair.fixed.shape[2:][::-1]
    return sitk.GetArrayFromImage(sitk.Resample(moving, size, transform, sitk.sitkLinear, (0, 0, 0), (1, 1, 1)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_displacement_a_fraction_of_a_voxel_off_fits_the_labels_as_well_as_the_true_one(seed):
    pair = _pair(seed)
    labels = range(pair.CLEAN_IMAGES, pair.fixed_content.shape[1])

    def disagreement(shift: torch.Tensor) -> float:
        moved = replace(pair, displacement=pair.displacement + shift.view(1, 3, 1, 1, 1))
        pulled = np.stack([_pulled_by_simpleitk(moved, c) for c in labels])
        return float(np.abs(pulled - pair.fixed_content[0, labels.start :].numpy()).mean())

    right = disagreement(torch.zeros(3))
    for axis in range(3):
        for step in (-0.4, 0.4):
            assert disagreement(step * torch.eye(3)[axis]) > 1.02 * right
    assert disagreement(torch.tensor([2.0, -2.0, 2.0])) > 2 * right


def test_the_displacement_is_exact_where_the_content_is_a_smooth_image():
    pair = _pair(4, replace(SMALL, shape=(24, 24, 24), shapes=(1, 1), layered=0.0, displacement=(1.0, 1.5)))
    # With one shape the second clean image is that shape's texture, which is moved as a function and not as voxels.
    fixed = pair.fixed_content[0, 1].numpy()
    unmoved = pair.moving_content[0, 1].numpy()[6:-6, 6:-6, 6:-6]
    assert np.abs(_pulled_by_simpleitk(pair, 1) - fixed).mean() < 0.35 * np.abs(unmoved - fixed).mean()


def test_two_bodies_differ_in_their_details_by_more_than_any_displacement_explains():
    details = replace(SMALL, layered=1.0)
    for seed in (1, 2, 3):
        one, two = _pair(seed, details), _pair(seed, replace(details, two_bodies=1.0))
        assert one.correlation == (1.0,)
        assert two.correlation[0] < 1.0
        left_over = [
            np.abs(_pulled_by_simpleitk(pair, 0) - pair.fixed_content[0, 0].numpy()).mean()
            / pair.fixed_content[0, 0].std()
            for pair in (one, two)
        ]
        assert left_over[1] > 1.5 * left_over[0]


def test_the_same_seed_gives_the_same_pair_and_another_seed_another():
    one, again, other = _pair(5), _pair(5), _pair(6)
    assert torch.equal(one.fixed, again.fixed)
    assert torch.equal(one.displacement, again.displacement)
    assert not torch.equal(one.fixed, other.fixed)


def test_images_have_the_shape_asked_for_and_intensities_from_0_to_1():
    for seed in range(4):
        pair = _pair(seed)
        for image in (pair.fixed, pair.moving):
            assert image.shape == (1, 1, 24, 28, 32)
            assert torch.isfinite(image).all()
            assert image.min() >= 0 and image.max() <= 1
            assert image.std() > 0.01


def test_a_random_velocity_has_the_magnitude_asked_for():
    velocity = random_velocity((20, 20, 20), (1.5, 1.5), (8.0, 20.0), 9.0, Draw(0))
    assert velocity.pow(2).sum(1).mean().sqrt().item() == pytest.approx(1.5, rel=1e-4)


def test_random_velocities_integrate_to_fields_that_do_not_fold():
    from VoxelMorphRegistrationLib.flow.integration import integrate

    velocity = random_velocity((24, 24, 24), (2.0, 2.0), (4.0, 20.0), 0.25, Draw(1))
    field = integrate(velocity, 7, "border")[0].numpy()[::-1].transpose(1, 2, 3, 0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(field.astype(np.float64)), isVector=True)
    jacobian = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(image))
    assert (jacobian[2:-2, 2:-2, 2:-2] <= 0).mean() < 0.001


def test_a_part_that_slides_moves_along_one_axis_and_neither_opens_nor_overlaps():
    displacement = sliding_displacement((24, 28, 32), (3.0, 3.0), Draw(3))[0]
    moving = [axis for axis in range(3) if displacement[axis].abs().max() > 0]
    assert len(moving) == 1
    along = displacement[moving[0]]
    steps = along.diff(dim=moving[0])
    assert along.abs().max() > 2.0 and (along == 0).any()
    assert steps.abs().max() < 0.2, "along the axis it slides on, tissue stays together"
    across = max(float(along.diff(dim=axis).abs().max()) for axis in range(3) if axis != moving[0])
    assert across > 2.0, "at the surface it is broken"


def test_a_batch_has_the_mean_of_its_pairs_losses():
    pairs = [_pair(seed, replace(SMALL, two_bodies=0.5)) for seed in (1, 2, 4)]
    velocities = [0.5 * torch.randn(1, 3, 24, 28, 32, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    alone = [pair_loss(velocity, pair) for velocity, pair in zip(velocities, pairs)]
    together = pair_loss(torch.cat(velocities), Pair.batch(pairs))
    for name in ("displacement", "gradient", "dissimilarity"):
        mean = float(torch.stack([one.parts[name] for one in alone]).mean())
        assert float(together.parts[name]) == pytest.approx(mean, rel=1e-3), name
    # Dice is a mean over all labels there are, of which the pairs have different numbers.
    rest = [float(one.total - one.parts["overlap"]) for one in alone]
    assert float(together.total - together.parts["overlap"]) == pytest.approx(sum(rest) / 3, rel=1e-3)


def test_random_numbers_go_on_from_a_state():
    draw = Draw(5)
    state = draw.state()
    first = (draw.uniform(0, 1), draw.normals(2).tolist(), draw.integer(0, 1000))
    draw.restore(state)
    assert (draw.uniform(0, 1), draw.normals(2).tolist(), draw.integer(0, 1000)) == first
