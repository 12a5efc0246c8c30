"""Scores and measurements, held against SimpleITK's filters and numpy."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from VoxelMorphRegistrationLib.annotations import label_statistics
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.refinement.pair import ImagePair
from VoxelMorphRegistrationLib.registration import pair_similarity as quality
from VoxelMorphRegistrationLib.space.grid import Grid


def _labels(seed=0, size=(20, 24, 18), pixel=np.uint16):
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=size[::-1]), 2)
    array = np.digitize(noise, np.quantile(noise, (0.5, 0.7, 0.9))) * np.asarray(7)
    direction = Rotation.from_euler("xyz", [20, -15, 30], degrees=True).as_matrix() * [1, 1, -1]
    grid = Grid(size, (1.5, 0.8, 2.2), (10.0, -20.0, 5.0), tuple(direction.ravel()))
    return grid.image(array.astype(pixel))


@pytest.mark.parametrize("pixel", [np.uint8, np.int16, np.uint16, np.float32])
def test_dice_is_that_of_simpleitk(pixel):
    a, b = _labels(0, pixel=pixel), _labels(1, pixel=pixel)
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(sitk.Cast(a, sitk.sitkUInt16), sitk.Cast(b, sitk.sitkUInt16))
    ours = label_statistics.dice(a, b)
    assert set(ours) == {7, 14, 21}
    for label, value in ours.items():
        assert np.isclose(value, overlap.GetDiceCoefficient(label))


def test_a_label_that_one_map_lacks_scores_zero_and_itself_one():
    a = _labels()
    b = sitk.ChangeLabel(a, {14: 0})
    assert label_statistics.dice(a, a) == {7: 1.0, 14: 1.0, 21: 1.0}
    assert label_statistics.dice(a, b)[14] == 0.0


def test_maps_of_different_size_cannot_be_compared():
    with pytest.raises(InputError, match="size"):
        label_statistics.dice(_labels(), _labels(size=(20, 24, 17)))


@pytest.mark.parametrize("pixel", [np.uint8, np.int16, np.uint16, np.uint32, np.float32])
def test_volumes_and_centroids_are_those_of_simpleitk(pixel):
    labels = _labels(pixel=pixel)
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(sitk.Cast(labels, sitk.sitkUInt16))
    measured = label_statistics.measure_labels(labels)
    assert set(measured) == set(shape.GetLabels())
    for label, (millilitres, centroid) in measured.items():
        assert np.isclose(millilitres, shape.GetPhysicalSize(label) / 1000)
        left, posterior, superior = shape.GetCentroid(label)
        assert np.allclose(centroid, (-left, -posterior, superior), atol=1e-6)


def test_an_empty_label_map_has_no_volumes_and_no_centroids():
    empty = sitk.Image(4, 5, 6, sitk.sitkUInt8)
    assert label_statistics.measure_labels(empty) == {}


def test_two_dimensions_have_volumes_and_centroids_too():
    labels = _labels()[:, :, 9]
    labels.SetDirection((0.8, -0.6, 0.6, 0.8))
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(labels)
    measured = label_statistics.measure_labels(labels)
    assert set(measured) == set(shape.GetLabels())
    for label, (millilitres, (right, anterior)) in measured.items():
        assert np.allclose((-right, -anterior), shape.GetCentroid(label), atol=1e-6)
        assert np.isclose(millilitres, shape.GetPhysicalSize(label) / 1000)


def _pair(size=24):
    rng = np.random.default_rng(0)
    a = gaussian_filter(rng.normal(size=(size,) * 3), 1.5)
    b = a + 0.02 * rng.normal(size=a.shape)
    return (torch.from_numpy(x.astype(np.float32))[None, None] for x in (a, b))


def _similarity(fixed, moving, metric="ncc", mask=None):
    return quality.PairSimilarity(ImagePair(fixed, moving, mask), metric)()


def test_ncc_is_numpy_s_correlation_within_the_mask():
    a, b = _pair()
    mask = (a > 0).float()
    assert np.isclose(_similarity(a, b), np.corrcoef(a.ravel(), b.ravel())[0, 1], atol=1e-5)
    inside = a[a > 0], b[a > 0]
    assert np.isclose(_similarity(a, b, mask=mask), np.corrcoef(*inside)[0, 1], atol=1e-5)


def test_of_large_images_every_second_voxel_counts():
    a, b = _pair(80)
    sampled = (x[0, 0, ::2, ::2, ::2].ravel() for x in (a, b))
    assert np.isclose(_similarity(a, b), np.corrcoef(*sampled)[0, 1], atol=1e-5)


def test_a_flow_that_undoes_a_shift_restores_the_similarity():
    a, _ = _pair()
    shifted = torch.roll(a, 2, dims=3)
    flow = torch.zeros(1, 3, 24, 24, 24)
    flow[:, 1] = 2.0
    mask = torch.zeros_like(a)
    mask[..., 4:-4, 4:-4, 4:-4] = 1
    alike = quality.PairSimilarity(ImagePair(a, shifted, mask))
    assert alike() < 0.8
    assert alike(flow) > 0.9999


def test_an_empty_mask_is_no_similarity_at_all():
    a, b = _pair()
    nothing = torch.zeros_like(a)
    assert _similarity(a, b, "ncc", nothing) == 0
    assert _similarity(a, b, "nmi", nothing) == 1


def test_what_a_grid_was_padded_with_has_no_say_in_the_similarity():
    a, b = _pair()
    padding = (2, 3, 0, 4, 1, 1)
    far = tuple(torch.nn.functional.pad(x - x.min() + 1, padding) for x in (a, b))
    flow = torch.zeros(1, 3, 24, 24, 24)
    flow[:, 0] = 2.0  # tissue comes in from the padded planes
    for metric in ("ncc", "nmi"):
        alone, together = (quality.PairSimilarity(ImagePair(*pair), metric) for pair in ((a, b), far))
        assert np.isclose(together(), alone(), atol=1e-5)
        assert np.isclose(together(torch.nn.functional.pad(flow, padding)), alone(flow), atol=1e-5)


def test_normalised_mutual_information_is_two_for_a_function_of_the_image_and_near_one_for_noise():
    a, _ = _pair(40)
    levels = (a - a.min()) / (a.max() - a.min())
    assert _similarity(levels, 1 - levels, "nmi") > 1.8
    assert _similarity(levels, torch.rand_like(levels), "nmi") < 1.05
    assert _similarity(levels, 1 - levels, "nmi", (levels > 0.5).float()) > 1.8
