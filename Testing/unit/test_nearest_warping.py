"""Labels are pulled only where they can come to lie; SimpleITK on the whole grid says what must come out."""

import numpy as np
import pytest
import SimpleITK as sitk

from VoxelMorphRegistrationLib.annotations.nearest_warping import warp_nearest
from VoxelMorphRegistrationLib.space import displacement as displacements
from VoxelMorphRegistrationLib.space.grid import Grid

OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, -1.0)
GRID = Grid((24, 20, 16), (1.5, 2.0, 3.0), (-10.0, 4.0, 30.0), OBLIQUE)


def labels(grid: Grid) -> sitk.Image:
    array = np.zeros(grid.shape, np.int16)
    array[5:9, 6:11, 12:17] = 300
    array[6:8, 8, 14] = 7
    return grid.image(array)


def field(grid: Grid, millimetres: float) -> sitk.Image:
    draw = np.random.default_rng(1)
    coarse = Grid.from_matrix((3, 3, 3), grid.index_to_physical() @ np.diag([11.5, 9.5, 7.5, 1.0]))
    vectors = draw.normal(0, millimetres, (*coarse.shape, 3)).astype(np.float32)
    return displacements.resample(displacements.from_array(vectors, coarse), grid)


def on_the_whole_grid(moving: sitk.Image, displacement: sitk.Image) -> np.ndarray:
    transform = sitk.DisplacementFieldTransform(sitk.Cast(displacement, sitk.sitkVectorFloat64))
    grid = Grid.of(displacement).empty_image(sitk.sitkUInt8)
    return sitk.GetArrayFromImage(sitk.Resample(moving, grid, transform, sitk.sitkNearestNeighbor, 0.0, sitk.sitkInt16))


@pytest.mark.parametrize("millimetres", [0.0, 1.0, 6.0, 100.0])
def test_labels_fall_where_the_whole_grid_has_them(millimetres):
    moving, displacement = labels(GRID), field(GRID, millimetres)
    found = warp_nearest(moving, displacement)
    assert np.array_equal(sitk.GetArrayFromImage(found), on_the_whole_grid(moving, displacement))
    assert Grid.of(found).same_as(GRID) and found.GetPixelID() == moving.GetPixelID()


def test_a_frame_on_another_grid_is_labelled_on_its_own():
    other = Grid((30, 12, 20), (2.0, 2.0, 2.0), (-8.0, 10.0, 0.0), (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0))
    moving, displacement = labels(GRID), field(other, 3.0)
    found = sitk.GetArrayFromImage(warp_nearest(moving, displacement))
    assert np.array_equal(found, on_the_whole_grid(moving, displacement))


def test_where_no_vector_leads_to_a_label_the_frame_is_empty():
    away = displacements.from_array(np.broadcast_to([500.0, 0.0, 0.0], (*GRID.shape, 3)), GRID)
    assert not sitk.GetArrayFromImage(warp_nearest(labels(GRID), away)).any()
    assert not sitk.GetArrayFromImage(warp_nearest(labels(GRID) * 0, field(GRID, 2.0))).any()
