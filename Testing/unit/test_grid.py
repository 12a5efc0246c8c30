"""Grids, held against SimpleITK's own index and point arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from VoxelMorphRegistrationLib.space.grid import Grid

GEOMETRIES = st.builds(
    lambda angles, mirrored, spacing, origin: Grid(
        (7, 5, 6),
        spacing,
        origin,
        tuple((Rotation.from_euler("xyz", angles).as_matrix() * [-1 if mirrored else 1, 1, 1]).ravel()),
    ),
    st.tuples(*[st.floats(-3, 3)] * 3),
    st.booleans(),
    st.tuples(*[st.floats(0.3, 6)] * 3),
    st.tuples(*[st.floats(-200, 200)] * 3),
)


@settings(max_examples=40, deadline=None)
@given(grid=GEOMETRIES)
def test_voxels_lie_where_simpleitk_puts_them(grid):
    image = grid.empty_image()
    points, matrix = grid.points(), grid.index_to_physical()
    for index in ((0, 0, 0), (6, 4, 5), (3, 1, 2)):
        expected = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(points[index[::-1]], expected, atol=1e-6)
        np.testing.assert_allclose((matrix @ [*index, 1])[:3], expected, atol=1e-6)
        np.testing.assert_allclose((grid.physical_to_index() @ [*expected, 1])[:3], index, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(grid=GEOMETRIES)
def test_a_grid_made_again_from_its_matrix_is_the_same(grid):
    assert Grid.from_matrix(grid.size, grid.index_to_physical()).same_as(grid)


def test_a_shift_of_a_hundredth_of_a_voxel_is_another_grid():
    grid = Grid((4, 4), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    moved = Grid(grid.size, grid.spacing, (0.01, 0.0), grid.direction)
    assert not grid.same_as(moved)
    assert grid.same_as(moved, tolerance=0.02)


def test_a_point_half_a_voxel_beyond_the_last_centre_still_lies_in_the_image():
    grid = Grid((4, 4), (2.0, 2.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    assert grid.contains(np.array([[-1.0, 0.0], [7.0, 6.0], [-1.1, 0.0], [3.0, 7.5]])).tolist() == [
        True,
        True,
        False,
        False,
    ]
    assert grid.extent_corners().max() == 7.0


def test_an_axis_without_length_is_refused():
    with pytest.raises(ValueError, match="do not span space"):
        Grid.from_matrix((2, 2), np.diag([1.0, 0.0, 1.0]))


def test_an_array_of_another_size_cannot_be_put_on_the_grid():
    with pytest.raises(ValueError, match="size"):
        Grid.of(sitk.Image(3, 3, sitk.sitkFloat32)).image(np.zeros((2, 2)))


def test_axes_that_lie_in_one_plane_are_refused():
    matrix = np.eye(4)
    matrix[:3, 2] = matrix[:3, 0] + matrix[:3, 1]
    with pytest.raises(ValueError, match="do not span space"):
        Grid.from_matrix((4, 4, 4), matrix)
