"""Labels warped by torch are those that SimpleITK and the warps on the processor make, on any grid."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from Testing.support.segmentation_cases import balls, grid_of, layered, smooth_field
from VoxelMorphRegistrationLib.annotations import device_warping, segmentation
from VoxelMorphRegistrationLib.annotations.device_warping import DeviceWarper
from VoxelMorphRegistrationLib.annotations.label_warping import SmoothWarper
from VoxelMorphRegistrationLib.flow.folding import greatest_gradient
from VoxelMorphRegistrationLib.propagation import results
from VoxelMorphRegistrationLib.space import displacement as displacements
from VoxelMorphRegistrationLib.space.grid import Grid

CPU = torch.device("cpu")
OTHER = Grid((15, 14, 13), (1.1, 1.4, 2.2), (-4.3, 8.0, 8.5), (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, -1.0))
MOST_APART = 2e-4  # of the voxels: those on the very border of two labels


def many_labels(grid: Grid, pixel: int, most: int = 97) -> sitk.Image:
    """Blocks of three voxels an edge, negative values among them where the type has some."""
    index = np.indices(grid.shape) // 3
    values = (index * np.array([1, 7, 31]).reshape(-1, 1, 1, 1)).sum(0) % most
    array = np.where(values % 4 == 0, 0, values * 3 - (50 if pixel == sitk.sitkInt16 else 0))
    return grid.stamp(sitk.Cast(sitk.GetImageFromArray(array.astype(np.int32)), pixel))


def apart(one: sitk.Image, other: sitk.Image) -> float:
    assert one.GetPixelID() == other.GetPixelID() and Grid.of(one).same_as(Grid.of(other))
    return float(np.mean(sitk.GetArrayViewFromImage(one) != sitk.GetArrayViewFromImage(other)))


@pytest.mark.parametrize("fixed", [grid_of(), OTHER], ids=["its own grid", "another grid"])
@pytest.mark.parametrize("pixel", [sitk.sitkUInt8, sitk.sitkInt16, sitk.sitkUInt16, sitk.sitkUInt32])
def test_nearest_is_simpleitk_s(monkeypatch, fixed, pixel):
    monkeypatch.setattr(device_warping, "_SLAB_VOXELS", 1000)
    labels, field = many_labels(grid_of(), pixel), smooth_field(fixed, 5.0)
    expected = displacements.warp(labels, field, "nearest")
    assert np.unique(sitk.GetArrayViewFromImage(expected)).size > 20
    assert apart(DeviceWarper(labels, CPU).warp(field, "nearest"), expected) <= MOST_APART


@pytest.mark.parametrize("fixed", [grid_of(), OTHER], ids=["its own grid", "another grid"])
@pytest.mark.parametrize(
    "make", [balls, lambda grid: many_labels(grid, sitk.sitkInt16, 23)], ids=["balls", "many labels"]
)
def test_smooth_is_that_of_the_processor(monkeypatch, fixed, make):
    monkeypatch.setattr(device_warping, "_SLAB_VOXELS", 1000)
    labels, field = make(grid_of()), smooth_field(fixed, 5.0)
    expected = SmoothWarper(labels).warp(field)
    assert apart(DeviceWarper(labels, CPU).warp(field, "smooth"), expected) <= MOST_APART


@pytest.mark.parametrize("interpolation", ["nearest", "smooth"])
def test_no_displacement_changes_no_voxel_and_none_that_is_no_number_is_an_error(interpolation):
    labels, grid = many_labels(grid_of(), sitk.sitkInt16), grid_of()
    warper = DeviceWarper(labels, CPU)
    still = displacements.from_array(np.zeros((*grid.shape, 3)), grid)
    assert apart(warper.warp(still, interpolation), labels) == 0
    nowhere = displacements.from_array(np.full((*grid.shape, 3), np.nan), grid)
    assert not sitk.GetArrayViewFromImage(warper.warp(nowhere, interpolation)).any()


def test_in_a_plane_too():
    grid = Grid((20, 16), (1.0, 2.0), (3.0, -4.0), (0.0, -1.0, 1.0, 0.0))
    labels = grid.image((np.indices(grid.shape).sum(0) // 4 % 3).astype(np.uint8))
    vectors = np.random.default_rng(0).normal(0, 1.5, (*grid.shape, 2)).astype(np.float32)
    field = displacements.from_array(vectors, grid)
    warper = DeviceWarper(labels, CPU)
    assert apart(warper.warp(field, "nearest"), displacements.warp(labels, field, "nearest")) == 0
    assert apart(warper.warp(field, "smooth"), SmoothWarper(labels).warp(field)) == 0


class _Unlike:
    """A device that is no processor, as far as a segmentation can tell."""

    type = "cuda"


@pytest.mark.parametrize("interpolation", ["nearest", "smooth"])
def test_the_labels_are_brought_to_a_device_once_and_warped_here_where_it_has_no_room(monkeypatch, interpolation):
    made, here = [], []

    class Counted(DeviceWarper):
        def __init__(self, labels, device):
            made.append(device)
            super().__init__(labels, CPU)

    monkeypatch.setattr(device_warping, "DeviceWarper", Counted)
    drawn, field, device = layered(grid_of()), smooth_field(grid_of()), _Unlike()
    expected = drawn.warp(field, interpolation)
    warp_nearest = segmentation.warp_nearest
    monkeypatch.setattr(segmentation, "warp_nearest", lambda *given: here.append(1) or warp_nearest(*given))
    for _ in range(3):
        found = drawn.warp(field, interpolation, device)
        assert all(apart(*pair) <= MOST_APART for pair in zip(found.layers, expected.layers))
    assert made == [device] * 2 and not here

    tried = []

    def without_room(self, *given):
        tried.append(1)
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(Counted, "warp", without_room)
    for _ in range(2):
        again = drawn.warp(field, interpolation, device)
        assert all(apart(*pair) == 0 for pair in zip(again.layers, expected.layers))
    assert tried == [1], "what had no room once is not tried for every further frame"


def test_more_distances_than_there_is_room_for_are_refused_before_they_are_made(monkeypatch):
    monkeypatch.setattr(device_warping, "_MOST_BYTES", 1000)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        DeviceWarper(balls(grid_of()), CPU).warp(smooth_field(grid_of()), "smooth")


@pytest.mark.parametrize("millimetres", [0.3, 4.0])
def test_no_gradient_is_greater_than_what_torch_says_and_a_field_that_folds_is_looked_at(millimetres):
    field = smooth_field(OTHER, millimetres)
    vectors = sitk.GetArrayFromImage(field)
    found = greatest_gradient(torch.from_numpy(vectors), OTHER.spacing[::-1])
    changes = [np.linalg.norm(np.diff(vectors, axis=axis), axis=-1) / OTHER.spacing[2 - axis] for axis in range(3)]
    assert found == pytest.approx(np.sqrt(sum(change.max() ** 2 for change in changes)), rel=1e-5)
    percent = displacements.folded_percent(field)
    assert results._folded_percent(field, torch.device("cpu")) == percent
    assert (found < 1) <= (percent == 0)
    single = Grid((1, 4, 4), (1.0,) * 3, (0.0,) * 3, tuple(np.eye(3).ravel()))
    assert greatest_gradient(torch.zeros(4, 4, 1, 3), single.spacing) == 0


def test_a_device_tells_that_nothing_folds_and_where_it_cannot_the_folds_are_counted(monkeypatch):
    rough = np.random.default_rng(0).normal(0, 3, (*OTHER.shape, 3))
    fields = [smooth_field(OTHER, 0.3), displacements.from_array(rough, OTHER)]
    expected = [displacements.folded_percent(field) for field in fields]
    assert expected[0] == 0 < expected[1]
    counted, count = [], displacements.folded_percent
    monkeypatch.setattr(displacements, "folded_percent", lambda field: counted.append(field) or count(field))
    monkeypatch.setattr(results, "sent_array", lambda values, device: torch.from_numpy(values.copy()))
    assert [results._folded_percent(field, _Unlike()) for field in fields] == expected and counted == fields[1:]
